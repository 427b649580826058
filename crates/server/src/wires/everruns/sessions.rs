//! `/v1/sessions`: list, create, get, change, delete, cancel, pin, archive.

use super::extractors::May;
use super::output::{Answer, Output, PathText, fields, text};
use super::query::Query;
use super::session_extras::Kept;
use super::shapes::{Capability, Page, Session};
use super::{filter, ids};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use crate::http::middleware::Whole;
use crate::http::object;
use crate::operations::agents;
use crate::operations::agents::create::AgentChoice;
use crate::operations::agents::create::AgentSessionDraft;
use crate::operations::agents::sessions::AgentSessionUpdate;
use crate::operations::agents::sessions::TagsUpdate;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use domain::agent::AgentSession;
use domain::ids::SessionId;
use domain::json::Json;
use domain::page::Select;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// What a client says of a new session.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Wanted {
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

/// What a client says of a session that there is. What is not there or `null` stays.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Changes {
    /// Empty: no title.
    title: Option<String>,
    tags: Option<Vec<String>>,
}

/// `GET /sessions`: newest first.
pub async fn list(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    Ok(page(&app, &granted, &Query::read(query.as_deref())).await?)
}

/// The page that a query asks for.
///
/// # Errors
/// What cannot be read of the query.
pub async fn page(app: &App, granted: &Granted<ViewSessions>, query: &Query) -> Result<Output, Failure> {
    let paging = query.paging()?;
    let filter = filter::read(query, granted.principal())?;
    let select = Select::Offset { offset: paging.offset, limit: paging.limit };
    let found = agents::sessions::list_agent_sessions(app, granted, &filter, select).await?;
    let all = found.items.iter().map(|session| session.id).collect::<Vec<_>>();
    let pinned = agents::sessions::list_pinned_sessions(app, granted, &all).await?;
    let shown = found.items.iter().map(|session| Session::new(session, pinned.contains(&session.id)));
    let shown = shown.collect::<Vec<_>>();
    // A page that ends early says so by its limit: clients go on from there.
    let limit = if found.more { shown.len() as u64 } else { paging.limit.into() };
    let page = Page::new(&shown, found.total, paging.offset, limit).of_sessions();
    let answer = Output::json(StatusCode::OK, &page)?;
    Ok(answer.warning(paging.warning).warning(query.unknown(&filter::KNOWN)))
}

/// `POST /sessions`.
pub async fn create(May(granted): May<UseSessions>, State(app): State<App>, Whole(body): Whole) -> Answer {
    let body: Map<String, Value> = middleware::json(&app, body).await?;
    Ok(begin(&app, &granted, &body).await?)
}

/// Creates the session that a body asks for.
///
/// # Errors
/// What cannot be read of the body, and what stands against the session.
pub async fn begin(
    app: &App,
    granted: &Granted<UseSessions>,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let wanted: Wanted = fields(body)?;
    let kept: Kept = fields(body)?;
    let agent = match (wanted.agent_id, wanted.agent_name) {
        (None, None) => AgentChoice::Default,
        (Some(id), None) => AgentChoice::Id(ids::read_agent(&id)?),
        (None, Some(name)) => AgentChoice::Name(name),
        (Some(_), Some(_)) => {
            return Err(RequestFailure::Body("expected agent_id or agent_name, got both".to_owned()).into());
        }
    };
    let new = AgentSessionDraft {
        agent,
        title: wanted.title,
        tags: wanted.tags.unwrap_or_default(),
        model: wanted.model_id,
        capabilities: Json::of(&wanted.capabilities.unwrap_or_default()),
        origin: wanted.source,
        parent: wanted.parent_session_id.as_deref().map(ids::read_session).transpose()?,
        extra: kept.extra()?,
        ..AgentSessionDraft::default()
    };
    shown(StatusCode::CREATED, &agents::create::create_agent_session(app, granted, new).await?, false)
}

/// `GET /sessions/{session}`.
pub async fn get(May(granted): May<ViewSessions>, State(app): State<App>, session: PathText) -> Answer {
    Ok(one(&app, &granted, &text(session)).await?)
}

