//! Signing in and out, and tokens of a session.

use crate::failure::Failure;
use crate::operations::audit::{self, NewAuditLine};
use crate::operations::door::{self, Entry, Shown, Visitor};
use crate::operations::key_logins;
use crate::operations::logins::ended;
use crate::operations::tokens::{self, Claims, Use};
use crate::state::App;
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::{SessionId, random_tail};
use domain::login::{Login, Method, Origin, displaced};
use domain::principal::{Person, PrincipalState, Scopes, normal_email};
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use store::{By, Caller, Error, GrantedPerson, Means, Opening, System};

/// How often something is decided again that others change at the same time.
pub const TRIES: u32 = 8;

/// What somebody signs in with.
pub struct Attempt<'a> {
    /// As it was typed.
    pub email: &'a str,
    /// As it was typed.
    pub password: &'a str,
    /// Whether the session is to last.
    pub long: bool,
    /// Whether all other sessions of the person end.
    pub alone: bool,
    /// From where.
    pub origin: Origin,
    /// A code of the second factor, if it comes along.
    pub code: Option<&'a str>,
    /// The token that came with the request: its session ends, so that nobody goes on with one that another has set.
    pub presented: Option<&'a str>,
}

/// A token and when it expires.
pub struct Issued {
    /// The token. It is shown once.
    pub token: String,
    /// Less what is finer than a second.
    pub expires: Micros,
}

/// Signs a person in, or half in where a second factor is missing.
///
/// # Errors
/// [`Failure::Unauthenticated`] for an unknown address, a wrong password and somebody who may not act: in the same
/// time, with the same words. [`Refusal::TooManyAttempts`] also counts addresses that nobody has.
/// [`Refusal::WrongCode`] after a right password only.
pub async fn sign_in(app: &App, attempt: Attempt<'_>) -> Result<Entry, Failure> {
    let system = System::for_sign_in();
    let email = normal_email(attempt.email);
    let counted = count(app, email.as_deref().unwrap_or(attempt.email), &attempt.origin).await?;
    let known = match &email {
        Some(email) => app.store.known(&system, email).await?,
        None => None,
    };
    let hash = known.as_ref().and_then(|known| known.password_hash.clone());
    let good = app.passwords.check(attempt.password, hash.as_deref()).await?;
    let known = known.filter(|known| good && known.person.principal.state == PrincipalState::Active);
    let (Some(known), Some(mut hash)) = (known, hash) else {
        if counted.failed == 1 {
            note_failed(app, "login.fail", email.as_deref(), &attempt.origin).await?;
        }
        return Err(Failure::Unauthenticated);
    };
    let person = known.person;
    if app.passwords.outdated(&hash) {
        let anew = app.passwords.hash(attempt.password, app.random_bytes()).await?;
        app.store.rehash(&system, person.principal.id, &hash, &anew).await?;
        hash = anew;
    }
    let shown = Shown {
        long: attempt.long,
        alone: attempt.alone,
        password_hash: Some(hash),
        methods: vec![Method::Password],
        authenticated: None,
    };
    let visitor = Visitor { origin: attempt.origin, presented: attempt.presented };
    let entry = door::go_on(app, person, shown, attempt.code, visitor).await?;
    if matches!(entry, Entry::In(..)) {
        app.store.forget_attempts(&system, &counted.what).await?;
    }
    Ok(entry)
}

/// A try that was counted.
struct Counted {
    /// By what.
    what: SecretHash,
    /// How often it was tried, with this one.
    failed: i64,
}

/// Counts a try from one address on one user, and from that address on all of them, and refuses too many. Not of one
/// user from all addresses: whoever knows an address could keep its owner out.
async fn count(app: &App, email: &str, origin: &Origin) -> Result<Counted, Failure> {
    let from = origin.remote_ip.map_or_else(String::new, |ip| ip.to_string());
    let hash = |text: String| SecretHash(Sha256::digest(text.as_bytes()).into());
    let one = hash(format!("sign-in {from} {email}"));
    let all = hash(format!("sign-in {from}"));
    let (limit, window, now) =
        (app.settings.sign_in_attempts, Span::from(app.settings.sign_in_window), app.now());
    let system = System::for_sign_in();
    // Without an address there is nobody whom the second limit could be about.
    let limits = [(one, limit)].into_iter().chain(origin.remote_ip.map(|_| (all, limit.saturating_mul(10))));
    let mut counted = Counted { what: one, failed: 0 };
    for (what, limit) in limits {
        let attempts = app.store.count_attempt(&system, &what, window, now).await?;
        if what == one {
            counted.failed = attempts.failed;
        }
        if let Some(wait) = attempts.locked(limit, window, now) {
            if attempts.failed == i64::from(limit) + 1 {
                note_failed(app, "login.lock", (what == one).then_some(email), origin).await?;
            }
            return Err(Refusal::TooManyAttempts { seconds: (wait.0 + 999_999) / 1_000_000 }.into());
        }
    }
    Ok(counted)
}

