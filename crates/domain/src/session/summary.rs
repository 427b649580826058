//! Summaries: what lists of sessions are filtered, ordered and counted by.

use super::fields::{NumberField, SpanField, TimeField, ValueField};
use super::{EndReason, SessionKey};
use crate::agent::{AgentState, Usage};
use crate::ids::{AgentId, DeviceId, PrincipalId, SessionId};
use crate::principal::PrincipalKind;
use crate::time::{Micros, Span};
use uuid::Uuid;

/// The state of a session of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Of an agent session.
    Agent(AgentState),
    /// Of a device session.
    Device(DeviceState),
    /// Of a login session.
    Login(LoginState),
}

/// The state of a device session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// It holds no device and waits for none.
    Empty,
    /// It waits for a device and holds none.
    Queued,
    /// It holds a device.
    Holding,
    /// It ended.
    Ended,
}

/// The state of a login session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginState {
    /// The person is signed in.
    Open,
    /// Its time is over, and the sweep has not ended it yet.
    Expired,
    /// It ended.
    Ended,
}

impl SessionState {
    /// All states, of all kinds.
    pub fn all() -> impl Iterator<Item = SessionState> {
        use DeviceState::{Empty, Holding, Queued};
        let agents = AgentState::ALL.map(SessionState::Agent);
        let devices = [Empty, Queued, Holding, DeviceState::Ended].map(SessionState::Device);
        let logins = [LoginState::Open, LoginState::Expired, LoginState::Ended].map(SessionState::Login);
        agents.into_iter().chain(devices).chain(logins)
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<SessionState> {
        SessionState::all().find(|state| state.name() == name)
    }

    /// The name, which no state of another kind has.
    pub fn name(self) -> &'static str {
        match self {
            SessionState::Agent(state) => state.name(),
            SessionState::Device(DeviceState::Empty) => "device.empty",
            SessionState::Device(DeviceState::Queued) => "device.queued",
            SessionState::Device(DeviceState::Holding) => "device.holding",
            SessionState::Device(DeviceState::Ended) => "device.ended",
            SessionState::Login(LoginState::Open) => "login.open",
            SessionState::Login(LoginState::Expired) => "login.expired",
            SessionState::Login(LoginState::Ended) => "login.ended",
        }
    }
}

/// What only agent sessions have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentSummary {
    /// The agent.
    pub agent: Option<AgentId>,
    /// Whether it has a title.
    pub titled: bool,
    /// Whether it is archived.
    pub archived: bool,
    /// Its tags.
    pub tags: Vec<String>,
    /// Where it was created.
    pub origin: String,
    /// Its preferred model.
    pub model: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// The playbook that it follows.
    pub playbook: Option<String>,
    /// The schedule that started it.
    pub schedule: Option<String>,
    /// The automation that started it.
    pub automation: Option<String>,
    /// Its repositories.
    pub repos: Vec<String>,
    /// The session that started it.
    pub parent: Option<SessionId>,
    /// Its usage.
    pub usage: Usage,
}

/// What only device sessions have: the device of the newest hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceSummary {
    /// The requested platform.
    pub platform: Option<String>,
    /// The device.
    pub device: Option<DeviceId>,
    /// The type of the device.
    pub device_type: Option<String>,
    /// The name of the device.
    pub name: Option<String>,
    /// The version of its operating system.
    pub version: Option<String>,
}

/// What only login sessions have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoginSummary {
    /// The address of the client that opened it.
    pub address: Option<String>,
    /// The kind of that client.
    pub client: String,
    /// The names of its methods of authentication.
    pub methods: Vec<String>,
}

/// What only one kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindSummary {
    /// Of an agent session.
    Agent(AgentSummary),
    /// Of a device session.
    Device(DeviceSummary),
    /// Of a login session.
    Login(LoginSummary),
}

