//! `/sessions/{devin}/messages`: lists messages, oldest first, and posts one.

use super::body::Body;
use super::create_session;
use super::cursor::{self, Binding};
use super::errors::DevinError;
use super::extractors::Authorized;
use super::filter::read_paging;
use super::query::Query;
use super::sessions::{HandlerResult, PathTexts, respond, respond_with_session};
use super::shapes::{Page, SessionMessage};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::WholeRequest;
use crate::operations::agents;
use axum::extract::{Request, State};
use domain::ids::SessionId;
use store::Granted;
use store::access::{UseSessions, ViewSessions};
use uuid::Uuid;

/// The query parameters of this list.
pub const PARAMETERS: &[&str] = &["after", "first"];

/// `GET /sessions/{devin}/messages`.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    path: PathTexts,
    query: Result<Query, DevinError>,
) -> HandlerResult {
    respond_with_page(&app, &granted, path.session()?, &query?).await
}

/// Answers with a page of a session's messages.
pub async fn respond_with_page(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    query: &Query,
) -> HandlerResult {
    let paging = read_paging(query).map_err(Failure::from)?;
    let reader = granted.principal().map_or(Uuid::nil(), |reader| reader.0);
    let place = granted.organization().0;
    let binding = Binding::new(cursor::key(app), "messages", reader, place, &id.to_string());
    let after = paging.after.map(|after| binding.read(&after)).transpose()?.unwrap_or(0);
    let after = i64::try_from(after).map_err(Failure::internal)?;
    let found = agents::messages::list_messages(app, granted, id, after, paging.first).await?;
    let last = found.items.last().filter(|_| found.more).map(|last| last.sequence);
    let position = last.map(u128::try_from).transpose().map_err(Failure::internal)?;
    let end_cursor = position.map(|position| binding.write(position)).transpose()?;
    respond(&Page {
        items: found.items.iter().map(SessionMessage::from).collect(),
        has_next_page: end_cursor.is_some(),
        end_cursor,
        total: found.total,
    })
}

/// `POST /sessions/{devin}/messages`: answers with the session, not with the message. Wakes a sleeping session.
pub async fn post(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    path: PathTexts,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    post_message(&app, &granted, path.session()?, request).await
}

/// Posts a message to a session.
pub async fn post_message(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    request: Request,
) -> Result<axum::response::Response, DevinError> {
    let body = Body::read(app, request).await?;
    let other = create_session::read_impersonated_user(granted, &body, "message_as_user_id")?;
    let message = create_session::read_message(app, granted.organization(), &body, "message", other)
        .map_err(Failure::from)?;
    let (session, _) = agents::messages::post_message(app, granted, id, message).await?;
    respond_with_session(app, &session)
}
