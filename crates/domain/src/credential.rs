//! API keys and turn tokens. Each has a checksum, so that a typo is refused without a look-up.
//!
//! A key is a prefix and 52 characters of lower-case base32 (RFC 4648, without padding): 28 random bytes, and the first 4
//! bytes of the SHA-256 of the prefix and the random bytes.

use crate::ids::{CredentialId, OrganizationId, PrincipalId, parse_uuid};
use crate::network::Networks;
use crate::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The wire that a key was created for. Every key works on every wire; the prefix is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Mobile Next.
    MobileNext,
    /// Everruns.
    Everruns,
    /// Devin.
    Devin,
    /// Probe.dev.
    Probe,
    /// Tenure's own.
    Tenure,
}

impl Wire {
    /// All wires, with their names and the prefixes of their keys.
    pub const ALL: [(Wire, &'static str, &'static str); 5] = [
        (Wire::MobileNext, "mobilenext", "mob_"),
        (Wire::Everruns, "everruns", "evr_"),
        (Wire::Devin, "devin", "cog_"),
        (Wire::Probe, "probe", "prb_"),
        (Wire::Tenure, "tenure", "tnr_"),
    ];

    /// The wire with this name.
    pub fn parse(name: &str) -> Option<Wire> {
        Wire::ALL.iter().find(|(_, n, _)| *n == name).map(|(wire, ..)| *wire)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Wire::ALL.iter().find(|(wire, ..)| *wire == self).map_or("tenure", |(_, name, _)| name)
    }

    /// The prefix of its keys.
    pub fn prefix(self) -> &'static str {
        Wire::ALL.iter().find(|(wire, ..)| *wire == self).map_or("tnr_", |(.., prefix)| prefix)
    }
}

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const RANDOM_BYTES: usize = 28;
const CHECKSUM_BYTES: usize = 4;
const CHARACTERS: usize = 52;

/// The secret of an API key. Its `Debug` output hides it, so that it cannot get into a log or an error by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret(String);

impl KeySecret {
    /// A new secret for a wire, from random bytes.
    pub fn new(wire: Wire, random: [u8; RANDOM_BYTES]) -> KeySecret {
        KeySecret(encode_secret(wire.prefix(), random))
    }

    /// Parses a key that a client sent; `None` if its prefix, length, alphabet or checksum is wrong.
    pub fn parse(text: &str) -> Option<KeySecret> {
        let (_, _, prefix) = Wire::ALL.iter().find(|(.., prefix)| text.starts_with(prefix))?;
        is_encoded_secret(prefix, text).then(|| KeySecret(text.to_owned()))
    }

    /// The secret as text: to show it once to its owner, or to send it to a server.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its hash, which is stored in its place.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The last characters, by which people recognize the key.
    pub fn suffix(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }
}

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The token of a turn, which its worker sends with every request about the turn: `turn_`, the turn's organization, and
/// random bytes as in a key. It is not a key and gives access to this turn only. Its `Debug` output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnToken {
    organization: OrganizationId,
    text: String,
}

impl TurnToken {
    /// A new token for a turn of an organization, from random bytes.
    pub fn new(organization: OrganizationId, random: [u8; RANDOM_BYTES]) -> TurnToken {
        TurnToken { organization, text: encode_secret(&TurnToken::prefix(organization), random) }
    }

    /// Parses a token that a worker sent; `None` if it is malformed or its checksum is wrong.
    pub fn parse(text: &str) -> Option<TurnToken> {
        let (organization, _) = text.strip_prefix("turn_")?.split_once('_')?;
        let organization = OrganizationId(parse_uuid(organization)?);
        is_encoded_secret(&TurnToken::prefix(organization), text)
            .then(|| TurnToken { organization, text: text.to_owned() })
    }

    fn prefix(organization: OrganizationId) -> String {
        format!("turn_{}_", organization.0.simple())
    }

    /// The organization of the turn.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// The token as text, for its worker.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Its hash, which is stored in its place.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.text.as_bytes()).into())
    }
}

impl std::fmt::Debug for TurnToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TurnToken(…)")
    }
}

