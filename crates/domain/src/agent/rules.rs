//! What may happen to an agent session.

use super::decision::Decision;
use super::{
    Acus, AgentSession, Answer, Doing, Event, EventContext, EventKind, MAX_CHILDREN, MAX_WAITING, Message,
    NewMessage, PullRequest, Report, State, SuspendReason, Turn, TurnGrant, TurnState, Usage, turns,
};
use crate::device::Actor;
use crate::ids::{MessageId, SessionId, TurnId};
use crate::json::Json;
use crate::refusal::{Refusal, Thing};
use crate::session::{EndReason, Ending, What};
use crate::time::Micros;
use serde_json::json;

/// What a rule needs of the moment it decides in.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time.
    pub now: Micros,
    /// For the ids of what is made; all of one decision may have it in common.
    pub random: [u8; 10],
    /// Until when a worker that gives a sign of life now has its turn.
    pub lease: Micros,
    /// What the organization may still use in this cycle; nothing when it has no limit.
    pub cycle_left: Option<Acus>,
}

/// What somebody wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Note that it was created: the first command of every session.
    Start,
    /// Say something.
    Post(NewMessage),
    /// Stop the turn that somebody works on; when nobody does, let go of the messages that wait.
    Cancel,
    /// Put it away, and to sleep.
    Archive,
    /// Bring it back. It sleeps until somebody says something.
    Unarchive,
    /// End it for good.
    End {
        /// Why.
        reason: EndReason,
        /// What the reason was judged by.
        evidence: String,
    },
    /// Call it something else.
    SetTitle(Option<String>),
    /// Have these tags and no others.
    SetTags(Vec<String>),
    /// Have these tags too.
    AddTags(Vec<String>),
    /// Note a session that it started.
    AddChild(SessionId),
    /// Take the next message up, or a turn whose worker was lost. Nothing happens when there is neither.
    Claim {
        /// What the worker calls itself.
        worker: String,
        /// The id of the turn, if it is a new one.
        turn: TurnId,
        /// What lets the worker speak of it.
        grant: TurnGrant,
    },
    /// What a worker has to say of its turn.
    Report {
        /// Which.
        turn: TurnId,
        /// The number that its claim was given.
        fence: i64,
        /// What it says.
        report: Report,
    },
    /// A worker is done with its turn.
    Finish {
        /// Which.
        turn: TurnId,
        /// The number that its claim was given.
        fence: i64,
        /// How it ended.
        answer: Answer,
        /// What was streamed since the last whole message: it becomes one.
        streamed: String,
    },
    /// A worker gave no sign of life until its lease ran out. Nothing happens when it has not.
    LoseLease {
        /// The number that its claim was given.
        fence: i64,
    },
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Something was said: a row of the messages.
    Said(Message),
    /// Something happened: a row of the events.
    Happened(Event),
    /// It stands elsewhere.
    State(State),
    /// These messages have been taken by no turn.
    Waiting(Vec<(i64, MessageId)>),
    /// The newest turn is this now.
    Turn(Box<Turn>),
    /// What it used more: a row of the organization's day. The store keeps it only while the organization's limit
    /// stands to it as it did when it was decided.
    Spent(Usage),
    /// It is called this.
    Title(Option<String>),
    /// It has these tags.
    Tags(Vec<String>),
    /// It was put away, or brought back.
    Archived(Option<Micros>),
    /// It started this session.
    Child(SessionId),
    /// A pull request came of it, or changed.
    PullRequest(PullRequest),
    /// It came to this.
    StructuredOutput(Json),
    /// It is over.
    Ended(Ending),
}

impl Change {
    /// What the change feed says of it.
    pub fn what(&self) -> What {
        match self {
            Change::Ended(_) => What::Ended,
            _ => What::Changed,
        }
    }

