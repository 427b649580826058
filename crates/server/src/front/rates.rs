//! Rate limits of callers and addresses: token buckets that refill continuously, in bounded memory.

use crate::settings::{Quota, Settings};
use domain::time::Micros;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// How many buckets are kept. Beyond it, the least recently used are dropped: a dropped bucket is a full one.
const MAX_BUCKETS: usize = 100_000;

/// How many login sessions the keys of one principal may open. Sessions are reused, so a program that requests a token at
/// each start opens one in half of a session's life.
pub const LOGINS_OF_KEYS: Quota = Quota { requests: 60, seconds: 600 };

/// What a bucket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BucketKey {
    /// An address, or a network of IPv6.
    Address(IpAddr),
    /// A key, or a login session.
    Credential(Uuid),
    /// A user or a service user, with any credential.
    Principal(Uuid),
    /// The login sessions that the keys of a user open.
    Logins(Uuid),
}

impl BucketKey {
    /// The name of its policy, for clients.
    #[must_use]
    pub fn policy(self) -> &'static str {
        match self {
            BucketKey::Address(_) => "address",
            BucketKey::Credential(_) => "credential",
            BucketKey::Principal(_) => "principal",
            BucketKey::Logins(_) => "logins",
        }
    }

    /// What the settings allow it.
    #[must_use]
    pub fn quota(self, settings: &Settings) -> Option<Quota> {
        match self {
            BucketKey::Address(_) => settings.rate_per_address,
            BucketKey::Credential(_) => settings.rate_per_credential,
            BucketKey::Principal(_) => settings.rate_per_principal,
            BucketKey::Logins(_) => Some(LOGINS_OF_KEYS),
        }
    }
}

/// What remains of a quota after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemainingQuota {
    /// The quota.
    pub quota: Quota,
    /// How many more requests are allowed now.
    pub requests: u64,
    /// Seconds until the quota is full again.
    pub full_in: u64,
    /// Seconds until the next request is allowed, when this one is not.
    pub wait: Option<u64>,
}

/// The buckets.
pub struct Rates(Mutex<Buckets>);

impl Default for Rates {
    fn default() -> Rates {
        Rates::with_capacity(MAX_BUCKETS)
    }
}

/// Two generations of buckets. A bucket that is used moves to the young one. When that has half of all buckets, the old
/// generation is dropped and the young one takes its place.
struct Buckets {
    young: HashMap<BucketKey, Bucket>,
    old: HashMap<BucketKey, Bucket>,
    most: usize,
}

/// A token bucket in whole numbers: a request costs as many tokens as the quota's window has microseconds, and each
/// microsecond adds as many tokens as the quota has requests.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: i64,
    at: Micros,
}

impl Rates {
    /// Rate limits that keep at most `most` buckets.
    #[must_use]
    pub fn with_capacity(most: usize) -> Rates {
        Rates(Mutex::new(Buckets { young: HashMap::new(), old: HashMap::new(), most }))
    }

    /// Takes one request from a bucket, if the bucket has enough.
    pub fn spend(&self, key: BucketKey, quota: Quota, now: Micros) -> RemainingQuota {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get_or_insert(key, Bucket { tokens: quota.full(), at: now }).spend(quota, now)
    }

    /// How many buckets are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.young.len() + buckets.old.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Buckets {
    fn get_or_insert(&mut self, key: BucketKey, full: Bucket) -> &mut Bucket {
        if !self.young.contains_key(&key) && self.young.len() >= self.most / 2 {
            let known = self.old.remove(&key);
            self.old = std::mem::take(&mut self.young);
            self.old.extend(known.map(|bucket| (key, bucket)));
        }
        let Buckets { young, old, .. } = self;
        young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or(full))
    }
}

impl Bucket {
    fn spend(&mut self, quota: Quota, now: Micros) -> RemainingQuota {
        // A clock that went back adds nothing and takes nothing.
        let passed = now.duration_since(self.at).0.max(0);
        self.at = now;
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(quota.speed())).min(quota.full());
        let cost = quota.cost();
        let wait = (self.tokens < cost).then(|| quota.seconds_for(cost - self.tokens));
        if wait.is_none() {
            self.tokens -= cost;
        }
        RemainingQuota {
            quota,
            requests: u64::try_from(self.tokens / cost).unwrap_or_default(),
            full_in: quota.seconds_for(quota.full() - self.tokens),
            wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::Span;
    use proptest::prelude::*;

    const QUOTA: Quota = Quota { requests: 3, seconds: 60 };
    const START: Micros = Micros(1_772_366_400_000_000);

    fn key(number: u128) -> BucketKey {
        BucketKey::Credential(Uuid::from_u128(number))
    }

    #[test]
    fn a_quota_allows_a_burst_and_refills_continuously() {
        let rates = Rates::default();
        let at = |seconds| {
            let left = rates.spend(key(1), QUOTA, START + Span::seconds(seconds));
            (left.requests, left.full_in, left.wait)
        };
        assert_eq!([at(0), at(0), at(0)], [(2, 20, None), (1, 40, None), (0, 60, None)]);
        assert_eq!(at(0), (0, 60, Some(20)));
        assert_eq!(at(19), (0, 41, Some(1)), "a refusal costs nothing");
        assert_eq!(at(20), (0, 60, None));
        assert_eq!(at(10), (0, 60, Some(20)), "the clock went back");
        assert_eq!(at(1_000_000), (2, 20, None), "no more than the quota is saved up");
        assert_eq!(rates.spend(key(2), QUOTA, START).requests, 2, "another has its own");
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten_first() {
        let rates = Rates::with_capacity(1_000);
        for _ in 0..3 {
            rates.spend(key(0), QUOTA, START);
        }
        for number in 1..1_000_000 {
            rates.spend(key(number), QUOTA, START);
            // A bucket that is used from time to time is kept, however many others come.
            if number % 400 == 0 {
                assert!(rates.spend(key(0), QUOTA, START).wait.is_some(), "{number}");
            }
        }
        assert!(rates.len() <= 1_000, "{}", rates.len());
        assert_eq!(rates.spend(key(1), QUOTA, START).requests, 2, "the first was forgotten");
    }

    proptest! {
        #[test]
        fn no_more_than_quota_and_time_allow(
            requests in 1u32..1_000_000_000, seconds in 1u32..3_600, steps in prop::collection::vec(0i64..10_000_000, 1..50),
        ) {
            let quota = Quota { requests, seconds };
            let rates = Rates::with_capacity(2);
            let (mut now, mut answered) = (START, 0u64);
            for step in steps {
                now = now + Span(step);
                answered += u64::from(rates.spend(key(1), quota, now).wait.is_none());
                let earned = u128::from(requests) * (now.duration_since(START).0 as u128) / (u128::from(seconds) * 1_000_000);
                prop_assert!(u128::from(answered) <= u128::from(requests) + earned + 1);
            }
        }
    }
}