/// The session of an id.
///
/// # Errors
/// What is no id; what is not there.
pub async fn one(app: &App, granted: &Granted<ViewSessions>, id: &str) -> Result<Output, Failure> {
    let session = agents::sessions::load_agent_session(app, granted, ids::read_session(id)?).await?;
    shown(StatusCode::OK, &session, is_pinned(app, granted, session.id).await?)
}

/// `PATCH /sessions/{session}`.
pub async fn update(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    session: PathText,
    Whole(body): Whole,
) -> Answer {
    let id = text(session);
    ids::read_session(&id)?;
    let body: Map<String, Value> = middleware::json(&app, body).await?;
    Ok(change(&app, &granted, &id, &body).await?)
}

/// Changes title and tags.
///
/// # Errors
/// What cannot be read of the body, and what stands against the change.
pub async fn change(
    app: &App,
    granted: &Granted<UseSessions>,
    id: &str,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let changes: Changes = fields(body)?;
    let update = AgentSessionUpdate {
        title: changes.title.map(|title| Some(title).filter(|title| !title.is_empty())),
        tags: changes.tags.map(TagsUpdate::Replace),
    };
    let session = agents::sessions::update_agent_session(app, granted, id, update).await?;
    shown(StatusCode::OK, &session, is_pinned(app, &granted.authorize()?, id).await?)
}

/// `DELETE /sessions/{session}`: with all that was said in it.
pub async fn delete(May(granted): May<UseSessions>, State(app): State<App>, session: PathText) -> Answer {
    agents::sessions::delete_agent_session(&app, &granted, ids::read_session(&text(session))?).await?;
    Ok(Output::nothing())
}

/// `POST /sessions/{session}/cancel`.
pub async fn cancel(May(granted): May<UseSessions>, State(app): State<App>, session: PathText) -> Answer {
    Ok(stop(&app, &granted, &text(session)).await?)
}

/// Stops what a session works on. Clients read a body; where nothing ran it says so.
///
/// # Errors
/// What is no id; what is not there or not the caller's.
pub async fn stop(app: &App, granted: &Granted<UseSessions>, id: &str) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let before = agents::sessions::load_agent_session(app, &granted.authorize()?, id).await?;
    let after = agents::sessions::cancel_agent_session(app, granted, id).await?;
    let body = match after.revision > before.revision {
        true => json!({ "status": "cancelled", "message": "Turn cancelled" }),
        false => json!({ "status": "no_op", "message": "No turn is running" }),
    };
    Output::json(StatusCode::OK, &body)
}

/// `PUT /sessions/{session}/pin`: for the caller alone.
pub async fn pin(May(granted): May<ViewSessions>, State(app): State<App>, session: PathText) -> Answer {
    agents::sessions::pin_session(&app, &granted, ids::read_session(&text(session))?).await?;
    Ok(Output::nothing())
}

/// `DELETE /sessions/{session}/pin`.
pub async fn unpin(May(granted): May<ViewSessions>, State(app): State<App>, session: PathText) -> Answer {
    agents::sessions::unpin_session(&app, &granted, ids::read_session(&text(session))?).await?;
    Ok(Output::nothing())
}

/// `PUT /sessions/{session}/archive`.
pub async fn archive(May(granted): May<UseSessions>, State(app): State<App>, session: PathText) -> Answer {
    Ok(put_away(&app, &granted, &text(session), true).await?)
}

/// `DELETE /sessions/{session}/archive`.
pub async fn unarchive(May(granted): May<UseSessions>, State(app): State<App>, session: PathText) -> Answer {
    Ok(put_away(&app, &granted, &text(session), false).await?)
}

/// Puts a session away, or brings it back.
///
/// # Errors
/// What is no id; what is not there or not the caller's.
pub async fn put_away(
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
    shown(StatusCode::OK, &session, is_pinned(app, &granted.authorize()?, id).await?)
}

async fn is_pinned(app: &App, granted: &Granted<ViewSessions>, id: SessionId) -> Result<bool, Failure> {
    Ok(agents::sessions::list_pinned_sessions(app, granted, &[id]).await?.contains(&id))
}

fn shown(status: StatusCode, session: &AgentSession, pinned: bool) -> Result<Output, Failure> {
    Output::json(status, &Session::new(session, pinned))
}
