//! Insights: what can be counted of sessions. They are computed when they are read, so none is ever started.

use super::extractors::May;
use super::session_lists::Scope;
use super::sessions::{Answer, Texts, answer};
use super::shapes::{Insights, session_id};
use crate::app::App;
use crate::operations::agents;
use axum::extract::{RawQuery, State};
use domain::ids::SessionId;
use serde_json::json;
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// `GET /sessions/insights`: the list of sessions with more of each.
pub async fn list(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let page = Scope::Organization(&granted).page(&app, "insights", query.as_deref()).await?;
    answer(&page.shown(|session| Insights::new(session, &app.base_url)))
}

/// `GET /sessions/{devin}/insights`.
pub async fn get(May(granted): May<ViewSessions>, State(app): State<App>, path: Texts) -> Answer {
    let session = agents::sessions::load_agent_session(&app, &granted, path.session()?).await?;
    answer(&Insights::new(&session, &app.base_url))
}

/// `POST /sessions/{devin}/insights/generate`: there is nothing left to generate.
pub async fn generate(May(granted): May<UseSessions>, State(app): State<App>, path: Texts) -> Answer {
    generated(&app, &granted, path.session()?).await
}

/// What a request to generate insights is answered with.
pub async fn generated(app: &App, granted: &Granted<UseSessions>, id: SessionId) -> Answer {
    let view = granted.authorize::<ViewSessions>().map_err(crate::failure::Failure::from)?;
    let session = agents::sessions::load_agent_session(app, &view, id).await?;
    answer(&json!({ "session_id": session_id(session.id), "status": "already_exists" }))
}
