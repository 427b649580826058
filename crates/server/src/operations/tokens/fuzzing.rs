//! Doors for the fuzz targets.

use super::{Claims, Use, header_of, verified};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::time::Micros;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::sync::LazyLock;
use uuid::Uuid;

const NOW: Micros = Micros(1_800_000_000_000_000);

/// What stands before the 32 bytes of a private key of Ed25519 in PKCS#8 (RFC 8410).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A key pair: the private half, and the public one as the store has it.
static KEYS: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let secret = [&PKCS8[..], &[7; 32]].concat();
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&secret).expect("a key");
    (secret, pair.public_key().as_ref().to_vec())
});

fn read(usage: Use, token: &str) -> Option<Claims> {
    header_of(usage, token).ok()?;
    verified(token, &KEYS.1, NOW).ok()
}

fn good(usage: Use) -> String {
    super::ring_provider::install();
    let until = Micros(NOW.0 + 60_000_000);
    let claims = Claims::new(Uuid::max(), NOW, until, [7; 32]);
    let header = Header {
        typ: Some(usage.name().to_owned()),
        kid: Some(Uuid::max().to_string()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&KEYS.0)).expect("a token")
}

/// A token of a header and claims with the signature of another one.
pub fn forged(usage: Use, header: &str, claims: &str) {
    let good = good(usage);
    let signature = good.rsplit('.').next().unwrap_or_default();
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    for signature in [signature, ""] {
        let token = format!("{}.{}.{signature}", encode(header), encode(claims));
        assert!(token == good || read(usage, &token).is_none(), "a forged token is taken: {token}");
        let raw = format!("{header}.{claims}.{signature}");
        assert!(raw == good || read(usage, &raw).is_none(), "a forged token is taken: {raw}");
    }
}

/// A good token with one byte of it changed.
pub fn altered(usage: Use, at: usize, put: u8) {
    let good = good(usage);
    assert!(read(usage, &good).is_some());
    let mut bytes = good.clone().into_bytes();
    let at = at % bytes.len();
    bytes[at] = put;
    if let Ok(token) = String::from_utf8(bytes) {
        assert!(token == good || read(usage, &token).is_none(), "an altered token is taken: {token}");
    }
    assert!(read(usage, &good[..at]).is_none(), "a part of a token is taken");
}
