//! In-memory limits: how often uses are recorded, and how many WebSockets are open.

use crate::failure::{Failure, RequestFailure};
use crate::settings::Settings;
use domain::ids::{CredentialId, PrincipalId};
use domain::time::{Micros, Span};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use store::Caller;
use uuid::Uuid;

/// How often the last use of one object is recorded.
pub const NOTE_EVERY: Span = Span::seconds(30);

/// More objects than are in use at once. Beyond it, old entries are dropped, which costs one extra write each.
const REMEMBERED: usize = 100_000;

/// Remembers what was recorded recently.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<Uuid, Micros>>);

impl Throttle {
    /// Whether the use of `what` is due to be recorded again. The caller then records it.
    pub fn due(&self, id: Uuid, now: Micros) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if noted.get(&id).is_some_and(|last| now.duration_since(*last) < NOTE_EVERY && *last <= now) {
            return false;
        }
        if noted.len() >= REMEMBERED {
            noted.retain(|_, last| now.duration_since(*last) < NOTE_EVERY);
        }
        noted.insert(id, now);
        true
    }
}

/// Whose limit an open WebSocket or stream counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketsOf {
    /// A key or a login session.
    Credential(CredentialId),
    /// A user or service user, with all of its credentials.
    Principal(PrincipalId),
    /// The anonymous callers of one address (for IPv6, one /64).
    Address(IpAddr),
    /// All anonymous callers.
    Anonymous,
}

/// Counts the open WebSockets and event streams of this server.
#[derive(Clone, Default)]
pub struct SocketCounts(Arc<Mutex<HashMap<SocketsOf, u32>>>);

/// One open WebSocket or stream. It counts until this is dropped.
pub struct OpenSocket {
    counts: SocketCounts,
    of: Vec<SocketsOf>,
}

impl SocketCounts {
    /// Counts one more for each of these, within their limits.
    ///
    /// # Errors
    /// The limit of the first that has reached it. Then none is counted.
    pub fn open(&self, of: &[(SocketsOf, u32)]) -> Result<OpenSocket, u32> {
        let mut counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = |of| counts.get(of).copied().unwrap_or_default();
        if let Some((_, limit)) = of.iter().find(|(of, limit)| count(of) >= *limit) {
            return Err(*limit);
        }
        for (of, _) in of {
            *counts.entry(*of).or_default() += 1;
        }
        Ok(OpenSocket { counts: self.clone(), of: of.iter().map(|(of, _)| *of).collect() })
    }

    /// Counts one more for a caller's credential and for the caller.
    ///
    /// # Errors
    /// [`RequestFailure::TooManyConnections`].
    pub fn open_for(&self, caller: &Caller, settings: &Settings) -> Result<OpenSocket, Failure> {
        let of = [
            (SocketsOf::Credential(caller.credential()), settings.websockets_per_credential),
            (SocketsOf::Principal(caller.principal()), settings.websockets_per_principal),
        ];
        self.open(&of).map_err(|limit| RequestFailure::TooManyConnections { limit }.into())
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for of in &self.of {
            if let Some(count) = counts.get_mut(of) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(of);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_recorded_every_half_minute() {
        let throttle = Throttle::default();
        let at = |seconds| Micros(0) + Span::seconds(seconds);
        let noted = [0, 1, 29, 30, 31, 60, 10].map(|second| throttle.due(Uuid::nil(), at(second)));
        // In the last one the clock went back: waiting until it catches up could take for ever.
        assert_eq!(noted, [true, false, false, true, false, true, true]);
    }

    #[test]
    fn sockets_count_against_each_limit() {
        let counts = SocketCounts::default();
        let all = SocketsOf::Anonymous;
        let one = |last| SocketsOf::Address([192, 0, 2, last].into());
        let open = |last| counts.open(&[(one(last), 2), (all, 3)]);
        let held = [open(1), open(1), open(2)].map(|open| open.map_err(drop).unwrap());
        assert_eq!((open(1).err(), open(2).err()), (Some(2), Some(3)));
        drop(held);
        assert!(counts.0.lock().unwrap().is_empty() && open(1).is_ok());
    }
}
