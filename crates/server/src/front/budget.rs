//! One memory budget for the bytes of all unfinished requests: bodies and frames that were not answered yet.
//!
//! An address or a principal holds at most a share of it, so that one client cannot take it all. Uploads do not count: they
//! are written to disk piece by piece.

use crate::failure::Failure;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// One holder may use the budget divided by this.
const SHARES: u64 = 8;
/// The default budget is the memory divided by this.
const PARTS_OF_MEMORY: u64 = 8;

/// The failure of a request that the budget has no room for.
#[must_use]
pub fn exhausted_failure() -> Failure {
    Failure::Away("too many unfinished requests are held in memory: try again later")
}

/// Whose share of the budget bytes count against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// An IPv4 address, or a /64 network of IPv6.
    Address(IpAddr),
    /// One user or service user.
    Principal(Uuid),
}

/// The memory budget; clones share it.
#[derive(Clone)]
pub struct Budget(Arc<BudgetState>);

struct BudgetState {
    limit: u64,
    held: Mutex<HeldCounts>,
}

#[derive(Default)]
struct HeldCounts {
    all: u64,
    by_holder: HashMap<Holder, u64>,
}

/// Bytes that one request holds. Dropping this releases them.
pub struct HeldBytes {
    budget: Budget,
    holders: Vec<Holder>,
    bytes: u64,
}

impl Budget {
    /// A budget of `bytes`, or of an eighth of the memory that this server may use.
    #[must_use]
    pub fn new(bytes: Option<u64>) -> Budget {
        let limit = bytes.unwrap_or_else(|| super::memory::available() / PARTS_OF_MEMORY);
        Budget(Arc::new(BudgetState { limit, held: Mutex::default() }))
    }

    /// Starts to hold for these holders, with no bytes yet.
    #[must_use]
    pub fn hold(&self, holders: Vec<Holder>) -> HeldBytes {
        HeldBytes { budget: self.clone(), holders, bytes: 0 }
    }

    /// The number of bytes held by all requests.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.counts().all
    }

    fn counts(&self) -> MutexGuard<'_, HeldCounts> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldBytes {
    /// Takes more bytes. Returns `false`, and takes nothing, when the budget or a holder's share has no room.
    #[must_use]
    pub fn take(&mut self, bytes: u64) -> bool {
        let limit = self.budget.0.limit;
        let mut counts = self.budget.counts();
        let held_by = |holder| counts.by_holder.get(holder).copied().unwrap_or_default();
        let exceeds_share = self.holders.iter().any(|holder| held_by(holder) + bytes > limit / SHARES);
        if exceeds_share || counts.all + bytes > limit {
            return false;
        }
        counts.all += bytes;
        for holder in &self.holders {
            *counts.by_holder.entry(*holder).or_default() += bytes;
        }
        self.bytes += bytes;
        true
    }

    /// Releases all of its bytes.
    pub fn release(&mut self) {
        let mut counts = self.budget.counts();
        counts.all -= self.bytes;
        for holder in &self.holders {
            if let Some(count) = counts.by_holder.get_mut(holder) {
                *count -= self.bytes;
                if *count == 0 {
                    counts.by_holder.remove(holder);
                }
            }
        }
        self.bytes = 0;
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Holder {
        Holder::Address([192, 0, 2, last].into())
    }

    #[test]
    fn each_holder_has_a_share_and_all_together_have_a_limit() {
        let budget = Budget::new(Some(800));
        let principal = Holder::Principal(Uuid::from_u128(1));
        let mut one = budget.hold(vec![address(1), principal]);
        assert!(one.take(60) && one.take(40) && !one.take(1), "an eighth is 100");
        let mut elsewhere = budget.hold(vec![address(2), principal]);
        assert!(!elsewhere.take(1), "the principal has its share at the other address");
        let mut others = (2..9).map(|last| budget.hold(vec![address(last)])).collect::<Vec<_>>();
        assert!(others.iter_mut().all(|held| held.take(100)));
        assert_eq!(budget.held_bytes(), 800);
        let mut late = budget.hold(vec![address(99)]);
        assert!(!late.take(1) && !budget.hold(Vec::new()).take(1), "nothing is left");
        one.release();
        assert!(late.take(100) && elsewhere.take(0));
        drop((one, others, late, elsewhere));
        assert_eq!(budget.held_bytes(), 0);
        assert!(budget.counts().by_holder.is_empty(), "nothing is kept of holders that hold nothing");
    }

    #[test]
    fn the_budget_follows_the_memory() {
        let limit = Budget::new(None).0.limit;
        assert!(limit >= 2 << 20, "{limit}");
    }
}
