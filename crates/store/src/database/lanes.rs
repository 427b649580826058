//! The two lanes of reads, and the admission to the lane of scans.
//!
//! A read by key (a credential, one session, a page) uses the lane of keys. A read that counts, searches or walks a
//! table is a scan. A scan is tried in the lane of keys first, for a few milliseconds: most are that cheap. Otherwise
//! it waits for a place in the lane of scans, which never takes all readers.

use super::DatabaseError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

/// Maximum number of scans that one principal runs at one time.
const PRINCIPAL: usize = 2;
/// Maximum number of waiting scans of one principal.
const WAITING: usize = 256;
/// Maximum duration of a scan for Tenure's own jobs.
const JOB: Duration = Duration::from_secs(600);

/// The number of readers, and the deadlines of reads.
#[derive(Debug, Clone, Copy)]
pub struct Readers {
    /// Threads that read an SQLite database; at least two are started.
    pub sqlite: u32,
    /// Connections that read from PostgreSQL; at least two are opened.
    pub postgres: u32,
    /// Maximum duration of a read by key, waiting included.
    pub read_timeout: Duration,
    /// Maximum duration of a scan after it got its place.
    pub scan_timeout: Duration,
    /// How long a scan may wait for its place before its caller is told to come back later.
    pub scan_wait: Duration,
    /// How long a read waits for a PostgreSQL server that cannot be reached.
    pub connect_timeout: Duration,
}

impl Default for Readers {
    fn default() -> Self {
        Readers {
            sqlite: 6,
            postgres: 16,
            read_timeout: Duration::from_secs(30),
            scan_timeout: Duration::from_secs(10),
            scan_wait: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl Readers {
    /// Splits readers into those for keys and those for scans.
    pub(super) fn split(count: u32) -> (u32, u32) {
        let scans = (count / 3).max(1);
        (count.saturating_sub(scans).max(1), scans)
    }
}

/// The caller of a scan. Places are shared by organizations first, then by principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanCaller {
    /// Tenure's own jobs, and administration commands.
    Tenure,
    /// The caller of a request.
    Caller {
        /// The principal.
        principal: Uuid,
        /// Their organization; nil for the whole account.
        organization: Uuid,
    },
}

/// How statements are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// In the lane of keys.
    Key,
    /// In the lane of keys, ended with [`DatabaseError::Slow`] after a few milliseconds.
    Brief,
    /// In the lane of scans, for at most this long.
    Scan(Duration),
}

/// Admits scans. Clones share the places.
#[derive(Clone)]
pub(super) struct Lanes {
    /// Bounds the scans of each principal, in both lanes.
    tickets: Arc<ScanGate>,
    /// Bounds the scans in the lane of scans.
    places: Arc<ScanGate>,
    pub(super) read_timeout: Duration,
    scan_timeout: Duration,
}

impl Lanes {
    /// Lanes with this many readers for scans.
    pub(super) fn new(readers: &Readers, scans: u32) -> Lanes {
        let (places, wait) = (scans as usize, readers.scan_wait);
        // No organization can fill the lane, unless the lane has only one place.
        let shared = places.saturating_sub(1).max(1);
        let tickets = GateLimits { places: usize::MAX, organization: usize::MAX, principal: PRINCIPAL, wait };
        let places = GateLimits { places, organization: shared, principal: PRINCIPAL.min(shared), wait };
        Lanes {
            tickets: Arc::new(ScanGate::new(tickets)),
            places: Arc::new(ScanGate::new(places)),
            read_timeout: readers.read_timeout,
            scan_timeout: readers.scan_timeout,
        }
    }

