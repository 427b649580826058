//! Past agent sessions of the demo. The domain's rules make them, with a simulated clock.

use domain::agent::{
    Acus, Agent, AgentChange, AgentCommand, AgentSession, Moment, NewMessage, NewSession, TurnCredential,
    TurnEnding, TurnItem, TurnItems, Usage, decide,
};
use domain::credential::SecretHash;
use domain::device::Actor;
use domain::ids::{MessageId, OrganizationId, PrincipalId, SessionId, TurnId, random_tail};
use domain::json::Json;
use domain::principal::PrincipalKind;
use domain::time::{Micros, Span};
use store::NewAgentSession;

use crate::administration::{Administration, random_bytes};
use crate::commands::demo::past::random_below;
use crate::error::CommandResult;

/// A session and its changes, one command after another.
pub struct Story {
    beginning: AgentSession,
    session: AgentSession,
    changes: Vec<AgentChange>,
    clock: Micros,
}

impl Story {
    /// Starts a session of `owner` at `created`. `more` can change what it is created with.
    ///
    /// # Errors
    /// A rule of the domain refuses; the demo's sessions break none.
    pub fn begin(
        organization: OrganizationId,
        owner: PrincipalId,
        agent: &Agent,
        title: &str,
        created: Micros,
        more: impl FnOnce(&mut NewSession),
    ) -> CommandResult<Story> {
        let mut given = NewSession {
            owner,
            owner_kind: PrincipalKind::User,
            created_by: owner,
            agent: agent.id,
            agent_name: agent.name.clone(),
            title: Some(title.to_owned()),
            tags: Vec::new(),
            model: None,
            capabilities: Json::encode(&[(); 0]),
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
        };
        more(&mut given);
        let id = SessionId::new(created, random_tail(random_bytes()));
        let session = AgentSession::new(organization, id, given);
        let mut story = Story { beginning: session.clone(), session, changes: Vec::new(), clock: created };
        story.act(AgentCommand::Start)?;
        Ok(story)
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.session.id
    }

    /// The owner posts a message.
    ///
    /// # Errors
    /// A rule of the domain refuses.
    pub fn post(&mut self, text: &str) -> CommandResult<()> {
        self.act(AgentCommand::Post(NewMessage {
            id: MessageId::new(self.clock, random_bytes()),
            text: text.to_owned(),
            parts: Json::default(),
            author: self.session.given.owner,
            attachments: Vec::new(),
        }))
    }

    /// The session starts a child session.
    ///
    /// # Errors
    /// A rule of the domain refuses.
    pub fn adopt(&mut self, child: SessionId) -> CommandResult<()> {
        self.act(AgentCommand::AddChild(child))
    }

    /// A worker claims the message and answers it, or fails one time in nine.
    ///
    /// # Errors
    /// A rule of the domain refuses.
    pub fn answer(&mut self, text: &str) -> CommandResult<()> {
        let turn = TurnId::new(self.clock, random_bytes());
        self.clock = self.clock + Span::seconds(1 + random_below(20) as i64);
        let grant = TurnCredential { token: SecretHash(random_bytes()), key: SecretHash(random_bytes()) };
        self.act(AgentCommand::Claim { worker: "build-7".to_owned(), turn, grant })?;
        let minutes = 1 + random_below(40) as i64;
        let usage = Usage {
            input_tokens: minutes * 2_310,
            output_tokens: minutes * 140,
            acus: Acus(minutes * 41_000),
            ..Usage::default()
        };
        self.clock = self.clock + Span::minutes(minutes);
        let fails = random_below(9) == 0;
        let mut items = vec![TurnItem::Usage(usage)];
        if !fails {
            items.push(TurnItem::Output(text.to_owned()));
        }
        self.act(AgentCommand::Report { turn, fence: 1, report: TurnItems { first: 0, items } })?;
        let answer = match random_below(3) {
            _ if fails => {
                TurnEnding::Failed { message: "the command ended with 3".to_owned(), exit_code: Some(3) }
            }
            0 => TurnEnding::WaitingForUser,
            _ => TurnEnding::Finished,
        };
        let streamed = if fails { String::new() } else { text.to_owned() };
        self.act(AgentCommand::Finish { turn, fence: 1, answer, streamed })
    }

    /// Writes the session to the database.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn import(self, admin: &Administration) -> CommandResult<()> {
        let birth = NewAgentSession {
            session: self.beginning,
            changes: self.changes,
            parent: None,
            secrets: Vec::new(),
        };
        admin.store.import_agent_session(&admin.system, &birth, self.clock).await?;
        Ok(())
    }

    fn act(&mut self, command: AgentCommand) -> CommandResult<()> {
        let owner = self.session.given.owner;
        let actor = Actor::Member { principal: owner, manages: false };
        let lease = self.clock + Span::minutes(1);
        let moment = Moment { now: self.clock, random: random_bytes(), lease, cycle_left: None };
        let changes = decide(&self.session, actor, command, &moment).map_err(store::Error::from)?;
        self.session = self.session.clone().with_changes(&changes, self.clock);
        self.changes.extend(changes);
        Ok(())
    }
}
