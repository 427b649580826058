//! The state of an agent session. Devin's wire shows it as it is, Everruns' wire as one of three groups.

/// The state of an agent session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AgentState {
    /// No worker has claimed a turn yet.
    New,
    /// A worker has claimed the first turn and has not reported yet.
    Claimed,
    /// It is running.
    Running(RunPhase),
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
pub enum RunPhase {
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
pub enum ActivityGroup {
    /// No worker has worked on it yet.
    Started,
    /// A worker works on it, or will soon.
    Active,
    /// It waits for the next message.
    Idle,
}

impl AgentState {
    /// All states.
    pub const ALL: [AgentState; 15] = [
        AgentState::New,
        AgentState::Claimed,
        AgentState::Running(RunPhase::Working),
        AgentState::Running(RunPhase::WaitingForUser),
        AgentState::Running(RunPhase::WaitingForApproval),
        AgentState::Running(RunPhase::Finished),
        AgentState::Suspended(SuspendReason::Inactivity),
        AgentState::Suspended(SuspendReason::UserRequest),
        AgentState::Suspended(SuspendReason::UsageLimitExceeded),
        AgentState::Suspended(SuspendReason::OrgUsageLimitExceeded),
        AgentState::Suspended(SuspendReason::WorkerLost),
        AgentState::Suspended(SuspendReason::Error),
        AgentState::Resuming,
        AgentState::Exit,
        AgentState::Error,
    ];

    /// Its full name: `running.working`, `exit`. Also its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            AgentState::New => "new",
            AgentState::Claimed => "claimed",
            AgentState::Running(RunPhase::Working) => "running.working",
            AgentState::Running(RunPhase::WaitingForUser) => "running.waiting_for_user",
            AgentState::Running(RunPhase::WaitingForApproval) => "running.waiting_for_approval",
            AgentState::Running(RunPhase::Finished) => "running.finished",
            AgentState::Suspended(SuspendReason::Inactivity) => "suspended.inactivity",
            AgentState::Suspended(SuspendReason::UserRequest) => "suspended.user_request",
            AgentState::Suspended(SuspendReason::UsageLimitExceeded) => "suspended.usage_limit_exceeded",
            AgentState::Suspended(SuspendReason::OrgUsageLimitExceeded) => {
                "suspended.org_usage_limit_exceeded"
            }
            AgentState::Suspended(SuspendReason::WorkerLost) => "suspended.worker_lost",
            AgentState::Suspended(SuspendReason::Error) => "suspended.error",
            AgentState::Resuming => "resuming",
            AgentState::Exit => "exit",
            AgentState::Error => "error",
        }
    }

    /// The state with this full name.
    pub fn parse(name: &str) -> Option<AgentState> {
        AgentState::ALL.into_iter().find(|state| state.name() == name)
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
    pub fn group(self) -> ActivityGroup {
        match self {
            AgentState::New | AgentState::Claimed => ActivityGroup::Started,
            AgentState::Running(RunPhase::Working) | AgentState::Resuming => ActivityGroup::Active,
            AgentState::Running(_) | AgentState::Suspended(_) | AgentState::Exit | AgentState::Error => {
                ActivityGroup::Idle
            }
        }
    }

    /// Whether a turn can start. A suspended session has to be resumed first.
    pub fn can_run_turn(self) -> bool {
        !matches!(self, AgentState::Suspended(_) | AgentState::Exit)
    }
}

impl serde::Serialize for AgentState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for AgentState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        AgentState::parse(&name).ok_or_else(|| serde::de::Error::custom("not the state of a session"))
    }
}

impl ActivityGroup {
    /// Its name on Everruns' wire.
    pub fn name(self) -> &'static str {
        match self {
            ActivityGroup::Started => "started",
            ActivityGroup::Active => "active",
            ActivityGroup::Idle => "idle",
        }
    }

    /// The group with this name.
    pub fn parse(name: &str) -> Option<ActivityGroup> {
        [ActivityGroup::Started, ActivityGroup::Active, ActivityGroup::Idle]
            .into_iter()
            .find(|group| group.name() == name)
    }

    /// The states in it.
    pub fn states(self) -> impl Iterator<Item = AgentState> {
        AgentState::ALL.into_iter().filter(move |state| state.group() == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_word_of_its_own_and_both_wires_know_it() {
        for state in AgentState::ALL {
            assert_eq!(AgentState::parse(state.name()), Some(state));
            let devin = ["new", "claimed", "running", "exit", "error", "suspended", "resuming"];
            assert!(devin.contains(&state.status()), "{state:?}");
            assert_eq!(state.detail().is_some(), ["running", "suspended"].contains(&state.status()));
        }
        assert_eq!(AgentState::parse("running"), None);
    }

    #[test]
    fn states_form_three_groups() {
        use ActivityGroup::*;
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
            assert_eq!(AgentState::parse(word).map(AgentState::group), Some(group), "{word}");
            assert_eq!(ActivityGroup::parse(group.name()), Some(group));
        }
        let all = [Started, Active, Idle].map(|group| group.states().count());
        assert_eq!(all, [2, 2, 11]);
    }
}