    /// Runs a scan by `read`: for a few milliseconds in the lane of keys, or else in the lane of scans.
    ///
    /// # Errors
    /// [`DatabaseError::Crowded`], [`DatabaseError::Slow`], and the errors of `read`.
    pub(super) async fn scan<T, F>(
        &self,
        caller: ScanCaller,
        read: impl Fn(Lane) -> F,
    ) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, DatabaseError>>,
    {
        let _ticket = self.tickets.enter(caller).await?;
        match with_deadline(self.read_timeout, read(Lane::Brief)).await {
            Err(DatabaseError::Slow { .. }) => {}
            outcome => return outcome,
        }
        let _place = self.places.enter(caller).await?;
        let limit = if caller == ScanCaller::Tenure { JOB } else { self.scan_timeout };
        with_deadline(limit, read(Lane::Scan(limit))).await
    }
}

/// Waits for a read until its deadline. The reader ends a read that nobody waits for.
pub(super) async fn with_deadline<T>(
    limit: Duration,
    read: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    match timeout(limit, read).await {
        Ok(Err(DatabaseError::Slow { .. })) | Err(_) => Err(DatabaseError::Slow { seconds: limit.as_secs() }),
        Ok(outcome) => outcome,
    }
}

/// How many scans a gate admits at one time.
#[derive(Debug, Clone, Copy)]
struct GateLimits {
    places: usize,
    organization: usize,
    principal: usize,
    /// How long a scan may wait.
    wait: Duration,
}

/// Admits a bounded number of scans. Waiting ones take turns by organization, then by principal.
struct ScanGate {
    limits: GateLimits,
    state: Mutex<ScanGateState>,
}

#[derive(Default)]
struct ScanGateState {
    running: Vec<ScanCaller>,
    waiting: Vec<WaitingScan>,
}

struct WaitingScan {
    caller: ScanCaller,
    admit: oneshot::Sender<ScanPlace>,
}

/// A place in a gate. Dropping it frees the place.
struct ScanPlace {
    /// `None` when the place is free already.
    gate: Option<Arc<ScanGate>>,
    caller: ScanCaller,
}

impl Drop for ScanPlace {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let mut state = gate.lock();
        state.leave(self.caller);
        gate.admit(&mut state);
    }
}

impl ScanGate {
    fn new(limits: GateLimits) -> ScanGate {
        ScanGate { limits, state: Mutex::default() }
    }

    async fn enter(self: &Arc<ScanGate>, caller: ScanCaller) -> Result<ScanPlace, DatabaseError> {
        let admitted = self.queue(caller)?;
        let place = match caller {
            ScanCaller::Tenure => admitted.await.ok(),
            ScanCaller::Caller { .. } => timeout(self.limits.wait, admitted).await.ok().and_then(Result::ok),
        };
        place.ok_or_else(|| self.overload_error(caller))
    }

    fn queue(
        self: &Arc<ScanGate>,
        caller: ScanCaller,
    ) -> Result<oneshot::Receiver<ScanPlace>, DatabaseError> {
        let mut state = self.lock();
        state.waiting.retain(|other| !other.admit.is_closed());
        let others = state.waiting.iter().filter(|other| other.caller.is_same_principal(caller)).count();
        if others >= WAITING && caller != ScanCaller::Tenure {
            return Err(DatabaseError::Crowded { own: true });
        }
        let (admit, admitted) = oneshot::channel();
        state.waiting.push(WaitingScan { caller, admit });
        self.admit(&mut state);
        Ok(admitted)
    }

    fn overload_error(&self, caller: ScanCaller) -> DatabaseError {
        let own = self.lock().running.iter().any(|other| other.is_same_principal(caller));
        DatabaseError::Crowded { own }
    }

    fn lock(&self) -> MutexGuard<'_, ScanGateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free places to waiting scans.
    fn admit(self: &Arc<ScanGate>, state: &mut ScanGateState) {
        while let Some(next) = state.next(self.limits) {
            let WaitingScan { caller, admit } = state.waiting.remove(next);
            state.running.push(caller);
            let place = ScanPlace { gate: Some(self.clone()), caller };
            match admit.send(place) {
                // Others of the same organization now come last, and of these the same principal's.
                Ok(()) => state.waiting.sort_by_key(|other| {
                    (other.caller.is_same_organization(caller), other.caller.is_same_principal(caller))
                }),
                // Nobody waits for this place. It must not free itself, because the lock is held here.
                Err(mut place) => {
                    place.gate = None;
                    state.leave(caller);
                }
            }
        }
    }
}

impl ScanGateState {
    /// The first waiting scan that the limits allow.
    fn next(&self, limits: GateLimits) -> Option<usize> {
        let has_room = self.running.len() < limits.places;
        let is_allowed = |waiting: &WaitingScan| {
            let count = |same: fn(ScanCaller, ScanCaller) -> bool| {
                self.running.iter().filter(|other| same(**other, waiting.caller)).count()
            };
            count(ScanCaller::is_same_organization) < limits.organization
                && (waiting.caller == ScanCaller::Tenure
                    || count(ScanCaller::is_same_principal) < limits.principal)
        };
        self.waiting.iter().position(is_allowed).filter(|_| has_room)
    }