    /// What the change feed says of a batch; nothing for what streams by in a turn, of which the turn's end is told.
    pub fn feed_line(changes: &[Change]) -> Option<What> {
        let streams = |change: &Change| match change {
            Change::Happened(event) => event.kind.is_streamed(),
            Change::Turn(turn) => turn.state == TurnState::Working,
            _ => false,
        };
        let loud = || changes.iter().filter(|change| !streams(change)).map(Change::what);
        loud().find(|what| *what == What::Ended).or_else(|| loud().next())
    }
}

/// Decides what a command does to a session. What is so already changes nothing, so that a client may repeat it.
///
/// Commands of workers ([`Command::Claim`], [`Command::Report`], [`Command::Finish`]) name their turn and its fence;
/// whether the worker may work for the organization is for the proof that it was let in by.
///
/// # Errors
/// The rule that stands against it.
pub fn decide(
    session: &AgentSession,
    actor: Actor,
    command: Command,
    moment: &Moment,
) -> Result<Vec<Change>, Refusal> {
    let mut decision = Decision::on(session, moment);
    match command {
        Command::Claim { worker, turn, grant } => turns::claim(&mut decision, worker, turn, grant),
        Command::Report { turn, fence, report } => turns::report(&mut decision, turn, fence, report)?,
        Command::Finish { turn, fence, answer, streamed } => {
            turns::finish(&mut decision, turn, fence, answer, streamed)?;
        }
        Command::LoseLease { fence } => turns::lose(&mut decision, fence),
        command => {
            may_act_on(session, actor)?;
            ask(&mut decision, actor, command)?;
        }
    }
    Ok(decision.changes())
}

/// Checks that somebody may act on a session: its owner, who created it in the owner's name, and those who look after
/// everybody's.
///
/// # Errors
/// [`Refusal::NotYours`].
pub fn may_act_on(session: &AgentSession, actor: Actor) -> Result<(), Refusal> {
    match actor.principal() {
        Some(principal) if principal == session.given.created_by => Ok(()),
        _ => actor.may_act_on(session.given.owner, Thing::Session),
    }
}

fn ask(decision: &mut Decision<'_>, actor: Actor, command: Command) -> Result<(), Refusal> {
    match command {
        Command::Start => start(decision),
        Command::Post(message) => post(decision, message)?,
        Command::Cancel => cancel(decision, "user_request"),
        Command::Archive => archive(decision),
        Command::Unarchive if decision.session.archived.is_some() => decision.push(Change::Archived(None)),
        Command::End { reason, evidence } => {
            end(decision, Ending { reason, actor: actor.principal(), evidence });
        }
        Command::SetTitle(title) => retitle(decision, super::title(title)?)?,
        Command::SetTags(tags) => retag(decision, super::tags(tags)?)?,
        Command::AddTags(tags) => {
            let held = &decision.session.given.tags;
            let new = super::tags(tags)?.into_iter().filter(|tag| !held.contains(tag));
            let all = held.iter().cloned().chain(new).collect();
            retag(decision, super::tags(all)?)?;
        }
        Command::AddChild(child) => adopt(decision, child)?,
        // The rest are workers' commands, or a repetition of what is so already.
        _ => {}
    }
    Ok(())
}

fn start(decision: &mut Decision<'_>) {
    let given = &decision.session.given;
    let data = json!({ "agent": given.agent, "model": given.model });
    decision.event(EventKind::SessionStarted, data, EventContext::default());
}

/// What has ended or was put away takes no messages.
fn goes_on(session: &AgentSession) -> Result<(), Refusal> {
    if session.state == State::Exit {
        return Err(Refusal::SessionEnded);
    }
    is_here(session)
}

/// What was put away is kept as it is until it is brought back.
fn is_here(session: &AgentSession) -> Result<(), Refusal> {
    if session.archived.is_some() { Err(Refusal::SessionArchived) } else { Ok(()) }
}

fn post(decision: &mut Decision<'_>, message: NewMessage) -> Result<(), Refusal> {
    goes_on(&decision.session)?;
    message.check()?;
    if decision.session.waiting.len() >= MAX_WAITING {
        return Err(Refusal::Backlog { max: MAX_WAITING as u32 });
    }
    decision.posted(message);
    decision.state(woken(&decision.session, decision.cycle_left));
    Ok(())
}

