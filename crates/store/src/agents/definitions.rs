//! Agents, and the default agent of each organization.

use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::{Granted, UseSessions, ViewSessions};
use crate::agents::unknown_fields::keep_unknown_fields;
use crate::database::{Columns, DatabaseError, Statement};
use crate::rows::{
    MAX_PAGE_BYTES, batch, contains_pattern, json_error, list_page, one_row, read_by_size, to_json, values,
};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::agent::{Agent, DEFAULT_AGENT};
use domain::ids::{AgentId, OrganizationId};
use domain::json::Json;
use domain::page::ListSlice;
use domain::refusal::Thing;
use domain::time::Micros;
use serde::{Deserialize, Serialize};

macro_rules! agent_columns {
    () => {
        "body, id, name, created_us, updated_us"
    };
}

const PAGE: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM (SELECT p.*, SUM(OCTET_LENGTH(body)) OVER (ORDER BY created_us DESC, id DESC)
                - OCTET_LENGTH(body) AS before
            FROM (SELECT ",
    agent_columns!(),
    " FROM agents WHERE organization = $1 AND deleted_us IS NULL AND search LIKE $2 ESCAPE '\\'
              ORDER BY created_us DESC, id DESC LIMIT $3 OFFSET $4) p) q
      WHERE before < $5 ORDER BY created_us DESC, id DESC"
);

const TOTAL: &str = "SELECT COUNT(*) FROM agents
     WHERE organization = $1 AND deleted_us IS NULL AND search LIKE $2 ESCAPE '\\'";

const BY_ID: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM agents WHERE organization = $1 AND id = $2 AND deleted_us IS NULL"
);

/// Also a deleted agent.
const EARLIER: &str =
    concat!("SELECT ", agent_columns!(), " FROM agents WHERE organization = $1 AND id = $2");

const BY_NAME: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM agents WHERE organization = $1 AND name = $2 AND deleted_us IS NULL"
);

/// The fields that no query uses. A new field needs `#[serde(default)]`. A change keeps the fields that a newer version
/// has stored.
#[derive(Serialize, Deserialize)]
struct AgentBody {
    display_name: Option<String>,
    description: Option<String>,
    system_prompt: String,
    model: Option<String>,
    tags: Vec<String>,
    capabilities: Json,
}

impl Store {
    /// Stores a new agent.
    ///
    /// # Errors
    /// [`Refusal::Exists`] when the organization has an agent with this name; [`Refusal::NotAMember`] when the
    /// organization was deleted meanwhile.
    pub async fn create_agent(&self, granted: &Granted<UseSessions>, agent: &Agent) -> Result<()> {
        assert_eq!(granted.organization(), agent.organization, "a grant is for its own organization only");
        self.insert_agent(agent, record_creation(granted, agent.id.0)).await
    }

    async fn insert_agent(&self, agent: &Agent, creation: Option<Statement>) -> Result<()> {
        let exists = one_row(
            "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
            values![agent.organization],
        );
        let statements = [exists, insert(agent)?].into_iter().chain(creation).collect();
        let batch = batch([agent.organization], statements);
        match self.apply(batch, |_| Refusal::NotAMember.into()).await {
            Err(Error::Stale) => Err(Refusal::Exists(format!("an agent named {:?}", agent.name)).into()),
            outcome => outcome,
        }
    }

    /// The agents with a text in their name, display name or description, ignoring case; newest first. The page ends
    /// early when its agents are large.
    pub async fn list_agents(
        &self,
        granted: &Granted<ViewSessions>,
        search: Option<&str>,
        offset: u32,
        limit: u32,
    ) -> Result<ListSlice<Agent>> {
        let pattern = contains_pattern(search.unwrap_or_default());
        let statements = [
            (Scan(PAGE), values![pattern.as_str(), limit, offset, MAX_PAGE_BYTES]),
            (Scan(TOTAL), values![pattern.as_str()]),
        ];
        let [rows, total] = self.read_snapshot(granted, statements).await?;
        let organization = granted.organization();
        let items = read_by_size(rows, move |columns| read_agent(organization, columns)).await?;
        list_page(items, total, u64::from(offset))
    }

    /// An agent.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it was deleted.
    pub async fn load_agent(&self, granted: &Granted<ViewSessions>, id: AgentId) -> Result<Agent> {
        let rows = self.read(granted, BY_ID, values![id]).await?;
        let agent = rows.read_first(|columns| read_agent(granted.organization(), columns))?;
        agent.ok_or(Refusal::NotFound(Thing::Agent).into())
    }

    /// The agent that an earlier attempt at this request created or deleted, as it is now, even if it is deleted. `None`
    /// also for a request without an idempotency key.
    pub async fn find_earlier_agent(&self, granted: &Granted<UseSessions>) -> Result<Option<Agent>> {
        let Some(id) = self.find_earlier_creation(granted).await? else { return Ok(None) };
        let rows = self.read(granted, EARLIER, values![id]).await?;
        Ok(rows.read_first(|columns| read_agent(granted.organization(), columns))?)
    }

