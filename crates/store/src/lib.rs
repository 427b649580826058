//! Where sessions are kept and who may touch them.
//!
//! This is the only crate that says SQL. Two things hold for all of it: nothing is read or written without a
//! proof of the right to ([`access`]), and every change is a batch that happens as a whole or not at all
//! ([`database`]). A statement is written once, for SQLite and PostgreSQL.

pub mod access;
mod account_roles;
mod agent_changes;
mod agent_filter;
mod agent_lists;
mod agent_sessions;
mod agents;
pub mod aside;
mod audit;
mod audit_chain;
mod audit_segments;
mod by;
mod changes;
mod claims;
mod clock;
mod credentials;
pub mod database;
mod device_logins;
mod devices;
mod doctor;
mod events;
mod factors;
mod families;
mod files;
mod holds;
mod hosts;
mod idempotency;
mod identities;
mod invitations;
mod jobs;
mod lane;
mod logins;
mod means;
mod members;
mod memberships;
mod messages;
mod organizations;
mod people;
mod pins;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod plans_of_agents;
#[cfg(test)]
mod plans_of_people;
mod principals;
mod reads;
pub mod restoring;
mod rows;
mod secrets;
mod service_users;
mod sessions;
mod signing;
#[cfg(feature = "testing")]
pub mod testing;
mod tokens;
mod usage;

pub use access::{Caller, Granted, GrantedAccount, GrantedPerson, System};
pub use account_roles::GivenBy;
pub use agent_changes::CycleLimit;
pub use agent_lists::{SessionFacets, SessionStats};
pub use agent_sessions::Birth;
pub use audit::{AuditLine, NewAuditLine};
pub use audit_chain::{AuditHead, AuditProof, BrokenLine, ChainedLine};
pub use audit_segments::{Segment, SegmentLine, SegmentWalk};
pub use by::{By, Proof};
pub use changes::Feed;
pub use credentials::Chosen;
pub use database::{
    Asker, Database, DatabaseError, OpenMode, Readers, ServerLock, Topic, Watch, WorkWait, Written,
};
pub use device_logins::Approval;
pub use devices::{DeviceUpdate, QueueState, Queued};
pub use doctor::{Orphans, Powerful};
pub use factors::Factor;
pub use files::{FileKind, NewFile, StoredFile};
pub use hosts::HostLink;
pub use idempotency::{Begun, Scope, StoredAnswer};
pub use identities::Identity;
pub use invitations::Invited;
pub use jobs::{Due, DueHold, LostHost};
pub use logins::Opening;
pub use means::Means;
pub use memberships::Member;
pub use people::{Known, NewPassword};
pub use secrets::{SealedSecret, SecretPlace};
pub use signing::PublicKey;
pub use tokens::{ApiToken, TokenName};
pub use usage::UsageDay;

use domain::Refusal;
use domain::credential::KeyLimits;
use domain::ids::OrganizationId;
use domain::session::Kind;
use domain::time::Micros;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule stands against it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The credential is unknown, expired or revoked, or its principal may not act: nobody is told which.
    #[error("missing or invalid credentials")]
    Unauthenticated,
    /// What was decided on has changed meanwhile: load, decide and apply again.
    #[error("changed meanwhile")]
    Stale,
    /// The database failed; the text is for the log.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// All that is kept. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    /// The newest creation time given out, for each organization and kind: while the clock stands still, or
    /// goes back, new sessions take the microseconds after it instead of trying taken ones one by one.
    newest: Arc<Mutex<HashMap<(OrganizationId, Kind), Micros>>>,
    /// How long keys are good at most, whatever they say.
    key_limits: KeyLimits,
}

impl Store {
    /// A store in an open database.
    pub fn new(database: Database) -> Store {
        Store { database, newest: Arc::default(), key_limits: KeyLimits::default() }
    }

    /// The same store, which refuses keys that are older, or were unused for longer, than these limits allow.
    #[must_use]
    pub fn limiting_keys(self, key_limits: KeyLimits) -> Store {
        Store { key_limits, ..self }
    }

    /// The database itself: to watch its signals, ask whether it answers, and close it.
    pub fn database(&self) -> &Database {
        &self.database
    }
}
