//! Insights: counts about sessions. They are computed at each read, so no generation ever runs.

use super::extractors::Authorized;
use super::query::Query;
use super::session_lists::{Scope, SessionList, respond_with_listed};
use super::sessions::{HandlerResult, PathTexts, respond};
use super::shapes::session_id;
use crate::app::App;
use crate::http::conditional::KnownTags;
use crate::operations::agents;
use crate::operations::agents::sessions::OrganizationAgents;
use axum::extract::State;
use domain::ids::SessionId;
use serde_json::json;
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// `GET /sessions/insights`: the list of sessions with their insights.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    known: KnownTags,
    query: Query,
) -> HandlerResult {
    Scope::Organization(&granted).respond_with_page(&app, SessionList::Insights, &query, &known).await
}

/// `GET /sessions/{devin}/insights`.
pub async fn get(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    known: KnownTags,
    path: PathTexts,
) -> HandlerResult {
    let source = OrganizationAgents::new(&app, &granted);
    respond_with_listed(&app, &source, path.session()?, SessionList::Insights, &known).await
}

/// `POST /sessions/{devin}/insights/generate`: answers that they exist.
pub async fn generate(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    path: PathTexts,
) -> HandlerResult {
    confirm_generated(&app, &granted, path.session()?).await
}

/// Answers that a session's insights exist.
pub async fn confirm_generated(app: &App, granted: &Granted<UseSessions>, id: SessionId) -> HandlerResult {
    let view = granted.authorize::<ViewSessions>().map_err(crate::failure::Failure::from)?;
    let session = agents::sessions::load_agent_session(app, &view, id).await?;
    respond(&json!({ "session_id": session_id(session.id), "status": "already_exists" }))
}
