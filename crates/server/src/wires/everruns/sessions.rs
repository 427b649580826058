//! `/v1/sessions`: list, create, get, change, delete, cancel, pin, archive.

use super::extractors::Authorized;
use super::output::{HandlerResult, Output, PathText, path_text, read_fields};
use super::query::{read_paging, unknown_warning};
use super::session_extras::SessionExtras;
use super::shapes::{Capability, Page, Session};
use super::{filter, ids};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::conditional::{KnownTags, Tag};
use crate::http::middleware;
use crate::http::middleware::{WholeRequest, encode_list};
use crate::http::object;
use crate::http::query::Query;
use crate::operations::agents;
use crate::operations::agents::create::AgentChoice;
use crate::operations::agents::create::AgentSessionDraft;
use crate::operations::agents::sessions::TagsUpdate;
use crate::operations::agents::sessions::{AgentSessionUpdate, OrganizationAgents};
use crate::operations::sessions::{self, Encoding, ListedSession};
use crate::services::session_bodies::BodyShape;
use axum::extract::State;
use axum::http::StatusCode;
use domain::agent::AgentSession;
use domain::ids::SessionId;
use domain::json::Json;
use domain::page::ListRange;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// The body that creates a session.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct CreateRequest {
    agent_id: Option<String>,
    agent_name: Option<String>,
    title: Option<String>,
    tags: Option<Vec<String>>,
    model_id: Option<String>,
    #[serde(deserialize_with = "object::maybe_list")]
    capabilities: Option<Vec<Capability>>,
    source: Option<String>,
    parent_session_id: Option<String>,
}

/// The body that updates a session. A field that is missing or `null` stays unchanged.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct UpdateRequest {
    /// An empty title removes it.
    title: Option<String>,
    tags: Option<Vec<String>>,
}

/// `GET /sessions`: newest first.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    known: KnownTags,
    query: Query,
) -> HandlerResult {
    Ok(list_page(&app, &granted, &query, &known).await?)
}

/// Lists the requested page of sessions.
///
/// # Errors
/// [`domain::Refusal::Invalid`] for a parameter that is not valid.
pub async fn list_page(
    app: &App,
    granted: &Granted<ViewSessions>,
    query: &Query,
    known: &KnownTags,
) -> Result<Output, Failure> {
    let paging = read_paging(query)?;
    let filter = filter::read(query, granted.principal())?;
    let range = ListRange::Offset { offset: paging.offset, limit: paging.limit };
    let encode = |session: &AgentSession, _| encode(app, session);
    let encoding = Encoding { shape: BodyShape::Everruns, encode: &encode };
    let mut found = agents::sessions::list_agent_sessions(app, granted, &filter, range, encoding).await?;
    set_pins(app, granted, &mut found.items).await?;
    // A page that ends early reports its own length as the limit, so that clients go on from there.
    let limit = if found.more { found.items.len() as u64 } else { paging.limit.into() };
    let page = Page::new(&found.items, found.total, paging.offset, limit).add_sessions_field();
    let tag = Tag::new(granted.principal(), &found.items, (found.total, found.more));
    let response = Output::unless_known(known, tag, || encode_list(&page, &found.items))?;
    Ok(response.with_warning(paging.warning).with_warning(unknown_warning(query, &filter::PARAMETERS)))
}

/// `POST /sessions`.
pub async fn create(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    WholeRequest(body): WholeRequest,
) -> HandlerResult {
    let body: Map<String, Value> = middleware::read_json(&app, body).await?;
    Ok(create_from_body(&app, &granted, &body).await?)
}

/// Creates a session.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed body, and as [`agents::create::create`].
pub async fn create_from_body(
    app: &App,
    granted: &Granted<UseSessions>,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let request: CreateRequest = read_fields(body)?;
    let extras: SessionExtras = read_fields(body)?;
    let agent = match (request.agent_id, request.agent_name) {
        (None, None) => AgentChoice::Default,
        (Some(id), None) => AgentChoice::Id(ids::read_agent(&id)?),
        (None, Some(name)) => AgentChoice::Name(name),
        (Some(_), Some(_)) => {
            return Err(RequestFailure::Body("expected agent_id or agent_name, got both".to_owned()).into());
        }
    };
    let new = AgentSessionDraft {
        agent,
        title: request.title,
        tags: request.tags.unwrap_or_default(),
        model: request.model_id,
        capabilities: Json::encode(&request.capabilities.unwrap_or_default()),
        origin: request.source,
        parent: request.parent_session_id.as_deref().map(ids::read_session).transpose()?,
        extra: extras.to_stored()?,
        ..AgentSessionDraft::default()
    };
    session_output(
        app,
        StatusCode::CREATED,
        &agents::create::create_agent_session(app, granted, new).await?,
        false,
    )
}

/// `GET /sessions/{session}`.
pub async fn get(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    known: KnownTags,
    session: PathText,
) -> HandlerResult {
    Ok(get_by_id(&app, &granted, &path_text(session), &known).await?)
}

