//! The two lanes of reads, and who may enter the lane of scans.
//!
//! What is found by a key (a credential, one session, a page) takes the lane of keys. What counts, searches or walks a
//! table is a scan. A scan is tried in the lane of keys first, with a budget of milliseconds: most are that cheap. One
//! that needs more waits for a place in the lane of scans, which never holds all readers.

use super::DatabaseError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

/// How many scans of one principal are read at once.
const PRINCIPAL: usize = 2;
/// How many scans of one principal may wait.
const WAITING: usize = 256;
/// How long a scan of Tenure's own jobs may take.
const JOB: Duration = Duration::from_secs(600);

/// How many questions are answered at the same time, and how long one may take.
#[derive(Debug, Clone, Copy)]
pub struct Readers {
    /// Threads that read a SQLite database; at least two are started.
    pub sqlite: u32,
    /// Connections that read from PostgreSQL; at least two are opened.
    pub postgres: u32,
    /// How long a read by a key may take, its waiting included.
    pub read_timeout: Duration,
    /// How long a scan may take once it has its place.
    pub scan_timeout: Duration,
    /// How long a scan may wait for its turn before its caller is told to come back later.
    pub scan_wait: Duration,
    /// How long a read waits for a PostgreSQL server that is away.
    pub away: Duration,
}

impl Default for Readers {
    fn default() -> Self {
        Readers {
            sqlite: 6,
            postgres: 16,
            read_timeout: Duration::from_secs(30),
            scan_timeout: Duration::from_secs(10),
            scan_wait: Duration::from_secs(5),
            away: Duration::from_secs(10),
        }
    }
}

impl Readers {
    /// How many of some readers are for keys, and how many for scans.
    pub(super) fn split(count: u32) -> (u32, u32) {
        let scans = (count / 3).max(1);
        (count.saturating_sub(scans).max(1), scans)
    }
}

/// For whom a scan is: places are shared among organizations first, then among principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanCaller {
    /// Tenure's own jobs and the administration on the command line.
    Tenure,
    /// Somebody who sent a request.
    Caller {
        /// Who.
        principal: Uuid,
        /// In which organization; nil for the whole account.
        organization: Uuid,
    },
}

/// How a question is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// In the lane of keys.
    Key,
    /// In the lane of keys, given up with [`DatabaseError::Slow`] when it takes more than a few milliseconds.
    Brief,
    /// In the lane of scans, for at most so long.
    Scan(Duration),
}

/// Lets scans in. Clones share the places.
#[derive(Clone)]
pub(super) struct Lanes {
    /// Bounds the scans of each principal, wherever they are read.
    tickets: Arc<ScanGate>,
    /// Bounds the scans in the lane of scans.
    places: Arc<ScanGate>,
    pub(super) read_timeout: Duration,
    scan_timeout: Duration,
}

impl Lanes {
    /// Lanes of which the second has so many readers.
    pub(super) fn new(readers: &Readers, scans: u32) -> Lanes {
        let (places, wait) = (scans as usize, readers.scan_wait);
        // No organization fills the lane, unless it has one place only.
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

    /// Reads a scan by `look`: briefly, or else in a place of the lane of scans.
    ///
    /// # Errors
    /// [`DatabaseError::Crowded`], [`DatabaseError::Slow`], and those of `look`.
    pub(super) async fn scan<T, F>(
        &self,
        asker: ScanCaller,
        look: impl Fn(Lane) -> F,
    ) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, DatabaseError>>,
    {
        let _ticket = self.tickets.enter(asker).await?;
        match with_deadline(self.read_timeout, look(Lane::Brief)).await {
            Err(DatabaseError::Slow { .. }) => {}
            outcome => return outcome,
        }
        let _place = self.places.enter(asker).await?;
        let limit = if asker == ScanCaller::Tenure { JOB } else { self.scan_timeout };
        with_deadline(limit, look(Lane::Scan(limit))).await
    }
}

/// Waits for a read until its deadline. A read that nobody waits for is ended by whoever reads it.
pub(super) async fn with_deadline<T>(
    limit: Duration,
    read: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    match timeout(limit, read).await {
        Ok(Err(DatabaseError::Slow { .. })) | Err(_) => Err(DatabaseError::Slow { seconds: limit.as_secs() }),
        Ok(outcome) => outcome,
    }
}

/// How many may be inside of a gate at once.
#[derive(Debug, Clone, Copy)]
struct GateLimits {
    places: usize,
    organization: usize,
    principal: usize,
    /// How long somebody waits to be let in.
    wait: Duration,
}

/// Lets a bounded number in; who waits is let in in turn by organization, then by principal.
struct ScanGate {
    limits: GateLimits,
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    inside: Vec<ScanCaller>,
    waiting: Vec<WaitingScan>,
}

struct WaitingScan {
    asker: ScanCaller,
    admit: oneshot::Sender<ScanPlace>,
}

/// A place inside of a gate, which dropping it gives back.
struct ScanPlace {
    /// `None` when the place was given back already.
    gate: Option<Arc<ScanGate>>,
    asker: ScanCaller,
}

impl Drop for ScanPlace {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let mut state = gate.lock();
        state.leave(self.asker);
        gate.admit(&mut state);
    }
}

impl ScanGate {
    fn new(limits: GateLimits) -> ScanGate {
        ScanGate { limits, state: Mutex::default() }
    }

    async fn enter(self: &Arc<ScanGate>, asker: ScanCaller) -> Result<ScanPlace, DatabaseError> {
        let admitted = self.queue(asker)?;
        let place = match asker {
            ScanCaller::Tenure => admitted.await.ok(),
            ScanCaller::Caller { .. } => timeout(self.limits.wait, admitted).await.ok().and_then(Result::ok),
        };
        place.ok_or_else(|| self.crowded_error(asker))
    }

