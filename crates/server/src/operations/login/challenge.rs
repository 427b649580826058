//! Signing in has two halves for a user with a second factor: first a password or the issuer, then a code. The first
//! half is stored under a challenge, which is valid for a few minutes.

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
use domain::second_factor::CHALLENGE_LIFETIME;
use domain::time::Micros;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::System;

const PURPOSE: &str = "challenge";

/// The outcome of a sign-in request.
pub enum SignInOutcome {
    /// The user is signed in.
    SignedIn(Box<Person>, IssuedToken),
    /// A second factor is missing.
    Challenge(LoginChallenge),
}

impl SignInOutcome {
    /// The user and the token, for clients that cannot answer a challenge.
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

/// The challenge that the second half answers.
pub struct LoginChallenge {
    /// A secret that can be used once. By itself it opens nothing.
    pub challenge: String,
    /// When the challenge expires.
    pub expires: Micros,
}

/// What the first half proved, and what the caller asked for.
pub struct FirstFactor<'a> {
    /// Whether the session is long-lived.
    pub long: bool,
    /// Whether to end the user's other sessions.
    pub end_others: bool,
    /// The password, when it came with this request.
    pub password: Option<&'a str>,
    /// The hash of the password that was checked. The sign-in fails when the password changes before it is complete.
    pub password_hash: Option<String>,
    /// How the user authenticated.
    pub methods: Vec<Method>,
    /// When the user authenticated; `None` means now.
    pub authenticated: Option<Micros>,
}

/// The request that a sign-in comes with.
pub struct SignInContext<'a> {
    /// Where the request comes from.
    pub origin: Origin,
    /// The session token that the request presented: see [`sign_in::SignInRequest::presented`].
    pub presented: Option<&'a str>,
}

/// The stored form of [`FirstFactor`].
#[derive(Serialize, Deserialize)]
struct StoredFirstFactor {
    long: bool,
    alone: bool,
    password_hash: Option<String>,
    methods: Vec<String>,
}

/// Continues after a successful first half. A user with a second factor gets a challenge, unless the code came along.
///
/// # Errors
/// [`Refusal::WrongCode`]; [`Refusal::TooManyAttempts`].
pub async fn continue_sign_in(
    app: &App,
    person: Person,
    mut first_factor: FirstFactor<'_>,
    code: Option<&str>,
    context: SignInContext<'_>,
) -> Result<SignInOutcome, Failure> {
    let id = person.principal.id;
    if second_factor::has_second_factor(app, id).await? {
        let Some(code) = code else {
            return Ok(SignInOutcome::Challenge(create_challenge(app, &person, &first_factor).await?));
        };
        second_factor::check_code(app, id, code).await?;
        first_factor.authenticated = None;
        first_factor.methods.extend([Method::OneTime, Method::MultiFactor]);
    }
    open_session(app, person, first_factor, context).await
}

/// Answers a challenge with a code. After a wrong code the challenge can be answered again, within the limit of
/// attempts.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a challenge that is unknown, used or expired; [`Refusal::WrongCode`];
/// [`Refusal::TooManyAttempts`].
pub async fn answer_challenge(
    app: &App,
    challenge: &str,
    code: &str,
    context: SignInContext<'_>,
) -> Result<SignInOutcome, Failure> {
    let (system, hash) = (System::for_sign_in(), hash_challenge(challenge));
    let (id, data) = app.store.load_challenge(&system, PURPOSE, &hash, app.now()).await?;
    let stored: StoredFirstFactor = serde_json::from_str(&data).map_err(Failure::internal)?;
    let person = app.store.load_person(&system.grant_person(id)).await?;
    if person.principal.state != PrincipalState::Active {
        return Err(Failure::Unauthenticated);
    }
    // Refused when the second factor was removed meanwhile.
    second_factor::check_code(app, id, code).await?;
    app.store.end_challenge(&system, PURPOSE, &hash).await?;
    let mut methods = stored.methods.iter().filter_map(|name| Method::parse(name)).collect::<Vec<_>>();
    methods.extend([Method::OneTime, Method::MultiFactor]);
    let (long, end_others, password_hash) = (stored.long, stored.alone, stored.password_hash);
    // The code proves that the user is present now, whenever the first half was.
    let first_factor =
        FirstFactor { long, end_others, password: None, password_hash, methods, authenticated: None };
    open_session(app, person, first_factor, context).await
}

async fn create_challenge(
    app: &App,
    person: &Person,
    first_factor: &FirstFactor<'_>,
) -> Result<LoginChallenge, Failure> {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(app.random_bytes::<32>());
    let expires = app.now() + CHALLENGE_LIFETIME;
    let stored = StoredFirstFactor {
        long: first_factor.long,
        alone: first_factor.end_others,
        password_hash: first_factor.password_hash.clone(),
        methods: first_factor.methods.iter().map(|method| method.name().to_owned()).collect(),
    };
    let data = serde_json::to_string(&stored).map_err(Failure::internal)?;
    let (system, id) = (System::for_sign_in(), person.principal.id);
    app.store.create_challenge(&system, id, PURPOSE, &hash_challenge(&challenge), &data, expires).await?;
    Ok(LoginChallenge { challenge, expires })
}

async fn open_session(
    app: &App,
    person: Person,
    first_factor: FirstFactor<'_>,
    context: SignInContext<'_>,
) -> Result<SignInOutcome, Failure> {
    let new = NewLogin {
        person: &person,
        long: first_factor.long,
        password: first_factor.password,
        password_hash: first_factor.password_hash,
        methods: first_factor.methods,
        authenticated: first_factor.authenticated,
        origin: context.origin,
        end_others: first_factor.end_others,
        by: None,
        scopes: None,
    };
    let issued = sign_in::open_session(app, new).await?;
    if let Some(presented) = context.presented {
        sign_in::end_presented_session(app, presented, &issued).await?;
    }
    Ok(SignInOutcome::SignedIn(Box::new(person), issued))
}

fn hash_challenge(challenge: &str) -> SecretHash {
    SecretHash(Sha256::digest(challenge.as_bytes()).into())
}
