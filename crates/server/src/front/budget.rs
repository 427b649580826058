//! One budget for the bytes of all unfinished requests: bodies and frames that have not been answered yet.
//!
//! Each holder, an address or a principal, gets a share of it, so that one client cannot take all of it. Uploads are
//! exempt: they go to disk piece by piece.

use crate::failure::Failure;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Which part of the budget one holder may use: one in so many.
const SHARES: u64 = 8;
/// The budget when nothing sets it: one in so many parts of the memory.
const PARTS_OF_MEMORY: u64 = 8;

/// What a client is told for whom there is no room.
#[must_use]
pub fn full() -> Failure {
    Failure::Away("too many unfinished requests are held in memory: try again later")
}

/// Who holds bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Everybody at one address (of IPv6, in one /64).
    Address(IpAddr),
    /// One user or service user.
    Principal(Uuid),
}

/// The budget.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    most: u64,
    held: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: u64,
    of: HashMap<Holder, u64>,
}

/// Bytes that are held; they are given back when this is dropped.
pub struct Held {
    budget: Budget,
    holders: Vec<Holder>,
    bytes: u64,
}

impl Budget {
    /// A budget of `bytes`, or of an eighth of the memory that this server may use.
    #[must_use]
    pub fn new(bytes: Option<u64>) -> Budget {
        let most = bytes.unwrap_or_else(|| super::memory::available() / PARTS_OF_MEMORY);
        Budget(Arc::new(Inner { most, held: Mutex::default() }))
    }

    /// Nothing yet, in the names of these holders.
    #[must_use]
    pub fn hold(&self, holders: Vec<Holder>) -> Held {
        Held { budget: self.clone(), holders, bytes: 0 }
    }

    /// How many bytes are held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.counts().all
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Takes more bytes; `false`, and nothing is taken, when the budget or a holder's share of it has no room.
    #[must_use]
    pub fn take(&mut self, bytes: u64) -> bool {
        let most = self.budget.0.most;
        let mut counts = self.budget.counts();
        let of_one = |holder| counts.of.get(holder).copied().unwrap_or_default();
        let crowded = self.holders.iter().any(|holder| of_one(holder) + bytes > most / SHARES);
        if crowded || counts.all + bytes > most {
            return false;
        }
        counts.all += bytes;
        for holder in &self.holders {
            *counts.of.entry(*holder).or_default() += bytes;
        }
        self.bytes += bytes;
        true
    }

    /// Gives all of it back.
    pub fn release(&mut self) {
        let mut counts = self.budget.counts();
        counts.all -= self.bytes;
        for holder in &self.holders {
            if let Some(count) = counts.of.get_mut(holder) {
                *count -= self.bytes;
                if *count == 0 {
                    counts.of.remove(holder);
                }
            }
        }
        self.bytes = 0;
    }
}

impl Drop for Held {
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
        assert_eq!(budget.held(), 800);
        let mut late = budget.hold(vec![address(99)]);
        assert!(!late.take(1) && !budget.hold(Vec::new()).take(1), "nothing is left");
        one.release();
        assert!(late.take(100) && elsewhere.take(0));
        drop((one, others, late, elsewhere));
        assert_eq!(budget.held(), 0);
        assert!(budget.counts().of.is_empty(), "nothing is kept of holders that hold nothing");
    }

    #[test]
    fn the_budget_follows_the_memory() {
        let most = Budget::new(None).0.most;
        assert!(most >= 2 << 20, "{most}");
    }
}
