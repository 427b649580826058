//! Notes that need not be written every time.

use domain::time::{Micros, Span};
use std::collections::HashMap;
use std::sync::Mutex;
use uuid::Uuid;

/// How often "used just now" is written for the same thing: a note that is half a minute old is as good.
pub const NOTE_EVERY: Span = Span::seconds(30);

/// More than are in use at once; beyond it old entries are dropped, which costs a write more and nothing else.
const REMEMBERED: usize = 100_000;

/// Remembers what was noted lately.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<Uuid, Micros>>);

impl Throttle {
    /// Whether it is time to note the use of `what` again; if so, the caller does.
    pub fn due(&self, what: Uuid, now: Micros) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if noted.get(&what).is_some_and(|last| now.since(*last) < NOTE_EVERY && *last <= now) {
            return false;
        }
        if noted.len() >= REMEMBERED {
            noted.retain(|_, last| now.since(*last) < NOTE_EVERY);
        }
        noted.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_every_half_minute() {
        let throttle = Throttle::default();
        let at = |seconds| Micros(0) + Span::seconds(seconds);
        let noted = [0, 1, 29, 30, 31, 60, 10].map(|second| throttle.due(Uuid::nil(), at(second)));
        // The last one: the clock went back, and waiting for it to catch up could take for ever.
        assert_eq!(noted, [true, false, false, true, false, true, true]);
    }
}
