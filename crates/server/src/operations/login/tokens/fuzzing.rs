//! Entry points for the fuzz targets.

use super::{Claims, Use, read_key_id, verify};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::time::Micros;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::sync::LazyLock;
use uuid::Uuid;

const NOW: Micros = Micros(1_800_000_000_000_000);

/// The seed of the key pair, and its public key as the store has it.
const SEED: [u8; 32] = [7; 32];
static PUBLIC: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key");
    pair.public_key().as_ref().to_vec()
});

fn read(usage: Use, token: &str) -> Option<Claims> {
    read_key_id(usage, token).ok()?;
    verify(token, &PUBLIC, NOW).ok()
}

fn good(usage: Use) -> String {
    crate::services::ring_provider::install();
    let until = Micros(NOW.0 + 60_000_000);
    let claims = Claims::new(Uuid::max(), NOW, until, [7; 32]);
    let header = Header {
        typ: Some(usage.name().to_owned()),
        kid: Some(Uuid::max().to_string()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&SEED)).expect("a token")
}

/// Checks that a header and claims with the signature of another token are refused.
pub fn check_forged(usage: Use, header: &str, claims: &str) {
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

/// Checks that a valid token is refused when one byte of it is changed or its end is missing.
pub fn check_altered(usage: Use, at: usize, put: u8) {
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
