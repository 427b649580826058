//! The fields that lists of sessions are filtered, ordered and counted by. This table is their only description: the
//! index, the wires and the filter language take from it what they know of a field. The doc comment of a field is also
//! its help for people.

use super::SessionKind;
use super::SessionKind::{Agent, Device, Login};

/// How a value field's values are stored.
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

/// How a person writes the values of a field in a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryType {
    /// One of the words of [`Field::words`].
    Word,
    /// `true` or `false`.
    Flag,
    /// A text. A session has at most one.
    Text,
    /// A text. A session can have several.
    Texts,
    /// The words of a title.
    Title,
    /// The id of a session.
    Session,
    /// The address, name or id of a user or service user, or `me`.
    Principal,
    /// The name or id of an organization.
    Organization,
    /// The name or id of an agent.
    Agent,
    /// The name or id of a device.
    Device,
    /// An IP address or a network.
    Address,
    /// A time.
    Time,
    /// A number.
    Number,
    /// A length of time.
    Duration,
}

impl QueryType {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            QueryType::Word => "word",
            QueryType::Flag => "flag",
            QueryType::Text => "text",
            QueryType::Texts => "list",
            QueryType::Title => "title",
            QueryType::Session => "session",
            QueryType::Principal => "principal",
            QueryType::Organization => "organization",
            QueryType::Agent => "agent",
            QueryType::Device => "device",
            QueryType::Address => "address",
            QueryType::Time => "time",
            QueryType::Number => "number",
            QueryType::Duration => "duration",
        }
    }
}

/// What is known of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its name.
    pub name: &'static str,
    /// How its values are written.
    pub query: QueryType,
    /// The kinds of session that have it.
    pub kinds: &'static [SessionKind],
    /// What it is, in one sentence.
    pub help: &'static str,
    /// Examples of its use in a filter.
    pub examples: &'static [&'static str],
}

const ALL: &[SessionKind] = &[Device, Agent, Login];

