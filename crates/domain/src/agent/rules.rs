//! The commands to an agent session, and the rules for them.

use super::decision::Decision;
use super::{
    Acus, AgentSession, AgentState, Event, EventContext, EventKind, MAX_CHILDREN, MAX_WAITING, Message,
    NewMessage, PullRequest, RunPhase, SuspendReason, Turn, TurnCredential, TurnEnding, TurnItems, TurnState,
    Usage, turns,
};
use crate::device::Actor;
use crate::ids::{MessageId, SessionId, TurnId};
use crate::json::Json;
use crate::refusal::{Refusal, Thing};
use crate::session::{EndReason, Ending, FeedChange};
use crate::time::Micros;
use serde_json::json;

/// The time, random bytes and limits that a rule decides with.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time.
    pub now: Micros,
    /// Random bytes for new ids, shared by all ids of one decision.
    pub random: [u8; 10],
    /// When the lease ends of a worker that claims or reports now.
    pub lease: Micros,
    /// What the organization has left in this cycle; `None` without a limit.
    pub cycle_left: Option<Acus>,
}

/// A command to an agent session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentCommand {
    /// Record that it was created: the first command of every session.
    Start,
    /// Add a message of a user.
    Post(NewMessage),
    /// Cancel the open turn; without one, drop the messages that wait.
    Cancel,
    /// Archive and suspend it.
    Archive,
    /// Undo [`AgentCommand::Archive`]. It stays suspended until the next message.
    Unarchive,
    /// End it for good.
    End {
        /// The reason.
        reason: EndReason,
        /// The facts behind the reason.
        evidence: String,
    },
    /// Replace its title.
    SetTitle(Option<String>),
    /// Replace its tags.
    SetTags(Vec<String>),
    /// Add tags.
    AddTags(Vec<String>),
    /// Replace title and tags together. `None` leaves what is there.
    Describe {
        /// The new title; an inner `None` removes it.
        title: Option<Option<String>>,
        /// Changes to the tags.
        tags: Option<TagsUpdate>,
    },
    /// Record a session that it started.
    AddChild(SessionId),
    /// Claim a turn: one whose worker was lost, or else a new turn for the next message. Without either, nothing changes.
    Claim {
        /// The worker's name for itself.
        worker: String,
        /// The id of the turn, if it is new.
        turn: TurnId,
        /// The credential for requests about the turn.
        grant: TurnCredential,
    },
    /// Add items that a worker reports.
    Report {
        /// The turn.
        turn: TurnId,
        /// The fencing number of the claim.
        fence: i64,
        /// The items.
        report: TurnItems,
    },
    /// End a turn as its worker reports.
    Finish {
        /// The turn.
        turn: TurnId,
        /// The fencing number of the claim.
        fence: i64,
        /// How the turn ended.
        answer: TurnEnding,
        /// The text streamed since the last whole message. It becomes a message.
        streamed: String,
    },
    /// Take the turn away from a worker whose lease has run out. If it has not, nothing changes.
    LoseLease {
        /// The fencing number of the claim.
        fence: i64,
    },
}

/// Changes to a session's tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagsUpdate {
    /// Replaces all tags.
    Replace(Vec<String>),
    /// Adds tags.
    Append(Vec<String>),
}

/// A change of an agent session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentChange {
    /// A new message: a row of the messages.
    Message(Message),
    /// A new event: a row of the events.
    Event(Event),
    /// The new state.
    State(AgentState),
    /// The messages that no turn has taken, from now on.
    Waiting(Vec<(i64, MessageId)>),
    /// The newest turn, or its new fields.
    Turn(Box<Turn>),
    /// Additional usage, added to the organization's row of the day. The store applies it only if the organization is
    /// still on the same side of its limit as when this was decided.
    Usage(Usage),
    /// The new title.
    Title(Option<String>),
    /// The new tags.
    Tags(Vec<String>),
    /// It was archived at this time, or unarchived.
    Archived(Option<Micros>),
    /// It started this session.
    Child(SessionId),
    /// A new pull request, or its new state.
    PullRequest(PullRequest),
    /// The new structured output.
    StructuredOutput(Json),
    /// It ended.
    Ended(Ending),
}

