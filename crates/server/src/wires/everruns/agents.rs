//! `/v1/agents`: the agents that sessions are addressed to.

use super::extractors::Authorized;
use super::ids;
use super::output::{HandlerResult, Output, PathText, path_text, read_fields};
use super::query::{read_paging, unknown_warning};
use super::shapes::{AgentShape, Capability, Page};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use crate::http::middleware::WholeRequest;
use crate::http::object;
use crate::http::query::Query;
use crate::operations::agents::definitions;
use crate::operations::agents::definitions::AgentQuery;
use crate::operations::agents::definitions::AgentUpdate;
use crate::operations::agents::definitions::NewAgent;
use axum::extract::State;
use axum::http::StatusCode;
use domain::Refusal;
use domain::agent::Agent;
use domain::ids::AgentId;
use domain::json::Json;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// Most attempts of `create` while other requests create and delete an agent of the same name.
const ATTEMPTS: u32 = 5;
const PARAMETERS: [&str; 3] = ["search", "offset", "limit"];

/// The fields of an agent. In an update, a missing field stays unchanged and `null` clears it.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct AgentRequest {
    id: Option<String>,
    name: Option<String>,
    system_prompt: Option<String>,
    #[serde(deserialize_with = "deserialize_present")]
    display_name: Option<Option<String>>,
    #[serde(deserialize_with = "deserialize_present")]
    description: Option<Option<String>>,
    #[serde(deserialize_with = "deserialize_present")]
    default_model_id: Option<Option<String>>,
    tags: Option<Vec<String>>,
    #[serde(deserialize_with = "object::maybe_list")]
    capabilities: Option<Vec<Capability>>,
    status: Option<Status>,
}

/// The statuses that clients can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Archived,
}

fn deserialize_present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

impl AgentRequest {
    fn into_update(self) -> AgentUpdate {
        AgentUpdate {
            name: self.name,
            display_name: self.display_name,
            description: self.description,
            system_prompt: self.system_prompt,
            model: self.default_model_id,
            tags: self.tags,
            capabilities: self.capabilities.map(|capabilities| Json::encode(&capabilities)),
        }
    }

    fn into_new_agent(self, id: Option<AgentId>) -> Result<NewAgent, Failure> {
        let missing = |field: &str| Failure::from(RequestFailure::Body(format!("missing field `{field}`")));
        Ok(NewAgent {
            id,
            name: self.name.ok_or_else(|| missing("name"))?,
            system_prompt: self.system_prompt.ok_or_else(|| missing("system_prompt"))?,
            display_name: self.display_name.flatten(),
            description: self.description.flatten(),
            model: self.default_model_id.flatten(),
            tags: self.tags.unwrap_or_default(),
            capabilities: Json::encode(&self.capabilities.unwrap_or_default()),
        })
    }
}

/// `GET /agents`: newest first.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let paging = read_paging(&query)?;
    let search = query.text("search")?.map(str::trim).filter(|search| !search.is_empty());
    let offset = u32::try_from(paging.offset).unwrap_or(u32::MAX);
    let request = AgentQuery { search: search.map(str::to_owned), offset, limit: paging.limit };
    let found = definitions::list_agents(&app, &granted, &request).await?;
    let shapes = found.items.iter().map(AgentShape::from).collect::<Vec<_>>();
    // A page that ends early reports its own length as the limit, so that clients go on from there.
    let limit = if found.more { shapes.len() as u64 } else { paging.limit.into() };
    let page = Page::new(&shapes, found.total, paging.offset, limit);
    Ok(Output::json(StatusCode::OK, &page)?
        .with_warning(paging.warning)
        .with_warning(unknown_warning(&query, &PARAMETERS)))
}

/// `POST /agents`: creates an agent, or updates the one with the same id or name. The SDKs' `apply` and
/// `apply_by_name` send this request.
pub async fn create(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    WholeRequest(body): WholeRequest,
) -> HandlerResult {
    let body: Map<String, Value> = middleware::read_json(&app, body).await?;
    // Read first, so that a malformed body is reported before anything is loaded.
    read_fields::<AgentRequest>(&body)?.into_new_agent(None)?;
    if let Some(made) = definitions::find_created_agent(&app, &granted).await? {
        return respond_with_agent(StatusCode::CREATED, &made);
    }
    for _ in 0..ATTEMPTS {
        if let Some(known) = find_existing(&app, &granted, &read_fields(&body)?).await? {
            match definitions::update_agent(
                &app,
                &granted,
                known,
                read_fields::<AgentRequest>(&body)?.into_update(),
            )
            .await
            {
                Err(Failure::Refused(Refusal::NotFound(_))) => continue,
                changed => return respond_with_agent(StatusCode::OK, &changed?),
            }
        }
        let request = read_fields::<AgentRequest>(&body)?;
        let chosen = request.id.as_deref().map(ids::read_agent).transpose()?;
        match definitions::create_agent(&app, &granted, request.into_new_agent(chosen)?).await {
            // Another request created the name first. With an id of the client's own, the conflict is reported.
            Err(Failure::Refused(Refusal::Exists(_))) if chosen.is_none() => {}
            made => return respond_with_agent(StatusCode::CREATED, &made?),
        }
    }
    Err(Failure::Busy.into())
}

/// Finds the existing agent: by its id, or without an id by its name.
async fn find_existing(
    app: &App,
    granted: &Granted<UseSessions>,
    said: &AgentRequest,
) -> Result<Option<AgentId>, Failure> {
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
pub async fn get(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    agent: PathText,
) -> HandlerResult {
    let id = ids::read_agent(&path_text(agent))?;
    respond_with_agent(StatusCode::OK, &definitions::load_agent(&app, &granted, id).await?)
}

/// `PATCH /agents/{agent}`. Archiving an agent deletes it, as with the vendor.
pub async fn update(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    agent: PathText,
    WholeRequest(body): WholeRequest,
) -> HandlerResult {
    let id = ids::read_agent(&path_text(agent))?;
    let body: Map<String, Value> = middleware::read_json(&app, body).await?;
    let request: AgentRequest = read_fields(&body)?;
    let archived = request.status == Some(Status::Archived);
    let changed = definitions::update_agent(&app, &granted, id, request.into_update()).await?;
    if archived {
        definitions::delete_agent(&app, &granted, id).await?;
    }
    respond_with_agent(StatusCode::OK, &changed)
}

/// `DELETE /agents/{agent}`: frees its name.
pub async fn delete(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    agent: PathText,
) -> HandlerResult {
    definitions::delete_agent(&app, &granted, ids::read_agent(&path_text(agent))?).await?;
    Ok(Output::no_content())
}

fn respond_with_agent(status: StatusCode, agent: &Agent) -> HandlerResult {
    Ok(Output::json(status, &AgentShape::from(agent))?)
}
