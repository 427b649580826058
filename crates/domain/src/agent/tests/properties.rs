//! Properties that hold for every order of commands.

use super::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    Post,
    Claim,
    Report(i64),
    Finish(u8),
    Lose,
    Cancel,
    Archive,
    Unarchive,
    End,
    Late,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => Just(Step::Post),
        6 => Just(Step::Claim),
        4 => (0i64..3).prop_map(Step::Report),
        5 => (0u8..4).prop_map(Step::Finish),
        2 => Just(Step::Lose),
        1 => Just(Step::Cancel),
        1 => Just(Step::Archive),
        2 => Just(Step::Unarchive),
        1 => (0u8..8).prop_map(|n| if n == 0 { Step::End } else { Step::Post }),
        1 => Just(Step::Late),
    ];
    proptest::collection::vec(step, 0..60)
}

fn command(step: &Step, session: &AgentSession, now: i64) -> AgentCommand {
    let open = session.turn.as_ref().map_or((turn(0), 0, 0), |turn| (turn.id, turn.fence, turn.reported));
    match step {
        Step::Post => post(now as u128),
        Step::Claim => claim(now as u128),
        Step::Report(n) => {
            let items = vec![TurnItem::Output("x".to_owned()), usage(*n)];
            AgentCommand::Report { turn: open.0, fence: open.1, report: TurnItems { first: open.2, items } }
        }
        Step::Finish(n) => {
            let answers = [TurnEnding::Finished, TurnEnding::WaitingForUser, failed(), TurnEnding::Cancelled];
            let answer = answers[usize::from(*n)].clone();
            let streamed = if *n < 2 { "answer" } else { "" }.to_owned();
            AgentCommand::Finish { turn: open.0, fence: open.1, answer, streamed }
        }
        Step::Lose => AgentCommand::LoseLease { fence: open.1 },
        Step::Cancel => AgentCommand::Cancel,
        Step::Archive => AgentCommand::Archive,
        Step::Unarchive => AgentCommand::Unarchive,
        Step::End => end(),
        Step::Late => AgentCommand::Finish {
            turn: open.0,
            fence: open.1 - 1,
            answer: TurnEnding::WaitingForUser,
            streamed: "late".to_owned(),
        },
    }
}

/// The messages and events that the store would have, and the number of closed turns for each message.
#[derive(Default)]
struct Kept {
    messages: Vec<Message>,
    events: Vec<Event>,
    closed: BTreeMap<i64, usize>,
}

impl Kept {
    fn keep(&mut self, changes: &[AgentChange]) {
        for change in changes {
            match change {
                AgentChange::Message(message) => self.messages.push(message.clone()),
                AgentChange::Event(event) => self.events.push(event.clone()),
                AgentChange::Turn(turn) if !turn.is_open() && turn.state != TurnState::Returned => {
                    *self.closed.entry(turn.message).or_default() += 1;
                }
                _ => {}
            }
        }
    }

    fn check(&self, session: &AgentSession) {
        let sequences = self.messages.iter().map(|message| message.sequence);
        assert!(sequences.eq(1..=session.messages()), "messages have no gaps");
        assert!(self.events.iter().map(|event| event.sequence).eq(1..=session.events), "events have no gaps");
        let mut answered = BTreeMap::<i64, usize>::new();
        for answers in self.messages.iter().filter_map(|message| message.answers) {
            *answered.entry(answers).or_default() += 1;
        }
        assert!(answered.values().all(|n| *n == 1), "no message is answered twice");
        assert!(self.closed.values().all(|n| *n == 1), "no message has two turns");
    }
}

proptest! {
    /// For every order of commands: sequences have no gaps; no message is answered twice; each message of a user waits,
    /// is worked on, was closed, or was dropped by a cancel or the end of the session; fencing numbers only grow; an
    /// ended session stays ended.
    #[test]
    fn any_order_of_commands_keeps_a_session_consistent(steps in steps()) {
        let mut state = session();
        state.given.max_acus = Some(Acus::whole(20));
        let mut kept = Kept::default();
        let mut let_go = 0;
        for (now, step) in (10i64..).zip(&steps) {
            let before = state.clone();
            let command = command(step, &state, now);
            let lets_go = matches!(command, AgentCommand::Cancel | AgentCommand::End { .. });
            let Ok(changes) = decide(&state, Actor::Tenure, command, &at(now)) else { continue };
            kept.keep(&changes);
            if changes.is_empty() { continue }
            state = state.with_changes(&changes, Micros(now));
            kept.check(&state);
            let_go += if lets_go && state.waiting.is_empty() { before.waiting.len() } else { 0 };
            let fence = |session: &AgentSession| session.turn.as_ref().map_or(0, |turn| turn.fence);
            prop_assert!(fence(&state) >= fence(&before));
            prop_assert!(before.ended.is_none() || (before.ended == state.ended && state.state == AgentState::Exit));
            prop_assert_eq!(state.revision, before.revision + 1);
            let open = usize::from(state.turn.as_ref().is_some_and(|t| t.is_open() || t.state == TurnState::Returned));
            let accounted = kept.closed.len() + open + state.waiting.len() + let_go;
            prop_assert_eq!(state.user_messages as usize, accounted);
            // A session that waits for a worker is not idle, and an active session has work.
            if state.work_demand() == WorkDemand::Waiting {
                prop_assert!(state.state.group() != ActivityGroup::Idle, "{:?}", state.state);
            }
            if state.state.group() == ActivityGroup::Active {
                prop_assert!(state.work_demand() != WorkDemand::None);
            }
        }
    }
}
