//! `/organizations/{org}/sessions`: list, create, get, end, put away and bring back.

use super::body::Body;
use super::create_session;
use super::errors::DevinError;
use super::extractors::May;
use super::query::Query;
use super::session_lists::Scope;
use super::shapes::{Seen, Session, read_session_id};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::Whole;
use crate::http::middleware::json_response;
use crate::operations::agents;
use axum::extract::{FromRequestParts, RawPathParams, RawQuery, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use domain::Refusal;
use domain::agent::AgentSession;
use domain::ids::SessionId;
use domain::refusal::Thing;
use serde::Serialize;
use std::convert::Infallible;
use store::access::{UseSessions, ViewSessions};

/// What handlers answer.
pub type Answer = Result<Response, DevinError>;

/// The texts of a path, by the names of its pattern. Handlers read them after the caller was judged.
pub struct Texts(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Texts {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Texts, Infallible> {
        let texts = RawPathParams::from_request_parts(parts, state).await;
        let owned = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        // A path that is no text names nothing.
        Ok(Texts(texts.map(|texts| texts.iter().map(owned).collect()).unwrap_or_default()))
    }
}

impl Texts {
    /// One of them; empty when the path is no text.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, text)| text)
    }

    /// The session of the path.
    ///
    /// # Errors
    /// What can be no id is an id that nothing has.
    pub fn session(&self) -> Result<SessionId, Failure> {
        read_session_id(self.get("devin")).ok_or_else(|| Refusal::NotFound(Thing::Session).into())
    }
}

/// A body of JSON with status 200, which this wire always says.
///
/// # Errors
/// None in practice.
pub fn answer(body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).map_err(Failure::internal)?;
    Ok(json_response(StatusCode::OK, bytes))
}

/// A session as the answer to something.
///
/// # Errors
/// None in practice.
pub fn shown(app: &App, session: &AgentSession, seen: Seen) -> Answer {
    answer(&Session::new(session, seen, &app.base_url))
}

/// `GET /sessions`: newest first.
pub async fn list(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let page = Scope::Organization(&granted).page(&app, "sessions", query.as_deref()).await?;
    answer(&page.shown(|session| Session::new(session, Seen::Read, &app.base_url)))
}

/// `POST /sessions`.
pub async fn create(May(granted): May<UseSessions>, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body = Body::read(&app, request).await?;
    let new = create_session::read(&app, &granted, &body)?;
    let session = agents::create::create_agent_session(&app, &granted, new).await?;
    shown(&app, &session, Seen::Acted)
}

/// `GET /sessions/{devin}`.
pub async fn get(May(granted): May<ViewSessions>, State(app): State<App>, path: Texts) -> Answer {
    let session = agents::sessions::load_agent_session(&app, &granted, path.session()?).await?;
    shown(&app, &session, Seen::Read)
}

/// `DELETE /sessions/{devin}`: ends it for good, and puts it away when `archive` says so.
pub async fn terminate(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = Query::read(query.as_deref()).map_err(Failure::from)?;
    let archive = query.flag("archive").map_err(Failure::from)?.unwrap_or(false);
    let session = agents::sessions::terminate_agent_session(&app, &granted, path.session()?, archive).await?;
    shown(&app, &session, Seen::Acted)
}

/// `POST /sessions/{devin}/archive`: puts it to sleep and away, and its children with it. Clients send no body, or
/// an empty one that says that it is JSON: none is read.
pub async fn archive(May(granted): May<UseSessions>, State(app): State<App>, path: Texts) -> Answer {
    let session = agents::sessions::archive_agent_session(&app, &granted, path.session()?).await?;
    shown(&app, &session, Seen::Acted)
}

/// `POST /sessions/{devin}/unarchive`: not its children.
pub async fn unarchive(May(granted): May<UseSessions>, State(app): State<App>, path: Texts) -> Answer {
    let session = agents::sessions::unarchive_agent_session(&app, &granted, path.session()?).await?;
    shown(&app, &session, Seen::Acted)
}
