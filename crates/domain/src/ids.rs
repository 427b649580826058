//! Identifiers. Each has its own type, so that they cannot be mixed up.

use crate::time::Micros;
use uuid::{Builder, Uuid};

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id: a UUIDv7 of `now` and 10 random bytes, so that ids sort by their time of creation.
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
    /// A request for a device and the hold that it becomes. Clients call it an allocation.
    HoldId
    /// A phone or emulator.
    DeviceId
    /// A machine with devices.
    HostId
    /// An upload or a recording.
    FileId
    /// A running server process.
    NodeId
    /// An agent.
    AgentId
    /// A message of an agent session.
    MessageId
    /// A turn of an agent session.
    TurnId
    /// A key that signs tokens.
    SigningKeyId
    /// An invitation into an organization.
    InvitationId
    /// A saved view.
    ViewId
}

impl OrganizationId {
    /// The reserved id for everything that belongs to the account and not to one organization, such as the shared pool.
    pub const ACCOUNT: OrganizationId = OrganizationId(Uuid::nil());

    /// The reserved id of login sessions, which belong to the account. It differs from [`OrganizationId::ACCOUNT`], whose
    /// sequence numbers requests for devices: entries of the change feed must leave no gaps in that sequence.
    pub const PEOPLE: OrganizationId = OrganizationId(Uuid::from_u128(1));

    /// The reserved id whose counter is locked to add an entry to the audit log. No rows belong to it.
    pub const AUDIT: OrganizationId = OrganizationId(Uuid::from_u128(2));

    /// Parses a UUID with or without hyphens, or `org_` / `org-` and 32 hexadecimal digits. Refuses the other forms that a
    /// lenient UUID parser takes (braces, `urn:uuid:`), and reserved ids.
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

/// Parses a UUID in one of two forms: 36 characters with hyphens, or 32 hexadecimal digits.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    matches!(text.len(), 32 | 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// The id of a session. It consists of the time of creation and a random tail, and is written as a UUIDv7 with the
/// microsecond in the 12 bits after the millisecond (RFC 9562, section 6.2, method 3). So a look-up by id is a look-up
/// by time, and lists and cursors need no index except the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    created: Micros,
    tail: u64,
}

/// Length of the random tail: the rest of 128 bits after time, version and variant.
const TAIL_BITS: u32 = 62;

impl SessionId {
    /// The id of a session created at `created`, with the lowest 62 bits of `tail`. A time before 1970 or after
    /// [`Micros::MAX`] is clamped.
    pub fn new(created: Micros, tail: u64) -> SessionId {
        let created = Micros(created.0.clamp(0, Micros::MAX.0));
        SessionId { created, tail: tail & ((1 << TAIL_BITS) - 1) }
    }

    /// When the session was created.
    pub fn creation_time(self) -> Micros {
        self.created
    }

    /// The random tail.
    pub fn tail(self) -> u64 {
        self.tail
    }

    /// The id as a UUID.
    pub fn uuid(self) -> Uuid {
        uuid_v7(self.created, self.tail)
    }

    /// The session id of a UUID; `None` if no session can have it: another version or variant, or a fraction that no
    /// microsecond has.
    pub fn from_uuid(uuid: Uuid) -> Option<SessionId> {
        let bits = uuid.as_u128();
        let millis = (bits >> 80) as i64;
        let fraction = ((bits >> 64) & 0xfff) as i64;
        let created = Micros(millis * 1_000 + (fraction * 1_000 + 4_095) / 4_096);
        let id = SessionId { created, tail: (bits as u64) & ((1 << TAIL_BITS) - 1) };
        (id.uuid() == uuid).then_some(id)
    }

    /// Parses an id in one of the two forms of [`parse_uuid`].
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

/// The id of an event of a session. Its last 32 bits are the event's sequence, so that a client can continue after the
/// id of the last event it saw with a look-up by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// The id of the event with this sequence, and 30 random bits.
    pub fn new(now: Micros, random: [u8; 10], sequence: i64) -> EventId {
        let tail = random_tail(random) & !u64::from(u32::MAX);
        EventId(uuid_v7(now, tail | u64::from(sequence as u32)))
    }

    /// The sequence in the id. A client may have forged it: compare the whole id with the event at this sequence.
    pub fn sequence(self) -> i64 {
        (self.0.as_u128() & u128::from(u32::MAX)) as i64
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Takes 62 random bits from 10 random bytes.
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
        fn an_id_has_its_time(micros in 0..Micros::MAX.0, tail: u64) {
            let id = SessionId::new(Micros(micros), tail);
            prop_assert_eq!(id.creation_time(), Micros(micros));
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
