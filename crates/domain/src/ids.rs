//! Identifiers: one type each, so that one cannot stand where another is meant.

use crate::time::Micros;
use uuid::{Builder, Uuid};

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one: `now` and 10 random bytes make a UUIDv7, so that ids sort by the time they were made.
            pub fn new(now: Micros, random: [u8; 10]) -> Self {
                Self(uuid_v7(now, random_tail(random)))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

identifiers! {
    /// A tenant of the account.
    OrganizationId
    /// A user or a service user.
    PrincipalId
    /// An API key.
    CredentialId
    /// One request for a device and the hold that comes of it; clients call it an allocation.
    HoldId
    /// A phone or emulator, known since its host first reported it.
    DeviceId
    /// A machine that devices hang on.
    HostId
    /// An upload or a recording.
    FileId
    /// A running server process.
    NodeId
    /// Who works in an agent session.
    AgentId
    /// What was said in an agent session.
    MessageId
    /// One answer of an agent to a message.
    TurnId
    /// A key that tokens are signed with.
    SigningKeyId
    /// That somebody may become a member of an organization.
    InvitationId
}

impl OrganizationId {
    /// The reserved id of what belongs to the account and not to one organization: the shared pool.
    pub const ACCOUNT: OrganizationId = OrganizationId(Uuid::nil());

    /// The reserved id under which the account keeps its people's login sessions. Not the one of the pool: that one's
    /// sequence numbers the requests for devices, and a line of the change feed must leave no gap in it.
    pub const PEOPLE: OrganizationId = OrganizationId(Uuid::from_u128(1));

    /// The reserved id whose counter is locked by whatever adds a line to the audit log. It has no rows of its own.
    pub const AUDIT: OrganizationId = OrganizationId(Uuid::from_u128(2));

    /// Reads a UUID with or without hyphens, or `org_` / `org-` and 32 hexadecimal digits. Nothing else
    /// that a lenient UUID parser takes (braces, `urn:uuid:`), and never a reserved id.
    pub fn parse(text: &str) -> Option<OrganizationId> {
        let bare = text.strip_prefix("org_").or_else(|| text.strip_prefix("org-"));
        let id = match bare {
            Some(hex) if hex.len() == 32 => parse_uuid(hex)?,
            Some(_) => return None,
            None => parse_uuid(text)?,
        };
        let id = OrganizationId(id);
        let reserved = [OrganizationId::ACCOUNT, OrganizationId::PEOPLE, OrganizationId::AUDIT];
        (!reserved.contains(&id)).then_some(id)
    }
}

/// Reads a UUID in its two plain forms: 36 characters with hyphens, or 32 hexadecimal digits.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    matches!(text.len(), 32 | 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A session's id. It *is* the time the session was created at and a random tail, written as a UUIDv7 with the
/// microsecond in the 12 bits after the millisecond (RFC 9562, section 6.2, method 3). So a look-up by id is a
/// look-up by time, and lists and cursors need no index but the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    created: Micros,
    tail: u64,
}

/// The random part: what is left of 128 bits after time, version and variant.
const TAIL_BITS: u32 = 62;

impl SessionId {
    /// The id of a session created at `created`, with the lowest 62 bits of `tail`. A time before 1970 or after
    /// [`Micros::MAX`] is moved to that bound.
    pub fn new(created: Micros, tail: u64) -> SessionId {
        let created = Micros(created.0.clamp(0, Micros::MAX.0));
        SessionId { created, tail: tail & ((1 << TAIL_BITS) - 1) }
    }

    /// When the session was created.
    pub fn created(self) -> Micros {
        self.created
    }

    /// The random part.
    pub fn tail(self) -> u64 {
        self.tail
    }

    /// As a UUID.
    pub fn uuid(self) -> Uuid {
        uuid_v7(self.created, self.tail)
    }

    /// The session that a UUID names, or nothing if no session can have it: another version or variant, or a
    /// fraction that no microsecond gives.
    pub fn from_uuid(uuid: Uuid) -> Option<SessionId> {
        let bits = uuid.as_u128();
        let millis = (bits >> 80) as i64;
        let fraction = ((bits >> 64) & 0xfff) as i64;
        let created = Micros(millis * 1_000 + (fraction * 1_000 + 4_095) / 4_096);
        let id = SessionId { created, tail: (bits as u64) & ((1 << TAIL_BITS) - 1) };
        (id.uuid() == uuid).then_some(id)
    }

