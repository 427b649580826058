//! A person's login sessions: looking at them and ending them.

use crate::app::App;
use crate::failure::Failure;
use domain::ids::SessionId;
use domain::login::Login;
use domain::refusal::{Refusal, Thing};
use domain::session::{EndReason, Ending};
use domain::time::Micros;
use store::{Authentication, Caller, GrantedPerson, System};

/// What the caller has open, newest first.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn list_logins(app: &App, caller: &Caller) -> Result<Vec<Login>, Failure> {
    Ok(app.store.list_logins(&caller.authorize_self("read:user")?, app.now()).await?)
}

/// One of them. What has ended is not there any more, like what never was.
///
/// # Errors
/// [`Refusal::NotFound`], also for somebody else's.
pub async fn load_login(app: &App, caller: &Caller, id: SessionId) -> Result<Login, Failure> {
    let login = app.store.load_login(&caller.authorize_self("read:user")?, id).await?;
    let alive = login.alive(app.now());
    if alive { Ok(login) } else { Err(Refusal::NotFound(Thing::Session).into()) }
}

/// Ends one of the caller's sessions, also the one it calls with.
///
/// # Errors
/// [`Refusal::NotFound`] when it is somebody else's, has ended, or never was.
pub async fn revoke_login(app: &App, caller: &Caller, id: SessionId) -> Result<(), Failure> {
    let own = caller.authorize_self("write:user")?;
    let now = app.now();
    if !app.store.load_login(&own, id).await?.alive(now) {
        return Err(Refusal::NotFound(Thing::Session).into());
    }
    let ending = build_ending(&own, EndReason::Revoked, "revoked one by one");
    Ok(app.store.end_login(&own, id, &ending, now).await?)
}

/// LoginSelection sessions end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginSelection {
    /// All.
    All,
    /// All but the one that the caller calls with.
    Others,
}

/// Ends the caller's sessions.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn revoke_all_logins(app: &App, caller: &Caller, which: LoginSelection) -> Result<(), Failure> {
    let own = caller.authorize_self("write:user")?;
    let but = match (which, caller.authentication()) {
        (LoginSelection::Others, Authentication::Login(session)) => Some(session),
        _ => None,
    };
    let ending = build_ending(&own, EndReason::Revoked, "revoked together");
    Ok(app.store.end_logins(&own, but, &ending, app.now()).await?)
}

/// The session that a caller calls with.
pub fn current_login(caller: &Caller) -> Option<SessionId> {
    match caller.authentication() {
        Authentication::Login(session) => Some(session),
        Authentication::Key(_) => None,
    }
}

/// How somebody with a proof ends something.
pub fn build_ending(granted: &GrantedPerson, reason: EndReason, evidence: &str) -> Ending {
    Ending { reason, actor: granted.actor(), evidence: evidence.to_owned() }
}

/// Ends what time has ended, so that the feed says so, and forgets what is of no more use.
///
/// # Errors
/// Only those of the store.
pub async fn sweep_logins(app: &App) -> Result<(), Failure> {
    let (system, now) = (System::background_jobs(), app.now());
    for login in app.store.list_expired_logins(&system, now).await? {
        let reason = login.over(now).unwrap_or(EndReason::Expired);
        let ending = Ending { reason, actor: None, evidence: evidence(&login, reason) };
        app.store.expire_login(&system, &login, &ending, now).await?;
    }
    app.store.prune_logins(&system, now - app.settings.login_history.into()).await?;
    app.store.prune_sign_in(&system, now - app.settings.sign_in_window.into(), now).await?;
    Ok(())
}

fn evidence(login: &Login, reason: EndReason) -> String {
    let at = |time: Micros| {
        jiff::Timestamp::from_microsecond(time.0)
            .map_or_else(|_| "?".to_owned(), |time| time.strftime("%F %H:%M").to_string())
    };
    match reason {
        EndReason::Idle => format!("idle {} min, last use {}", login.idle.whole_minutes(), at(login.seen)),
        _ => format!("signed in {}, good until {}", at(login.authenticated), at(login.expires)),
    }
}
