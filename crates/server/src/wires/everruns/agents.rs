//! `/v1/agents`: the agents that sessions are addressed to.

use super::extractors::Authorized;
use super::ids;
use super::output::{HandlerResult, Output, PathText, path_text, read_fields};
use super::query::{read_paging, unknown_warning};
use super::shapes::{AgentManifest, AgentShape, Capability, Page, UpsertedAgent};
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
const PARAMETERS: [&str; 4] = ["search", "offset", "limit", "include_archived"];

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

    /// The update that makes an existing agent what this request says. Like the vendor, it keeps the capabilities of a
    /// request without any.
    fn into_replacement(self) -> AgentUpdate {
        let update = self.into_update();
        AgentUpdate {
            display_name: Some(update.display_name.flatten()),
            description: Some(update.description.flatten()),
            model: Some(update.model.flatten()),
            tags: Some(update.tags.unwrap_or_default()),
            ..update
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
    Ok(list_page(&app, &granted, &query).await?)
}

/// Lists the requested page of agents.
///
/// # Errors
/// [`Refusal::Invalid`] for a parameter that is not valid.
pub async fn list_page(app: &App, granted: &Granted<ViewSessions>, query: &Query) -> Result<Output, Failure> {
    let paging = read_paging(query)?;
    let search = query.text("search")?.map(str::trim).filter(|search| !search.is_empty());
    let offset = u32::try_from(paging.offset).unwrap_or(u32::MAX);
    let request = AgentQuery { search: search.map(str::to_owned), offset, limit: paging.limit };
    let archived =
        query.flag("include_archived")?.then(|| "there are no archived agents: archiving deletes".to_owned());
    let found = definitions::list_agents(app, granted, &request).await?;
    let shapes = found.items.iter().map(AgentShape::from).collect::<Vec<_>>();
    // A page that ends early reports its own length as the limit, so that clients go on from there.
    let limit = if found.more { shapes.len() as u64 } else { paging.limit.into() };
    let page = Page::new(&shapes, found.total, paging.offset, limit);
    Ok(Output::json(StatusCode::OK, &page)?
        .with_warning(paging.warning)
        .with_warning(archived)
        .with_warning(unknown_warning(query, &PARAMETERS)))
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
    if let Some(made) = definitions::find_earlier_agent(&app, &granted).await? {
        return Ok(agent_output(StatusCode::CREATED, &made)?);
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
                changed => return Ok(agent_output(StatusCode::OK, &changed?)?),
            }
        }
        let request = read_fields::<AgentRequest>(&body)?;
        let chosen = request.id.as_deref().map(ids::read_agent).transpose()?;
        match definitions::create_agent(&app, &granted, request.into_new_agent(chosen)?).await {
            // Another request created the name first. With an id of the client's own, the conflict is reported.
            Err(Failure::Refused(Refusal::Exists(_))) if chosen.is_none() => {}
            made => return Ok(agent_output(StatusCode::CREATED, &made?)?),
        }
    }
    Err(Failure::Busy.into())
}

/// Creates an agent. Unlike `POST /agents`, it changes no existing one.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed body; [`Refusal::Exists`].
pub async fn create_from_body(
    app: &App,
    granted: &Granted<UseSessions>,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let request: AgentRequest = read_fields(body)?;
    let chosen = request.id.as_deref().map(ids::read_agent).transpose()?;
    let made = definitions::create_agent(app, granted, request.into_new_agent(chosen)?).await?;
    agent_output(StatusCode::CREATED, &made)
}

/// Creates the agent with an id, or replaces it.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed body; [`Refusal::Exists`] for a name in use, and for the id of a deleted agent.
pub async fn upsert_from_body(
    app: &App,
    granted: &Granted<UseSessions>,
    id: AgentId,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let new = read_fields::<AgentRequest>(body)?.into_new_agent(Some(id))?;
    if let Some(made) = definitions::find_earlier_agent(app, granted).await? {
        return Output::json(StatusCode::CREATED, &UpsertedAgent::new(&made, true));
    }
    let mut attempt = 1;
    loop {
        let update = read_fields::<AgentRequest>(body)?.into_replacement();
        match definitions::update_agent(app, granted, id, update).await {
            Err(Failure::Refused(Refusal::NotFound(_))) => {}
            changed => return Output::json(StatusCode::OK, &UpsertedAgent::new(&changed?, false)),
        }
        match definitions::create_agent(app, granted, new.clone()).await {
            // Another request may have created the agent first.
            Err(Failure::Refused(Refusal::Exists(_))) if attempt < ATTEMPTS => attempt += 1,
            made => return Output::json(StatusCode::CREATED, &UpsertedAgent::new(&made?, true)),
        }
    }
}

