//! Signed tokens: JSON Web Tokens with Ed25519 (RFC 8037).
//!
//! Each server signs with its own key, which never leaves a file of that server. The store has the public keys, so
//! that all servers of a database can check each other's tokens. A token alone is never enough: its session is read
//! from the store at every use.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

use crate::app::App;
use crate::failure::Failure;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::credential::SecretHash;
use domain::ids::{SessionId, SigningKeyId, parse_uuid};
use domain::login::Login;
use domain::principal::Scopes;
use domain::time::Micros;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// More than any token of ours.
const MAX_BYTES: usize = 8 << 10;
/// The issuer. It need not name the deployment, because each deployment has its own keys.
const ISSUER: &str = "tenure";
const SECOND: i64 = 1_000_000;

/// What a token is for. A token for another use is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Acts as its login session.
    Session,
    /// Confirms an address.
    Verify,
    /// Restores a forgotten password.
    Restore,
}

impl Use {
    /// The `typ` of the header.
    fn name(self) -> &'static str {
        match self {
            Use::Session => "JWT",
            Use::Verify => "verify+jwt",
            Use::Restore => "restore+jwt",
        }
    }
}

/// The claims of a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    /// Its owner.
    pub sub: Uuid,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// The login session; `None` in a token that is sent by mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// How its owner authenticated (RFC 8176). This and `auth_time` are for other readers of the token: the server
    /// reads them from the session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When its owner authenticated, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// A secret whose hash the store has.
    pub jti: String,
    /// The scopes that it is limited to, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// No token of ours has `nbf` or `aud`: a token with one of them was issued by or for somebody else.
    #[serde(default, skip_serializing)]
    nbf: Option<i64>,
    #[serde(default, skip_serializing)]
    aud: Option<serde_json::Value>,
    /// Claims that the owner asked for. The server ignores them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Claims {
    /// Claims of an owner with a separate secret. The expiry is rounded down to a full second.
    pub fn new(sub: Uuid, now: Micros, until: Micros, secret: [u8; 32]) -> Claims {
        let jti = BASE64_URL_SAFE_NO_PAD.encode(secret);
        let (exp, iat) = (until.0 / SECOND, now.0 / SECOND);
        Claims {
            iss: ISSUER.to_owned(),
            sub,
            exp,
            iat,
            sid: None,
            amr: Vec::new(),
            auth_time: None,
            jti,
            scope: None,
            nbf: None,
            aud: None,
            claims: None,
        }
    }

    /// Adds the session and how it was opened.
    pub fn set_session(&mut self, login: &Login) {
        self.sid = Some(login.id.uuid());
        self.amr = login.methods.iter().map(|method| method.name().to_owned()).collect();
        self.auth_time = Some(login.authenticated.0 / SECOND);
    }

    /// The hash of the secret, as the store has it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.jti.as_bytes()).into())
    }

    /// The login session.
    pub fn session(&self) -> Option<SessionId> {
        self.sid.and_then(SessionId::from_uuid)
    }

    /// When it expires.
    pub fn expires(&self) -> Micros {
        Micros(self.exp.saturating_mul(SECOND))
    }

    /// Whether it is valid at a time in seconds since 1970. `iat` is not checked: the store knows the valid sessions,
    /// and a clock that is set back must not sign anybody out.
    fn is_valid_at(&self, now: i64) -> bool {
        now < self.exp && self.nbf.is_none_or(|nbf| nbf <= now) && self.aud.is_none()
    }

    /// The scopes that it is limited to.
    ///
    /// # Errors
    /// [`Failure::Unauthenticated`] for an unknown scope.
    pub fn scopes(&self) -> Result<Option<Scopes>, Failure> {
        let scopes = self.scope.as_deref().map(|text| Scopes::parse(text.split_whitespace()));
        scopes.map(|scopes| scopes.ok_or(Failure::Unauthenticated)).transpose()
    }
}

/// Whether a credential has the form of a token, not of an API key.
pub fn looks_signed(credential: &str) -> bool {
    credential.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Signs claims with this server's key.
///
/// # Errors
/// There is no key and none can be created.
pub async fn sign_token(app: &App, usage: Use, claims: &Claims) -> Result<String, Failure> {
    let key = app.signer.current_key().await?;
    let header = Header {
        typ: Some(usage.name().to_owned()),
        kid: Some(key.id.to_string()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, claims, &key.secret).map_err(Failure::internal)
}

/// The hash of a whole token, by which its caller is remembered; `None` for a text that is too long for a token.
pub fn hash_token(token: &str) -> Option<SecretHash> {
    (token.len() <= MAX_BYTES).then(|| SecretHash(Sha256::digest(token.as_bytes()).into()))
}

/// Reads a token for a use. It must be signed by a key in the store and must not have expired.
///
/// # Errors
/// [`Failure::Unauthenticated`] for any other token; the reason is not revealed.
pub async fn read_token(app: &App, usage: Use, token: &str) -> Result<Claims, Failure> {
    Ok(read_lasting_token(app, usage, token).await?.0)
}

/// The same as [`read_token`], and until when the token stays as good as it is, as far as time alone decides.
///
/// # Errors
/// Those of [`read_token`].
pub async fn read_lasting_token(app: &App, usage: Use, token: &str) -> Result<(Claims, Micros), Failure> {
    let (kid, now) = (read_key_id(usage, token)?, app.now());
    let key = app.signer.public_key(kid).await?.ok_or(Failure::Unauthenticated)?;
    let claims = verify(token, &key.bytes, now)?;
    let until = if claims.nbf.is_some() { now } else { claims.expires().min(key.retires) };
    Ok((claims, until))
}

/// The id of the key that signs a token, from its header.
fn read_key_id(usage: Use, token: &str) -> Result<SigningKeyId, Failure> {
    let nobody = || Failure::Unauthenticated;
    if token.len() > MAX_BYTES || !looks_signed(token) {
        return Err(nobody());
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| nobody())?;
    let typ = header.typ.as_deref();
    if header.alg != Algorithm::EdDSA || typ != Some(usage.name()) || header.crit.is_some() {
        return Err(nobody());
    }
    header.kid.as_deref().and_then(parse_uuid).map(SigningKeyId).ok_or_else(nobody)
}

/// The claims of a token that is signed with the key and has not expired.
fn verify(token: &str, key: &[u8], now: Micros) -> Result<Claims, Failure> {
    let data = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(key), &validation());
    let claims = data.map_err(|_| Failure::Unauthenticated)?.claims;
    if claims.is_valid_at(now.0 / SECOND) { Ok(claims) } else { Err(Failure::Unauthenticated) }
}

/// Expiry is checked against the server's own clock, not by the library.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.validate_nbf = false;
    validation.set_required_spec_claims(&["exp", "sub", "iss"]);
    validation.set_issuer(&[ISSUER]);
    validation
}