    fn queue(self: &Arc<ScanGate>, asker: ScanCaller) -> Result<oneshot::Receiver<ScanPlace>, DatabaseError> {
        let mut state = self.lock();
        state.waiting.retain(|other| !other.admit.is_closed());
        let others = state.waiting.iter().filter(|other| other.asker.is_same_principal(asker)).count();
        if others >= WAITING && asker != ScanCaller::Tenure {
            return Err(DatabaseError::Crowded { own: true });
        }
        let (admit, admitted) = oneshot::channel();
        state.waiting.push(WaitingScan { asker, admit });
        self.admit(&mut state);
        Ok(admitted)
    }

    fn crowded_error(&self, asker: ScanCaller) -> DatabaseError {
        let own = self.lock().inside.iter().any(|other| other.is_same_principal(asker));
        DatabaseError::Crowded { own }
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the free places to those who wait.
    fn admit(self: &Arc<ScanGate>, state: &mut GateState) {
        while let Some(next) = state.next(self.limits) {
            let WaitingScan { asker, admit } = state.waiting.remove(next);
            state.inside.push(asker);
            let place = ScanPlace { gate: Some(self.clone()), asker };
            match admit.send(place) {
                // Others of the same organization, and of it those of the same principal, come last from now on.
                Ok(()) => state.waiting.sort_by_key(|other| {
                    (other.asker.is_same_organization(asker), other.asker.is_same_principal(asker))
                }),
                // Nobody waits any more. The place must not give itself back, because the lock is held here.
                Err(mut place) => {
                    place.gate = None;
                    state.leave(asker);
                }
            }
        }
    }
}

impl GateState {
    /// The first of those who wait that may come in.
    fn next(&self, limits: GateLimits) -> Option<usize> {
        let free = self.inside.len() < limits.places;
        let fits = |waiting: &WaitingScan| {
            let count = |same: fn(ScanCaller, ScanCaller) -> bool| {
                self.inside.iter().filter(|other| same(**other, waiting.asker)).count()
            };
            count(ScanCaller::is_same_organization) < limits.organization
                && (waiting.asker == ScanCaller::Tenure
                    || count(ScanCaller::is_same_principal) < limits.principal)
        };
        self.waiting.iter().position(fits).filter(|_| free)
    }

    fn leave(&mut self, asker: ScanCaller) {
        if let Some(place) = self.inside.iter().position(|other| *other == asker) {
            self.inside.swap_remove(place);
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

    /// The places of a server of default settings on SQLite have two, on PostgreSQL five.
    fn gate(places: usize, each: usize) -> Arc<ScanGate> {
        let organization = places.saturating_sub(1).max(1);
        Arc::new(ScanGate::new(GateLimits { places, organization, principal: each, wait: Duration::ZERO }))
    }

    #[tokio::test]
    async fn one_principal_leaves_places_for_others_and_is_told_to_come_back() {
        let gate = gate(5, 2);
        let mut inside =
            vec![gate.enter(scan_caller(1, 1)).await.unwrap(), gate.enter(scan_caller(1, 1)).await.unwrap()];
        let own = gate.enter(scan_caller(1, 1)).await.err().unwrap();
        assert!(matches!(own, DatabaseError::Crowded { own: true }), "{own}");
        for principal in [2, 3] {
            inside.push(gate.enter(scan_caller(1, principal)).await.unwrap());
        }
        let full = gate.enter(scan_caller(1, 4)).await.err().unwrap();
        assert!(
            matches!(full, DatabaseError::Crowded { own: false }),
            "its organization has all it may: {full}"
        );
        let other = gate.enter(scan_caller(2, 5)).now_or_never();
        assert!(other.unwrap().is_ok(), "another organization gets a place at once");
        assert!(gate.lock().waiting.iter().all(|waiting| waiting.admit.is_closed()));
    }

    #[tokio::test]
    async fn places_go_round_by_organization_and_then_by_principal() {
        let gate = gate(1, 1);
        let mut place = Some(gate.enter(scan_caller(9, 9)).await.unwrap());
        // Eight of one principal came first, then its colleague, then another organization.
        let order = [(1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (2, 3), (2, 3)];
        let mut waiting = Vec::from(order.map(|(o, p)| ((o, p), gate.queue(scan_caller(o, p)).unwrap())));
        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(place.take());
            let next = waiting
                .iter_mut()
                .position(|(_, admitted)| admitted.try_recv().map(|admitted| place = Some(admitted)).is_ok());
            served.push(waiting.remove(next.expect("somebody was let in")).0);
        }
        assert_eq!(served, [(1, 1), (2, 3), (1, 2), (2, 3), (1, 1), (1, 1), (1, 1)]);
    }

    #[tokio::test]
    async fn a_place_of_somebody_who_has_gone_is_not_lost() {
        let gate = gate(1, 1);
        let place = gate.enter(scan_caller(1, 1)).await.unwrap();
        let gone = gate.queue(scan_caller(2, 2)).unwrap();
        let stays = gate.queue(scan_caller(3, 3)).unwrap();
        drop(gone);
        drop(place);
        let place = stays.await.unwrap();
        // Let in, but gone before it took its place.
        let admitted = gate.queue(scan_caller(4, 4)).unwrap();
        drop(place);
        drop(admitted);
        assert!(gate.enter(scan_caller(5, 5)).now_or_never().unwrap().is_ok());
        assert!(gate.lock().inside.is_empty());
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