/// Copies an agent under a new name.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Exists`].
pub async fn copy_by_reference(
    app: &App,
    granted: &Granted<UseSessions>,
    reference: &str,
) -> Result<Output, Failure> {
    if let Some(made) = definitions::find_earlier_agent(app, granted).await? {
        return agent_output(StatusCode::CREATED, &made);
    }
    let source = load_by_reference(app, &granted.authorize()?, reference).await?;
    agent_output(StatusCode::CREATED, &definitions::copy_agent(app, granted, &source).await?)
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
    Ok(agent_output(StatusCode::OK, &definitions::load_agent(&app, &granted, id).await?)?)
}

/// Gets an agent by its id or its name.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn get_by_reference(
    app: &App,
    granted: &Granted<ViewSessions>,
    reference: &str,
) -> Result<Output, Failure> {
    agent_output(StatusCode::OK, &load_by_reference(app, granted, reference).await?)
}

async fn load_by_reference(
    app: &App,
    granted: &Granted<ViewSessions>,
    reference: &str,
) -> Result<Agent, Failure> {
    match ids::read_agent(reference) {
        Ok(id) => definitions::load_agent(app, granted, id).await,
        Err(_) => definitions::load_agent_by_name(app, granted, reference).await,
    }
}

/// `GET /agents/{agent}/export`: the agent as other servers can import it. The command line sends the agent's id or name.
pub async fn export(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    agent: PathText,
    query: Query,
) -> HandlerResult {
    Ok(export_by_reference(&app, &granted, &path_text(agent), query.text("format")?).await?)
}

/// Exports an agent. An export has no ids, so the model's is left out, with a warning.
///
/// # Errors
/// [`Refusal::Invalid`] for a format other than `json`; [`Refusal::NotFound`].
pub async fn export_by_reference(
    app: &App,
    granted: &Granted<ViewSessions>,
    reference: &str,
    format: Option<&str>,
) -> Result<Output, Failure> {
    if !matches!(format, None | Some("json")) {
        return Err(Refusal::invalid("format", "json").into());
    }
    let agent = load_by_reference(app, granted, reference).await?;
    let left_out =
        agent.model.is_some().then(|| "default_model_id was left out: an export has no ids".to_owned());
    Ok(Output::json(StatusCode::OK, &AgentManifest::from(&agent))?.with_warning(left_out))
}

/// `PATCH /agents/{agent}`.
pub async fn update(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    agent: PathText,
    WholeRequest(body): WholeRequest,
) -> HandlerResult {
    let id = ids::read_agent(&path_text(agent))?;
    let body: Map<String, Value> = middleware::read_json(&app, body).await?;
    Ok(update_from_body(&app, &granted, id, &body).await?)
}

/// Changes an agent. Archiving it deletes it.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed body; [`Refusal::NotFound`]; [`Refusal::Exists`].
pub async fn update_from_body(
    app: &App,
    granted: &Granted<UseSessions>,
    id: AgentId,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let request: AgentRequest = read_fields(body)?;
    let archived_output =
        |agent: &Agent| Output::json(StatusCode::OK, &AgentShape::from(agent).into_archived());
    if let Some(archived) = definitions::find_earlier_agent(app, granted).await? {
        return archived_output(&archived);
    }
    let archives = request.status == Some(Status::Archived);
    let changed = definitions::update_agent(app, granted, id, request.into_update()).await?;
    if !archives {
        return agent_output(StatusCode::OK, &changed);
    }
    definitions::delete_agent(app, granted, id).await?;
    archived_output(&changed)
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

fn agent_output(status: StatusCode, agent: &Agent) -> Result<Output, Failure> {
    Output::json(status, &AgentShape::from(agent))
}
