//! `/sessions/{devin}/messages`: what was said, oldest first, and saying something.

use super::body::Body;
use super::create_session;
use super::cursor::{self, Binding};
use super::errors::DevinError;
use super::extractors::May;
use super::filter::paging;
use super::query::Query;
use super::sessions::{Answer, Texts, answer, shown};
use super::shapes::{Page, Said, Seen};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::Whole;
use crate::operations::agents;
use axum::extract::{RawQuery, Request, State};
use domain::ids::SessionId;
use store::Granted;
use store::access::{UseSessions, ViewSessions};
use uuid::Uuid;

/// What this list knows.
pub const KNOWN: &[&str] = &["after", "first"];

/// `GET`.
pub async fn list(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
) -> Answer {
    page(&app, &granted, path.session()?, query.as_deref()).await
}

/// A page of what was said in a session.
pub async fn page(app: &App, granted: &Granted<ViewSessions>, id: SessionId, query: Option<&str>) -> Answer {
    let query = Query::read(query).map_err(Failure::from)?;
    let paging = paging(&query).map_err(Failure::from)?;
    let reader = granted.principal().map_or(Uuid::nil(), |reader| reader.0);
    let place = granted.organization().0;
    let binding = Binding::new(cursor::key(app), "messages", reader, place, &id.to_string());
    let after = paging.after.map(|after| binding.read(&after)).transpose()?.unwrap_or(0);
    let after = i64::try_from(after).map_err(Failure::internal)?;
    let found = agents::messages::list_messages(app, granted, id, after, paging.first).await?;
    let last = found.items.last().filter(|_| found.more).map(|last| last.sequence);
    let position = last.map(u128::try_from).transpose().map_err(Failure::internal)?;
    let end_cursor = position.map(|position| binding.write(position)).transpose()?;
    answer(&Page {
        items: found.items.iter().map(Said::from).collect(),
        has_next_page: end_cursor.is_some(),
        end_cursor,
        total: found.total,
    })
}

/// `POST`: answered with the session, not with the message. It wakes a session that sleeps.
pub async fn post(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    path: Texts,
    Whole(request): Whole,
) -> Answer {
    say(&app, &granted, path.session()?, request).await
}

/// Says something in a session.
pub async fn say(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    request: Request,
) -> Result<axum::response::Response, DevinError> {
    let body = Body::read(app, request).await?;
    let other = create_session::in_name_of(granted, &body, "message_as_user_id")?;
    let message = create_session::message(app, granted.organization(), &body, "message", other)
        .map_err(Failure::from)?;
    let (session, _) = agents::messages::post_message(app, granted, id, message).await?;
    shown(app, &session, Seen::Acted)
}
