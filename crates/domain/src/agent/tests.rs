//! Tests of the rules: tables and properties.

use super::*;
use crate::credential::SecretHash;
use crate::device::Actor;
use crate::ids::{AgentId, MessageId, OrganizationId, PrincipalId, SessionId, TurnId};
use crate::json::Json;
use crate::session::EndReason;
use crate::time::Micros;
use proptest::prelude::*;
use uuid::Uuid;

mod commands;
mod limits;
mod properties;

pub(super) const OWNER: PrincipalId = PrincipalId(Uuid::from_u128(1));
pub(super) const MAKER: PrincipalId = PrincipalId(Uuid::from_u128(2));
pub(super) const OTHER: PrincipalId = PrincipalId(Uuid::from_u128(3));

pub(super) fn given() -> NewSession {
    NewSession {
        owner: OWNER,
        owner_kind: PrincipalKind::User,
        created_by: MAKER,
        agent: AgentId(Uuid::from_u128(5)),
        agent_name: DEFAULT_AGENT.to_owned(),
        title: None,
        tags: Vec::new(),
        model: None,
        capabilities: Json::default(),
        origin: "api".to_owned(),
        category: None,
        subcategory: None,
        playbook: None,
        schedule: None,
        automation: None,
        repos: Vec::new(),
        parent: None,
        output_schema: None,
        max_acus: None,
        extra: Json::default(),
    }
}

pub(super) fn session() -> AgentSession {
    AgentSession::new(OrganizationId(Uuid::from_u128(9)), SessionId::new(Micros(5), 1), given())
}

/// A moment at `now`, with a lease that runs out at once.
pub(super) fn at(now: i64) -> Moment {
    Moment { now: Micros(now), random: [7; 10], lease: Micros(now), cycle_left: None }
}

pub(super) fn post(n: u128) -> AgentCommand {
    AgentCommand::Post(NewMessage {
        id: MessageId(Uuid::from_u128(1_000 + n)),
        text: format!("message {n}"),
        parts: Json::default(),
        author: OWNER,
        attachments: Vec::new(),
    })
}

pub(super) fn turn(n: u128) -> TurnId {
    TurnId(Uuid::from_u128(2_000 + n))
}

pub(super) fn claim(n: u128) -> AgentCommand {
    AgentCommand::Claim { worker: "w".to_owned(), turn: turn(n), grant: grant(n) }
}

/// The credential of a turn claimed with [`claim`].
pub(super) fn grant(n: u128) -> TurnCredential {
    let hash = |half: u128| SecretHash([half.to_be_bytes(), n.to_be_bytes()].concat().try_into().unwrap());
    TurnCredential { token: hash(1), key: hash(2) }
}

pub(super) fn report(n: u128, fence: i64, first: i64, items: Vec<TurnItem>) -> AgentCommand {
    AgentCommand::Report { turn: turn(n), fence, report: TurnItems { first, items } }
}

pub(super) fn finish(n: u128, fence: i64, answer: TurnEnding) -> AgentCommand {
    AgentCommand::Finish { turn: turn(n), fence, answer, streamed: "done".to_owned() }
}

pub(super) fn end() -> AgentCommand {
    AgentCommand::End { reason: EndReason::Released, evidence: "ended by its user".to_owned() }
}

pub(super) fn failed() -> TurnEnding {
    TurnEnding::Failed { message: "exit 1".to_owned(), exit_code: Some(1) }
}

pub(super) fn usage(acus: i64) -> TurnItem {
    TurnItem::Usage(Usage { acus: Acus::whole(acus), ..Usage::default() })
}

/// Runs commands, a microsecond apart; each must be allowed.
pub(super) fn run(session: AgentSession, commands: impl IntoIterator<Item = AgentCommand>) -> AgentSession {
    commands.into_iter().fold(session, |session, command| {
        let now = session.updated.0 + 1;
        let said = format!("{command:?}");
        let changes = decide(&session, Actor::Tenure, command, &at(now));
        let changes = changes.unwrap_or_else(|refusal| panic!("{said}: {refusal}"));
        if changes.is_empty() { session } else { session.with_changes(&changes, Micros(now)) }
    })
}

/// The kinds of the events of a decision.
pub(super) fn kinds(changes: &[AgentChange]) -> Vec<&'static str> {
    let kind = |change: &AgentChange| match change {
        AgentChange::Event(event) => Some(event.kind.name()),
        _ => None,
    };
    changes.iter().filter_map(kind).collect()
}
