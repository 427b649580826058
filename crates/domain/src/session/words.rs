//! The words of fields with few fixed values, for filters: each word stands for one or several values.

use super::fields::{Field, QueryType, ValueField};

/// A word of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldWord {
    /// The word.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub help: &'static str,
    /// The values that it stands for.
    pub values: &'static [&'static str],
}

const fn word(name: &'static str, values: &'static [&'static str], help: &'static str) -> FieldWord {
    FieldWord { name, help, values }
}

const KINDS: &[FieldWord] = &[
    word("device", &["device"], "It holds devices, or waits for one."),
    word("agent", &["agent"], "An agent answers its messages."),
    word("login", &["login"], "A person is signed in."),
];

const OWNER_KINDS: &[FieldWord] = &[
    word("user", &["user"], "A person holds it."),
    word("service_user", &["service_user"], "A machine holds it."),
];

const STATES: &[FieldWord] = &[
    word(
        "running",
        &["running.working", "running.waiting_for_user", "running.waiting_for_approval", "running.finished"],
        "An agent works, waits for a person, or has finished its task.",
    ),
    word(
        "suspended",
        &[
            "suspended.inactivity",
            "suspended.user_request",
            "suspended.usage_limit_exceeded",
            "suspended.org_usage_limit_exceeded",
            "suspended.worker_lost",
            "suspended.error",
        ],
        "An agent session sleeps until the next message.",
    ),
    word(
        "failed",
        &["error", "suspended.error", "suspended.worker_lost"],
        "An agent session failed, or lost its workers.",
    ),
    word("ended", &["exit", "device.ended", "login.ended", "login.expired"], "The session is over."),
    word("new", &["new"], "No worker has claimed a turn yet."),
    word("claimed", &["claimed"], "A worker has claimed the first turn and has not reported yet."),
    word("working", &["running.working"], "An agent works, or waits for a worker."),
    word("waiting_for_user", &["running.waiting_for_user"], "The agent has answered and waits for a person."),
    word(
        "waiting_for_approval",
        &["running.waiting_for_approval"],
        "The agent asks for approval to continue.",
    ),
    word("finished", &["running.finished"], "The agent reports that its task is done."),
    word("inactivity", &["suspended.inactivity"], "Suspended: it was inactive for too long."),
    word("user_request", &["suspended.user_request"], "Suspended: a user archived it."),
    word("usage_limit_exceeded", &["suspended.usage_limit_exceeded"], "Suspended: it reached its own limit."),
    word(
        "org_usage_limit_exceeded",
        &["suspended.org_usage_limit_exceeded"],
        "Suspended: its organization reached its limit.",
    ),
    word("worker_lost", &["suspended.worker_lost"], "Suspended: two workers of one turn were lost."),
    word("suspended.error", &["suspended.error"], "Suspended: an error."),
    word("resuming", &["resuming"], "A message resumed it, and no worker has claimed the turn yet."),
    word("exit", &["exit"], "An agent session was ended for good."),
    word("error", &["error"], "The last turn failed. The next message resumes it."),
    word("empty", &["device.empty"], "A device session holds no device and waits for none."),
    word("queued", &["device.queued"], "A device session waits for a device."),
    word("holding", &["device.holding"], "A device session holds a device."),
    word("device.ended", &["device.ended"], "A device session ended."),
    word("open", &["login.open"], "A person is signed in."),
    word("expired", &["login.expired"], "The time of a login session is over."),
    word("login.ended", &["login.ended"], "A login session ended."),
];

const END_REASONS: &[FieldWord] = &[
    word("released", &["released"], "The owner, or an admin, ended it."),
    word("idle", &["idle"], "It was unused for too long."),
    word("expired", &["expired"], "A request for a device was not granted in time."),
    word("lost", &["host_lost"], "Its host went away and did not come back."),
    word("host_lost", &["host_lost"], "Its host went away and did not come back."),
    word("session_ended", &["session_ended"], "Its session ended."),
    word("owner_gone", &["owner_gone"], "The owner was suspended or deleted, or is no longer a member."),
    word("organization_deleted", &["organization_deleted"], "Its organization was deleted."),
    word("signed_out", &["signed_out"], "The owner signed out."),
    word("revoked", &["revoked"], "It was ended from another session, or by somebody who manages the owner."),
    word("password_changed", &["password_changed"], "The owner's password was changed."),
    word("displaced", &["displaced"], "The owner opened a session beyond the limit."),
];

impl ValueField {
    /// The words of a field whose values are words; otherwise none.
    pub fn words(self) -> impl Iterator<Item = FieldWord> {
        let rows = match self {
            ValueField::Kind => KINDS,
            ValueField::OwnerKind => OWNER_KINDS,
            ValueField::State => STATES,
            ValueField::EndReason => END_REASONS,
            _ => &[],
        };
        // The full name of a state is a word, too.
        let full_name = |row: &FieldWord| match row.values {
            [value] if value.contains('.') && *value != row.name => Some(FieldWord { name: value, ..*row }),
            _ => None,
        };
        rows.iter().copied().chain(rows.iter().filter_map(full_name))
    }

    /// The word with this name, in any case.
    pub fn find_word(self, name: &str) -> Option<FieldWord> {
        self.words().find(|word| word.name.eq_ignore_ascii_case(name))
    }
}

impl Field {
    /// The words of a field whose values are words; otherwise none.
    pub fn words(self) -> impl Iterator<Item = FieldWord> {
        let field = match self {
            Field::Value(field) if self.info().query == QueryType::Word => Some(field),
            _ => None,
        };
        field.into_iter().flat_map(ValueField::words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::PrincipalKind;
    use crate::session::{EndReason, SessionKind, SessionState};
    use std::collections::BTreeSet;

    fn check_words(field: ValueField, values: impl IntoIterator<Item = &'static str>) {
        let values = values.into_iter().collect::<BTreeSet<_>>();
        let words = field.words().collect::<Vec<_>>();
        let names = words.iter().map(|word| word.name).collect::<BTreeSet<_>>();
        assert_eq!(names.len(), words.len(), "{field:?} has a word twice");
        for value in &values {
            assert!(field.find_word(value).is_some_and(|word| word.values == [*value]), "{value}");
        }
        for word in words {
            assert!(
                !word.values.is_empty() && word.values.iter().all(|value| values.contains(value)),
                "{word:?}"
            );
        }
    }

    #[test]
    fn each_value_is_a_word_and_each_word_stands_for_values() {
        for state in SessionState::all() {
            assert_eq!(SessionState::parse(state.name()), Some(state));
        }
        check_words(ValueField::State, SessionState::all().map(SessionState::name));
        check_words(ValueField::Kind, SessionKind::ALL.map(SessionKind::name));
        check_words(ValueField::EndReason, EndReason::ALL.map(EndReason::name));
        check_words(
            ValueField::OwnerKind,
            [PrincipalKind::User, PrincipalKind::ServiceUser].map(|kind| kind.name()),
        );
    }

    #[test]
    fn exactly_fields_of_words_have_words() {
        for field in Field::all() {
            assert_eq!(field.words().next().is_some(), field.info().query == QueryType::Word, "{field:?}");
        }
    }
}
