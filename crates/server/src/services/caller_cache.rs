//! Callers that were let in, remembered as long as nothing has changed that authentication reads.
//!
//! Each use of a credential first asks the store whose access was changed by anybody until then. So a revoked credential
//! stops working at once, on every server, although its caller is not read again. A refusal is never remembered.

use crate::failure::Failure;
use crate::services::request_look;
use domain::credential::SecretHash;
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::principal::Membership;
use domain::time::Micros;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::access::ViewSessions;
use store::{AccessMoment, AccessWatch, Caller, Granted, OrganizationChoice, Store, System};

/// Bytes of memory that remembered callers may take.
const BYTES: u64 = 16 << 20;
/// About the number of callers that these are.
const CALLERS: usize = 30_000;

/// What a request presents: a hash of a credential, never its secret, and the organization that the request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presented {
    /// The hash of an API key.
    Key(SecretHash, OrganizationChoice),
    /// The hash of a whole signed token.
    Token(SecretHash, OrganizationChoice),
}

/// From when on a caller is read that may then be remembered.
pub struct ReadFrom(Option<AccessMoment>);

#[derive(Clone)]
struct RememberedCaller {
    caller: Caller,
    /// It has all changes until then.
    moment: AccessMoment,
    /// From then on, it must be read again whether or not anything has changed.
    until: Micros,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Presented, RememberedCaller> for Bytes {
    fn weight(&self, _: &Presented, remembered: &RememberedCaller) -> u64 {
        let memberships = size_of_val::<[Membership]>(remembered.caller.memberships());
        (size_of::<(Presented, RememberedCaller)>() + memberships) as u64
    }
}

/// The sessions that a caller has pinned.
pub type Pins = Arc<HashSet<SessionId>>;

#[derive(Clone)]
struct RememberedPins {
    pins: Pins,
    /// They have all changes until then.
    moment: AccessMoment,
}

impl Weighter<(OrganizationId, PrincipalId), RememberedPins> for Bytes {
    fn weight(&self, _: &(OrganizationId, PrincipalId), remembered: &RememberedPins) -> u64 {
        (128 + remembered.pins.len() * size_of::<SessionId>() * 2) as u64
    }
}

/// Remembers callers, and what they have pinned.
pub struct CallerCache {
    store: Store,
    watch: AccessWatch,
    callers: Cache<Presented, RememberedCaller, Bytes>,
    pins: Cache<(OrganizationId, PrincipalId), RememberedPins, Bytes>,
    remembered: AtomicU64,
    read: AtomicU64,
}

impl CallerCache {
    /// Remembers nobody yet.
    pub fn new(store: Store) -> CallerCache {
        CallerCache {
            watch: AccessWatch::new(store.clone()),
            store,
            callers: Cache::with_weighter(CALLERS, BYTES, Bytes),
            pins: Cache::with_weighter(CALLERS, BYTES, Bytes),
            remembered: AtomicU64::new(0),
            read: AtomicU64::new(0),
        }
    }

    /// Who came with a credential earlier, unless that may have changed before this call. Otherwise it must be read.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn find(&self, presented: &Presented, now: Micros) -> Result<Option<Caller>, Failure> {
        let remembered = match self.callers.contains_key(presented) {
            true => self.find_unchanged(presented, now).await?,
            // The database is not asked about what nobody came with.
            false => None,
        };
        let count = if remembered.is_some() { &self.remembered } else { &self.read };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(remembered)
    }

    async fn find_unchanged(&self, presented: &Presented, now: Micros) -> Result<Option<Caller>, Failure> {
        if self.catch_up().await?.is_none() {
            return Ok(None);
        }
        let remembered = self.callers.get(presented).filter(|remembered| {
            now < remembered.until
                && !self.watch.has_changed(remembered.caller.principal(), remembered.moment)
        });
        Ok(remembered.map(|remembered| remembered.caller))
    }

    /// Begins to read a caller. A change from here on makes it forgotten.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin_read(&self) -> Result<ReadFrom, Failure> {
        Ok(ReadFrom(self.catch_up().await?))
    }

    /// Remembers a caller that was let in, and that was read after `from`, until a time.
    pub fn remember(&self, presented: Presented, caller: &Caller, from: ReadFrom, until: Micros) {
        if let ReadFrom(Some(moment)) = from {
            self.callers.insert(presented, RememberedCaller { caller: caller.clone(), moment, until });
        }
    }

    /// The sessions that a caller has pinned.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list_pins(&self, store: &Store, granted: &Granted<ViewSessions>) -> Result<Pins, Failure> {
        let moment = self.find_moment().await?;
        let (Some(moment), Some(principal)) = (moment, granted.principal()) else {
            return Ok(store.list_pinned_sessions(granted).await?.into());
        };
        let of_caller = (granted.organization(), principal);
        let remembered = self.pins.get(&of_caller);
        if let Some(known) = remembered.filter(|known| !self.watch.has_changed(principal, known.moment)) {
            return Ok(known.pins);
        }
        let pins = Pins::from(store.list_pinned_sessions(granted).await?);
        self.pins.insert(of_caller, RememberedPins { pins: pins.clone(), moment });
        Ok(pins)
    }

    /// A number that grows when names of people or organizations change, with all changes until now. `None` when an SQLite
    /// database does not say at once.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn names_version(&self) -> Result<Option<u64>, Failure> {
        Ok(self.find_moment().await?.map(|_| self.watch.names_version()))
    }

    /// A moment until which all changes of access are known, of the request's look or of a new one. `None` when an SQLite
    /// database does not say at once.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn find_moment(&self) -> Result<Option<AccessMoment>, Failure> {
        match request_look::find() {
            Some(look) => Ok(self.watch.catch_up(&look).await?),
            None => self.catch_up().await,
        }
    }

    /// Waits until every change is known that was committed before this call.
    async fn catch_up(&self) -> Result<Option<AccessMoment>, Failure> {
        let look = self.store.look(&System::for_sign_in()).await?;
        let moment = self.watch.catch_up(&look).await?;
        request_look::keep(look);
        Ok(moment)
    }

    /// Number of uses of credentials since the server started: those whose callers were remembered, and those whose
    /// callers were read.
    pub fn counts(&self) -> (u64, u64) {
        (self.remembered.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed))
    }
}
