//! The sessions of all kinds that a caller may see.

use super::{SessionSource, parts};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::policies;
use domain::Refusal;
use domain::ids::{OrganizationId, SessionId};
use domain::permission::Role;
use domain::refusal::Thing;
use domain::session::{ListPart, SessionKey};
use domain::time::Micros;
use index::SessionRef;
use std::sync::Arc;
use store::{AnySession, Caller, LoadedSessions, RequestedScope, SessionNames, VisibleSessions};

/// Finds out which sessions a caller may see.
///
/// # Errors
/// Those of [`store::Store::authorize_sessions`].
pub async fn authorize_sessions(
    app: &App,
    caller: &Caller,
    requested: &RequestedScope,
) -> Result<VisibleSessions, Failure> {
    let admitted = list_admitted_roles(app, caller).await?;
    Ok(app.store.authorize_sessions(caller, requested, |role| admitted.contains(&role)).await?)
}

/// The same caller in the organization of a session, which may be another one than the request has chosen.
///
/// # Errors
/// Those of [`store::Store::choose_organization`].
pub async fn choose_organization(
    app: &App,
    caller: &Caller,
    organization: OrganizationId,
) -> Result<Caller, Failure> {
    let admitted = list_admitted_roles(app, caller).await?;
    Ok(app.store.choose_organization(caller, organization, |role| admitted.contains(&role)).await?)
}

/// Finds a session by its id.
///
/// # Errors
/// [`Refusal::NotFound`] for a session that the caller may not see.
pub async fn find_visible_session(
    app: &App,
    visible: &VisibleSessions,
    id: SessionId,
) -> Result<AnySession, Failure> {
    let (parts, now) = (visible.parts(), app.now());
    let found = app.sessions.read(now, |index| parts::find(index, &parts, now, id)).await?;
    let key = found.ok_or(Refusal::NotFound(Thing::Session))?.key;
    let loaded = app.store.load_visible_sessions(visible, &[key]).await?.items.into_iter().next();
    Ok(loaded.ok_or(Refusal::NotFound(Thing::Session))?)
}

/// The roles that count for a caller, who may lack the second factor that others demand.
pub async fn list_admitted_roles(app: &App, caller: &Caller) -> Result<Vec<Role>, Failure> {
    let demands_factor = |role: Role| policies::demands_second_factor(app, caller, role);
    let is_lacking = caller.memberships().iter().any(|member| demands_factor(member.role))
        && !policies::has_shown_factor(app, caller).await?;
    let roles = Role::NAMES.into_iter().map(|(role, _)| role);
    Ok(roles.filter(|role| !is_lacking || !demands_factor(*role)).collect())
}

/// A session with the names that it shows.
pub struct NamedSession {
    /// The session.
    pub session: AnySession,
    /// The names of all sessions that were loaded with it.
    pub names: Arc<SessionNames>,
}

/// The sessions of all kinds that a caller may see.
pub struct VisibleSource<'a> {
    app: &'a App,
    visible: &'a VisibleSessions,
}

impl<'a> VisibleSource<'a> {
    /// Those that the proof gives access to.
    pub fn new(app: &'a App, visible: &'a VisibleSessions) -> VisibleSource<'a> {
        VisibleSource { app, visible }
    }
}

impl SessionSource for VisibleSource<'_> {
    type Session = NamedSession;

    fn parts(&self) -> Vec<ListPart> {
        self.visible.parts()
    }

    async fn load(&self, keys: &[SessionKey]) -> Result<LoadedSessions<NamedSession>, store::Error> {
        let LoadedSessions { items, found } =
            self.app.store.load_visible_sessions(self.visible, keys).await?;
        let names = Arc::new(self.app.store.load_session_names(self.visible, &items).await?);
        let named = items.into_iter().map(|session| NamedSession { session, names: names.clone() });
        Ok(LoadedSessions { items: named.collect(), found })
    }

    fn session_ref(named: &NamedSession) -> SessionRef {
        SessionRef { key: named.session.key(), revision: named.session.revision() }
    }

    /// An open login session expires without a new revision.
    fn valid_until(named: &NamedSession, now: Micros) -> Option<Micros> {
        match &named.session {
            AnySession::Login(login) if login.ended.is_none() => Some(login.expires).filter(|at| *at > now),
            _ => None,
        }
    }

    async fn names_version(&self) -> Result<Option<u64>, Failure> {
        self.app.callers.names_version().await
    }
}
