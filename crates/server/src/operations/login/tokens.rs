//! Signed tokens: JSON Web Tokens with Ed25519 (RFC 8037).
//!
//! A server signs with a key of its own, which is in a file of that server and nowhere else; its public half is in
//! the store, so that all servers of one database check each other's tokens. What a token says is never enough: the
//! session that it names is read from the store at every use.

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

/// Longer than any that is made here.
const MAX_BYTES: usize = 8 << 10;
/// Who issues them. The keys are one deployment's own, so that this need not name it.
const ISSUER: &str = "tenure";
const SECOND: i64 = 1_000_000;

/// What a token is for. One that is for something else is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Opens what its login session opens.
    Session,
    /// Shows that an address is its owner's.
    Verify,
    /// Sets a forgotten password.
    Restore,
}

impl Use {
    /// The `typ` of its header.
    fn name(self) -> &'static str {
        match self {
            Use::Session => "JWT",
            Use::Verify => "verify+jwt",
            Use::Restore => "restore+jwt",
        }
    }
}

/// What is in a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    /// Whose it is.
    pub sub: Uuid,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// The login session; a token that is sent by mail has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// How its owner showed who they are (RFC 8176), and when, in seconds since 1970. For whoever reads the token:
    /// here the session is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// See `amr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// What the store has the hash of.
    pub jti: String,
    /// What it lets through at most, with blanks between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// No token of ours has these two: one that has was made by somebody else, or for somebody else.
    #[serde(default, skip_serializing)]
    nbf: Option<i64>,
    #[serde(default, skip_serializing)]
    aud: Option<serde_json::Value>,
    /// What its owner asked to be in it. Means nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Claims {
    /// Claims of somebody until a time, less what is finer than a second, with a secret of its own.
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

    /// Says whose session it is, and how that was opened.
    pub fn of_session(&mut self, login: &Login) {
        self.sid = Some(login.id.uuid());
        self.amr = login.methods.iter().map(|method| method.name().to_owned()).collect();
        self.auth_time = Some(login.authenticated.0 / SECOND);
    }

    /// What the store has of the secret.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.jti.as_bytes()).into())
    }

    /// The login session that it names.
    pub fn session(&self) -> Option<SessionId> {
        self.sid.and_then(SessionId::from_uuid)
    }

    /// When it expires.
    pub fn expires(&self) -> Micros {
        Micros(self.exp.saturating_mul(SECOND))
    }

    /// Whether it is good at a time in seconds: to the second for its end, which is this server's word. When it was made is
    /// not judged: the store knows what is good, and a clock that is set back signs nobody out.
    fn good_at(&self, now: i64) -> bool {
        now < self.exp && self.nbf.is_none_or(|nbf| nbf <= now) && self.aud.is_none()
    }

    /// What it lets through at most. A word that is no scope makes it no token.
    ///
    /// # Errors
    /// [`Failure::Unauthenticated`].
    pub fn scopes(&self) -> Result<Option<Scopes>, Failure> {
        let scopes = self.scope.as_deref().map(|text| Scopes::parse(text.split_whitespace()));
        scopes.map(|scopes| scopes.ok_or(Failure::Unauthenticated)).transpose()
    }
}

/// Whether a credential is a token and not a key, by its form.
pub fn looks_signed(credential: &str) -> bool {
    credential.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Signs claims with this server's key.
///
/// # Errors
/// When there is no key and none can be made.
pub async fn sign(app: &App, usage: Use, claims: &Claims) -> Result<String, Failure> {
    let key = app.signer.current_key().await?;
    let header = Header {
        typ: Some(usage.name().to_owned()),
        kid: Some(key.id.to_string()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, claims, &key.secret).map_err(Failure::internal)
}

/// Reads a token of a use, if it is signed by a key that the store has and has not expired.
///
/// # Errors
/// [`Failure::Unauthenticated`] for whatever is no good, without a word about why.
pub async fn read(app: &App, usage: Use, token: &str) -> Result<Claims, Failure> {
    let (kid, now) = (header_of(usage, token)?, app.now());
    let key = app.signer.public_key(kid).await?;
    verified(token, &key.ok_or(Failure::Unauthenticated)?.bytes, now)
}

/// Which key a token of a use says that it is signed with.
fn header_of(usage: Use, token: &str) -> Result<SigningKeyId, Failure> {
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

/// What a token says, if it is signed with the private half of a key and has not expired.
fn verified(token: &str, key: &[u8], now: Micros) -> Result<Claims, Failure> {
    let data = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(key), &validation());
    let claims = data.map_err(|_| Failure::Unauthenticated)?.claims;
    if claims.good_at(now.0 / SECOND) { Ok(claims) } else { Err(Failure::Unauthenticated) }
}

/// Times are compared with the clock that the server was given, not here.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.validate_nbf = false;
    validation.set_required_spec_claims(&["exp", "sub", "iss"]);
    validation.set_issuer(&[ISSUER]);
    validation
}
