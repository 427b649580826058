//! What follows the commits of an SQLite database, on the thread of its writer.

use super::{DatabaseError, Rows, Statement};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Reads rows on the connection of the writer, which sees its own commits.
pub(crate) trait ReadRows {
    /// Runs a statement that reads.
    fn read(&self, statement: &Statement) -> Result<Rows, DatabaseError>;
}

/// The change feeds that a commit has extended.
#[derive(Debug)]
pub(crate) enum ExtendedFeeds {
    /// Those of these organizations.
    Of(BTreeSet<Uuid>),
    /// Another process has written, or a commit failed in a way that does not say what it wrote.
    Unknown,
}

/// Follows commits in their order. It runs on the thread of the writer, so it must be brief.
pub(crate) trait CommitFollower: Send {
    /// A commit is durable. Its writers are answered after this returns.
    fn follow(&mut self, reader: &dyn ReadRows, extended: ExtendedFeeds);
}

/// The follower, for the writer and for those who set it. The lock is never held across an await.
#[derive(Clone, Default)]
pub(super) struct FollowerSlot(Arc<Mutex<Option<Box<dyn CommitFollower>>>>);

impl FollowerSlot {
    /// Sets the follower, or removes it.
    pub(super) fn set(&self, follower: Option<Box<dyn CommitFollower>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = follower;
    }

    /// Tells the follower, if there is one, of a commit.
    pub(super) fn follow(&self, reader: &dyn ReadRows, extended: impl FnOnce() -> ExtendedFeeds) {
        if let Some(follower) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            follower.follow(reader, extended());
        }
    }
}