/// What lists of sessions are filtered, ordered and counted by. Titles, previews and messages are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What identifies the session.
    pub key: SessionKey,
    /// Grows with every change.
    pub revision: i64,
    /// Who holds it.
    pub owner: PrincipalId,
    /// Whether the owner is a user or a service user.
    pub owner_kind: Option<PrincipalKind>,
    /// Its state, without regard to [`Summary::expires`].
    pub state: SessionState,
    /// When it last changed.
    pub updated: Micros,
    /// When and why it ended.
    pub ended: Option<(Micros, EndReason)>,
    /// When an open login session ends at the latest. A session that is unused for too long ends before, by the sweep.
    pub expires: Option<Micros>,
    /// What only its kind has.
    pub of_kind: KindSummary,
}

/// A value of a [`ValueField`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldValueRef<'a> {
    /// An id.
    Id(Uuid),
    /// A text.
    Text(&'a str),
}

/// A value of a [`ValueField`] that a filter asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldValue {
    /// An id.
    Id(Uuid),
    /// A text.
    Text(String),
}

impl FieldValue {
    /// The value, borrowed.
    pub fn borrow(&self) -> FieldValueRef<'_> {
        match self {
            FieldValue::Id(id) => FieldValueRef::Id(*id),
            FieldValue::Text(text) => FieldValueRef::Text(text),
        }
    }
}

impl FieldValueRef<'_> {
    /// The value, copied.
    pub fn to_value(self) -> FieldValue {
        match self {
            FieldValueRef::Id(id) => FieldValue::Id(id),
            FieldValueRef::Text(text) => FieldValue::Text(text.to_owned()),
        }
    }
}

/// The value of a field that is only present or absent.
pub const PRESENT: &str = "true";

impl Summary {
    /// Its state at `now`: an open login session whose time is over has expired, although the sweep has not ended it yet.
    pub fn state_at(&self, now: Micros) -> SessionState {
        let over = self.expires.is_some_and(|expires| expires <= now);
        match self.state {
            SessionState::Login(LoginState::Open) if over => SessionState::Login(LoginState::Expired),
            state => state,
        }
    }

    /// When the session ended, as it is known at `now`. A login session that has expired, and that the sweep has not ended
    /// yet, ended when it expired.
    pub fn end_at(&self, now: Micros) -> Option<Micros> {
        let has_expired = self.state_at(now) == SessionState::Login(LoginState::Expired);
        self.ended.map(|(at, _)| at).or(self.expires.filter(|_| has_expired))
    }

    /// The summary as the index knows it: values are in the order of their texts, each once, and the tokens of the model's
    /// cache are left out.
    #[must_use]
    pub fn normalize(mut self) -> Summary {
        let sort = |values: &mut Vec<String>| {
            values.sort_unstable();
            values.dedup();
        };
        match &mut self.of_kind {
            KindSummary::Agent(agent) => {
                sort(&mut agent.tags);
                sort(&mut agent.repos);
                agent.usage = Usage { cache_read_tokens: 0, cache_creation_tokens: 0, ..agent.usage };
            }
            KindSummary::Login(login) => sort(&mut login.methods),
            KindSummary::Device(_) => {}
        }
        self
    }

    /// Whether the session is archived, which only an agent session can be.
    pub fn is_archived(&self) -> bool {
        matches!(&self.of_kind, KindSummary::Agent(agent) if agent.archived)
    }

    /// A time of the session.
    pub fn time(&self, field: TimeField) -> Option<Micros> {
        match field {
            TimeField::Created => Some(self.key.id.creation_time()),
            TimeField::Updated => Some(self.updated),
            TimeField::Ended => self.ended.map(|(at, _)| at),
            TimeField::Expires => self.expires,
        }
    }

    /// A number of the session.
    pub fn number(&self, field: NumberField) -> Option<i64> {
        let KindSummary::Agent(agent) = &self.of_kind else { return None };
        Some(match field {
            NumberField::Acus => agent.usage.acus.0,
            NumberField::InputTokens => agent.usage.input_tokens,
            NumberField::OutputTokens => agent.usage.output_tokens,
        })
    }

