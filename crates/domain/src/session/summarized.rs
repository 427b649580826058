//! The summary of a session of each kind, from the session as it was loaded.

use super::{
    AgentSummary, DeviceState, DeviceSummary, KindSummary, LoginState, LoginSummary, SessionKey, SessionKind,
    SessionState, Summary,
};
use crate::agent::{AgentSession, Usage};
use crate::device::DeviceSession;
use crate::ids::OrganizationId;
use crate::login::Login;
use crate::principal::PrincipalKind;

impl AgentSession {
    /// Its summary.
    pub fn summary(&self) -> Summary {
        let given = &self.given;
        Summary {
            key: self.key(),
            revision: self.revision,
            owner: given.owner,
            owner_kind: Some(given.owner_kind),
            state: SessionState::Agent(self.state),
            updated: self.updated,
            ended: self.ended.as_ref().map(|(at, ending)| (*at, ending.reason)),
            expires: None,
            of_kind: KindSummary::Agent(AgentSummary {
                agent: Some(given.agent),
                titled: given.title.is_some(),
                archived: self.archived.is_some(),
                tags: given.tags.clone(),
                origin: given.origin.clone(),
                model: given.model.clone(),
                category: given.category.clone(),
                playbook: given.playbook.clone(),
                schedule: given.schedule.clone(),
                automation: given.automation.clone(),
                repos: given.repos.clone(),
                parent: given.parent,
                // No list asks for the tokens of the model's cache.
                usage: Usage { cache_read_tokens: 0, cache_creation_tokens: 0, ..self.usage },
            }),
        }
    }
}

impl DeviceSession {
    /// What identifies it.
    pub fn key(&self) -> SessionKey {
        SessionKey { organization: self.organization, kind: SessionKind::Device, id: self.id }
    }

    /// Its summary. The kind of its owner is known elsewhere.
    pub fn summary(&self, owner_kind: Option<PrincipalKind>) -> Summary {
        let newest = self.newest_hold();
        let held = newest.and_then(|hold| hold.held.as_ref());
        let ended = self.ended.as_ref().map(|(at, ending)| (*at, ending.reason));
        Summary {
            key: self.key(),
            revision: self.revision,
            owner: self.owner,
            owner_kind,
            state: SessionState::Device(self.state()),
            updated: ended.map_or(self.activity, |(at, _)| at.max(self.activity)),
            ended,
            expires: None,
            of_kind: KindSummary::Device(DeviceSummary {
                platform: newest.map(|hold| hold.platform.clone()),
                device: held.map(|held| held.device),
                device_type: held.map(|held| held.profile.kind.clone()),
                name: held.map(|held| held.profile.name.clone()),
                version: held.map(|held| held.profile.version.clone()),
            }),
        }
    }

    /// Its state.
    pub fn state(&self) -> DeviceState {
        if self.ended.is_some() {
            DeviceState::Ended
        } else if self.open_holds().any(|hold| hold.held.is_some()) {
            DeviceState::Holding
        } else if self.open_holds().next().is_some() {
            DeviceState::Queued
        } else {
            DeviceState::Empty
        }
    }
}

impl Login {
    /// What identifies it.
    pub fn key(&self) -> SessionKey {
        SessionKey { organization: OrganizationId::PEOPLE, kind: SessionKind::Login, id: self.id }
    }

    /// Its summary. The kind of its owner is known elsewhere. Its last use is not in the summary: it changes without a
    /// revision.
    pub fn summary(&self, owner_kind: Option<PrincipalKind>) -> Summary {
        let ended = self.ended.as_ref().map(|(at, ending)| (*at, ending.reason));
        Summary {
            key: self.key(),
            revision: self.revision,
            owner: self.owner,
            owner_kind,
            state: SessionState::Login(if ended.is_some() { LoginState::Ended } else { LoginState::Open }),
            updated: ended.map_or(self.id.creation_time().max(self.authenticated), |(at, _)| at),
            ended,
            expires: ended.is_none().then_some(self.expires),
            of_kind: KindSummary::Login(LoginSummary {
                address: self.origin.remote_ip.map(|ip| ip.to_string()),
                client: self.origin.agent_type.clone(),
                methods: self.methods.iter().map(|method| method.name().to_owned()).collect(),
            }),
        }
    }
}