macro_rules! fields {
    (
        $(#[$about:meta])*
        $name:ident
        $(#[doc = $help:literal] $field:ident $text:literal $query:ident $kinds:expr, $examples:expr;)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = $help] $field,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: [$name; [$($text),*].len()] = [$($name::$field),*];

            /// What is known of the field.
            pub const fn info(self) -> FieldInfo {
                match self {
                    $($name::$field => FieldInfo {
                        name: $text,
                        query: QueryType::$query,
                        kinds: $kinds,
                        help: $help.trim_ascii(),
                        examples: &$examples,
                    },)*
                }
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                self.info().name
            }
        }
    };
}

fields! {
    /// A field with values: a session has none, one or several of them.
    ValueField
    /// The organization of the session. Login sessions belong to the account.
    Organization "organization" Organization ALL, ["organization:acme"];
    /// The kind of the session.
    Kind "kind" Word ALL, ["kind:agent", "kind:(device, login)"];
    /// The state of the session. A group of states has a name, too.
    State "state" Word ALL, ["state:running", "state:(queued, holding)", "-state:ended"];
    /// Who holds the session.
    Owner "owner" Principal ALL, ["owner:me", "owner:alice@example.com", "-owner:ci"];
    /// Whether the owner is a user or a service user.
    OwnerKind "owner_kind" Word ALL, ["owner_kind:service_user"];
    /// Why the session ended.
    EndReason "end_reason" Word ALL, ["end_reason:(expired, lost)"];
    /// Whether the session has a title.
    Titled "titled" Flag &[Agent], ["titled:true"];
    /// Whether the session is archived.
    Archived "archived" Flag &[Agent], ["archived:false"];
    /// The tags of the session.
    Tag "tags" Texts &[Agent], ["tags:nightly", "tags:(smoke, release*)"];
    /// Where the session was created, such as `api`, `cli` or `slack`.
    Origin "origin" Text &[Agent], ["origin:slack"];
    /// The agent that the session is addressed to.
    Agent "agent" Agent &[Agent], ["agent:triage"];
    /// The preferred model.
    Model "model" Text &[Agent], ["model:claude*"];
    /// The category.
    Category "category" Text &[Agent], ["category:code_review"];
    /// The playbook that the session follows.
    Playbook "playbook" Text &[Agent], ["playbook:*"];
    /// The schedule that started the session.
    Schedule "schedule" Text &[Agent], ["schedule:*"];
    /// The automation that started the session.
    Automation "automation" Text &[Agent], ["automation:*"];
    /// The repositories of the session.
    Repository "repo" Texts &[Agent], ["repo:acme/api", "repo:acme/*"];
    /// The session that started this one.
    Parent "parent" Session &[Agent], ["parent:*"];
    /// The device of the newest hold.
    Device "device" Device &[Device], ["device:\"Pixel 8*\""];
    /// The platform that was asked for last, such as `ios` or `android`.
    Platform "platform" Text &[Device], ["platform:ios"];
    /// The type of the device, such as `real`, `emulator` or `simulator`.
    DeviceType "device.type" Text &[Device], ["device.type:real"];
    /// The name of the device.
    DeviceName "device.name" Text &[Device], ["device.name:Pixel*"];
    /// The version of the device's operating system.
    DeviceVersion "device.version" Text &[Device], ["device.version:17*"];
    /// The address of the client that opened the login session.
    Address "login.address" Address &[Login], ["login.address:10.20.0.0/16"];
    /// The kind of the client that opened the login session, such as `pc` or `smartphone`.
    Client "login.client" Text &[Login], ["login.client:smartphone"];
    /// The methods of authentication, such as `pwd` or `otp`.
    Method "login.methods" Texts &[Login], ["login.methods:otp"];
}

impl ValueField {
    /// How its values are stored.
    pub const fn value_type(self) -> ValueType {
        match self.info().query {
            QueryType::Session
            | QueryType::Principal
            | QueryType::Organization
            | QueryType::Agent
            | QueryType::Device => ValueType::Id,
            _ => ValueType::Text,
        }
    }

    /// How many different values there are.
    pub const fn spread(self) -> Spread {
        use ValueField as F;
        match self {
            F::Organization | F::Owner | F::Parent | F::Device | F::Schedule | F::Automation | F::Address => {
                Spread::Many
            }
            _ => Spread::Few,
        }
    }
}

fields! {
    /// A field with a time.
    TimeField
    /// When the session was created. Lists are in this order.
    Created "created" Time ALL, ["created > -24h", "created:2026-11-01..2026-11-08", "created > yesterday"];
    /// When the session last changed.
    Updated "updated" Time ALL, ["updated > -1h"];
    /// When the session ended.
    Ended "ended" Time ALL, ["ended:-7d..", "ended > today"];
    /// When the session ends at the latest.
    Expires "expires" Time &[Login], ["expires < +5m"];
}

fields! {
    /// A field with a number, which is never negative.
    NumberField
    /// Agent compute units.
    Acus "usage.acus" Number &[Agent], ["usage.acus > 5", "usage.acus:1..2.5"];
    /// Tokens that the model read.
    InputTokens "usage.input_tokens" Number &[Agent], ["usage.input_tokens > 200k"];
    /// Tokens that the model wrote.
    OutputTokens "usage.output_tokens" Number &[Agent], ["usage.output_tokens > 1M"];
}

impl NumberField {
    /// How many decimal digits its unit has: the number is stored in parts of such a size.
    pub const fn decimals(self) -> u32 {
        match self {
            NumberField::Acus => 6,
            NumberField::InputTokens | NumberField::OutputTokens => 0,
        }
    }
}

fields! {
    /// A field with a length of time, which depends on the clock.
    SpanField
    /// How long the session lasted, or has lasted so far.
    Duration "duration" Duration ALL, ["duration > 2h", "duration:5m..1h"];
    /// How long the session has been in the queue for a device.
    Wait "wait" Duration &[Device], ["wait > 10m"];
    /// How long it is until the session expires.
    Lease "lease" Duration &[Login], ["lease < 5m"];
}

fields! {
    /// A field that only filters have.
    QueryField
    /// The id of the session.
    Id "id" Session ALL, ["id:0192f3a4-0000-7000-8000-000000000001"];
    /// The title of the session.
    Title "title" Title &[Agent], ["title:flaky", "title:\"login test\"", "title:*"];
    /// A time at which the session was open.
    ActiveAt "active_at" Time ALL, ["active_at:2026-11-19T14:32Z"];
}

/// A field of the filter language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// With values.
    Value(ValueField),
    /// With a time.
    Time(TimeField),
    /// With a number.
    Number(NumberField),
    /// With a length of time.
    Span(SpanField),
    /// That only filters have.
    Query(QueryField),
}

impl Field {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Field> {
        let values = ValueField::ALL.into_iter().map(Field::Value);
        let times = TimeField::ALL.into_iter().map(Field::Time);
        let numbers = NumberField::ALL.into_iter().map(Field::Number);
        let spans = SpanField::ALL.into_iter().map(Field::Span);
        let queries = QueryField::ALL.into_iter().map(Field::Query);
        values.chain(times).chain(numbers).chain(spans).chain(queries)
    }

    /// What is known of the field.
    pub const fn info(self) -> FieldInfo {
        match self {
            Field::Value(field) => field.info(),
            Field::Time(field) => field.info(),
            Field::Number(field) => field.info(),
            Field::Span(field) => field.info(),
            Field::Query(field) => field.info(),
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// The field with this name, in any case.
    pub fn parse(name: &str) -> Option<Field> {
        Field::all().find(|field| field.name().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found() {
        let names = Field::all().map(Field::name).collect::<Vec<_>>();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for field in Field::all() {
            assert_eq!(Field::parse(&field.name().to_uppercase()), Some(field));
        }
        assert_eq!(Field::parse("stat"), None);
    }

    #[test]
    fn each_field_is_explained() {
        for field in Field::all() {
            let info = field.info();
            assert!(info.help.ends_with('.') && !info.help.contains(['[', '\n']), "{info:?}");
            assert!(!info.examples.is_empty() && !info.kinds.is_empty(), "{info:?}");
            assert!(info.examples.iter().all(|example| example.contains(info.name)), "{info:?}");
        }
    }
}
