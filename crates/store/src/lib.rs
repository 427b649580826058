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

pub use access::authentication::Means;
pub use access::credentials::Chosen;
pub use access::idempotency::{Begun, Scope, StoredAnswer};
pub use access::own_keys::{ApiToken, TokenName};
pub use access::{Caller, Granted, GrantedAccount, GrantedPerson, System};
pub use agents::changes::CycleLimit;
pub use agents::lists::{SessionFacets, SessionStats};
pub use agents::secrets::{SealedSecret, SecretPlace};
pub use agents::sessions::Birth;
pub use agents::usage::UsageDay;
pub use audit::attribution::{By, Proof};
pub use audit::chain::{AuditHead, AuditProof, BrokenLine, ChainedLine};
pub use audit::log::{AuditLine, NewAuditLine};
pub use audit::segments::{Segment, SegmentLine, SegmentWalk};
pub use database::{
    Asker, Database, DatabaseError, OpenMode, Readers, ServerLock, Topic, Watch, WorkWait, Written,
};
pub use devices::due::{Due, DueHold, LostHost};
pub use devices::files::{FileKind, NewFile, StoredFile};
pub use devices::fleet::{DeviceUpdate, QueueState, Queued};
pub use devices::hosts::HostLink;
pub use directory::account_roles::GivenBy;
pub use directory::identities::Identity;
pub use directory::invitations::Invited;
pub use directory::memberships::Member;
pub use directory::people::{Known, NewPassword};
pub use feed::Feed;
pub use logins::device_logins::Approval;
pub use logins::second_factors::Factor;
pub use logins::sessions::Opening;
pub use logins::signing_keys::PublicKey;
pub use maintenance::doctor::{Orphans, Powerful};
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