/// Where a message leaves a session. In the same decision, or else who asks right after it was sent would see that
/// the agent waits for an answer, and stop asking.
fn woken(session: &AgentSession, cycle_left: Option<Acus>) -> State {
    if let Some(reason) = spent(session, cycle_left) {
        return State::Suspended(reason);
    }
    match session.state {
        state @ (State::New | State::Claimed | State::Exit) => state,
        State::Running(_) => State::Running(Doing::Working),
        State::Suspended(_) | State::Resuming | State::Error => State::Resuming,
    }
}

/// The limit that a session, or its organization, has come to.
pub(super) fn spent(session: &AgentSession, cycle_left: Option<Acus>) -> Option<SuspendReason> {
    if session.given.max_acus.is_some_and(|max| session.usage.acus >= max) {
        return Some(SuspendReason::UsageLimitExceeded);
    }
    cycle_left.is_some_and(|left| left.0 <= 0).then_some(SuspendReason::OrgUsageLimitExceeded)
}

fn cancel(decision: &mut Decision<'_>, reason: &str) {
    let stopped = stop(decision, reason);
    if stopped.is_none() {
        if decision.session.waiting.is_empty() {
            return;
        }
        decision.push(Change::Waiting(Vec::new()));
        let data = json!({ "turn": null, "reason": reason });
        decision.event(EventKind::TurnCancelled, data, EventContext::default());
    }
    if decision.session.state.runs() {
        let more = !decision.session.waiting.is_empty();
        decision.state(State::Running(if more { Doing::Working } else { Doing::WaitingForUser }));
    }
    decision.settle(stopped.unwrap_or_default());
}

/// Messages that wait stay: who brings it back and says something gets them answered first.
fn archive(decision: &mut Decision<'_>) {
    if decision.session.archived.is_some() {
        return;
    }
    let stopped = stop(decision, "archived");
    decision.push(Change::Archived(Some(decision.moment.now)));
    if decision.session.state.runs() && decision.session.state != State::Error {
        decision.state(State::Suspended(SuspendReason::UserRequest));
    }
    if let Some(context) = stopped {
        decision.settle(context);
    }
}

fn end(decision: &mut Decision<'_>, ending: Ending) {
    if decision.session.state == State::Exit {
        return;
    }
    let stopped = stop(decision, "terminated");
    if !decision.session.waiting.is_empty() {
        decision.push(Change::Waiting(Vec::new()));
    }
    decision.state(State::Exit);
    decision.push(Change::Ended(ending));
    if let Some(context) = stopped {
        decision.settle(context);
    }
}

/// Stops the turn that is not over; gives what its events belong to, if there was one.
fn stop(decision: &mut Decision<'_>, reason: &str) -> Option<EventContext> {
    let unfinished = |turn: &&Turn| turn.is_open() || turn.state == TurnState::Returned;
    let turn = decision.session.turn.as_ref().filter(unfinished).cloned()?;
    let context = turn.context();
    decision.close(turn, TurnState::Cancelled, EventKind::TurnCancelled, json!({ "reason": reason }));
    Some(context)
}

fn retitle(decision: &mut Decision<'_>, title: Option<String>) -> Result<(), Refusal> {
    if decision.session.given.title != title {
        is_here(&decision.session)?;
        decision.push(Change::Title(title));
    }
    Ok(())
}

fn retag(decision: &mut Decision<'_>, tags: Vec<String>) -> Result<(), Refusal> {
    if decision.session.given.tags != tags {
        is_here(&decision.session)?;
        decision.push(Change::Tags(tags));
    }
    Ok(())
}

fn adopt(decision: &mut Decision<'_>, child: SessionId) -> Result<(), Refusal> {
    goes_on(&decision.session)?;
    if decision.session.children.len() >= MAX_CHILDREN {
        return Err(Refusal::invalid("parent", format!("a session with fewer than {MAX_CHILDREN} children")));
    }
    decision.push(Change::Child(child));
    Ok(())
}
