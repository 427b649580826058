//! Signing in and out, and tokens of a session.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::attempt_budgets::ReservedAttempt;
use crate::operations::login::challenge;
use crate::operations::login::challenge::FirstFactor;
use crate::operations::login::challenge::SignInContext;
use crate::operations::login::challenge::SignInOutcome;
use crate::operations::login::key_sessions;
use crate::operations::login::policies;
use crate::operations::login::sessions::build_ending;
use crate::operations::login::tokens;
use crate::operations::login::tokens::Claims;
use crate::operations::login::tokens::Use;
use domain::Refusal;
use domain::ids::{PrincipalId, SessionId, random_tail};
use domain::login::{Login, Method, Origin, sessions_to_displace};
use domain::principal::{Person, PrincipalState, Scopes, normalize_email};
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};
use serde_json::{Map, Value};
use store::{Authentication, Caller, Error, GrantedPerson, LoginExpectations, System};

/// How often a change is tried again because another request was first.
pub const TRIES: u32 = 8;

/// A request to sign in.
pub struct SignInRequest<'a> {
    /// The address as typed.
    pub email: &'a str,
    /// The password as typed.
    pub password: &'a str,
    /// Whether the session is long-lived.
    pub long: bool,
    /// Whether to end the user's other sessions.
    pub end_others: bool,
    /// Where the request comes from.
    pub origin: Origin,
    /// The cookie of a known browser: see [`crate::operations::login::known_browsers`].
    pub browser: Option<&'a str>,
    /// A code of the second factor, when it came along.
    pub code: Option<&'a str>,
    /// The session token that the request presented. Its session ends, which prevents session fixation.
    pub presented: Option<&'a str>,
}

/// A token and its expiry.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token. It is shown once.
    pub token: String,
    /// When it expires, in full seconds.
    pub expires: Micros,
}

/// Signs a user in. With a second factor whose code is missing, the outcome is a challenge.
///
/// # Errors
/// [`Failure::Unauthenticated`] for an unknown address, a wrong password and a user who may not act: with the same
/// words, after the same time. [`Refusal::TooManyAttempts`] also counts unknown addresses. [`Refusal::WrongCode`]
/// comes only after the right password. So does [`Refusal::PasswordsOff`] for a single user; when passwords are off
/// for all, everybody gets it.
pub async fn sign_in(app: &App, request: SignInRequest<'_>) -> Result<SignInOutcome, Failure> {
    policies::demand_passwords(app)?;
    let (email, origin) = (request.email, &request.origin);
    let known = match normalize_email(email) {
        Some(email) => app.store.find_person_by_email(&System::for_sign_in(), &email).await?,
        None => None,
    };
    let id = known.as_ref().map(|known| known.person.principal.id);
    let reserved = ReservedAttempt::begin(app, email, id, origin, request.browser).await?;
    let hash = known.as_ref().and_then(|known| known.password_hash.clone());
    let good = app.passwords.check(request.password, hash.as_deref()).await?;
    let known = known.filter(|known| good && known.person.principal.state == PrincipalState::Active);
    let (Some(known), Some(hash)) = (known, hash) else {
        reserved.fail(app, email, origin).await?;
        return Err(Failure::Unauthenticated);
    };
    let person = known.person;
    let hash = renew_hash(app, person.principal.id, request.password, hash).await?;
    // The password was right. A code has a separate budget.
    reserved.succeed(app).await?;
    // Only after the right password: earlier it would reveal who signs in by the issuer.
    policies::demand_password_allowed(app, person.principal.id).await?;
    let first_factor = FirstFactor {
        long: request.long,
        end_others: request.end_others,
        password: Some(request.password),
        password_hash: Some(hash),
        methods: vec![Method::Password],
        authenticated: None,
    };
    let context = SignInContext { origin: request.origin, presented: request.presented };
    challenge::continue_sign_in(app, person, first_factor, request.code, context).await
}

/// The hash of a right password, renewed when it does not match the settings. When a concurrent sign-in renews it
/// too, the other's hash is kept.
async fn renew_hash(app: &App, person: PrincipalId, password: &str, hash: String) -> Result<String, Failure> {
    if !app.passwords.is_outdated(&hash) {
        return Ok(hash);
    }
    let new_hash = app.passwords.hash(password, app.random_bytes()).await?;
    match app.store.replace_password_hash(&System::for_sign_in(), person, &hash, &new_hash).await {
        Ok(()) => Ok(new_hash),
        Err(Error::Stale) => load_matching_hash(app, person, password).await?.ok_or(Failure::Unauthenticated),
        Err(error) => Err(error.into()),
    }
}

