//! The rules for the commands of workers: claim, report, finish, and a lost lease.

use super::decision::Decision;
use super::rules::suspend_reason;
use super::worker::MAX_ATTEMPTS;
use super::{
    AgentChange, AgentState, EventKind, RunPhase, SuspendReason, Turn, TurnCredential, TurnEnding, TurnItem,
    TurnItems, TurnState, Usage, WorkDemand,
};
use crate::ids::TurnId;
use crate::json::Json;
use crate::refusal::Refusal;
use serde_json::json;

/// Maximum length of a line of a worker's log, in characters; the rest is cut off.
const MAX_LOG_CHARS: usize = 8_192;

/// Claims a turn whose worker was lost, or else a new turn for the next message. At a usage limit, the session is
/// suspended instead.
pub(super) fn claim(decision: &mut Decision<'_>, worker: String, id: TurnId, grant: TurnCredential) {
    if decision.session.work_demand() != WorkDemand::Waiting {
        return;
    }
    if let Some(reason) = suspend_reason(&decision.session, decision.cycle_left) {
        decision.set_state(AgentState::Suspended(reason));
        return;
    }
    let last = decision.session.turn.clone();
    let mut turn = match last {
        Some(lost) if lost.state == TurnState::Returned => again(decision, lost, worker),
        last => next(decision, last, worker, id),
    };
    turn.grant = Some(grant);
    let first = turn.number == 1 && matches!(decision.session.state, AgentState::New | AgentState::Claimed);
    decision.set_state(if first { AgentState::Claimed } else { AgentState::Running(RunPhase::Working) });
    let data = json!({ "turn": turn.id, "message": turn.input, "attempt": turn.attempt });
    let context = turn.context();
    decision.push(AgentChange::Turn(Box::new(turn)));
    decision.add_event(EventKind::TurnStarted, data.clone(), context);
    decision.add_event(EventKind::SessionActivated, data, context);
}

fn again(decision: &Decision<'_>, lost: Turn, worker: String) -> Turn {
    Turn {
        attempt: lost.attempt + 1,
        worker,
        lease: decision.moment.lease,
        fence: lost.fence + 1,
        state: TurnState::Claimed,
        started: decision.moment.now,
        events_before: decision.session.events,
        reported: 0,
        streamed: 0,
        streamed_from: 0,
        ..lost
    }
}

fn next(decision: &mut Decision<'_>, last: Option<Turn>, worker: String, id: TurnId) -> Turn {
    let (message, input) = decision.session.waiting[0];
    let rest = decision.session.waiting[1..].to_vec();
    decision.push(AgentChange::Waiting(rest));
    let done = |turn: &&Turn| matches!(turn.state, TurnState::Answered | TurnState::Failed);
    let previous = last.as_ref().filter(done);
    Turn {
        id,
        number: last.as_ref().map_or(0, |turn| turn.number) + 1,
        message,
        input,
        attempt: 1,
        worker,
        lease: decision.moment.lease,
        fence: last.as_ref().map_or(0, |turn| turn.fence) + 1,
        state: TurnState::Claimed,
        started: decision.moment.now,
        events_before: decision.session.events,
        reported: 0,
        streamed: 0,
        streamed_from: 0,
        said: 0,
        usage: Usage::default(),
        stopping: false,
        previous: previous.map(|turn| (turn.id, turn.fence)),
        grant: None,
        previous_grant: previous.and_then(|turn| turn.grant),
    }
}

/// The open turn, if this worker holds it.
fn own(decision: &Decision<'_>, id: TurnId, fence: i64) -> Result<Turn, Refusal> {
    let open = decision.session.open_turn().filter(|turn| turn.is(id, fence));
    open.cloned().ok_or(Refusal::TurnLost)
}

/// Adds the new items of a report. Items that were reported before are skipped: a worker repeats a report when it got
/// no response.
pub(super) fn report(
    decision: &mut Decision<'_>,
    id: TurnId,
    fence: i64,
    report: TurnItems,
) -> Result<(), Refusal> {
    let mut turn = own(decision, id, fence)?;
    if report.first < 0 || report.first > turn.reported {
        return Err(Refusal::invalid("first", format!("at most {}", turn.reported)));
    }
    let known = usize::try_from(turn.reported - report.first).unwrap_or(usize::MAX);
    let fresh: Vec<TurnItem> = report.items.into_iter().skip(known).collect();
    if fresh.is_empty() && turn.state == TurnState::Working {
        return Ok(());
    }
    turn.state = TurnState::Working;
    turn.reported += fresh.len() as i64;
    if !turn.stopping {
        turn.lease = decision.moment.lease;
        decision.set_state(AgentState::Running(RunPhase::Working));
    }
    for item in fresh {
        take(decision, &mut turn, item)?;
    }
    halt(decision, &mut turn);
    decision.push(AgentChange::Turn(Box::new(turn)));
    Ok(())
}

/// At a usage limit, suspends the session and marks the turn as stopping. The worker's items until it stops are still
/// added, and its usage is still counted.
fn halt(decision: &mut Decision<'_>, turn: &mut Turn) {
    if turn.stopping {
        return;
    }
    if let Some(reason) = suspend_reason(&decision.session, decision.cycle_left) {
        turn.stopping = true;
        decision.set_state(AgentState::Suspended(reason));
    }
}

