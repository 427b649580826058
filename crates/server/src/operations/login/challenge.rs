//! Signing in has up to two halves: a password or an issuer, and then a second factor where there is one. What goes on
//! from the first half is kept in the store for the bearer of a challenge, which is good for a few minutes.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::second_factor;
use crate::operations::login::sign_in;
use crate::operations::login::sign_in::Issued;
use crate::operations::login::sign_in::New;
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
pub enum Entry {
    /// Signed in.
    In(Box<Person>, Issued),
    /// A second factor is missing.
    Half(Half),
}

impl Entry {
    /// Who signed in, for those who have no second half.
    ///
    /// # Errors
    /// [`Refusal::SecondFactorNeeded`].
    pub fn whole(self) -> Result<(Person, Issued), Refusal> {
        match self {
            Entry::In(person, issued) => Ok((*person, issued)),
            Entry::Half(_) => Err(Refusal::SecondFactorNeeded),
        }
    }
}

/// What the second half goes on from.
pub struct Half {
    /// A secret that can be used once. By itself it opens nothing.
    pub challenge: String,
    /// When it is too late.
    pub expires: Micros,
}

/// What was shown in the first half, and what was asked for.
pub struct Shown<'a> {
    /// Whether the session is to last.
    pub long: bool,
    /// Whether all other sessions of the person end.
    pub alone: bool,
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
pub struct Visitor<'a> {
    /// From where.
    pub origin: Origin,
    /// The token that came along: see [`sign_in::Attempt::presented`].
    pub presented: Option<&'a str>,
}

/// [`Shown`] as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    long: bool,
    alone: bool,
    password_hash: Option<String>,
    methods: Vec<String>,
}

/// Goes on from a first half that was good: asks for the second factor of a person who has one.
///
/// # Errors
/// [`Refusal::WrongCode`], [`Refusal::TooManyAttempts`].
pub async fn go_on(
    app: &App,
    person: Person,
    mut shown: Shown<'_>,
    code: Option<&str>,
    visitor: Visitor<'_>,
) -> Result<Entry, Failure> {
    let id = person.principal.id;
    if second_factor::has(app, id).await? {
        let Some(code) = code else { return Ok(Entry::Half(challenge(app, &person, &shown).await?)) };
        second_factor::check(app, id, code).await?;
        shown.authenticated = None;
        shown.methods.extend([Method::OneTime, Method::MultiFactor]);
    }
    enter(app, person, shown, visitor).await
}

/// The second half: a code for the bearer of a challenge. A wrong one can be tried again, as often as the limit
/// allows.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a challenge that is unknown, used or too old; [`Refusal::WrongCode`];
/// [`Refusal::TooManyAttempts`].
pub async fn answer(app: &App, challenge: &str, code: &str, visitor: Visitor<'_>) -> Result<Entry, Failure> {
    let (system, hash) = (System::sign_in(), hash(challenge));
    let (id, data) = app.store.load_challenge(&system, PURPOSE, &hash, app.now()).await?;
    let kept: Kept = serde_json::from_str(&data).map_err(Failure::internal)?;
    let person = app.store.load_person(&system.grant_person(id)).await?;
    if person.principal.state != PrincipalState::Active {
        return Err(Failure::Unauthenticated);
    }
    // Not where the factor was taken away meanwhile: there is nothing that a code could be of.
    second_factor::check(app, id, code).await?;
    app.store.end_challenge(&system, PURPOSE, &hash).await?;
    let mut methods = kept.methods.iter().filter_map(|name| Method::parse(name)).collect::<Vec<_>>();
    methods.extend([Method::OneTime, Method::MultiFactor]);
    let (long, alone, password_hash) = (kept.long, kept.alone, kept.password_hash);
    // Whoever knows a code of it is there now.
    let shown = Shown { long, alone, password: None, password_hash, methods, authenticated: None };
    enter(app, person, shown, visitor).await
}

async fn challenge(app: &App, person: &Person, shown: &Shown<'_>) -> Result<Half, Failure> {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(app.random_bytes::<32>());
    let expires = app.now() + CHALLENGE;
    let kept = Kept {
        long: shown.long,
        alone: shown.alone,
        password_hash: shown.password_hash.clone(),
        methods: shown.methods.iter().map(|method| method.name().to_owned()).collect(),
    };
    let data = serde_json::to_string(&kept).map_err(Failure::internal)?;
    let (system, id) = (System::sign_in(), person.principal.id);
    app.store.create_challenge(&system, id, PURPOSE, &hash(&challenge), &data, expires).await?;
    Ok(Half { challenge, expires })
}

async fn enter(app: &App, person: Person, shown: Shown<'_>, visitor: Visitor<'_>) -> Result<Entry, Failure> {
    let new = New {
        person: &person,
        long: shown.long,
        password: shown.password,
        password_hash: shown.password_hash,
        methods: shown.methods,
        authenticated: shown.authenticated,
        origin: visitor.origin,
        alone: shown.alone,
        by: None,
        scopes: None,
    };
    let issued = sign_in::open(app, new).await?;
    if let Some(presented) = visitor.presented {
        sign_in::end_presented(app, presented, &issued).await?;
    }
    Ok(Entry::In(Box::new(person), issued))
}

fn hash(challenge: &str) -> SecretHash {
    SecretHash(Sha256::digest(challenge.as_bytes()).into())
}
