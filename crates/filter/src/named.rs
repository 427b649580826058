//! Conditions with a name: `is:running`, `has:children`. They are the tabs of the console.

/// A condition with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedCondition {
    /// What stands before the colon: `is` or `has`.
    pub prefix: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub help: &'static str,
    /// What it means.
    pub meaning: Meaning,
}

/// What a condition with a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// This text in the filter language.
    Filter(&'static str),
    /// The session started others.
    Parents,
}

/// The words before the colon.
pub(crate) const PREFIXES: [&str; 2] = ["is", "has"];

/// All of them.
pub const NAMED_CONDITIONS: &[NamedCondition] = &[
    is("running", "state:(working, holding, open)", "It works, holds a device, or is signed in."),
    is(
        "needs-me",
        "owner:me state:(waiting_for_user, waiting_for_approval)",
        "It waits for an answer from you.",
    ),
    is("expiring", "lease < 5m", "It ends within five minutes."),
    is("failed", "state:failed", "It failed, or lost its workers."),
    is("open", "-state:ended", "It is not over."),
    is("archived", "archived:true", "It is archived."),
    NamedCondition {
        prefix: "has",
        name: "children",
        help: "It started other sessions.",
        meaning: Meaning::Parents,
    },
];

const fn is(name: &'static str, meaning: &'static str, help: &'static str) -> NamedCondition {
    NamedCondition { prefix: "is", name, help, meaning: Meaning::Filter(meaning) }
}

impl NamedCondition {
    /// The condition with this prefix and name, in any case.
    pub fn find(prefix: &str, name: &str) -> Option<NamedCondition> {
        let mut named = NAMED_CONDITIONS.iter().copied();
        named.find(|one| one.prefix == prefix && one.name.eq_ignore_ascii_case(name))
    }

    /// The conditions with this prefix.
    pub(crate) fn with_prefix(prefix: &str) -> impl Iterator<Item = NamedCondition> {
        NAMED_CONDITIONS.iter().copied().filter(move |one| one.prefix == prefix)
    }
}
