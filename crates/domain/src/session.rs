//! What the sessions of all kinds share.

use crate::ids::{OrganizationId, PrincipalId, SessionId};
use crate::time::Micros;

/// What a session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Devices.
    Device,
    /// An agent at work.
    Agent,
    /// A person signed in.
    Login,
}

impl Kind {
    /// The word for it, also in the store's keys.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Device => "device",
            Kind::Agent => "agent",
            Kind::Login => "login",
        }
    }

    /// The kind of a word.
    pub fn parse(name: &str) -> Option<Kind> {
        [Kind::Device, Kind::Agent, Kind::Login].into_iter().find(|kind| kind.name() == name)
    }
}

/// Why a session or a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its owner, or an admin, ended it.
    Released,
    /// Nothing was done with it for too long.
    Idle,
    /// A request for a device that was not served in time.
    Expired,
    /// The machine that it depended on went away and did not come back.
    HostLost,
    /// Its session ended.
    SessionEnded,
    /// Its owner may no longer act: suspended, deleted, or no longer a member.
    OwnerGone,
    /// Its organization was deleted.
    OrganizationDeleted,
    /// Its owner signed out.
    SignedOut,
    /// Its owner, or somebody above them, ended it from elsewhere.
    Revoked,
    /// Its owner's password was changed.
    PasswordChanged,
    /// Its owner opened more sessions than one may have, and this one was the least recently used.
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

    /// The word for it.
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

    /// The reason of a word.
    pub fn parse(name: &str) -> Option<EndReason> {
        EndReason::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// How something ended: kept with it, and shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// By whom; nobody when Tenure did it by itself.
    pub actor: Option<PrincipalId>,
    /// What the reason was judged by, for people: "idle 10 min, last command 12:03".
    pub evidence: String,
}

/// Whose a session is and where, which never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its kind.
    pub kind: Kind,
    /// Its id, which says when it was created.
    pub id: SessionId,
}

/// A line of the change feed of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedLine {
    /// Without gaps, in commit order.
    pub sequence: i64,
    /// Which session changed.
    pub session: SessionKey,
    /// Its revision after the change.
    pub revision: i64,
    /// What happened.
    pub what: What,
    /// When.
    pub at: Micros,
}

/// What a line of the change feed says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// A session was created.
    Created,
    /// A device was asked for.
    Requested,
    /// A device was handed over.
    Granted,
    /// A hold, or a request for one, ended.
    Released,
    /// The session ended.
    Ended,
    /// Something else of the session changed.
    Changed,
    /// The session was deleted: it cannot be loaded any more.
    Deleted,
}

impl What {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            What::Created => "created",
            What::Requested => "requested",
            What::Granted => "granted",
            What::Released => "released",
            What::Ended => "ended",
            What::Changed => "changed",
            What::Deleted => "deleted",
        }
    }

    /// What a word says.
    pub fn parse(name: &str) -> Option<What> {
        use What::*;
        [Created, Requested, Granted, Released, Ended, Changed, Deleted]
            .into_iter()
            .find(|what| what.name() == name)
    }
}
