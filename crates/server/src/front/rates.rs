//! How many requests a caller and an address may send: buckets that fill by themselves, as many as fit into a bounded
//! memory.

use crate::settings::{Quota, Settings};
use domain::time::Micros;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// How many buckets are remembered. Of more, those that were not used for the longest time are forgotten, which fills
/// them.
const REMEMBERED: usize = 100_000;

/// How many login sessions the keys of one principal may open. They are used again, so that a program which asks for a token
/// whenever it starts opens one in half of a session's life.
pub const LOGINS_OF_KEYS: Quota = Quota { requests: 60, seconds: 600 };

/// What a bucket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// An address, or a network of IPv6.
    Address(IpAddr),
    /// A key, or a login session.
    Credential(Uuid),
    /// A user or a service user, with whatever credential.
    Principal(Uuid),
    /// The login sessions that the keys of a user open.
    Logins(Uuid),
}

impl Key {
    /// The name of its policy, for clients.
    #[must_use]
    pub fn policy(self) -> &'static str {
        match self {
            Key::Address(_) => "address",
            Key::Credential(_) => "credential",
            Key::Principal(_) => "principal",
            Key::Logins(_) => "logins",
        }
    }

    /// What the settings allow it.
    #[must_use]
    pub fn quota(self, settings: &Settings) -> Option<Quota> {
        match self {
            Key::Address(_) => settings.rate_per_address,
            Key::Credential(_) => settings.rate_per_credential,
            Key::Principal(_) => settings.rate_per_principal,
            Key::Logins(_) => Some(LOGINS_OF_KEYS),
        }
    }
}

/// What is left of a quota after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The quota.
    pub quota: Quota,
    /// How many more requests are answered now.
    pub requests: u64,
    /// Seconds until the whole quota is there again.
    pub full_in: u64,
    /// Seconds until the next request is answered, when this one is not.
    pub wait: Option<u64>,
}

/// The buckets.
pub struct Rates(Mutex<Buckets>);

impl Default for Rates {
    fn default() -> Rates {
        Rates::of(REMEMBERED)
    }
}

/// Two generations: what is used moves to the young one, and when that has half of what is remembered, the old one is
/// forgotten and the young one is the old one.
struct Buckets {
    young: HashMap<Key, Bucket>,
    old: HashMap<Key, Bucket>,
    most: usize,
}

/// A request costs as many drops as the quota's time has microseconds, and a microsecond brings as many drops as the
/// quota has requests: everything stays a whole number.
#[derive(Clone, Copy)]
struct Bucket {
    drops: i64,
    at: Micros,
}

impl Rates {
    /// Buckets of which so many are remembered.
    #[must_use]
    pub fn of(most: usize) -> Rates {
        Rates(Mutex::new(Buckets { young: HashMap::new(), old: HashMap::new(), most }))
    }

    /// Takes a request out of a bucket, if there is one in it.
    pub fn spend(&self, key: Key, quota: Quota, now: Micros) -> Left {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.of(key, Bucket { drops: quota.full(), at: now }).spend(quota, now)
    }

    /// How many buckets are remembered.
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
    fn of(&mut self, key: Key, full: Bucket) -> &mut Bucket {
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
    fn spend(&mut self, quota: Quota, now: Micros) -> Left {
        // A clock that went back brings nothing and takes nothing.
        let passed = now.since(self.at).0.max(0);
        self.at = now;
        self.drops = self.drops.saturating_add(passed.saturating_mul(quota.speed())).min(quota.full());
        let cost = quota.cost();
        let wait = (self.drops < cost).then(|| quota.seconds_for(cost - self.drops));
        if wait.is_none() {
            self.drops -= cost;
        }
        Left {
            quota,
            requests: u64::try_from(self.drops / cost).unwrap_or_default(),
            full_in: quota.seconds_for(quota.full() - self.drops),
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

    fn key(number: u128) -> Key {
        Key::Credential(Uuid::from_u128(number))
    }

    #[test]
    fn a_quota_is_there_at_once_and_comes_back_bit_by_bit() {
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
        let rates = Rates::of(1_000);
        for _ in 0..3 {
            rates.spend(key(0), QUOTA, START);
        }
        for number in 1..1_000_000 {
            rates.spend(key(number), QUOTA, START);
            // Whoever asks now and then is not forgotten, however many come past.
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
            let rates = Rates::of(2);
            let (mut now, mut answered) = (START, 0u64);
            for step in steps {
                now = now + Span(step);
                answered += u64::from(rates.spend(key(1), quota, now).wait.is_none());
                let earned = u128::from(requests) * (now.since(START).0 as u128) / (u128::from(seconds) * 1_000_000);
                prop_assert!(u128::from(answered) <= u128::from(requests) + earned + 1);
            }
        }
    }
}
