//! What sessions of all kinds share: kinds, endings, the change feed, and the summaries and filters of lists.

mod fields;
mod filter;
mod order;
mod summarized;
mod summary;
mod words;

pub use fields::{
    Field, FieldInfo, NumberField, QueryField, QueryType, SpanField, Spread, TimeField, ValueField, ValueType,
};
pub use filter::{Filter, ListPart, ListScope, NumberRange, ValueTest};
pub use order::{OrderField, OrderPosition, OrderValue, SessionOrder};
pub use summary::{
    AgentSummary, DeviceState, DeviceSummary, FieldValue, FieldValueRef, KindSummary, LoginState,
    LoginSummary, PRESENT, SessionState, Summary,
};
pub use words::FieldWord;

use crate::ids::{OrganizationId, PrincipalId, SessionId};
use crate::time::Micros;

/// The kind of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SessionKind {
    /// A device session: it holds devices.
    Device,
    /// An agent session.
    Agent,
    /// A login session.
    Login,
}

impl SessionKind {
    /// All kinds.
    pub const ALL: [SessionKind; 3] = [SessionKind::Device, SessionKind::Agent, SessionKind::Login];

    /// Its name, also in the store's keys.
    pub fn name(self) -> &'static str {
        match self {
            SessionKind::Device => "device",
            SessionKind::Agent => "agent",
            SessionKind::Login => "login",
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<SessionKind> {
        SessionKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Why a session or a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its owner, or an admin, ended it.
    Released,
    /// It was unused for too long.
    Idle,
    /// A request for a device was not granted in time.
    Expired,
    /// Its host went away and did not come back.
    HostLost,
    /// Its session ended.
    SessionEnded,
    /// Its owner was suspended, was deleted, or is no longer a member.
    OwnerGone,
    /// Its organization was deleted.
    OrganizationDeleted,
    /// Its owner signed out.
    SignedOut,
    /// Its owner ended it from another session, or somebody who manages the owner did.
    Revoked,
    /// Its owner's password was changed.
    PasswordChanged,
    /// Its owner opened a session beyond the limit, and this one was the least recently used.
    Displaced,
}

impl EndReason {
    const ALL: [EndReason; 11] = [
        EndReason::Released,
        EndReason::Idle,
        EndReason::Expired,
        EndReason::HostLost,
        EndReason::SessionEnded,
        EndReason::OwnerGone,
        EndReason::OrganizationDeleted,
        EndReason::SignedOut,
        EndReason::Revoked,
        EndReason::PasswordChanged,
        EndReason::Displaced,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Released => "released",
            EndReason::Idle => "idle",
            EndReason::Expired => "expired",
            EndReason::HostLost => "host_lost",
            EndReason::SessionEnded => "session_ended",
            EndReason::OwnerGone => "owner_gone",
            EndReason::OrganizationDeleted => "organization_deleted",
            EndReason::SignedOut => "signed_out",
            EndReason::Revoked => "revoked",
            EndReason::PasswordChanged => "password_changed",
            EndReason::Displaced => "displaced",
        }
    }

    /// The reason with this name.
    pub fn parse(name: &str) -> Option<EndReason> {
        EndReason::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// How a session or a hold ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ending {
    /// The reason.
    pub reason: EndReason,
    /// Who ended it; `None` when Tenure did.
    pub actor: Option<PrincipalId>,
    /// The facts behind the reason, for people: "idle 10 min, last command 12:03".
    pub evidence: String,
}

/// What identifies a session. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its kind.
    pub kind: SessionKind,
    /// Its id, which contains the time of creation.
    pub id: SessionId,
}

/// An entry of an organization's change feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedEntry {
    /// The sequence: without gaps, in the order of commits.
    pub sequence: i64,
    /// The session that changed.
    pub session: SessionKey,
    /// The session's revision after the change.
    pub revision: i64,
    /// The kind of the change.
    pub change: FeedChange,
    /// When it changed.
    pub at: Micros,
}

/// The kind of a change in the change feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedChange {
    /// A session was created.
    Created,
    /// A device was requested.
    Requested,
    /// A device was granted.
    Granted,
    /// A hold or a request for a device ended.
    Released,
    /// The session ended.
    Ended,
    /// Another field of the session changed.
    Changed,
    /// The session was deleted and cannot be loaded any more.
    Deleted,
}

impl FeedChange {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            FeedChange::Created => "created",
            FeedChange::Requested => "requested",
            FeedChange::Granted => "granted",
            FeedChange::Released => "released",
            FeedChange::Ended => "ended",
            FeedChange::Changed => "changed",
            FeedChange::Deleted => "deleted",
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<FeedChange> {
        use FeedChange::*;
        [Created, Requested, Granted, Released, Ended, Changed, Deleted]
            .into_iter()
            .find(|what| what.name() == name)
    }
}