/// SHA-256 of a secret. The secret has 224 random bits, so a slow hash would add no protection. In JSON it is base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SecretHash(pub [u8; 32]);

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> String {
        base32(&hash.0)
    }
}

impl TryFrom<String> for SecretHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<SecretHash, Self::Error> {
        let bytes = unbase32(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(SecretHash).ok_or("expected 52 characters of base32")
    }
}

/// An API key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// The principal that acts with it.
    pub principal: PrincipalId,
    /// The only organization that it works in, if it is bound to one.
    pub organization: Option<OrganizationId>,
    /// The wire that it was created for.
    pub wire: Wire,
    /// Its name, given by its owner; can be empty.
    pub name: String,
    /// The last characters of the secret.
    pub suffix: String,
    /// When it was created.
    pub created: Micros,
    /// When it expires, if it does.
    pub expires: Option<Micros>,
    /// Time of the last use, accurate to about 30 s.
    pub last_used: Option<Micros>,
    /// When it was revoked. A revocation is final.
    pub revoked: Option<Micros>,
    /// The key that it was created with, or that opened the session it was created in. Revoking that key revokes this one.
    pub made_by: Option<CredentialId>,
    /// The networks that it can be used from.
    pub networks: Networks,
}

impl Credential {
    /// A new key of a principal: not bound to an organization, without a name, without expiry and from every network.
    pub fn new(
        secret: &KeySecret,
        wire: Wire,
        principal: PrincipalId,
        created: Micros,
        random: [u8; 10],
    ) -> Credential {
        Credential {
            id: CredentialId::new(created, random),
            principal,
            organization: None,
            wire,
            name: String::new(),
            suffix: secret.suffix().to_owned(),
            created,
            expires: None,
            last_used: None,
            revoked: None,
            made_by: None,
            networks: Networks::default(),
        }
    }
}

/// Limits on the lifetime of all keys, whatever their own expiry; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyLimits {
    /// Maximum time since their creation.
    pub age: Option<Span>,
    /// Maximum time since their last use, or since their creation if they were never used.
    pub idle: Option<Span>,
}

impl KeyLimits {
    /// Keys created at or before this time are too old at `now`.
    pub fn creation_cutoff(self, now: Micros) -> Micros {
        cutoff(now, self.age)
    }

    /// Keys last used at or before this time are idle for too long at `now`.
    pub fn last_use_cutoff(self, now: Micros) -> Micros {
        cutoff(now, self.idle)
    }

    /// The effective expiry of a key with this time of creation and its own expiry.
    pub fn expiry(self, created: Micros, expires: Option<Micros>) -> Option<Micros> {
        expires.into_iter().chain(self.age.map(|age| created + age)).min()
    }
}

/// The time `span` before `now`; without a limit, a time before all others.
fn cutoff(now: Micros, span: Option<Span>) -> Micros {
    span.map_or(Micros(-1), |span| Micros(now.0.saturating_sub(span.0)))
}

/// Writes a secret: the prefix, and base32 of the random bytes and their checksum.
fn encode_secret(prefix: &str, random: [u8; RANDOM_BYTES]) -> String {
    let mut bytes = [0; RANDOM_BYTES + CHECKSUM_BYTES];
    bytes[..RANDOM_BYTES].copy_from_slice(&random);
    bytes[RANDOM_BYTES..].copy_from_slice(&checksum(prefix, &random));
    format!("{prefix}{}", base32(&bytes))
}

/// Whether [`encode_secret`] writes this text for this prefix and some random bytes.
fn is_encoded_secret(prefix: &str, text: &str) -> bool {
    let bytes = text.strip_prefix(prefix).and_then(unbase32);
    bytes.is_some_and(|bytes| {
        let (random, sum) = bytes.split_at(RANDOM_BYTES);
        checksum(prefix, random) == sum
    })
}

fn checksum(prefix: &str, random: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new().chain_update(prefix).chain_update(random).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(ALPHABET[(buffer >> bits) as usize & 31] as char);
        }
    }
    if bits > 0 {
        text.push(ALPHABET[(buffer << (5 - bits)) as usize & 31] as char);
    }
    text
}

