//! What the writer has done, for operators: how large the groups become.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Commits, and the batches in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteCounts {
    /// Commits of a group.
    pub commits: u64,
    /// Batches of all groups, also those that were refused.
    pub batches: u64,
}

/// The counters behind [`WriteCounts`]; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteCounters(Arc<(AtomicU64, AtomicU64)>);

impl WriteCounters {
    /// A group of this many batches was committed.
    pub(super) fn add_commit(&self, batches: usize) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.fetch_add(batches as u64, Ordering::Relaxed);
    }

    pub(super) fn write_counts(&self) -> WriteCounts {
        WriteCounts { commits: self.0.0.load(Ordering::Relaxed), batches: self.0.1.load(Ordering::Relaxed) }
    }
}
