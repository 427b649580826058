//! Counts of commits and batches, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Commits and their batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteCounts {
    /// Commits.
    pub commits: u64,
    /// Batches in all commits, refused ones included.
    pub batches: u64,
}

/// The counters behind [`WriteCounts`]; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteCounters(Arc<(AtomicU64, AtomicU64)>);

impl WriteCounters {
    /// Counts a commit with this many batches.
    pub(super) fn add_commit(&self, batches: usize) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.fetch_add(batches as u64, Ordering::Relaxed);
    }

    pub(super) fn write_counts(&self) -> WriteCounts {
        WriteCounts { commits: self.0.0.load(Ordering::Relaxed), batches: self.0.1.load(Ordering::Relaxed) }
    }
}