fn take(decision: &mut Decision<'_>, turn: &mut Turn, item: TurnItem) -> Result<(), Refusal> {
    match item {
        TurnItem::Output(delta) => output(decision, turn, delta),
        TurnItem::Log(line) => {
            let line: String = line.chars().take(MAX_LOG_CHARS).collect();
            decision.add_event(
                EventKind::WorkerLog,
                json!({ "turn": turn.id, "line": line }),
                turn.context(),
            );
        }
        TurnItem::Event { kind, data } if kind.is_worker_event() => {
            decision.add_event(kind, data, turn.context())
        }
        TurnItem::Event { kind, .. } => {
            let expected = format!("an event that workers tell of, not {}", kind.name());
            return Err(Refusal::invalid("event", expected));
        }
        TurnItem::Message { text, parts, attachments } => {
            decision.add_agent_message(turn, text, parts, attachments)
        }
        TurnItem::Usage(usage) => spend(decision, turn, usage)?,
        TurnItem::PullRequest(request) => decision.push(AgentChange::PullRequest(request)),
        TurnItem::StructuredOutput(value) => decision.push(AgentChange::StructuredOutput(value)),
        TurnItem::Title(title) => decision.push(AgentChange::Title(super::check_title(Some(title))?)),
    }
    Ok(())
}

fn output(decision: &mut Decision<'_>, turn: &mut Turn, delta: String) {
    if turn.streamed == 0 {
        decision.add_event(EventKind::OutputStarted, json!({ "turn": turn.id }), turn.context());
        turn.streamed_from = decision.session.events + 1;
    }
    let offset = turn.streamed;
    turn.streamed += delta.len() as i64;
    let data = json!({ "turn": turn.id, "delta": delta, "offset": offset });
    decision.add_event(EventKind::OutputDelta, data, turn.context());
}

fn spend(decision: &mut Decision<'_>, turn: &mut Turn, usage: Usage) -> Result<(), Refusal> {
    if !usage.is_non_negative() {
        return Err(Refusal::invalid("usage", "numbers that are not below zero"));
    }
    turn.usage = turn.usage.plus(usage);
    decision.push(AgentChange::Usage(usage));
    Ok(())
}

/// Ends a turn as its worker reports. A repeated report changes nothing.
pub(super) fn finish(
    decision: &mut Decision<'_>,
    id: TurnId,
    fence: i64,
    answer: TurnEnding,
    streamed: String,
) -> Result<(), Refusal> {
    if was_done(decision, id, fence, &answer) {
        return Ok(());
    }
    let mut turn = own(decision, id, fence)?;
    let context = turn.context();
    if !streamed.is_empty() {
        decision.add_agent_message(&mut turn, streamed, Json::default(), Vec::new());
    }
    let after = match answer {
        TurnEnding::Finished => complete_turn(decision, turn, RunPhase::Finished),
        TurnEnding::WaitingForUser => complete_turn(decision, turn, RunPhase::WaitingForUser),
        TurnEnding::WaitingForApproval => complete_turn(decision, turn, RunPhase::WaitingForApproval),
        TurnEnding::Failed { message, exit_code } => {
            let data = json!({ "error": message, "exit_code": exit_code });
            decision.close(turn, TurnState::Failed, EventKind::TurnFailed, data);
            AgentState::Error
        }
        TurnEnding::Cancelled => {
            let data = json!({ "reason": "worker" });
            decision.close(turn, TurnState::Cancelled, EventKind::TurnCancelled, data);
            AgentState::Running(RunPhase::WaitingForUser)
        }
    };
    rest(decision, after);
    decision.settle(context);
    Ok(())
}

/// Whether this worker ended the turn before, or confirms a cancellation.
fn was_done(decision: &Decision<'_>, id: TurnId, fence: i64, answer: &TurnEnding) -> bool {
    let Some(turn) = &decision.session.turn else { return false };
    let ended = match turn.state {
        TurnState::Answered | TurnState::Failed => true,
        TurnState::Cancelled => *answer == TurnEnding::Cancelled,
        _ => false,
    };
    (ended && turn.is(id, fence)) || turn.previous == Some((id, fence))
}

fn complete_turn(decision: &mut Decision<'_>, turn: Turn, doing: RunPhase) -> AgentState {
    let took = decision.moment.now.duration_since(turn.started);
    let data = json!({ "duration_ms": took.0 / 1_000, "usage": turn.usage });
    decision.close(turn, TurnState::Answered, EventKind::TurnCompleted, data);
    AgentState::Running(doing)
}

/// Sets the session's state after a turn: a suspended session stays suspended, and one with waiting messages goes on.
fn rest(decision: &mut Decision<'_>, after: AgentState) {
    if !decision.session.state.can_run_turn() {
        return;
    }
    let more = !decision.session.waiting.is_empty();
    decision.set_state(if more { AgentState::Running(RunPhase::Working) } else { after });
}

/// Takes the turn away from a worker whose lease ran out. Another worker can claim it once, unless the agent has
/// already sent a message in it. Otherwise the turn fails and the session is suspended, with its waiting messages.
pub(super) fn lose(decision: &mut Decision<'_>, fence: i64) {
    let now = decision.moment.now;
    let lapsed = |turn: &&Turn| turn.fence == fence && turn.lease <= now;
    let Some(mut turn) = decision.session.open_turn().filter(lapsed).cloned() else { return };
    let context = turn.context();
    if turn.stopping {
        let data = json!({ "reason": "limit" });
        decision.close(turn, TurnState::Cancelled, EventKind::TurnCancelled, data);
        return decision.settle(context);
    }
    if turn.attempt < MAX_ATTEMPTS && turn.said == 0 {
        turn.state = TurnState::Returned;
        let data = json!({ "turn": turn.id, "attempt": turn.attempt });
        decision.add_event(EventKind::TurnReturned, data, turn.context());
        return decision.push(AgentChange::Turn(Box::new(turn)));
    }
    let data = json!({ "error": "its worker was lost", "exit_code": null });
    decision.close(turn, TurnState::Lost, EventKind::TurnFailed, data);
    decision.set_state(AgentState::Suspended(SuspendReason::WorkerLost));
    decision.settle(context);
}