/// Notes the first failure of a span of time, and that there were too many: a line for each try would let anybody fill
/// the log. What was typed is noted only where it is the address of a user: people type their password there, too, and
/// what stands in the log stays.
async fn note_failed(app: &App, action: &str, email: Option<&str>, origin: &Origin) -> Result<(), Failure> {
    let email = email.and_then(normal_email).unwrap_or_default();
    let known = app.store.known(&System::for_sign_in(), &email).await?;
    let target = if known.is_some() { email } else { String::new() };
    let by = By::address(origin.remote_ip);
    audit::note(app, NewAuditLine::new(by, action, target, json!({}), app.now())).await;
    Ok(())
}

/// Ends the session of a token that came with a sign-in. One that is no good is none.
pub(super) async fn end_presented(app: &App, presented: &str, new: &Issued) -> Result<(), Failure> {
    let Ok(claims) = tokens::read(app, Use::Session, presented).await else { return Ok(()) };
    let Some(session) = claims.session().filter(|_| presented != new.token) else { return Ok(()) };
    let now = app.now();
    let found = app.store.caller_signed_in(session, &claims.hash(), store::Chosen::ByDefault, now).await;
    // In no organization, or no good any more.
    let Ok((caller, _)) = found else { return Ok(()) };
    let Ok(own) = caller.itself("write:user") else { return Ok(()) };
    let ending = ended(&own, EndReason::SignedOut, "signed in again with it");
    match app.store.end_login(&own, session, &ending, now).await {
        Ok(()) | Err(Error::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A session that is to be opened.
pub(super) struct New<'a> {
    pub person: &'a Person,
    pub long: bool,
    /// The password's hash that was checked.
    pub password_hash: Option<String>,
    pub methods: Vec<Method>,
    /// When that was, if not just now.
    pub authenticated: Option<Micros>,
    pub origin: Origin,
    pub alone: bool,
    /// The caller whose key opens it.
    pub by: Option<&'a Caller>,
    pub scopes: Option<Scopes>,
}

/// Opens a session and signs its token.
pub(super) async fn open(app: &App, new: New<'_>) -> Result<Issued, Failure> {
    let system = System::for_sign_in();
    let owner = new.person.principal.id;
    for _ in 0..TRIES {
        let now = app.now();
        let life = lifetime(app, new.long);
        let until = new.by.and_then(Caller::until).map_or(now + life, |until| until.min(now + life));
        let key = match new.by.map(Caller::means) {
            Some(Means::Key(key)) => Some(key),
            _ => None,
        };
        let mut claims = Claims::new(owner.0, now, until, app.random_bytes());
        if let Some(key) = key {
            let secret = key_logins::secret(app, key, new.scopes, claims.expires());
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
        let open = app.store.open_logins(&system, owner).await?;
        let opening = Opening {
            password_hash: new.password_hash.clone(),
            open: open.len(),
            ending: endings(app, &open, new.alone, now),
            bound: new.by.and_then(Caller::bound),
        };
        match app.store.open_login(&system, login, &claims.hash(), &opening).await {
            Ok(login) => {
                claims.of_session(&login);
                let token = tokens::sign(app, Use::Session, &claims).await?;
                return Ok(Issued { token, expires: claims.expires() });
            }
            Err(Error::Stale) => still_good(app, &new).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Busy)
}

/// After something changed: whether what was shown is still good.
async fn still_good(app: &App, new: &New<'_>) -> Result<(), Failure> {
    // By its id: not everybody has an address.
    let granted = System::for_sign_in().over(new.person.principal.id);
    let active = app.store.person(&granted).await?.principal.state == PrincipalState::Active;
    let same = new.password_hash.is_none() || app.store.password_hash(&granted).await? == new.password_hash;
    if active && same { Ok(()) } else { Err(Failure::Unauthenticated) }
}

/// How long a session or a token lasts.
pub(super) fn lifetime(app: &App, long: bool) -> Span {
    Span::from(if long { app.settings.login_long } else { app.settings.login_short })
}

/// What of the open sessions ends when one more is opened.
fn endings(app: &App, open: &[Login], alone: bool, now: Micros) -> Vec<(SessionId, Ending)> {
    let end = |reason, evidence: &str| Ending { reason, actor: None, evidence: evidence.to_owned() };
    let (over, alive): (Vec<_>, Vec<_>) = open.iter().cloned().partition(|login| login.over(now).is_some());
    let over = over.iter().map(|login| {
        let reason = login.over(now).unwrap_or(EndReason::Expired);
        (login.id, end(reason, "found to be over at a sign-in"))
    });
    let gone = if alone {
        alive.iter().map(|login| (login.id, end(EndReason::SignedOut, "signed in alone elsewhere"))).collect()
    } else {
        let limit = app.settings.logins_per_user;
        let evidence = format!("more than {limit} sessions, and this one was the least recently used");
        let gone = displaced(&alive, limit).into_iter();
        gone.map(|id| (id, end(EndReason::Displaced, &evidence))).collect::<Vec<_>>()
    };
    over.chain(gone).collect()
}

/// What a token is asked for.
pub struct Wanted {
    /// Whether it is to last.
    pub long: bool,
    /// What it may at most; nothing is what the caller's credential may.
    pub scopes: Option<Scopes>,
    /// What its owner wants to be in it.
    pub claims: Option<Map<String, Value>>,
    /// From where.
    pub origin: Origin,
}

/// A new token: of the caller's own session, which lasts no longer than the one it came with, or of a session that its key
/// opens or has opened. `presented` is what it came with.
///
/// # Errors
/// [`Refusal::OutOfScope`] for more than the caller's credential may; [`RequestFailure::TooManyRequests`] when the keys of
/// the principal have opened too many sessions lately.
pub async fn token(app: &App, caller: &Caller, presented: &str, wanted: Wanted) -> Result<Issued, Failure> {
    let own = caller.itself("write:user")?;
    narrower(caller.scopes(), wanted.scopes)?;
    let scopes = wanted.scopes.or(caller.scopes());
    if let Means::Key(key) = caller.means() {
        if let Some(issued) = key_logins::reuse(app, caller, &own, key, scopes, wanted.long).await? {
            return Ok(issued);
        }
        key_logins::count(app, caller.principal())?;
        let person = app.store.person(&own).await?;
        let (long, origin) = (wanted.long, wanted.origin);
        let (by, methods) = (Some(caller), vec![Method::Key]);
        let (password_hash, authenticated) = (None, None);
        let new = New {
            person: &person,
            long,
            password_hash,
            methods,
            authenticated,
            origin,
            alone: false,
            by,
            scopes,
        };
        return open(app, new).await;
    }
    let mut claims = tokens::read(app, Use::Session, presented).await?;
    if let Means::Login(session) = caller.means() {
        claims.of_session(&app.store.login(&own, session).await?);
    }
    let now = app.now();
    // What somebody was given for an hour does not become a token for two weeks.
    let until = (now + lifetime(app, wanted.long)).min(claims.expires());
    claims.exp = until.0 / 1_000_000;
    claims.iat = now.0 / 1_000_000;
    claims.scope = scopes.map(|scopes| scopes.names().collect::<Vec<_>>().join(" "));
    claims.claims = wanted.claims;
    Ok(Issued { token: tokens::sign(app, Use::Session, &claims).await?, expires: claims.expires() })
}

/// That nothing is made that lets more through than what it is made with.
///
/// # Errors
/// [`Refusal::OutOfScope`] with the first scope that is missing.
pub fn narrower(own: Option<Scopes>, wanted: Option<Scopes>) -> Result<(), Refusal> {
    let (Some(own), Some(wanted)) = (own, wanted) else { return Ok(()) };
    match wanted.names().find(|name| !own.has(name)) {
        Some(missing) => Err(Refusal::OutOfScope(missing)),
        None => Ok(()),
    }
}

/// Ends the caller's session, and all others of the person if asked. Says whether one was ended: a key has none.
///
/// # Errors
/// Only those of the store.
pub async fn sign_out(app: &App, caller: &Caller, everywhere: bool) -> Result<bool, Failure> {
    let own: GrantedPerson = caller.itself("write:user")?;
    let (now, ending) = (app.now(), ended(&own, EndReason::SignedOut, "signed out"));
    if everywhere {
        app.store.end_logins(&own, None, &ending, now).await?;
        return Ok(true);
    }
    let Means::Login(session) = caller.means() else { return Ok(false) };
    app.store.end_login(&own, session, &ending, now).await?;
    Ok(true)
}
