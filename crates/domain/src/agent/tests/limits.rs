//! Usage limits of sessions and organizations.

use super::*;

fn limited(max: i64) -> AgentSession {
    let mut session = session();
    session.given.max_acus = Some(Acus::whole(max));
    session
}

fn within_cycle(now: i64, left: i64) -> Moment {
    Moment { cycle_left: Some(Acus::whole(left)), ..at(now) }
}

#[test]
fn a_session_that_reached_its_limit_sleeps_at_once_and_keeps_its_answer() {
    let state = run(limited(3), [post(1), post(2), claim(1), report(1, 1, 0, vec![usage(2)])]);
    assert_eq!(state.state.name(), "running.working");
    let state = run(state, [report(1, 1, 1, vec![usage(1)])]);
    assert_eq!(state.state.name(), "suspended.usage_limit_exceeded");
    assert!(state.turn.as_ref().is_some_and(|turn| turn.stopping));
    // Usage of the worker before it stops is counted, and its lease is not extended.
    let later = run(state.clone(), [report(1, 1, 2, vec![usage(5)])]);
    assert_eq!(later.usage.acus, Acus::whole(8));
    let lease = |state: &AgentSession| state.turn.as_ref().map(|turn| turn.lease);
    assert_eq!(lease(&later), lease(&state));
    let over = run(later.clone(), [finish(1, 1, TurnEnding::Finished)]);
    assert_eq!(
        (over.state.name(), over.agent_messages, over.work_demand()),
        (state.state.name(), 1, WorkDemand::None)
    );
    // A worker that never confirms is not replaced.
    let lost = run(later, [AgentCommand::LoseLease { fence: 1 }]);
    assert_eq!((lost.state, lost.turn.map(|turn| turn.state)), (state.state, Some(TurnState::Cancelled)));
    // A message does not resume the session.
    assert_eq!(run(over, [post(3)]).state, state.state);
}

#[test]
fn an_organizations_cycle_stops_reports_claims_and_messages() {
    let state = run(session(), [post(1), claim(1)]);
    let run_in = |state: AgentSession, command, left| {
        let changes = decide(&state, Actor::Tenure, command, &within_cycle(90, left)).unwrap();
        state.with_changes(&changes, Micros(90))
    };
    let org = "suspended.org_usage_limit_exceeded";
    let one = || report(1, 1, 0, vec![usage(1)]);
    assert_eq!(run_in(state.clone(), one(), 2).state.name(), "running.working");
    assert_eq!(run_in(state.clone(), one(), 1).state.name(), org);
    assert_eq!(run_in(state, one(), -7).state.name(), org);
    let waiting = run(session(), [post(1)]);
    let refused = run_in(waiting.clone(), claim(1), 0);
    assert_eq!((refused.state.name(), refused.turn.is_none(), refused.waiting.len()), (org, true, 1));
    assert_eq!(run_in(refused.clone(), post(2), 0).state.name(), org);
    // In the next cycle a message resumes it, and the first message is answered first.
    let awake = run(refused, [post(2), claim(1)]);
    assert_eq!((awake.state.name(), awake.turn.map(|turn| turn.message)), ("running.working", Some(1)));
}

#[test]
fn usage_never_shrinks() {
    let state = run(session(), [post(1), claim(1)]);
    let outcome = decide(&state, Actor::Tenure, report(1, 1, 0, vec![usage(-1)]), &at(9));
    assert!(outcome.is_err());
}