    /// Reads an id in one of the two plain forms of a UUID.
    pub fn parse(text: &str) -> Option<SessionId> {
        parse_uuid(text).and_then(SessionId::from_uuid)
    }
}

impl serde::Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.uuid().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uuid = Uuid::deserialize(deserializer)?;
        SessionId::from_uuid(uuid).ok_or_else(|| serde::de::Error::custom("not the id of a session"))
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uuid().fmt(f)
    }
}

/// The id of an event of a session. It carries the event's place in its session in its last 32 bits, so that a
/// reader that comes back with the id of the last event it saw is found by the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// The id of the event at `sequence`, with 30 of the random bits.
    pub fn new(now: Micros, random: [u8; 10], sequence: i64) -> EventId {
        let tail = random_tail(random) & !u64::from(u32::MAX);
        EventId(uuid_v7(now, tail | u64::from(sequence as u32)))
    }

    /// The place that it claims to have in its session: whoever uses it compares the whole id with what is there.
    pub fn sequence(self) -> i64 {
        (self.0.as_u128() & u128::from(u32::MAX)) as i64
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads the 62 random bits out of 10 random bytes.
pub fn random_tail(random: [u8; 10]) -> u64 {
    let [_, _, tail @ ..] = random;
    u64::from_be_bytes(tail) & ((1 << TAIL_BITS) - 1)
}

fn uuid_v7(time: Micros, tail: u64) -> Uuid {
    let micros = time.0.clamp(0, Micros::MAX.0) as u128;
    let fraction = (micros % 1_000) * 4_096 / 1_000;
    let bits = ((micros / 1_000) << 80) | (fraction << 64) | u128::from(tail);
    Builder::from_u128(bits)
        .with_version(uuid::Version::SortRand)
        .with_variant(uuid::Variant::RFC4122)
        .into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_id_says_when(micros in 0..Micros::MAX.0, tail: u64) {
            let id = SessionId::new(Micros(micros), tail);
            prop_assert_eq!(id.created(), Micros(micros));
            prop_assert_eq!(SessionId::from_uuid(id.uuid()), Some(id));
            prop_assert_eq!(id.uuid().get_version_num(), 7);
        }

        #[test]
        fn ids_sort_as_their_times(a in 0..Micros::MAX.0, b in 0..Micros::MAX.0, tail: u64) {
            prop_assume!(a != b);
            let (x, y) = (SessionId::new(Micros(a), tail), SessionId::new(Micros(b), !tail));
            prop_assert_eq!(x.uuid() < y.uuid(), a < b);
        }

        #[test]
        fn any_uuid_is_one_session_or_none(bits: u128) {
            if let Some(id) = SessionId::from_uuid(Uuid::from_u128(bits)) {
                prop_assert_eq!(id.uuid().as_u128(), bits);
            }
        }
    }

    proptest! {
        #[test]
        fn an_events_id_says_its_place(micros in 0..Micros::MAX.0, random: [u8; 10], sequence in 0..i64::from(u32::MAX)) {
            let id = EventId::new(Micros(micros), random, sequence);
            prop_assert_eq!(id.sequence(), sequence);
            prop_assert_eq!(id.0.get_version_num(), 7);
        }
    }

    #[test]
    fn organizations_are_read_in_four_forms() {
        let id = Uuid::from_u128(0x0192_f3a4_0000_7000_8000_0000_0000_0001);
        let hex = id.simple().to_string();
        for text in [id.to_string(), hex.clone(), format!("org_{hex}"), format!("org-{hex}")] {
            assert_eq!(OrganizationId::parse(&text), Some(OrganizationId(id)), "{text}");
        }
        let nil = Uuid::nil().to_string();
        let people = OrganizationId::PEOPLE.to_string();
        let audit = OrganizationId::AUDIT.to_string();
        for text in [
            "",
            "org_",
            "acme",
            &hex[1..],
            &format!("{{{id}}}"),
            &format!("urn:uuid:{id}"),
            &format!("org_{id}"),
            &nil,
            &people,
            &audit,
        ] {
            assert_eq!(OrganizationId::parse(text), None, "{text}");
        }
    }
}
