//! The clock and the randomness of hosts and workers. Nothing here is stored or compared with another machine's clock,
//! so they are not passed in. Tests pause tokio's time.

use tokio::time::Instant;

/// The current time of tokio's clock, which tests can pause.
#[expect(clippy::disallowed_methods, reason = "for durations only; the only place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A random number from 0 to 1, for delays that must differ between machines.
#[expect(
    clippy::disallowed_methods,
    reason = "only spreads reconnects; the only place that draws random numbers"
)]
pub(crate) fn jitter() -> f64 {
    rand::random()
}