fn unbase32(text: &str) -> Option<Vec<u8>> {
    if text.len() != CHARACTERS {
        return None;
    }
    let mut bytes = Vec::with_capacity(RANDOM_BYTES + CHECKSUM_BYTES);
    let (mut buffer, mut bits) = (0u32, 0);
    for character in text.bytes() {
        let value = match character {
            b'a'..=b'z' => character - b'a',
            b'2'..=b'7' => character - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
        }
    }
    // The last character has unused bits: they must be zero, so that a key has only one spelling.
    (buffer & ((1 << bits) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_is_parsed_back_and_a_damaged_one_is_refused(random: [u8; 28], at in 0usize..56, with in 0usize..32) {
            let secret = KeySecret::new(Wire::MobileNext, random);
            let text = secret.reveal();
            prop_assert_eq!(text.len(), 56);
            prop_assert_eq!(KeySecret::parse(text), Some(secret.clone()));
            let mut typo = text.as_bytes().to_vec();
            typo[at] = ALPHABET[with];
            let typo = String::from_utf8(typo).unwrap();
            prop_assert_eq!(KeySecret::parse(&typo).is_some(), typo == text);
            for cut in 0..text.len() {
                prop_assert!(KeySecret::parse(&text[..cut]).is_none());
            }
            for near in [format!("{text}a"), format!("{text}="), format!(" {text}"), text.to_uppercase()] {
                prop_assert!(KeySecret::parse(&near).is_none());
            }
        }

        #[test]
        fn a_turn_token_is_parsed_back_and_a_damaged_one_is_refused(random: [u8; 28], organization: u128, at in 0usize..90, with in 0usize..32) {
            let organization = OrganizationId(uuid::Uuid::from_u128(organization));
            let token = TurnToken::new(organization, random);
            let text = token.reveal();
            prop_assert_eq!(text.len(), 90);
            prop_assert_eq!(TurnToken::parse(text), Some(token.clone()));
            prop_assert_eq!(token.organization(), organization);
            prop_assert!(KeySecret::parse(text).is_none());
            let mut typo = text.as_bytes().to_vec();
            typo[at] = ALPHABET[with];
            let typo = String::from_utf8(typo).unwrap();
            prop_assert_eq!(TurnToken::parse(&typo).is_some(), typo == text);
            prop_assert!(TurnToken::parse(&text.to_uppercase()).is_none() && TurnToken::parse(&text[..89]).is_none());
            let hash = serde_json::to_value(token.hash()).unwrap();
            prop_assert_eq!(serde_json::from_value::<SecretHash>(hash).unwrap(), token.hash());
        }

        #[test]
        fn no_input_causes_a_panic(text in ".{0,80}") {
            let _ = KeySecret::parse(&text);
            let _ = TurnToken::parse(&text);
            let _ = TurnToken::parse(&format!("turn_{text}"));
            let _ = KeySecret::parse(&format!("mob_{text}"));
        }
    }

    #[test]
    fn limits_end_keys_to_the_microsecond() {
        let (made, day) = (Micros(1_000_000_000_000), Span::minutes(24 * 60));
        let off = KeyLimits::default();
        assert!(made > off.creation_cutoff(Micros::MAX) && made > off.last_use_cutoff(Micros::MAX));
        assert_eq!(off.expiry(made, None), None);
        let limits = KeyLimits { age: Some(day), idle: Some(Span::minutes(60)) };
        let good = |age: i64| made > limits.creation_cutoff(Micros(made.0 + age));
        assert!(good(day.0 - 1) && !good(day.0));
        let used = |idle: i64| made > limits.last_use_cutoff(Micros(made.0 + idle));
        assert!(used(Span::minutes(60).0 - 1) && !used(Span::minutes(60).0));
        for (expires, expected) in [(None, day.0), (Some(day.0 + 1), day.0), (Some(7), 7)] {
            let expires = expires.map(|after| Micros(made.0 + after));
            assert_eq!(limits.expiry(made, expires), Some(Micros(made.0 + expected)));
        }
    }

    #[test]
    fn a_key_does_not_print() {
        let secret = KeySecret::new(Wire::Tenure, [7; 28]);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