/// The stored hash of a user's password, when the password is right.
async fn load_matching_hash(
    app: &App,
    person: PrincipalId,
    password: &str,
) -> Result<Option<String>, Failure> {
    let hash = app.store.load_password_hash(&System::for_sign_in().grant_person(person)).await?;
    let good = app.passwords.check(password, hash.as_deref()).await?;
    Ok(hash.filter(|_| good))
}

/// Ends the session of a token that came with a sign-in. An invalid token is ignored.
pub(crate) async fn end_presented_session(
    app: &App,
    presented: &str,
    new: &IssuedToken,
) -> Result<(), Failure> {
    let Ok(claims) = tokens::read_token(app, Use::Session, presented).await else { return Ok(()) };
    let Some(session) = claims.session().filter(|_| presented != new.token) else { return Ok(()) };
    let now = app.now();
    let found = app
        .store
        .authenticate_login(session, &claims.hash(), store::OrganizationChoice::ByDefault, now)
        .await;
    // The session has ended, or its user is in no organization.
    let Ok((caller, _)) = found else { return Ok(()) };
    let Ok(own) = caller.authorize_self("write:user") else { return Ok(()) };
    let ending = build_ending(&own, EndReason::SignedOut, "replaced by a new sign-in");
    match app.store.end_login(&own, session, &ending, now).await {
        Ok(()) | Err(Error::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A session to be opened.
pub(crate) struct NewLogin<'a> {
    pub person: &'a Person,
    pub long: bool,
    /// The password, when it came with this request.
    pub password: Option<&'a str>,
    /// The hash that the password was checked against.
    pub password_hash: Option<String>,
    pub methods: Vec<Method>,
    /// When the user authenticated; `None` means now.
    pub authenticated: Option<Micros>,
    pub origin: Origin,
    pub end_others: bool,
    /// The caller whose key opens the session.
    pub by: Option<&'a Caller>,
    pub scopes: Option<Scopes>,
}

/// Opens a session and signs its token.
pub(crate) async fn open_session(app: &App, mut new: NewLogin<'_>) -> Result<IssuedToken, Failure> {
    let system = System::for_sign_in();
    let owner = new.person.principal.id;
    for _ in 0..TRIES {
        let now = app.now();
        let life = lifetime(app, new.long);
        let until = new.by.and_then(Caller::expires).map_or(now + life, |until| until.min(now + life));
        let key = match new.by.map(Caller::authentication) {
            Some(Authentication::Key(key)) => Some(key),
            _ => None,
        };
        let mut claims = Claims::new(owner.0, now, until, app.random_bytes());
        if let Some(key) = key {
            let secret = key_sessions::derive_secret(app, key, new.scopes, claims.expires());
            claims = Claims::new(owner.0, now, until, secret);
        }
        let login = Login {
            id: SessionId::new(now, random_tail(app.random_bytes())),
            owner,
            revision: 1,
            seen: now,
            idle: Span::from(app.settings.login_idle).min(life),
            expires: claims.expires(),
            authenticated: new.authenticated.map_or(now, |at| at.min(now)),
            methods: new.methods.clone(),
            origin: new.origin.clone(),
            credential: key,
            scopes: new.scopes,
            ended: None,
        };
        let open = app.store.list_open_logins(&system, owner).await?;
        let opening = LoginExpectations {
            password_hash: new.password_hash.clone(),
            open: open.len(),
            ending: endings(app, &open, new.end_others, now),
            bound: new.by.and_then(Caller::bound_organization),
        };
        match app.store.open_login(&system, login, &claims.hash(), &opening).await {
            Ok(login) => {
                claims.set_session(&login);
                let token = tokens::sign_token(app, Use::Session, &claims).await?;
                return Ok(IssuedToken { token, expires: claims.expires() });
            }
            Err(Error::Stale) => recheck(app, &mut new).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Busy)
}

/// Checks the user and the password again after a concurrent change. A renewed hash of the same password is fine.
async fn recheck(app: &App, new: &mut NewLogin<'_>) -> Result<(), Failure> {
    // By id, because not every user has an address.
    let person = new.person.principal.id;
    let granted = System::for_sign_in().grant_person(person);
    if app.store.load_person(&granted).await?.principal.state != PrincipalState::Active {
        return Err(Failure::Unauthenticated);
    }
    if new.password_hash.is_none() || app.store.load_password_hash(&granted).await? == new.password_hash {
        return Ok(());
    }
    let password = new.password.ok_or(Failure::Unauthenticated)?;
    new.password_hash =
        Some(load_matching_hash(app, person, password).await?.ok_or(Failure::Unauthenticated)?);
    Ok(())
}

/// The lifetime of a session or a token.
pub(crate) fn lifetime(app: &App, long: bool) -> Span {
    Span::from(if long { app.settings.login_long } else { app.settings.login_short })
}

/// The open sessions that end when one more is opened.
fn endings(app: &App, open: &[Login], end_others: bool, now: Micros) -> Vec<(SessionId, Ending)> {
    let end = |reason, evidence: &str| Ending { reason, actor: None, evidence: evidence.to_owned() };
    let (expired, active): (Vec<_>, Vec<_>) =
        open.iter().cloned().partition(|login| login.expiry_reason(now).is_some());
    let expired = expired.iter().map(|login| {
        let reason = login.expiry_reason(now).unwrap_or(EndReason::Expired);
        (login.id, end(reason, "had expired at a later sign-in"))
    });
    let superseded = if end_others {
        active
            .iter()
            .map(|login| (login.id, end(EndReason::SignedOut, "a new sign-in ended all other sessions")))
            .collect()
    } else {
        let limit = app.settings.logins_per_user;
        let evidence = format!("more than {limit} sessions, and this one was the least recently used");
        let superseded = sessions_to_displace(&active, limit).into_iter();
        superseded.map(|id| (id, end(EndReason::Displaced, &evidence))).collect::<Vec<_>>()
    };
    expired.chain(superseded).collect()
}

/// A request for a token.
pub struct TokenRequest {
    /// Whether the token is long-lived.
    pub long: bool,
    /// Upper bound on its scopes; `None` means those of the caller's credential.
    pub scopes: Option<Scopes>,
    /// Claims of the owner's own to include.
    pub claims: Option<Map<String, Value>>,
    /// Where the request comes from.
    pub origin: Origin,
}

/// Issues a token: of the caller's session, expiring no later than the presented token, or of a session that the
/// caller's key opens or has opened. `presented` is the caller's credential.
///
/// # Errors
/// [`Refusal::OutOfScope`] for scopes that the caller's credential lacks; [`RequestFailure::TooManyRequests`] when
/// the principal's keys have opened too many sessions recently.
pub async fn issue_token(
    app: &App,
    caller: &Caller,
    presented: &str,
    request: TokenRequest,
) -> Result<IssuedToken, Failure> {
    let own = caller.authorize_self("write:user")?;
    check_scopes(caller.scopes(), request.scopes)?;
    let scopes = request.scopes.or(caller.scopes());
    if let Authentication::Key(key) = caller.authentication() {
        if let Some(issued) =
            key_sessions::reuse_session(app, caller, &own, key, scopes, request.long).await?
        {
            return Ok(issued);
        }
        key_sessions::count_session(app, caller.principal())?;
        let person = app.store.load_person(&own).await?;
        let (long, origin) = (request.long, request.origin);
        let (by, methods) = (Some(caller), vec![Method::Key]);
        let (password, password_hash, authenticated) = (None, None, None);
        let new = NewLogin {
            person: &person,
            long,
            password,
            password_hash,
            methods,
            authenticated,
            origin,
            end_others: false,
            by,
            scopes,
        };
        return open_session(app, new).await;
    }
    let mut claims = tokens::read_token(app, Use::Session, presented).await?;
    if let Authentication::Login(session) = caller.authentication() {
        claims.set_session(&app.store.load_login(&own, session).await?);
    }
    let now = app.now();
    // A token for an hour cannot be exchanged for one for two weeks.
    let until = (now + lifetime(app, request.long)).min(claims.expires());
    claims.exp = until.0 / 1_000_000;
    claims.iat = now.0 / 1_000_000;
    claims.scope = scopes.map(|scopes| scopes.names().collect::<Vec<_>>().join(" "));
    claims.claims = request.claims;
    Ok(IssuedToken {
        token: tokens::sign_token(app, Use::Session, &claims).await?,
        expires: claims.expires(),
    })
}

/// Checks that a new credential has no more scopes than the one that creates it.
///
/// # Errors
/// [`Refusal::OutOfScope`] with the first missing scope.
pub fn check_scopes(own: Option<Scopes>, requested: Option<Scopes>) -> Result<(), Refusal> {
    let (Some(own), Some(requested)) = (own, requested) else { return Ok(()) };
    match requested.names().find(|name| !own.has(name)) {
        Some(missing) => Err(Refusal::OutOfScope(missing)),
        None => Ok(()),
    }
}

/// Ends the caller's session, and all other sessions of the user if `everywhere` is set. Returns whether one was
/// ended: a caller with a key has none.
pub async fn sign_out(app: &App, caller: &Caller, everywhere: bool) -> Result<bool, Failure> {
    let own: GrantedPerson = caller.authorize_self("write:user")?;
    let (now, ending) = (app.now(), build_ending(&own, EndReason::SignedOut, "signed out"));
    if everywhere {
        app.store.end_logins(&own, None, &ending, now).await?;
        return Ok(true);
    }
    let Authentication::Login(session) = caller.authentication() else { return Ok(false) };
    app.store.end_login(&own, session, &ending, now).await?;
    Ok(true)
}
