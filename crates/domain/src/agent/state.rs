//! The state of an agent session. Devin's wire shows it as it is, Everruns' wire as one of three groups.

/// The state of an agent session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No worker has claimed a turn yet.
    New,
    /// A worker has claimed the first turn and has not reported yet.
    Claimed,
    /// It is running.
    Running(Doing),
    /// It is suspended until the next message.
    Suspended(SuspendReason),
    /// A message resumed it, and no worker has claimed the turn yet.
    Resuming,
    /// It was ended for good.
    Exit,
    /// Its last turn failed. The next message resumes it.
    Error,
}

/// What a running session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doing {
    /// It works or waits for a worker.
    Working,
    /// It has answered.
    WaitingForUser,
    /// It asks for approval to continue.
    WaitingForApproval,
    /// It has answered and reports that its task is done.
    Finished,
}

/// Why a session is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuspendReason {
    /// It was inactive for too long.
    Inactivity,
    /// A user archived it.
    UserRequest,
    /// It reached its own usage limit.
    UsageLimitExceeded,
    /// Its organization reached its usage limit of this cycle.
    OrgUsageLimitExceeded,
    /// Two workers of one turn were lost. Devin's API has no such reason and uses `error`.
    WorkerLost,
    /// An error.
    Error,
}

/// A group of states: the three statuses of Everruns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// No worker has worked on it yet.
    Started,
    /// A worker works on it, or will soon.
    Active,
    /// It waits for the next message.
    Idle,
}

impl State {
    /// All states.
    pub const ALL: [State; 15] = [
        State::New,
        State::Claimed,
        State::Running(Doing::Working),
        State::Running(Doing::WaitingForUser),
        State::Running(Doing::WaitingForApproval),
        State::Running(Doing::Finished),
        State::Suspended(SuspendReason::Inactivity),
        State::Suspended(SuspendReason::UserRequest),
        State::Suspended(SuspendReason::UsageLimitExceeded),
        State::Suspended(SuspendReason::OrgUsageLimitExceeded),
        State::Suspended(SuspendReason::WorkerLost),
        State::Suspended(SuspendReason::Error),
        State::Resuming,
        State::Exit,
        State::Error,
    ];

    /// Its full name: `running.working`, `exit`. Also its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            State::New => "new",
            State::Claimed => "claimed",
            State::Running(Doing::Working) => "running.working",
            State::Running(Doing::WaitingForUser) => "running.waiting_for_user",
            State::Running(Doing::WaitingForApproval) => "running.waiting_for_approval",
            State::Running(Doing::Finished) => "running.finished",
            State::Suspended(SuspendReason::Inactivity) => "suspended.inactivity",
            State::Suspended(SuspendReason::UserRequest) => "suspended.user_request",
            State::Suspended(SuspendReason::UsageLimitExceeded) => "suspended.usage_limit_exceeded",
            State::Suspended(SuspendReason::OrgUsageLimitExceeded) => "suspended.org_usage_limit_exceeded",
            State::Suspended(SuspendReason::WorkerLost) => "suspended.worker_lost",
            State::Suspended(SuspendReason::Error) => "suspended.error",
            State::Resuming => "resuming",
            State::Exit => "exit",
            State::Error => "error",
        }
    }

    /// The state with this full name.
    pub fn parse(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Devin's `status`: the full name up to the dot.
    pub fn status(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(status, _)| status)
    }

    /// The part of the full name after the dot. Includes `worker_lost`, which Devin's API does not have.
    pub fn detail(self) -> Option<&'static str> {
        self.name().split_once('.').map(|(_, detail)| detail)
    }

    /// Its group, for Everruns.
    pub fn group(self) -> Group {
        match self {
            State::New | State::Claimed => Group::Started,
            State::Running(Doing::Working) | State::Resuming => Group::Active,
            State::Running(_) | State::Suspended(_) | State::Exit | State::Error => Group::Idle,
        }
    }

    /// Whether a turn can start. A suspended session has to be resumed first.
    pub fn runs(self) -> bool {
        !matches!(self, State::Suspended(_) | State::Exit)
    }
}

impl serde::Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for State {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        State::parse(&name).ok_or_else(|| serde::de::Error::custom("not the state of a session"))
    }
}

impl Group {
    /// Its name on Everruns' wire.
    pub fn name(self) -> &'static str {
        match self {
            Group::Started => "started",
            Group::Active => "active",
            Group::Idle => "idle",
        }
    }

    /// The group with this name.
    pub fn parse(name: &str) -> Option<Group> {
        [Group::Started, Group::Active, Group::Idle].into_iter().find(|group| group.name() == name)
    }

    /// The states in it.
    pub fn states(self) -> impl Iterator<Item = State> {
        State::ALL.into_iter().filter(move |state| state.group() == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_word_of_its_own_and_both_wires_know_it() {
        for state in State::ALL {
            assert_eq!(State::parse(state.name()), Some(state));
            let devin = ["new", "claimed", "running", "exit", "error", "suspended", "resuming"];
            assert!(devin.contains(&state.status()), "{state:?}");
            assert_eq!(state.detail().is_some(), ["running", "suspended"].contains(&state.status()));
        }
        assert_eq!(State::parse("running"), None);
    }

    #[test]
    fn everruns_sees_three_groups() {
        use Group::*;
        for (word, group) in [
            ("new", Started),
            ("claimed", Started),
            ("running.working", Active),
            ("resuming", Active),
            ("running.waiting_for_user", Idle),
            ("running.waiting_for_approval", Idle),
            ("running.finished", Idle),
            ("suspended.worker_lost", Idle),
            ("exit", Idle),
            ("error", Idle),
        ] {
            assert_eq!(State::parse(word).map(State::group), Some(group), "{word}");
            assert_eq!(Group::parse(group.name()), Some(group));
        }
        let all = [Started, Active, Idle].map(|group| group.states().count());
        assert_eq!(all, [2, 2, 11]);
    }
}
