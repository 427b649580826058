//! Time and randomness. Everything else gets them as parameters.
//!
//! `clippy.toml` forbids `SystemTime::now`, `Instant::now`, `Uuid::now_v7` and similar calls elsewhere, so a test that
//! controls the clock controls all time.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::time::Micros;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A source of the current time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Microseconds since 1970, UTC. It is not monotonic: it can stand still or step back.
    fn now(&self) -> Micros;

    /// Time since a fixed moment, by a monotonic clock that also counts sleep where the system supports it. Only for checking
    /// [`Clock::now`].
    fn steady(&self) -> Duration;
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the time is read")]
    fn now(&self) -> Micros {
        // A clock before 1970 reads as 1970.
        Micros(micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    #[cfg(target_os = "linux")]
    fn steady(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the time is read")]
    fn steady(&self) -> Duration {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: Micros) -> Self {
        Self { wall: AtomicI64::new(start.0), steady: AtomicI64::new(0) }
    }

    /// Moves it forward by `by`, rounded down to microseconds.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(micros(by), Ordering::SeqCst);
        self.steady.fetch_add(micros(by), Ordering::SeqCst);
    }

    /// Sets the wall clock to `to`, forward or back. The monotonic clock stays where it is.
    pub fn set(&self, to: Micros) {
        self.wall.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        Micros(self.wall.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        Duration::from_micros(self.steady.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// Whole microseconds, at most 292,000 years.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Measures how long something takes: for logs, metrics and deadlines, never for a decision that a test must control.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "what is measured steers no rule")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A source of random bytes.
pub trait Random: fmt::Debug + Send + Sync {
    /// Fills the whole of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Cryptographic randomness: a ChaCha generator for each thread, seeded and reseeded by the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where randomness is taken")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Repeatable bytes for one seed. For tests only.
pub struct SeededRandom(Mutex<StdRng>);

impl SeededRandom {
    /// Starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // A generator is valid after a panic of another thread.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

impl fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededRandom")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::new(Micros(1_000));
        assert_eq!(clock.now(), Micros(1_000));
        clock.advance(Duration::from_nanos(2_999));
        assert_eq!(clock.now(), Micros(1_002));
        clock.set(Micros(5));
        assert_eq!(clock.now(), Micros(5));
    }

    #[test]
    fn the_system_clock_is_in_this_century() {
        let now = SystemClock.now();
        assert!((1_700_000_000_000_000..4_102_444_800_000_000).contains(&now.0), "{now:?}");
    }

    #[test]
    fn randomness_repeats_only_with_the_same_seed() {
        let take = |random: &dyn Random| {
            let mut bytes = [0; 32];
            random.fill(&mut bytes);
            bytes
        };
        assert_eq!(take(&SeededRandom::new(1)), take(&SeededRandom::new(1)));
        assert_ne!(take(&SeededRandom::new(1)), take(&SeededRandom::new(2)));
        let seeded = SeededRandom::new(1);
        assert_ne!(take(&seeded), take(&seeded));
        assert_ne!(take(&SystemRandom), take(&SystemRandom));
    }
}
