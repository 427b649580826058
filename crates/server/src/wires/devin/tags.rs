//! `/sessions/{devin}/tags`: get, append, replace. The vendor has no endpoint that removes one tag.

use super::body::Body;
use super::create_session;
use super::extractors::Authorized;
use super::sessions::{HandlerResult, PathTexts, respond};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::WholeRequest;
use crate::operations::agents;
use crate::operations::agents::sessions::AgentSessionUpdate;
use crate::operations::agents::sessions::TagsUpdate;
use axum::extract::{Request, State};
use domain::Refusal;
use domain::agent::{AgentSession, MAX_TAGS};
use domain::ids::SessionId;
use serde_json::json;
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// Answers with a session's tags.
pub fn respond_with_tags(session: &AgentSession) -> HandlerResult {
    respond(&json!({ "tags": session.given.tags }))
}

/// Reads tags from the body and updates the session.
pub async fn update_tags(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    request: Request,
    update: fn(Vec<String>) -> TagsUpdate,
) -> HandlerResult {
    let body = Body::read(app, request).await?;
    let needed = || Refusal::invalid("tags", format!("a list of at most {MAX_TAGS} texts"));
    let tags =
        create_session::read_tags(&body).and_then(|tags| tags.ok_or_else(needed)).map_err(Failure::from)?;
    let update = AgentSessionUpdate { tags: Some(update(tags)), ..AgentSessionUpdate::default() };
    respond_with_tags(&agents::sessions::update_agent_session(app, granted, id, update, None).await?)
}

/// `GET /sessions/{devin}/tags`.
pub async fn get(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    path: PathTexts,
) -> HandlerResult {
    respond_with_tags(&agents::sessions::load_agent_session(&app, &granted, path.session()?).await?)
}

/// `POST /sessions/{devin}/tags`: appends tags.
pub async fn append(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    path: PathTexts,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    update_tags(&app, &granted, path.session()?, request, TagsUpdate::Append).await
}

/// `PUT /sessions/{devin}/tags`: replaces all tags.
pub async fn replace(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    path: PathTexts,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    update_tags(&app, &granted, path.session()?, request, TagsUpdate::Replace).await
}
