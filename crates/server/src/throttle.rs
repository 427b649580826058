//! Limits kept in memory: notes that need not be written every time, and open WebSockets.

use domain::ids::CredentialId;
use domain::time::{Micros, Span};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
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

/// How many WebSockets each credential has open on this server.
#[derive(Clone, Default)]
pub struct SocketCounts(Arc<Mutex<HashMap<CredentialId, u32>>>);

/// One open WebSocket; it counts until this is dropped.
pub struct OpenSocket {
    counts: SocketCounts,
    credential: CredentialId,
}

impl SocketCounts {
    /// Counts one more, unless the credential has `limit` already.
    pub fn open(&self, credential: CredentialId, limit: u32) -> Option<OpenSocket> {
        let mut counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = counts.entry(credential).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(OpenSocket { counts: self.clone(), credential })
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.credential) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.credential);
            }
        }
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