/// Gets a session.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed id; [`domain::Refusal::NotFound`].
pub async fn get_by_id(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: &str,
    known: &KnownTags,
) -> Result<Output, Failure> {
    let source = OrganizationAgents::new(app, granted);
    let encode = |session: &AgentSession, _| encode(app, session);
    let encoding = Encoding { shape: BodyShape::Everruns, encode: &encode };
    let mut session = [sessions::find_session(app, &source, ids::read_session(id)?, encoding).await?];
    set_pins(app, granted, &mut session).await?;
    let tag = Tag::new(None, &session, ());
    Output::unless_known(known, tag, || Ok(session[0].body.text().into()))
}

/// `PATCH /sessions/{session}`.
pub async fn update(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    session: PathText,
    WholeRequest(body): WholeRequest,
) -> HandlerResult {
    let id = path_text(session);
    ids::read_session(&id)?;
    let body: Map<String, Value> = middleware::read_json(&app, body).await?;
    Ok(update_from_body(&app, &granted, &id, &body).await?)
}

/// Updates a session's title and tags.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed id or body, and as [`agents::sessions::update`].
pub async fn update_from_body(
    app: &App,
    granted: &Granted<UseSessions>,
    id: &str,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let changes: UpdateRequest = read_fields(body)?;
    let update = AgentSessionUpdate {
        title: changes.title.map(|title| Some(title).filter(|title| !title.is_empty())),
        tags: changes.tags.map(TagsUpdate::Replace),
    };
    let session = agents::sessions::update_agent_session(app, granted, id, update, None).await?;
    session_output(app, StatusCode::OK, &session, is_pinned(app, &granted.authorize()?, id).await?)
}

/// `DELETE /sessions/{session}`: deletes the session with all its messages.
pub async fn delete(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    session: PathText,
) -> HandlerResult {
    agents::sessions::delete_agent_session(&app, &granted, ids::read_session(&path_text(session))?).await?;
    Ok(Output::no_content())
}

/// `POST /sessions/{session}/cancel`.
pub async fn cancel(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    session: PathText,
) -> HandlerResult {
    Ok(cancel_by_id(&app, &granted, &path_text(session)).await?)
}

/// Cancels a session's turn. The body says whether a turn was running.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed id, and as [`agents::sessions::cancel`].
pub async fn cancel_by_id(app: &App, granted: &Granted<UseSessions>, id: &str) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let before = agents::sessions::load_agent_session(app, &granted.authorize()?, id).await?;
    let after = agents::sessions::cancel_agent_session(app, granted, id).await?;
    let body = match after.revision > before.revision {
        true => json!({ "status": "cancelled", "message": "Turn cancelled" }),
        false => json!({ "status": "no_op", "message": "No turn is running" }),
    };
    Output::json(StatusCode::OK, &body)
}

/// `PUT /sessions/{session}/pin`: pins the session for the caller alone.
pub async fn pin(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    session: PathText,
) -> HandlerResult {
    agents::sessions::pin_session(&app, &granted, ids::read_session(&path_text(session))?).await?;
    Ok(Output::no_content())
}

/// `DELETE /sessions/{session}/pin`.
pub async fn unpin(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    session: PathText,
) -> HandlerResult {
    agents::sessions::unpin_session(&app, &granted, ids::read_session(&path_text(session))?).await?;
    Ok(Output::no_content())
}

/// `PUT /sessions/{session}/archive`.
pub async fn archive(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    session: PathText,
) -> HandlerResult {
    Ok(set_archived(&app, &granted, &path_text(session), true).await?)
}

/// `DELETE /sessions/{session}/archive`.
pub async fn unarchive(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    session: PathText,
) -> HandlerResult {
    Ok(set_archived(&app, &granted, &path_text(session), false).await?)
}

/// Archives or unarchives a session.
///
/// # Errors
/// [`RequestFailure::Body`] for a malformed id, and as [`agents::sessions::archive`].
pub async fn set_archived(
    app: &App,
    granted: &Granted<UseSessions>,
    id: &str,
    away: bool,
) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let session = match away {
        true => agents::sessions::archive_agent_session(app, granted, id).await?,
        false => agents::sessions::unarchive_agent_session(app, granted, id).await?,
    };
    session_output(app, StatusCode::OK, &session, is_pinned(app, &granted.authorize()?, id).await?)
}

/// A session that the caller has not pinned.
fn encode(app: &App, session: &AgentSession) -> serde_json::Result<Box<RawValue>> {
    to_raw_value(&Session::new(session, false, &app.base_url))
}

/// Marks the sessions that the caller has pinned.
async fn set_pins(
    app: &App,
    granted: &Granted<ViewSessions>,
    sessions: &mut [ListedSession],
) -> Result<(), Failure> {
    let pinned = agents::sessions::list_pinned_sessions(app, granted).await?;
    let pinned = |listed: &&mut ListedSession| pinned.contains(&listed.session.key.id);
    sessions.iter_mut().filter(pinned).try_for_each(|listed| listed.set_last_field("is_pinned"))
}

async fn is_pinned(app: &App, granted: &Granted<ViewSessions>, id: SessionId) -> Result<bool, Failure> {
    Ok(agents::sessions::list_pinned_sessions(app, granted).await?.contains(&id))
}

fn session_output(
    app: &App,
    status: StatusCode,
    session: &AgentSession,
    pinned: bool,
) -> Result<Output, Failure> {
    Output::json(status, &Session::new(session, pinned, &app.base_url))
}
