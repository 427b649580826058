//! This wire's ids: a prefix, `_`, and the 32 lower-case hexadecimal digits of a UUID.

use crate::failure::{Failure, RequestFailure};
use domain::Refusal;
use domain::ids::{AgentId, EventId, MessageId, OrganizationId, PrincipalId, SessionId, TurnId};
use domain::refusal::Thing;
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Number of digits after the prefix.
const DIGITS: usize = 32;
/// The harness of sessions and agents whose client named none. Strict clients require one.
const DEFAULT_HARNESS: u128 = 0x0193_3b5a_0000_7000_8000_0000_0000_0601;

/// An id with its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefixed(&'static str, Uuid);

impl std::fmt::Display for Prefixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.0, self.1.simple())
    }
}

impl Serialize for Prefixed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A session's id.
pub fn session(id: SessionId) -> Prefixed {
    Prefixed("session", id.uuid())
}

/// An agent's id.
pub fn agent(id: AgentId) -> Prefixed {
    Prefixed("agent", id.0)
}

/// An organization's id.
pub fn organization(id: OrganizationId) -> Prefixed {
    Prefixed("org", id.0)
}

/// A principal's id.
pub fn principal(id: PrincipalId) -> Prefixed {
    Prefixed("user", id.0)
}

/// A message's id.
pub fn message(id: MessageId) -> Prefixed {
    Prefixed("message", id.0)
}

/// An event's id.
pub fn event(id: EventId) -> Prefixed {
    Prefixed("event", id.0)
}

/// A turn's id.
pub fn turn(id: TurnId) -> Prefixed {
    Prefixed("turn", id.0)
}

/// The default harness's id.
pub fn default_harness() -> Prefixed {
    Prefixed("harness", Uuid::from_u128(DEFAULT_HARNESS))
}

/// Reads an id with its prefix.
fn read(prefix: &str, text: &str) -> Option<Uuid> {
    let digits = text.strip_prefix(prefix)?.strip_prefix('_')?;
    let plain =
        digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| Uuid::try_parse(digits).ok()).flatten()
}

/// Reads a session's id.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed id; [`Refusal::NotFound`] for a UUID that no session can have.
pub fn read_session(text: &str) -> Result<SessionId, Failure> {
    let uuid = read("session", text).ok_or_else(|| id_error("session ID", "session_"))?;
    SessionId::from_uuid(uuid).ok_or_else(|| Refusal::NotFound(Thing::Session).into())
}

/// Reads an agent's id.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed id.
pub fn read_agent(text: &str) -> Result<AgentId, Failure> {
    read("agent", text).map(AgentId).ok_or_else(|| id_error("agent ID", "agent_"))
}

/// Reads the filter `agent_id`. The examples in the vendor's documents have 31 digits. No agent has such an id, and the
/// examples give an empty list rather than an error.
///
/// # Errors
/// [`RequestFailure::Body`] for any other malformed id.
pub fn read_agent_filter(text: &str) -> Result<Vec<AgentId>, Failure> {
    let example = text.len() == "agent_".len() + DIGITS - 1 && read("agent", &format!("{text}0")).is_some();
    if example { Ok(Vec::new()) } else { Ok(vec![read_agent(text)?]) }
}

/// Reads an event's id.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed id.
pub fn read_event(text: &str) -> Result<EventId, Failure> {
    read("event", text).map(EventId).ok_or_else(|| id_error("event ID", "event_"))
}

/// Reads a turn's id.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed id.
pub fn read_turn(text: &str) -> Result<TurnId, Failure> {
    read("turn", text).map(TurnId).ok_or_else(|| id_error("turn ID", "turn_"))
}

/// Whether a text is a well-formed id of a harness.
pub fn is_harness(text: &str) -> bool {
    read("harness", text).is_some()
}

fn id_error(kind: &str, prefix: &str) -> Failure {
    RequestFailure::Body(format!(
        "invalid {kind}: expected {prefix} and {DIGITS} lower-case hexadecimal digits"
    ))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::Micros;

    #[test]
    fn ids_are_parsed_only_in_their_written_form() {
        let id = SessionId::new(Micros(1_772_366_400_000_000), 7);
        let text = session(id).to_string();
        assert_eq!(text.len(), "session_".len() + 32);
        assert_eq!(read_session(&text).unwrap(), id);
        let hex = id.uuid().simple().to_string();
        for wrong in [
            "",
            "session_",
            &hex,
            &id.to_string(),
            &text[..text.len() - 1],
            &format!("{text}0"),
            &text.to_uppercase(),
            &format!("agent_{hex}"),
            &format!("session-{hex}"),
            &format!("session_{}", id.uuid()),
        ] {
            assert!(matches!(read_session(wrong), Err(Failure::Request(_))), "{wrong}");
        }
        let unknown = format!("session_{}", "0".repeat(32));
        assert!(matches!(read_session(&unknown), Err(Failure::Refused(Refusal::NotFound(Thing::Session)))));
    }

    #[test]
    fn the_documents_example_agent_does_not_exist() {
        assert_eq!(read_agent_filter("agent_01933b5a00007000800000000000001").unwrap(), []);
        assert_eq!(read_agent_filter(&format!("agent_{}", "1".repeat(32))).unwrap().len(), 1);
        for wrong in ["", "agent_", "agent_xyz", "01933b5a000070008000000000000001"] {
            assert!(read_agent_filter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_harness_is_the_one_of_the_vendors_own_tests() {
        assert_eq!(default_harness().to_string(), "harness_01933b5a000070008000000000000601");
        assert!(is_harness(&default_harness().to_string()));
        assert!(!is_harness("generic"));
    }
}
