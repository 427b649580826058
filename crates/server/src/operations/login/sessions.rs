//! Login sessions of a user: lists and ends them.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::second_factor::demand_fresh;
use crate::operations::sessions::actions::describe_end;
use crate::operations::sessions::{SessionSource, ids, load_sessions};
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::login::{Login, PersonRelation};
use domain::page::ListRange;
use domain::permission::Permission;
use domain::refusal::{Refusal, Thing};
use domain::session::{
    EndReason, Ending, Filter, ListPart, ListScope, LoginState, SessionKey, SessionState, ValueField,
};
use domain::time::Micros;
use index::SessionRef;
use store::{Authentication, Caller, GrantedPerson, LoadedSessions, Store, System};

/// All open sessions of a person: the settings bound their number.
pub const ALL_OPEN: ListRange = ListRange::Offset { offset: 0, limit: u32::MAX };

/// The open login sessions of one person.
pub struct PersonLogins<'a> {
    store: &'a Store,
    granted: GrantedPerson,
}

impl<'a> PersonLogins<'a> {
    /// Those of the caller.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`].
    pub fn new(app: &'a App, caller: &Caller) -> Result<PersonLogins<'a>, Refusal> {
        Ok(PersonLogins { store: &app.store, granted: caller.authorize_self("read:user")? })
    }
}

impl SessionSource for PersonLogins<'_> {
    type Session = Login;

    fn parts(&self) -> Vec<ListPart> {
        let owner = Filter::has_id(ValueField::Owner, [self.granted.person().0]);
        let open = Filter::has_text(ValueField::State, [SessionState::Login(LoginState::Open).name()]);
        vec![ListPart {
            scope: ListScope::Organization(OrganizationId::PEOPLE),
            filter: Filter::And(vec![owner, open]),
        }]
    }

    async fn load(&self, keys: &[SessionKey]) -> Result<LoadedSessions<Login>, store::Error> {
        self.store.load_logins(&self.granted, &ids(keys)).await
    }

    fn session_ref(login: &Login) -> SessionRef {
        SessionRef { key: login.key(), revision: login.revision }
    }

    fn expiry(login: &Login) -> Option<Micros> {
        Some(login.expires.min(login.idle_until()))
    }
}

/// Lists the caller's open sessions, newest first.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn list_logins(app: &App, caller: &Caller) -> Result<Vec<Login>, Failure> {
    let source = PersonLogins::new(app, caller)?;
    Ok(load_sessions(app, &source, Filter::EVERY, ALL_OPEN).await?.items)
}

/// Ends one of the caller's sessions, which may be the current one.
///
/// # Errors
/// [`Refusal::NotFound`], also for another user's session, and for one that has ended.
pub async fn revoke_login(app: &App, caller: &Caller, id: SessionId) -> Result<(), Failure> {
    let own = caller.authorize_self("write:user")?;
    let now = app.now();
    if !app.store.load_login(&own, id).await?.is_open(now) {
        return Err(Refusal::NotFound(Thing::Session).into());
    }
    let ending = build_ending(&own, EndReason::Revoked, "revoked by its user");
    Ok(app.store.end_login(&own, id, &ending, now).await?)
}

/// Ends a session of the caller, or of another person whom the caller may change. Ending it again changes nothing. The
/// caller can say why.
///
/// # Errors
/// [`Refusal::Forbidden`] for a person whom the caller may not change; [`Refusal::StaleAuthentication`];
/// [`Refusal::OutOfScope`]; [`Refusal::Invalid`] for a reason that cannot be kept.
pub async fn end_visible_login(
    app: &App,
    caller: &Caller,
    login: &Login,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let granted = authorize_over_owner(app, caller, login.owner).await?;
    let by = match granted.relation() {
        PersonRelation::Same => "revoked by its user",
        PersonRelation::Maker | PersonRelation::Administrator => "revoked by an administrator",
    };
    let (evidence, now) = (describe_end(by, reason)?, app.now());
    if !login.is_open(now) {
        return Ok(());
    }
    let ending = build_ending(&granted, EndReason::Revoked, &evidence);
    match app.store.end_login(&granted, login.id, &ending, now).await {
        // Somebody else has ended it meanwhile.
        Err(store::Error::Refused(Refusal::NotFound(_))) => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Counts as a use of one of the caller's sessions, so that the time for which it may be unused begins again.
///
/// # Errors
/// [`Refusal::WrongState`] for a session of another person; [`Refusal::SessionEnded`]; [`Refusal::OutOfScope`].
pub async fn extend_login(app: &App, caller: &Caller, login: &Login) -> Result<(), Failure> {
    if login.owner != caller.principal() {
        let problem = "only the person who is signed in can extend a login session";
        return Err(Refusal::WrongState { problem, remedy: "end it, or leave it as it is" }.into());
    }
    caller.authorize_self("write:user")?;
    let now = app.now();
    if !login.is_open(now) {
        return Err(Refusal::SessionEnded.into());
    }
    Ok(app.store.record_login_use(&System::for_background_jobs(), login.id, now).await?)
}

/// Grants the caller access to change the person of a session that the caller can see.
async fn authorize_over_owner(
    app: &App,
    caller: &Caller,
    owner: PrincipalId,
) -> Result<GrantedPerson, Failure> {
    let granted = match app.store.authorize_over_owner(caller, owner).await {
        // The session is visible, so the person is known.
        Err(store::Error::Refused(Refusal::NotFound(_))) => {
            return Err(Refusal::Forbidden(Permission::ManageMembers).into());
        }
        granted => granted?,
    };
    if granted.relation() != PersonRelation::Same {
        demand_fresh(app, caller)?;
    }
    Ok(granted)
}

/// Which sessions to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginSelection {
    /// All.
    All,
    /// All but the caller's current session.
    Others,
}

/// Ends the caller's sessions.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn revoke_all_logins(app: &App, caller: &Caller, selection: LoginSelection) -> Result<(), Failure> {
    let own = caller.authorize_self("write:user")?;
    let except = match (selection, caller.authentication()) {
        (LoginSelection::Others, Authentication::Login(session)) => Some(session),
        _ => None,
    };
    let ending = build_ending(&own, EndReason::Revoked, "revoked by its user, with others");
    Ok(app.store.end_logins(&own, except, &ending, app.now()).await?)
}

/// The caller's session; `None` for a caller with an API key.
pub fn current_login(caller: &Caller) -> Option<SessionId> {
    match caller.authentication() {
        Authentication::Login(session) => Some(session),
        Authentication::Key(_) => None,
    }
}

/// The ending of a session, with the grant's actor.
pub fn build_ending(granted: &GrantedPerson, reason: EndReason, evidence: &str) -> Ending {
    Ending { reason, actor: granted.actor(), evidence: evidence.to_owned() }
}

/// Ends expired and idle sessions, so that the feed has their end, and deletes old rows of sign-ins.
pub async fn sweep_logins(app: &App) -> Result<(), Failure> {
    let (system, now) = (System::for_background_jobs(), app.now());
    for login in app.store.list_expired_logins(&system, now).await? {
        let reason = login.expiry_reason(now).unwrap_or(EndReason::Expired);
        let ending = Ending { reason, actor: None, evidence: evidence(&login, reason) };
        app.store.expire_login(&system, &login, &ending, now).await?;
    }
    app.store.prune_logins(&system, now - app.settings.login_history.into(), now).await?;
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
