//! Signing in has up to two halves: a password or an issuer, and then a second factor where there is one. What goes on
//! from the first half is kept in the store for the bearer of a challenge, which is good for a few minutes.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::second_factor;
use crate::operations::login::sign_in;
use crate::operations::login::sign_in::IssuedToken;
use crate::operations::login::sign_in::NewLogin;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::Refusal;
use domain::credential::SecretHash;
use domain::login::{Method, Origin};
use domain::principal::{Person, PrincipalState};
use domain::second_factor::CHALLENGE;
use domain::time::Micros;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::System;

const PURPOSE: &str = "challenge";

/// How far somebody came.
pub enum SignInOutcome {
    /// Signed in.
    SignedIn(Box<Person>, IssuedToken),
    /// A second factor is missing.
    Challenge(LoginChallenge),
}

impl SignInOutcome {
    /// Who signed in, for those who have no second half.
    ///
    /// # Errors
    /// [`Refusal::SecondFactorNeeded`].
    pub fn into_complete(self) -> Result<(Person, IssuedToken), Refusal> {
        match self {
            SignInOutcome::SignedIn(person, issued) => Ok((*person, issued)),
            SignInOutcome::Challenge(_) => Err(Refusal::SecondFactorNeeded),
        }
    }
}

/// What the second half goes on from.
pub struct LoginChallenge {
    /// A secret that can be used once. By itself it opens nothing.
    pub challenge: String,
    /// When it is too late.
    pub expires: Micros,
}

/// What was shown in the first half, and what was asked for.
pub struct FirstFactor<'a> {
    /// Whether the session is to last.
    pub long: bool,
    /// Whether all other sessions of the person end.
    pub end_others: bool,
    /// The password, if it came with this request.
    pub password: Option<&'a str>,
    /// The hash of the password that was right: another one since then ends the sign-in.
    pub password_hash: Option<String>,
    /// How.
    pub methods: Vec<Method>,
    /// When, if not just now.
    pub authenticated: Option<Micros>,
}

/// Who stands at the door.
pub struct SignInContext<'a> {
    /// From where.
    pub origin: Origin,
    /// The token that came along: see [`sign_in::SignInRequest::presented`].
    pub presented: Option<&'a str>,
}

/// [`FirstFactor`] as it is kept.
#[derive(Serialize, Deserialize)]
struct StoredFirstFactor {
    long: bool,
    alone: bool,
    password_hash: Option<String>,
    methods: Vec<String>,
}

/// Goes on from a first half that was good: asks for the second factor of a person who has one.
///
/// # Errors
/// [`Refusal::WrongCode`], [`Refusal::TooManyAttempts`].
pub async fn continue_sign_in(
    app: &App,
    person: Person,
    mut shown: FirstFactor<'_>,
    code: Option<&str>,
    visitor: SignInContext<'_>,
) -> Result<SignInOutcome, Failure> {
    let id = person.principal.id;
    if second_factor::has_second_factor(app, id).await? {
        let Some(code) = code else {
            return Ok(SignInOutcome::Challenge(create_challenge(app, &person, &shown).await?));
        };
        second_factor::check_code(app, id, code).await?;
        shown.authenticated = None;
        shown.methods.extend([Method::OneTime, Method::MultiFactor]);
    }
    open_session(app, person, shown, visitor).await
}

/// The second half: a code for the bearer of a challenge. A wrong one can be tried again, as often as the limit
/// allows.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a challenge that is unknown, used or too old; [`Refusal::WrongCode`];
/// [`Refusal::TooManyAttempts`].
pub async fn answer_challenge(
    app: &App,
    challenge: &str,
    code: &str,
    visitor: SignInContext<'_>,
) -> Result<SignInOutcome, Failure> {
    let (system, hash) = (System::sign_in(), hash_challenge(challenge));
    let (id, data) = app.store.load_challenge(&system, PURPOSE, &hash, app.now()).await?;
    let kept: StoredFirstFactor = serde_json::from_str(&data).map_err(Failure::internal)?;
    let person = app.store.load_person(&system.grant_person(id)).await?;
    if person.principal.state != PrincipalState::Active {
        return Err(Failure::Unauthenticated);
    }
    // Not where the factor was taken away meanwhile: there is nothing that a code could be of.
    second_factor::check_code(app, id, code).await?;
    app.store.end_challenge(&system, PURPOSE, &hash).await?;
    let mut methods = kept.methods.iter().filter_map(|name| Method::parse(name)).collect::<Vec<_>>();
    methods.extend([Method::OneTime, Method::MultiFactor]);
    let (long, end_others, password_hash) = (kept.long, kept.alone, kept.password_hash);
    // Whoever knows a code of it is there now.
    let shown = FirstFactor { long, end_others, password: None, password_hash, methods, authenticated: None };
    open_session(app, person, shown, visitor).await
}

async fn create_challenge(
    app: &App,
    person: &Person,
    shown: &FirstFactor<'_>,
) -> Result<LoginChallenge, Failure> {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(app.random_bytes::<32>());
    let expires = app.now() + CHALLENGE;
    let kept = StoredFirstFactor {
        long: shown.long,
        alone: shown.end_others,
        password_hash: shown.password_hash.clone(),
        methods: shown.methods.iter().map(|method| method.name().to_owned()).collect(),
    };
    let data = serde_json::to_string(&kept).map_err(Failure::internal)?;
    let (system, id) = (System::sign_in(), person.principal.id);
    app.store.create_challenge(&system, id, PURPOSE, &hash_challenge(&challenge), &data, expires).await?;
    Ok(LoginChallenge { challenge, expires })
}

async fn open_session(
    app: &App,
    person: Person,
    shown: FirstFactor<'_>,
    visitor: SignInContext<'_>,
) -> Result<SignInOutcome, Failure> {
    let new = NewLogin {
        person: &person,
        long: shown.long,
        password: shown.password,
        password_hash: shown.password_hash,
        methods: shown.methods,
        authenticated: shown.authenticated,
        origin: visitor.origin,
        end_others: shown.end_others,
        by: None,
        scopes: None,
    };
    let issued = sign_in::open_session(app, new).await?;
    if let Some(presented) = visitor.presented {
        sign_in::end_presented_session(app, presented, &issued).await?;
    }
    Ok(SignInOutcome::SignedIn(Box::new(person), issued))
}

fn hash_challenge(challenge: &str) -> SecretHash {
    SecretHash(Sha256::digest(challenge.as_bytes()).into())
}