impl AgentChange {
    /// The kind of a batch in the change feed.
    pub fn feed_change(changes: &[AgentChange]) -> FeedChange {
        let ends = changes.iter().any(|change| matches!(change, AgentChange::Ended(_)));
        if ends { FeedChange::Ended } else { FeedChange::Changed }
    }
}

/// Decides which changes a command causes. A repeated command causes none, so that clients can retry.
///
/// The commands of workers ([`AgentCommand::Claim`], [`AgentCommand::Report`], [`AgentCommand::Finish`]) name their
/// turn and its fencing number. Whether the worker may work for the organization is checked before.
///
/// # Errors
/// [`Refusal::NotYours`], [`Refusal::SessionEnded`], [`Refusal::SessionArchived`], [`Refusal::Backlog`] and
/// [`Refusal::Invalid`] for commands of users; [`Refusal::TurnLost`] and [`Refusal::Invalid`] for those of workers.
pub fn decide(
    session: &AgentSession,
    actor: Actor,
    command: AgentCommand,
    moment: &Moment,
) -> Result<Vec<AgentChange>, Refusal> {
    let mut decision = Decision::new(session, moment);
    match command {
        AgentCommand::Claim { worker, turn, grant } => turns::claim(&mut decision, worker, turn, grant),
        AgentCommand::Report { turn, fence, report } => turns::report(&mut decision, turn, fence, report)?,
        AgentCommand::Finish { turn, fence, answer, streamed } => {
            turns::finish(&mut decision, turn, fence, answer, streamed)?;
        }
        AgentCommand::LoseLease { fence } => turns::lose(&mut decision, fence),
        command => {
            may_act_on(session, actor)?;
            ask(&mut decision, actor, command)?;
        }
    }
    Ok(decision.changes())
}

/// Checks that `actor` may act on a session: its owner, its creator, those who manage all sessions, and Tenure.
///
/// # Errors
/// [`Refusal::NotYours`] for anybody else.
pub fn may_act_on(session: &AgentSession, actor: Actor) -> Result<(), Refusal> {
    match actor.principal() {
        Some(principal) if principal == session.given.created_by => Ok(()),
        _ => actor.may_act_on(session.given.owner, Thing::Session),
    }
}

fn ask(decision: &mut Decision<'_>, actor: Actor, command: AgentCommand) -> Result<(), Refusal> {
    match command {
        AgentCommand::Start => start(decision),
        AgentCommand::Post(message) => post(decision, message)?,
        AgentCommand::Cancel => cancel(decision, "user_request"),
        AgentCommand::Archive => archive(decision),
        AgentCommand::Unarchive if decision.session.archived.is_some() => {
            decision.push(AgentChange::Archived(None))
        }
        AgentCommand::End { reason, evidence } => {
            end(decision, Ending { reason, actor: actor.principal(), evidence });
        }
        AgentCommand::SetTitle(title) => retitle(decision, super::check_title(title)?)?,
        AgentCommand::SetTags(tags) => {
            let tags = merge_tags(decision, TagsUpdate::Replace(tags))?;
            retag(decision, tags)?;
        }
        AgentCommand::AddTags(tags) => {
            let tags = merge_tags(decision, TagsUpdate::Append(tags))?;
            retag(decision, tags)?;
        }
        AgentCommand::Describe { title, tags } => {
            // Both are checked before one changes.
            let title = title.map(super::check_title).transpose()?;
            let tags = tags.map(|tags| merge_tags(decision, tags)).transpose()?;
            title.map_or(Ok(()), |title| retitle(decision, title))?;
            tags.map_or(Ok(()), |tags| retag(decision, tags))?;
        }
        AgentCommand::AddChild(child) => adopt(decision, child)?,
        // The rest are commands of workers, and an `Unarchive` of a session that is not archived.
        _ => {}
    }
    Ok(())
}

fn start(decision: &mut Decision<'_>) {
    let given = &decision.session.given;
    let data = json!({ "agent": given.agent, "model": given.model });
    decision.add_event(EventKind::SessionStarted, data, EventContext::default());
}

/// Checks that the session has not ended and is not archived.
fn goes_on(session: &AgentSession) -> Result<(), Refusal> {
    if session.state == AgentState::Exit {
        return Err(Refusal::SessionEnded);
    }
    is_here(session)
}

