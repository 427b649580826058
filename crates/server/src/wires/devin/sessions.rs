//! `/organizations/{org}/sessions`: list, create, get, terminate, archive and unarchive.

use super::body::Body;
use super::create_session;
use super::errors::DevinError;
use super::extractors::Authorized;
use super::query::Query;
use super::session_lists::{Scope, SessionList, respond_with_listed};
use super::shapes::{Session, SessionView, read_session_id};
use crate::app::App;
use crate::failure::Failure;
use crate::http::conditional::KnownTags;
use crate::http::middleware::WholeRequest;
use crate::http::middleware::json_response;
use crate::operations::agents;
use crate::operations::agents::sessions::OrganizationAgents;
use axum::extract::{FromRequestParts, RawPathParams, State};
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

/// What handlers return.
pub type HandlerResult = Result<Response, DevinError>;

/// The path's parameters by their names. Handlers read them after the caller is authorized.
pub struct PathTexts(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for PathTexts {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathTexts, Infallible> {
        let texts = RawPathParams::from_request_parts(parts, state).await;
        let owned = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        // A path that is not valid UTF-8 has no parameters.
        Ok(PathTexts(texts.map(|texts| texts.iter().map(owned).collect()).unwrap_or_default()))
    }
}

impl PathTexts {
    /// A parameter; empty when the path is not valid UTF-8.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, text)| text)
    }

    /// The session's id.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a malformed id.
    pub fn session(&self) -> Result<SessionId, Failure> {
        read_session_id(self.get("devin")).ok_or_else(|| Refusal::NotFound(Thing::Session).into())
    }
}

/// A JSON response with status 200, which this wire uses for every success with a body.
///
/// # Errors
/// [`Failure::Internal`] when the body cannot be serialized.
pub fn respond(body: &impl Serialize) -> HandlerResult {
    let bytes = serde_json::to_vec(body).map_err(Failure::internal)?;
    Ok(json_response(StatusCode::OK, bytes))
}

/// Answers an action with the session.
///
/// # Errors
/// [`Failure::Internal`] when the body cannot be serialized.
pub fn respond_with_session(app: &App, session: &AgentSession) -> HandlerResult {
    respond(&Session::new(session, SessionView::AfterAction, &app.base_url))
}

/// `GET /sessions`: newest first.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    known: KnownTags,
    query: Query,
) -> HandlerResult {
    Scope::Organization(&granted).respond_with_page(&app, SessionList::Sessions, &query, &known).await
}

/// `POST /sessions`.
pub async fn create(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body = Body::read(&app, request).await?;
    let new = create_session::read_create(&app, &granted, &body)?;
    let session = agents::create::create_agent_session(&app, &granted, new).await?;
    respond_with_session(&app, &session)
}

/// `GET /sessions/{devin}`.
pub async fn get(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    known: KnownTags,
    path: PathTexts,
) -> HandlerResult {
    let source = OrganizationAgents::new(&app, &granted);
    respond_with_listed(&app, &source, path.session()?, SessionList::Sessions, &known).await
}

/// `DELETE /sessions/{devin}`: ends the session for good, and archives it with `?archive=true`.
pub async fn terminate(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    path: PathTexts,
    query: Query,
) -> HandlerResult {
    let archive = query.flag("archive").map_err(Failure::from)?.unwrap_or(false);
    let session = agents::sessions::terminate_agent_session(&app, &granted, path.session()?, archive).await?;
    respond_with_session(&app, &session)
}

/// `POST /sessions/{devin}/archive`: suspends and archives the session and its children. Clients send no body, or an
/// empty one declared as JSON, so none is read.
pub async fn archive(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    path: PathTexts,
) -> HandlerResult {
    let session = agents::sessions::archive_agent_session(&app, &granted, path.session()?).await?;
    respond_with_session(&app, &session)
}

/// `POST /sessions/{devin}/unarchive`: does not unarchive its children.
pub async fn unarchive(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    path: PathTexts,
) -> HandlerResult {
    let session = agents::sessions::unarchive_agent_session(&app, &granted, path.session()?).await?;
    respond_with_session(&app, &session)
}
