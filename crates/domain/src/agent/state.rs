//! Where an agent session stands: one truth, which Devin's wire says as it is and Everruns' as three groups.

/// Where an agent session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No worker has taken it yet.
    New,
    /// A worker has taken its first turn and has not begun.
    Claimed,
    /// It is alive, and does this.
    Running(Doing),
    /// It sleeps, for this reason. A message wakes it.
    Suspended(SuspendReason),
    /// A message woke it, and no worker has taken it yet.
    Resuming,
    /// It was ended, for good.
    Exit,
    /// Its last turn failed. A message wakes it.
    Error,
}

/// What a session that is alive does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doing {
    /// It works, or waits for a worker.
    Working,
    /// It has answered.
    WaitingForUser,
    /// It asks whether it may go on.
    WaitingForApproval,
    /// It has answered, and says that there is nothing left to do.
    Finished,
}

/// Why a session sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuspendReason {
    /// Nothing happened for too long.
    Inactivity,
    /// Somebody put it to sleep.
    UserRequest,
    /// It used up what it may use.
    UsageLimitExceeded,
    /// Its organization used up what it may use in this cycle.
    OrgUsageLimitExceeded,
    /// Two workers were lost over one turn. Not a word of Devin's, which says `error`.
    WorkerLost,
    /// Something went wrong.
    Error,
}

/// Everruns' three words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Nobody has worked on it yet.
    Started,
    /// Somebody works on it, or is about to.
    Active,
    /// Nothing happens until somebody says something.
    Idle,
}

impl State {
    /// All there are.
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

    /// The whole of it as one word: `running.working`, `exit`. The word in the store.
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

    /// The state of such a word.
    pub fn parse(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Devin's `status`: the word up to the dot.
    pub fn status(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(status, _)| status)
    }

    /// The word after the dot; with `worker_lost` in it, which is our own.
    pub fn detail(self) -> Option<&'static str> {
        self.name().split_once('.').map(|(_, detail)| detail)
    }

    /// Everruns' word.
    pub fn group(self) -> Group {
        match self {
            State::New | State::Claimed => Group::Started,
            State::Running(Doing::Working) | State::Resuming => Group::Active,
            State::Running(_) | State::Suspended(_) | State::Exit | State::Error => Group::Idle,
        }
    }

    /// Whether a turn may begin in it. What sleeps must be woken first.
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
    /// Everruns' word for it.
    pub fn name(self) -> &'static str {
        match self {
            Group::Started => "started",
            Group::Active => "active",
            Group::Idle => "idle",
        }
    }

    /// The group of such a word.
    pub fn parse(name: &str) -> Option<Group> {
        [Group::Started, Group::Active, Group::Idle].into_iter().find(|group| group.name() == name)
    }

    /// The states that make it up.
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