    /// The agent with a name.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_agent_by_name(&self, granted: &Granted<ViewSessions>, name: &str) -> Result<Agent> {
        let rows = self.read(granted, BY_NAME, values![name]).await?;
        let agent = rows.read_first(|columns| read_agent(granted.organization(), columns))?;
        agent.ok_or(Refusal::NotFound(Thing::Agent).into())
    }

    /// Stores a changed agent, with a later time of change than `before`. Returns it.
    ///
    /// # Errors
    /// [`Error::Stale`] when the agent was changed or deleted meanwhile; [`Refusal::Exists`] for a name that is
    /// taken.
    pub async fn update_agent(
        &self,
        granted: &Granted<UseSessions>,
        before: &Agent,
        after: &Agent,
    ) -> Result<Agent> {
        assert_eq!(granted.organization(), after.organization, "a grant is for its own organization only");
        let updated = after.updated.max(Micros(before.updated.0 + 1));
        let after = Agent { updated, ..after.clone() };
        let sql = "SELECT body FROM agents WHERE organization = $1 AND id = $2";
        let stored = self.read(granted, sql, values![after.id]).await?.read_first(Columns::text)?;
        let stored = stored.ok_or(Error::Stale)?;
        let body = keep_unknown_fields(&body(&after)?, &stored, &[]).map_err(|error| json_error(&error))?;
        let name_check = granted.one_row(
            "UPDATE counters SET sequence = sequence WHERE organization = $1 AND NOT EXISTS
                 (SELECT 1 FROM agents WHERE organization = $1 AND name = $2 AND id <> $3 AND deleted_us IS NULL)",
            values![after.name.as_str(), after.id],
        );
        let update = granted.one_row(
            "UPDATE agents SET name = $4, updated_us = $5, search = $6, body = $7
             WHERE organization = $1 AND id = $2 AND updated_us = $3 AND deleted_us IS NULL",
            values![after.id, before.updated, after.name.as_str(), after.updated, search(&after), body],
        );
        let exists = || Refusal::Exists(format!("an agent named {:?}", after.name)).into();
        let batch = batch([after.organization], vec![name_check, update]);
        self.apply(batch, |at| if at == 0 { exists() } else { Error::Stale }).await?;
        Ok(after)
    }

    /// The default agent, which every organization has. It is created with this id if it does not exist.
    pub async fn ensure_default_agent(
        &self,
        granted: &Granted<UseSessions>,
        id: AgentId,
        now: Micros,
    ) -> Result<Agent> {
        let viewer = granted.to_view();
        loop {
            match self.load_agent_by_name(&viewer, DEFAULT_AGENT).await {
                Err(Error::Refused(Refusal::NotFound(_))) => {}
                outcome => return outcome,
            }
            // The request is about something else, so its idempotency key does not record the agent.
            match self.insert_agent(&default_agent(granted.organization(), id, now), None).await {
                // Another request was faster.
                Err(Error::Refused(Refusal::Exists(_))) => {}
                outcome => outcome?,
            }
        }
    }

    /// Deletes an agent and frees its name. Its sessions stay.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it was deleted before.
    pub async fn delete_agent(&self, granted: &Granted<UseSessions>, id: AgentId, now: Micros) -> Result<()> {
        let sql = "UPDATE agents SET deleted_us = $3
                   WHERE organization = $1 AND id = $2 AND deleted_us IS NULL";
        let delete = granted.one_row(sql, values![id, now]);
        let statements = [delete].into_iter().chain(record_creation(granted, id.0)).collect();
        let batch = batch([granted.organization()], statements);
        self.apply(batch, |_| Refusal::NotFound(Thing::Agent).into()).await
    }
}

fn default_agent(organization: OrganizationId, id: AgentId, now: Micros) -> Agent {
    Agent {
        organization,
        id,
        name: DEFAULT_AGENT.to_owned(),
        display_name: None,
        description: None,
        system_prompt: String::new(),
        model: None,
        tags: Vec::new(),
        capabilities: Json::encode(&[(); 0]),
        created: now,
        updated: now,
    }
}

fn insert(agent: &Agent) -> Result<Statement> {
    Ok(one_row(
        "INSERT INTO agents (organization, id, name, created_us, updated_us, search, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        values![
            agent.organization,
            agent.id,
            agent.name.as_str(),
            agent.created,
            agent.updated,
            search(agent),
            body(agent)?
        ],
    ))
}

fn search(agent: &Agent) -> String {
    let parts = [Some(&agent.name), agent.display_name.as_ref(), agent.description.as_ref()];
    parts.into_iter().flatten().map(|part| part.to_lowercase()).collect::<Vec<_>>().join("\n")
}

fn body(agent: &Agent) -> Result<String> {
    to_json(&AgentBody {
        display_name: agent.display_name.clone(),
        description: agent.description.clone(),
        system_prompt: agent.system_prompt.clone(),
        model: agent.model.clone(),
        tags: agent.tags.clone(),
        capabilities: agent.capabilities.clone(),
    })
}

fn read_agent(organization: OrganizationId, columns: &mut Columns) -> Result<Agent, DatabaseError> {
    let body: AgentBody = columns.json()?;
    Ok(Agent {
        organization,
        id: AgentId(columns.id()?),
        name: columns.text()?,
        display_name: body.display_name,
        description: body.description,
        system_prompt: body.system_prompt,
        model: body.model,
        tags: body.tags,
        capabilities: body.capabilities,
        created: columns.time()?,
        updated: columns.time()?,
    })
}
