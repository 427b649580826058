//! The fields that lists of sessions are filtered, ordered and counted by. This table is their only description: the
//! index, the wires and the filter language take from it what they know of a field.

use super::SessionKind;
use super::SessionKind::{Agent, Device, Login};

/// How a value field's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// UUIDs.
    Id,
    /// Texts.
    Text,
}

/// How many different values a field has, which decides how the index counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Few values, each of many sessions. The index can count the sessions of each.
    Few,
    /// Many values, each of few sessions.
    Many,
}

/// What is known of a value field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueFieldInfo {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub values: ValueType,
    /// The kinds of session that have it.
    pub kinds: &'static [SessionKind],
    /// How many different values there are.
    pub spread: Spread,
}

const ALL: &[SessionKind] = &[Device, Agent, Login];

macro_rules! value_fields {
    ($($(#[$doc:meta])* $field:ident $name:literal $values:ident $kinds:expr, $spread:ident;)*) => {
        /// A field with values: a session has none, one or several of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ValueField {
            $($(#[$doc])* $field,)*
        }

        impl ValueField {
            /// All of them.
            pub const ALL: &'static [ValueField] = &[$(ValueField::$field),*];

            /// What is known of the field.
            pub const fn info(self) -> ValueFieldInfo {
                match self {
                    $(ValueField::$field => ValueFieldInfo {
                        name: $name, values: ValueType::$values, kinds: $kinds, spread: Spread::$spread,
                    },)*
                }
            }
        }
    };
}

value_fields! {
    /// The organization; of a login session [`crate::ids::OrganizationId::PEOPLE`].
    Organization "organization" Id ALL, Many;
    /// The kind.
    Kind "kind" Text ALL, Few;
    /// The state: [`super::SessionState::name`].
    State "state" Text ALL, Few;
    /// Who holds the session.
    Owner "owner" Id ALL, Many;
    /// Whether the owner is a user or a service user.
    OwnerKind "owner_kind" Text ALL, Few;
    /// Why it ended.
    EndReason "end_reason" Text ALL, Few;
    /// `true` for a session with a title.
    Titled "titled" Text &[Agent], Few;
    /// `true` for an archived session.
    Archived "archived" Text &[Agent], Few;
    /// Tags.
    Tag "tags" Text &[Agent], Few;
    /// Where it was created: `api`, `cli`, `slack`.
    Origin "origin" Text &[Agent], Few;
    /// The agent.
    Agent "agent" Id &[Agent], Few;
    /// The preferred model.
    Model "model" Text &[Agent], Few;
    /// The category.
    Category "category" Text &[Agent], Few;
    /// The playbook.
    Playbook "playbook" Text &[Agent], Few;
    /// The schedule that started it.
    Schedule "schedule" Text &[Agent], Many;
    /// The automation that started it.
    Automation "automation" Text &[Agent], Many;
    /// Repositories: `owner/repo`.
    Repository "repo" Text &[Agent], Few;
    /// The session that started it.
    Parent "parent" Id &[Agent], Many;
    /// The device of the newest hold.
    Device "device" Id &[Device], Many;
    /// The platform of the newest hold.
    Platform "platform" Text &[Device], Few;
    /// The type of the device: `real`, `emulator`, `simulator`.
    DeviceType "device.type" Text &[Device], Few;
    /// The name of the device for people.
    DeviceName "device.name" Text &[Device], Few;
    /// The version of the device's operating system.
    DeviceVersion "device.version" Text &[Device], Few;
    /// The address of the client that opened a login session.
    Address "login.address" Text &[Login], Many;
    /// The kind of that client: `pc`, `smartphone`.
    Client "login.client" Text &[Login], Few;
    /// The methods of authentication: `pwd`, `otp`.
    Method "login.methods" Text &[Login], Few;
}

/// A field with a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeField {
    /// When the session was created. Every list is in this order.
    Created,
    /// When it last changed.
    Updated,
    /// When it ended.
    Ended,
}

impl TimeField {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            TimeField::Created => "created",
            TimeField::Updated => "updated",
            TimeField::Ended => "ended",
        }
    }
}

/// A field with a number, which is never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NumberField {
    /// Agent compute units, in millionths.
    Acus,
    /// Tokens read by the model.
    InputTokens,
    /// Tokens written by the model.
    OutputTokens,
}

impl NumberField {
    /// All of them.
    pub const ALL: [NumberField; 3] =
        [NumberField::Acus, NumberField::InputTokens, NumberField::OutputTokens];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            NumberField::Acus => "usage.acus",
            NumberField::InputTokens => "usage.input_tokens",
            NumberField::OutputTokens => "usage.output_tokens",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let values = ValueField::ALL.iter().map(|field| field.info().name);
        let times = [TimeField::Created, TimeField::Updated, TimeField::Ended].map(TimeField::name);
        let numbers = NumberField::ALL.map(NumberField::name);
        let all = values.chain(times).chain(numbers).collect::<Vec<_>>();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
