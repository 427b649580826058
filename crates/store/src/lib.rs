//! Where sessions are kept and who may touch them.
//!
//! This is the only crate that says SQL. Two things hold for all of it: nothing is read or written without a
//! proof of the right to ([`access`]), and every change is a batch that happens as a whole or not at all
//! ([`database`]). A statement is written once, for SQLite and PostgreSQL.

pub mod access;
mod agents;
mod audit;
pub mod blocking;
pub mod database;
mod devices;
mod directory;
mod feed;
mod logins;
mod maintenance;
#[cfg(test)]
mod plans;
mod rows;
#[cfg(feature = "testing")]
pub mod testing;

pub use access::authentication::Authentication;
pub use access::credentials::OrganizationChoice;
pub use access::idempotency::{IdempotencyScope, IdempotencyState, StoredResponse};
pub use access::own_keys::{ApiKey, ApiKeyName};
pub use access::{Caller, Granted, GrantedAccount, GrantedPerson, System};
pub use agents::changes::CycleLimit;
pub use agents::lists::{SessionFacets, SessionStats};
pub use agents::secrets::{SealedSecret, SecretPlace};
pub use agents::sessions::NewAgentSession;
pub use agents::usage::UsageDay;
pub use audit::attribution::{Attribution, Grant};
pub use audit::chain::{AuditHead, AuditProof, BrokenEntry, ChainedEntry};
pub use audit::log::{AuditEntry, NewAuditEntry};
pub use audit::segments::{Segment, SegmentEntry, SegmentWalk};
pub use database::{
    Database, DatabaseError, OpenMode, Readers, ScanCaller, ServerLock, Topic, Watch, WorkWait, WriteCounts,
};
pub use devices::due::{DueHold, LostHost, SweepWork};
pub use devices::files::{FileKind, NewFile, StoredFile};
pub use devices::fleet::{DeviceUpdate, QueueEntry, QueueSnapshot};
pub use devices::hosts::HostLink;
pub use directory::account_roles::RoleSource;
pub use directory::identities::Identity;
pub use directory::invitations::ReceivedInvitation;
pub use directory::memberships::OrganizationMember;
pub use directory::people::{NewPassword, SignInRecord};
pub use feed::FeedPage;
pub use logins::device_logins::DeviceLoginApproval;
pub use logins::second_factors::SecondFactor;
pub use logins::sessions::LoginExpectations;
pub use logins::signing_keys::PublicKey;
pub use maintenance::doctor::{Orphans, OverprivilegedServiceUser};
pub use maintenance::restore;

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
