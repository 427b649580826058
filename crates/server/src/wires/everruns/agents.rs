//! `/v1/agents`: who works in sessions.

use super::extractors::May;
use super::ids;
use super::output::{Answer, Output, PathText, fields, text};
use super::query::Query;
use super::shapes::{AgentShape, Capability, Page};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use crate::http::middleware::Whole;
use crate::http::object;
use crate::operations::agents::definitions;
use crate::operations::agents::definitions::AgentQuery;
use crate::operations::agents::definitions::AgentUpdate;
use crate::operations::agents::definitions::NewAgent;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use domain::Refusal;
use domain::agent::Agent;
use domain::ids::AgentId;
use domain::json::Json;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// How often an agent is looked for and made anew while others make and delete one of the same name.
const ATTEMPTS: u32 = 5;
const KNOWN: [&str; 3] = ["search", "offset", "limit"];

/// What a client says of an agent. In an update, what is not there stays, and `null` says that nothing is left.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Said {
    id: Option<String>,
    name: Option<String>,
    system_prompt: Option<String>,
    #[serde(deserialize_with = "given")]
    display_name: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    description: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    default_model_id: Option<Option<String>>,
    tags: Option<Vec<String>>,
    #[serde(deserialize_with = "object::maybe_list")]
    capabilities: Option<Vec<Capability>>,
    status: Option<Status>,
}

/// What clients may set an agent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Archived,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

impl Said {
    fn update(self) -> AgentUpdate {
        AgentUpdate {
            name: self.name,
            display_name: self.display_name,
            description: self.description,
            system_prompt: self.system_prompt,
            model: self.default_model_id,
            tags: self.tags,
            capabilities: self.capabilities.map(|capabilities| Json::of(&capabilities)),
        }
    }

    fn new_agent(self, id: Option<AgentId>) -> Result<NewAgent, Failure> {
        let missing = |field: &str| Failure::from(RequestFailure::Body(format!("missing field `{field}`")));
        Ok(NewAgent {
            id,
            name: self.name.ok_or_else(|| missing("name"))?,
            system_prompt: self.system_prompt.ok_or_else(|| missing("system_prompt"))?,
            display_name: self.display_name.flatten(),
            description: self.description.flatten(),
            model: self.default_model_id.flatten(),
            tags: self.tags.unwrap_or_default(),
            capabilities: Json::of(&self.capabilities.unwrap_or_default()),
        })
    }
}

/// `GET /agents`: newest first.
pub async fn list(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = Query::read(query.as_deref());
    let paging = query.paging()?;
    let search = query.text("search")?.map(str::trim).filter(|search| !search.is_empty());
    let offset = u32::try_from(paging.offset).unwrap_or(u32::MAX);
    let asked = AgentQuery { search: search.map(str::to_owned), offset, limit: paging.limit };
    let found = definitions::list_agents(&app, &granted, &asked).await?;
    let shown = found.items.iter().map(AgentShape::from).collect::<Vec<_>>();
    // A page that ends early says so by its limit: clients go on from there.
    let limit = if found.more { shown.len() as u64 } else { paging.limit.into() };
    let page = Page::new(&shown, found.total, paging.offset, limit);
    Ok(Output::json(StatusCode::OK, &page)?.warning(paging.warning).warning(query.unknown(&KNOWN)))
}

/// `POST /agents`: makes an agent, or changes the one that has its id or its name: the SDKs' `apply` and
/// `apply_by_name` are this request.
pub async fn create(May(granted): May<UseSessions>, State(app): State<App>, Whole(body): Whole) -> Answer {
    let body: Map<String, Value> = middleware::json(&app, body).await?;
    // Read before anything is looked up: what is wrong is told first.
    fields::<Said>(&body)?.new_agent(None)?;
    if let Some(made) = definitions::find_created_agent(&app, &granted).await? {
        return shown(StatusCode::CREATED, &made);
    }
    for _ in 0..ATTEMPTS {
        if let Some(known) = same(&app, &granted, &fields(&body)?).await? {
            match definitions::update_agent(&app, &granted, known, fields::<Said>(&body)?.update()).await {
                Err(Failure::Refused(Refusal::NotFound(_))) => continue,
                changed => return shown(StatusCode::OK, &changed?),
            }
        }
        let said = fields::<Said>(&body)?;
        let chosen = said.id.as_deref().map(ids::read_agent).transpose()?;
        match definitions::create_agent(&app, &granted, said.new_agent(chosen)?).await {
            // Somebody else was faster, unless the id is new and the name is not.
            Err(Failure::Refused(Refusal::Exists(_))) if chosen.is_none() => {}
            made => return shown(StatusCode::CREATED, &made?),
        }
    }
    Err(Failure::Busy.into())
}

/// The agent that a client means: the one of its id, or without an id the one of its name.
async fn same(app: &App, granted: &Granted<UseSessions>, said: &Said) -> Result<Option<AgentId>, Failure> {
    let view = granted.authorize::<ViewSessions>()?;
    let found = match &said.id {
        Some(id) => definitions::load_agent(app, &view, ids::read_agent(id)?).await,
        None => definitions::load_agent_by_name(app, &view, said.name.as_deref().unwrap_or_default()).await,
    };
    match found {
        Ok(agent) => Ok(Some(agent.id)),
        Err(Failure::Refused(Refusal::NotFound(_))) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// `GET /agents/{agent}`.
pub async fn get(May(granted): May<ViewSessions>, State(app): State<App>, agent: PathText) -> Answer {
    let id = ids::read_agent(&text(agent))?;
    shown(StatusCode::OK, &definitions::load_agent(&app, &granted, id).await?)
}

/// `PATCH /agents/{agent}`. Archiving an agent deletes it, as it does with the vendor.
pub async fn update(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    agent: PathText,
    Whole(body): Whole,
) -> Answer {
    let id = ids::read_agent(&text(agent))?;
    let body: Map<String, Value> = middleware::json(&app, body).await?;
    let said: Said = fields(&body)?;
    let archived = said.status == Some(Status::Archived);
    let changed = definitions::update_agent(&app, &granted, id, said.update()).await?;
    if archived {
        definitions::delete_agent(&app, &granted, id).await?;
    }
    shown(StatusCode::OK, &changed)
}

/// `DELETE /agents/{agent}`: frees its name.
pub async fn delete(May(granted): May<UseSessions>, State(app): State<App>, agent: PathText) -> Answer {
    definitions::delete_agent(&app, &granted, ids::read_agent(&text(agent))?).await?;
    Ok(Output::nothing())
}

fn shown(status: StatusCode, agent: &Agent) -> Answer {
    Ok(Output::json(status, &AgentShape::from(agent))?)
}
