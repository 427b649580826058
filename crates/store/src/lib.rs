//! Stores sessions and checks access to them.
//!
//! This is the only crate with SQL. Every read and write takes a grant ([`access`]), and every change is a batch that
//! is written as a whole or not at all ([`database`]). Each statement is written once, for SQLite and PostgreSQL.

pub mod access;
mod agents;
mod audit;
pub mod blocking;
pub mod database;
mod devices;
mod directory;
mod feed;
mod feed_positions;
mod logins;
mod looks;
mod maintenance;
#[cfg(test)]
mod plans;
mod rows;
mod sessions;
mod summaries;
#[cfg(feature = "testing")]
pub mod testing;
mod views;

pub use access::authentication::Authentication;
pub use access::credentials::OrganizationChoice;
pub use access::idempotency::{IdempotencyScope, IdempotencyState, StoredResponse};
pub use access::own_keys::{ApiKey, ApiKeyName};
pub use access::scope::ScopeGrant;
pub use access::visible::{RequestedScope, VisibleSessions};
pub use access::watch::{AccessMoment, AccessWatch};
pub use access::{Caller, Granted, GrantedAccount, GrantedPerson, System};
pub use agents::changes::CycleLimit;
pub use agents::overview::VisibleAgent;
pub use agents::search::SearchBounds;
pub use agents::secrets::{SealedSecret, SecretPlace};
pub use agents::session_body::LoadedAgentSession;
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
pub use devices::overview::{DeviceHolder, VisibleDevice, VisibleHost, VisibleRequest};
pub use directory::account_roles::RoleSource;
pub use directory::identities::Identity;
pub use directory::invitations::ReceivedInvitation;
pub use directory::listed_people::ListedPerson;
pub use directory::memberships::OrganizationMember;
pub use directory::people::{NewPassword, SignInRecord};
pub use feed::FeedPage;
pub use feed_positions::FeedPosition;
pub use logins::device_logins::DeviceLoginApproval;
pub use logins::second_factors::SecondFactor;
pub use logins::sessions::LoginExpectations;
pub use logins::signing_keys::PublicKey;
pub use looks::{Follower, Look, Snapshot};
pub use maintenance::doctor::{Orphans, OverprivilegedServiceUser};
pub use maintenance::restore;
pub use rows::{LoadedSessions, MAX_PAGE_BYTES};
pub use sessions::{AnySession, NamePattern, PrincipalName, SessionNames};
pub use summaries::{CommitObserver, CommittedChanges};
pub use views::ViewGrant;

use domain::Refusal;
use domain::credential::KeyLimits;
use domain::ids::OrganizationId;
use domain::session::SessionKind;
use domain::time::Micros;
use feed_positions::KnownPosition;
use looks::Looks;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The credential is unknown, expired or revoked, or its principal may not act. The caller is not told which.
    #[error("missing or invalid credentials")]
    Unauthenticated,
    /// The data has changed since it was loaded: load, decide and apply again.
    #[error("changed meanwhile")]
    Stale,
    /// The database failed. The text is for the log.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// How often a change is decided and applied again when others change the same rows meanwhile. Then the caller gets
/// [`Error::Stale`].
pub(crate) const ATTEMPTS: u32 = 50;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    /// The newest creation time for each organization and kind. While the clock stands still or goes back, new
    /// sessions use the microseconds after it, instead of trying taken times one by one.
    newest: Arc<Mutex<HashMap<(OrganizationId, SessionKind), Micros>>>,
    /// The maximum age and idle time of keys.
    key_limits: KeyLimits,
    /// The looks at a PostgreSQL database.
    looks: Arc<Looks>,
    /// The newest position in the change feeds of an SQLite database.
    position: Arc<KnownPosition>,
}

impl Store {
    /// A store on an open database.
    pub fn new(database: Database) -> Store {
        Store {
            database,
            newest: Arc::default(),
            key_limits: KeyLimits::default(),
            looks: Arc::default(),
            position: Arc::default(),
        }
    }

    /// The same store, with a maximum age and idle time of keys.
    #[must_use]
    pub fn limiting_keys(self, key_limits: KeyLimits) -> Store {
        Store { key_limits, ..self }
    }

    /// The database: for its signals, its state, and to close it.
    pub fn database(&self) -> &Database {
        &self.database
    }
}
