//! Agent sessions and helpers for their tests.

use crate::world::{NOW, bytes, user};
use domain::agent::{
    Acus, AgentChange, AgentCommand, AgentSession, Message, Moment, NewMessage, NewSession, TurnCredential,
    TurnEnding, TurnItem, TurnItems, Usage, decide,
};
use domain::credential::SecretHash;
use domain::ids::{AgentId, MessageId, OrganizationId, PrincipalId, SessionId, TurnId, random_tail};
use domain::principal::PrincipalKind;
use domain::time::{Micros, Span};
use serde_json::{Value, json};
use store::{CycleLimit, Error, LoadedAgentSession, NewAgentSession, Store};

/// The default properties of a new session.
pub fn given(owner: PrincipalId) -> NewSession {
    NewSession {
        owner,
        owner_kind: PrincipalKind::User,
        created_by: owner,
        agent: AgentId::new(NOW, [0; 10]),
        agent_name: "default".into(),
        title: None,
        tags: vec![],
        model: None,
        capabilities: json!([]).into(),
        origin: "api".into(),
        category: None,
        subcategory: None,
        playbook: None,
        schedule: None,
        automation: None,
        repos: vec![],
        parent: None,
        output_schema: None,
        max_acus: None,
        extra: Value::Null.into(),
    }
}

pub fn moment(now: Micros) -> Moment {
    Moment { now, random: bytes(), lease: now + Span::seconds(60), cycle_left: None }
}

pub fn message(author: PrincipalId, text: &str) -> NewMessage {
    let id = MessageId::new(NOW, bytes());
    NewMessage { id, text: text.into(), parts: Value::Null.into(), author, attachments: vec![] }
}

/// A new session, with a first message if one is given.
pub async fn create(
    store: &Store,
    organization: OrganizationId,
    given: NewSession,
    text: Option<&str>,
    at: Micros,
) -> LoadedAgentSession {
    let first = text.map(|text| message(given.owner, text));
    let granted = user(organization);
    let birth = |id: SessionId| {
        let session = AgentSession::new(organization, id, given.clone());
        let mut changes = decide(&session, granted.actor(), AgentCommand::Start, &moment(at))?;
        if let Some(first) = first.clone() {
            let begun = session.clone().with_changes(&changes, at);
            changes.extend(decide(&begun, granted.actor(), AgentCommand::Post(first), &moment(at))?);
        }
        Ok(NewAgentSession { session, changes, parent: None, secrets: vec![] })
    };
    store.create_agent_session(&granted, at, random_tail(bytes()), birth).await.unwrap()
}

/// Decides a command and applies it once.
pub async fn act(
    store: &Store,
    session: &LoadedAgentSession,
    command: AgentCommand,
    now: Micros,
) -> Result<LoadedAgentSession, Error> {
    act_within(store, session, command, now, None).await
}

/// Decides a command and applies it once, under a limit of the cycle.
pub async fn act_within(
    store: &Store,
    session: &LoadedAgentSession,
    command: AgentCommand,
    now: Micros,
    limit: Option<CycleLimit>,
) -> Result<LoadedAgentSession, Error> {
    let granted = user(session.organization);
    let changes: Vec<AgentChange> = decide(session, granted.actor(), command, &moment(now))?;
    store.change_agent_session(&granted, session.clone(), &changes, now, limit).await
}

pub fn claim() -> AgentCommand {
    let grant = TurnCredential { token: SecretHash([1; 32]), key: SecretHash([2; 32]) };
    AgentCommand::Claim { worker: "worker".into(), turn: TurnId::new(NOW, bytes()), grant }
}

/// A report of the session's newest turn.
pub fn report(session: &AgentSession, items: Vec<TurnItem>) -> AgentCommand {
    let turn = session.turn.as_ref().unwrap();
    let report = TurnItems { first: turn.reported, items };
    AgentCommand::Report { turn: turn.id, fence: turn.fence, report }
}

/// The end of the session's newest turn.
pub fn finish(session: &AgentSession, streamed: &str) -> AgentCommand {
    let turn = session.turn.as_ref().unwrap();
    let (turn, fence) = (turn.id, turn.fence);
    AgentCommand::Finish { turn, fence, answer: TurnEnding::WaitingForUser, streamed: streamed.into() }
}

pub fn spent(acus: i64) -> TurnItem {
    TurnItem::Usage(Usage { input_tokens: 10, output_tokens: 5, acus: Acus::whole(acus), ..Usage::default() })
}

pub fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_str()).collect()
}