    fn leave(&mut self, caller: ScanCaller) {
        if let Some(place) = self.running.iter().position(|other| *other == caller) {
            self.running.swap_remove(place);
        }
    }
}

impl ScanCaller {
    fn principal(self) -> Option<Uuid> {
        match self {
            ScanCaller::Tenure => None,
            ScanCaller::Caller { principal, .. } => Some(principal),
        }
    }

    fn organization(self) -> Option<Uuid> {
        match self {
            ScanCaller::Tenure => None,
            ScanCaller::Caller { organization, .. } => Some(organization),
        }
    }

    fn is_same_principal(self, other: ScanCaller) -> bool {
        self.principal() == other.principal()
    }

    fn is_same_organization(self, other: ScanCaller) -> bool {
        self.organization() == other.organization()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn scan_caller(organization: u128, principal: u128) -> ScanCaller {
        ScanCaller::Caller {
            organization: Uuid::from_u128(organization),
            principal: Uuid::from_u128(principal),
        }
    }

    /// With default settings, SQLite has two places and PostgreSQL has five.
    fn gate(places: usize, each: usize) -> Arc<ScanGate> {
        let organization = places.saturating_sub(1).max(1);
        Arc::new(ScanGate::new(GateLimits { places, organization, principal: each, wait: Duration::ZERO }))
    }

    #[tokio::test]
    async fn one_principal_leaves_places_for_others_and_is_refused_for_now() {
        let gate = gate(5, 2);
        let mut running =
            vec![gate.enter(scan_caller(1, 1)).await.unwrap(), gate.enter(scan_caller(1, 1)).await.unwrap()];
        let own = gate.enter(scan_caller(1, 1)).await.err().unwrap();
        assert!(matches!(own, DatabaseError::Crowded { own: true }), "{own}");
        for principal in [2, 3] {
            running.push(gate.enter(scan_caller(1, principal)).await.unwrap());
        }
        let error = gate.enter(scan_caller(1, 4)).await.err().unwrap();
        assert!(
            matches!(error, DatabaseError::Crowded { own: false }),
            "its organization has reached its limit: {error}"
        );
        let other = gate.enter(scan_caller(2, 5)).now_or_never();
        assert!(other.unwrap().is_ok(), "another organization gets a place at once");
        assert!(gate.lock().waiting.iter().all(|waiting| waiting.admit.is_closed()));
    }

    #[tokio::test]
    async fn places_go_round_by_organization_and_then_by_principal() {
        let gate = gate(1, 1);
        let mut place = Some(gate.enter(scan_caller(9, 9)).await.unwrap());
        // Four scans of one principal came first, then one of a colleague, then two of another organization.
        let order = [(1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (2, 3), (2, 3)];
        let mut waiting = Vec::from(order.map(|(o, p)| ((o, p), gate.queue(scan_caller(o, p)).unwrap())));
        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(place.take());
            let next = waiting
                .iter_mut()
                .position(|(_, admitted)| admitted.try_recv().map(|admitted| place = Some(admitted)).is_ok());
            served.push(waiting.remove(next.expect("a scan was admitted")).0);
        }
        assert_eq!(served, [(1, 1), (2, 3), (1, 2), (2, 3), (1, 1), (1, 1), (1, 1)]);
    }

    #[tokio::test]
    async fn a_place_of_a_cancelled_scan_is_not_lost() {
        let gate = gate(1, 1);
        let place = gate.enter(scan_caller(1, 1)).await.unwrap();
        let cancelled = gate.queue(scan_caller(2, 2)).unwrap();
        let waiting = gate.queue(scan_caller(3, 3)).unwrap();
        drop(cancelled);
        drop(place);
        let place = waiting.await.unwrap();
        // It was admitted, but was dropped before it used its place.
        let admitted = gate.queue(scan_caller(4, 4)).unwrap();
        drop(place);
        drop(admitted);
        assert!(gate.enter(scan_caller(5, 5)).now_or_never().unwrap().is_ok());
        assert!(gate.lock().running.is_empty());
    }

    #[test]
    fn keys_always_have_a_reader() {
        for (count, expected) in
            [(0, (1, 1)), (1, (1, 1)), (2, (1, 1)), (4, (3, 1)), (6, (4, 2)), (16, (11, 5))]
        {
            assert_eq!(Readers::split(count), expected, "{count}");
        }
    }
}
