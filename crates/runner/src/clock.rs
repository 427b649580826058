//! The time and the chance that hosts and workers take: nothing here is kept or compared with another machine's
//! clock, so they are not passed in. Tests pause tokio's time.

use tokio::time::Instant;

/// This moment, by the clock that tests can pause.
#[expect(clippy::disallowed_methods, reason = "for lengths of time only; the one place where they read it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// From 0 to 1, for delays that must differ between machines.
#[expect(clippy::disallowed_methods, reason = "only spreads reconnects; the one place where they take it")]
pub(crate) fn jitter() -> f64 {
    rand::random()
}