    /// A length of time of the session at `now`.
    pub fn span(&self, field: SpanField, now: Micros) -> Option<Span> {
        let created = self.key.id.creation_time();
        match field {
            SpanField::Duration => Some(self.ended.map_or(now, |(at, _)| at).duration_since(created)),
            SpanField::Wait => {
                let is_queued = self.state == SessionState::Device(DeviceState::Queued);
                is_queued.then(|| now.duration_since(created))
            }
            SpanField::Lease => {
                self.expires.filter(|expires| *expires > now).map(|expires| expires.duration_since(now))
            }
        }
    }

    /// Visits every value of the session at `now`, in the order of [`ValueField`].
    pub fn visit_values<'a>(&'a self, now: Micros, mut visit: impl FnMut(ValueField, FieldValueRef<'a>)) {
        use ValueField as F;
        let id = FieldValueRef::Id;
        let text = FieldValueRef::Text;
        visit(F::Organization, id(self.key.organization.0));
        visit(F::Kind, text(self.key.kind.name()));
        visit(F::State, text(self.state_at(now).name()));
        visit(F::Owner, id(self.owner.0));
        if let Some(kind) = self.owner_kind {
            visit(F::OwnerKind, text(kind.name()));
        }
        if let Some((_, reason)) = self.ended {
            visit(F::EndReason, text(reason.name()));
        }
        match &self.of_kind {
            KindSummary::Agent(agent) => agent.visit_values(visit),
            KindSummary::Device(device) => device.visit_values(visit),
            KindSummary::Login(login) => login.visit_values(visit),
        }
    }
}

impl AgentSummary {
    fn visit_values<'a>(&'a self, mut visit: impl FnMut(ValueField, FieldValueRef<'a>)) {
        use ValueField as F;
        if self.titled {
            visit(F::Titled, FieldValueRef::Text(PRESENT));
        }
        if self.archived {
            visit(F::Archived, FieldValueRef::Text(PRESENT));
        }
        for tag in &self.tags {
            visit(F::Tag, FieldValueRef::Text(tag));
        }
        visit(F::Origin, FieldValueRef::Text(&self.origin));
        if let Some(agent) = self.agent {
            visit(F::Agent, FieldValueRef::Id(agent.0));
        }
        for (field, value) in [
            (F::Model, &self.model),
            (F::Category, &self.category),
            (F::Playbook, &self.playbook),
            (F::Schedule, &self.schedule),
            (F::Automation, &self.automation),
        ] {
            if let Some(value) = value {
                visit(field, FieldValueRef::Text(value));
            }
        }
        for repo in &self.repos {
            visit(F::Repository, FieldValueRef::Text(repo));
        }
        if let Some(parent) = self.parent {
            visit(F::Parent, FieldValueRef::Id(parent.uuid()));
        }
    }
}

impl DeviceSummary {
    fn visit_values<'a>(&'a self, mut visit: impl FnMut(ValueField, FieldValueRef<'a>)) {
        use ValueField as F;
        if let Some(device) = self.device {
            visit(F::Device, FieldValueRef::Id(device.0));
        }
        for (field, value) in [
            (F::Platform, &self.platform),
            (F::DeviceType, &self.device_type),
            (F::DeviceName, &self.name),
            (F::DeviceVersion, &self.version),
        ] {
            if let Some(value) = value {
                visit(field, FieldValueRef::Text(value));
            }
        }
    }
}

impl LoginSummary {
    fn visit_values<'a>(&'a self, mut visit: impl FnMut(ValueField, FieldValueRef<'a>)) {
        use ValueField as F;
        if let Some(address) = &self.address {
            visit(F::Address, FieldValueRef::Text(address));
        }
        visit(F::Client, FieldValueRef::Text(&self.client));
        for method in &self.methods {
            visit(F::Method, FieldValueRef::Text(method));
        }
    }
}
