//! Sessions of all kinds by their keys, for a caller who may see them.

mod by_keys;
mod lookups;
mod names;

pub use lookups::NamePattern;
pub use names::{PrincipalName, SessionNames};

use crate::access::scope::ScopeGrant;
use crate::access::visible::VisibleSessions;
use crate::access::{PermissionType, System};
use crate::agents::lists::read_agents_by_keys;
use crate::rows::LoadedSessions;
use crate::{Result, Store};
use by_keys::{read_devices, read_logins};
use domain::agent::AgentSession;
use domain::device::DeviceSession;
use domain::ids::{OrganizationId, PrincipalId};
use domain::login::Login;
use domain::session::{Ending, SessionKey, SessionKind};
use domain::time::Micros;
use std::collections::HashMap;

/// A session of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnySession {
    /// A device session with its newest holds, and the name of the host of the newest one's device.
    Device(DeviceSession, Option<String>),
    /// An agent session.
    Agent(Box<AgentSession>),
    /// A login session.
    Login(Login),
}

impl AnySession {
    /// What identifies it.
    pub fn key(&self) -> SessionKey {
        match self {
            AnySession::Device(session, _) => session.key(),
            AnySession::Agent(session) => session.key(),
            AnySession::Login(login) => login.key(),
        }
    }

    /// Its revision.
    pub fn revision(&self) -> i64 {
        match self {
            AnySession::Device(session, _) => session.revision,
            AnySession::Agent(session) => session.revision,
            AnySession::Login(login) => login.revision,
        }
    }

    /// Who holds it.
    pub fn owner(&self) -> PrincipalId {
        match self {
            AnySession::Device(session, _) => session.owner,
            AnySession::Agent(session) => session.given.owner,
            AnySession::Login(login) => login.owner,
        }
    }

    /// When and why it ended.
    pub fn ending(&self) -> Option<&(Micros, Ending)> {
        match self {
            AnySession::Device(session, _) => session.ended.as_ref(),
            AnySession::Agent(session) => session.ended.as_ref(),
            AnySession::Login(login) => login.ended.as_ref(),
        }
    }
}

impl Store {
    /// The visible sessions with these keys, in the order of the keys.
    pub async fn load_visible_sessions(
        &self,
        visible: &VisibleSessions,
        keys: &[SessionKey],
    ) -> Result<LoadedSessions<AnySession>> {
        let system = System::for_granted_reads();
        let of_kind = |kind| {
            let seen = keys.iter().filter(move |key| key.kind == kind && visible.may_include(key));
            seen.copied().collect::<Vec<_>>()
        };
        let mut loaded = HashMap::new();
        let (devices, agents, logins) =
            (of_kind(SessionKind::Device), of_kind(SessionKind::Agent), of_kind(SessionKind::Login));
        let mut found = 0;
        if !devices.is_empty() {
            for (session, host) in read_devices(self, &system, &devices).await? {
                loaded.insert(session.key(), AnySession::Device(session, host));
            }
        }
        if !logins.is_empty() {
            for login in read_logins(self, &system, &logins).await? {
                if visible.includes_person(login.owner) {
                    loaded.insert(login.key(), AnySession::Login(login));
                }
            }
        }
        found += loaded.len();
        let mut is_cut = false;
        if !agents.is_empty() {
            let agents = read_agents_by_keys(self, &system, &agents).await?;
            found += agents.found;
            is_cut = agents.items.len() < agents.found;
            for session in agents.items {
                loaded.insert(session.key(), AnySession::Agent(Box::new(session)));
            }
        }
        let mut items = Vec::with_capacity(loaded.len());
        for key in keys {
            match loaded.remove(key) {
                Some(session) => items.push(session),
                // The page ends where the first large session is missing.
                None if is_cut && key.kind == SessionKind::Agent => break,
                None => {}
            }
        }
        Ok(LoadedSessions { items, found })
    }

    /// The names of the people and organizations that sessions show.
    pub async fn load_session_names(
        &self,
        _: &VisibleSessions,
        sessions: &[AnySession],
    ) -> Result<SessionNames> {
        let organizations = sessions.iter().map(|session| session.key().organization);
        let organizations = organizations.filter(|one| *one != OrganizationId::PEOPLE).collect();
        let actors = sessions.iter().filter_map(|session| session.ending()?.1.actor);
        let people = sessions.iter().map(AnySession::owner).chain(actors).collect();
        SessionNames::load(self, &organizations, &people).await
    }

    /// The names of people and organizations that somebody sees who has a permission in some of them.
    pub async fn load_names_in_scope<P: PermissionType>(
        &self,
        _: &ScopeGrant<P>,
        organizations: impl Iterator<Item = OrganizationId>,
        principals: impl Iterator<Item = PrincipalId>,
    ) -> Result<SessionNames> {
        SessionNames::load(self, &organizations.collect(), &principals.collect()).await
    }

    /// The names of people and organizations that somebody sees who may see some sessions.
    pub async fn load_names(
        &self,
        _: &VisibleSessions,
        organizations: impl Iterator<Item = OrganizationId>,
        principals: impl Iterator<Item = PrincipalId>,
    ) -> Result<SessionNames> {
        SessionNames::load(self, &organizations.collect(), &principals.collect()).await
    }
}