/// Checks that the session is not archived: an archived session does not change.
fn is_here(session: &AgentSession) -> Result<(), Refusal> {
    if session.archived.is_some() { Err(Refusal::SessionArchived) } else { Ok(()) }
}

fn post(decision: &mut Decision<'_>, message: NewMessage) -> Result<(), Refusal> {
    goes_on(&decision.session)?;
    message.check()?;
    if decision.session.waiting.len() >= MAX_WAITING {
        return Err(Refusal::Backlog { max: MAX_WAITING as u32 });
    }
    decision.add_user_message(message);
    decision.set_state(state_after_message(&decision.session, decision.cycle_left));
    Ok(())
}

/// The state after a new message. It is set in the same decision: a client that polls right after it sent the message
/// would otherwise see that the agent waits for an answer, and stop polling.
fn state_after_message(session: &AgentSession, cycle_left: Option<Acus>) -> AgentState {
    if let Some(reason) = suspend_reason(session, cycle_left) {
        return AgentState::Suspended(reason);
    }
    match session.state {
        state @ (AgentState::New | AgentState::Claimed | AgentState::Exit) => state,
        AgentState::Running(_) => AgentState::Running(RunPhase::Working),
        AgentState::Suspended(_) | AgentState::Resuming | AgentState::Error => AgentState::Resuming,
    }
}

/// Why the session has to be suspended, if it or its organization has reached a limit.
pub(super) fn suspend_reason(session: &AgentSession, cycle_left: Option<Acus>) -> Option<SuspendReason> {
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
        decision.push(AgentChange::Waiting(Vec::new()));
        let data = json!({ "turn": null, "reason": reason });
        decision.add_event(EventKind::TurnCancelled, data, EventContext::default());
    }
    if decision.session.state.can_run_turn() {
        let more = !decision.session.waiting.is_empty();
        decision.set_state(AgentState::Running(if more {
            RunPhase::Working
        } else {
            RunPhase::WaitingForUser
        }));
    }
    decision.settle(stopped.unwrap_or_default());
}

/// Messages that wait stay: they are answered first after the session is unarchived and gets a new message.
fn archive(decision: &mut Decision<'_>) {
    if decision.session.archived.is_some() {
        return;
    }
    let stopped = stop(decision, "archived");
    decision.push(AgentChange::Archived(Some(decision.moment.now)));
    if decision.session.state.can_run_turn() && decision.session.state != AgentState::Error {
        decision.set_state(AgentState::Suspended(SuspendReason::UserRequest));
    }
    if let Some(context) = stopped {
        decision.settle(context);
    }
}

fn end(decision: &mut Decision<'_>, ending: Ending) {
    if decision.session.state == AgentState::Exit {
        return;
    }
    let stopped = stop(decision, "terminated");
    if !decision.session.waiting.is_empty() {
        decision.push(AgentChange::Waiting(Vec::new()));
    }
    decision.set_state(AgentState::Exit);
    decision.push(AgentChange::Ended(ending));
    if let Some(context) = stopped {
        decision.settle(context);
    }
}

/// Cancels the unfinished turn. Returns the context of its events, if there was one.
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
        decision.push(AgentChange::Title(title));
    }
    Ok(())
}

/// The tags after an update.
fn merge_tags(decision: &Decision<'_>, update: TagsUpdate) -> Result<Vec<String>, Refusal> {
    match update {
        TagsUpdate::Replace(tags) => super::check_tags(tags),
        TagsUpdate::Append(tags) => {
            let held = &decision.session.given.tags;
            let new = super::check_tags(tags)?.into_iter().filter(|tag| !held.contains(tag));
            super::check_tags(held.iter().cloned().chain(new).collect())
        }
    }
}

fn retag(decision: &mut Decision<'_>, tags: Vec<String>) -> Result<(), Refusal> {
    if decision.session.given.tags != tags {
        is_here(&decision.session)?;
        decision.push(AgentChange::Tags(tags));
    }
    Ok(())
}

fn adopt(decision: &mut Decision<'_>, child: SessionId) -> Result<(), Refusal> {
    goes_on(&decision.session)?;
    if decision.session.children.len() >= MAX_CHILDREN {
        return Err(Refusal::invalid("parent", format!("a session with fewer than {MAX_CHILDREN} children")));
    }
    decision.push(AgentChange::Child(child));
    Ok(())
}
