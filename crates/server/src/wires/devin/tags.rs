//! `/sessions/{devin}/tags`: read, add, replace. The vendor has no way to remove one alone.

use super::body::Body;
use super::create_session;
use super::extractors::May;
use super::sessions::{Answer, Texts, answer};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::Whole;
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

/// The tags of a session.
pub fn of(session: &AgentSession) -> Answer {
    answer(&json!({ "tags": session.given.tags }))
}

/// Reads tags from a body, and has the session have them.
pub async fn change(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    request: Request,
    update: fn(Vec<String>) -> TagsUpdate,
) -> Answer {
    let body = Body::read(app, request).await?;
    let needed = || Refusal::invalid("tags", format!("a list of at most {MAX_TAGS} texts"));
    let tags = create_session::tags(&body).and_then(|tags| tags.ok_or_else(needed)).map_err(Failure::from)?;
    let update = AgentSessionUpdate { tags: Some(update(tags)), ..AgentSessionUpdate::default() };
    of(&agents::sessions::update_agent_session(app, granted, id, update).await?)
}

/// `GET`.
pub async fn get(May(granted): May<ViewSessions>, State(app): State<App>, path: Texts) -> Answer {
    of(&agents::sessions::load_agent_session(&app, &granted, path.session()?).await?)
}

/// `POST`: those that it has, and these.
pub async fn append(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    path: Texts,
    Whole(request): Whole,
) -> Answer {
    change(&app, &granted, path.session()?, request, TagsUpdate::Append).await
}

/// `PUT`: these and no others.
pub async fn replace(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    path: Texts,
    Whole(request): Whole,
) -> Answer {
    change(&app, &granted, path.session()?, request, TagsUpdate::Replace).await
}
