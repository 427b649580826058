//! `/v1/sessions/{session}/messages`, and the export of all messages.

use super::errors::EverrunsError;
use super::extractors::Authorized;
use super::ids;
use super::message_content::{MessageShape, SentMessage};
use super::output::{HandlerResult, Output, PathText, path_text, read_fields};
use super::query::unknown_warning;
use super::shapes::Page;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::WholeRequest;
use crate::http::query::Query;
use crate::operations::agents;
use crate::operations::agents::messages::MessageDraft;
use crate::operations::agents::messages::run_by_size;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::agent::Message;
use domain::ids::SessionId;
use futures_util::stream;
use serde_json::{Map, Value};
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// Most messages of one answer; they are the newest ones.
const MAX_MESSAGES: i64 = 1_000;
/// Most bytes of messages in one answer. Together with the count, this bounds the cost of a request.
const MAX_BYTES: usize = 4 << 20;
/// Messages per read.
const AT_ONCE: u32 = 50;
const PARAMETERS: [&str; 1] = ["limit"];

/// `GET …/messages`: the newest messages, oldest of them first.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    session: PathText,
    query: Query,
) -> HandlerResult {
    Ok(list_newest(&app, &granted, &path_text(session), &query).await?)
}

/// Lists the newest messages of a session, oldest of them first.
///
/// # Errors
/// [`RequestFailure::Body`](crate::failure::RequestFailure::Body) for a malformed id; [`Refusal::NotFound`] for an unknown
/// session; [`Refusal::Invalid`] for a parameter that is not valid.
pub async fn list_newest(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: &str,
    query: &Query,
) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let limit = query.number("limit", 1..=MAX_MESSAGES)?;
    let total = agents::sessions::load_agent_session(app, granted, id).await?.messages();
    let first = (total - limit.unwrap_or(MAX_MESSAGES)).max(0);
    let (messages, bytes) = read_range(app, granted, id, first, total).await?;
    let left_out = total - i64::try_from(messages.len()).unwrap_or(0);
    let (total, offset) = (u64::try_from(total).unwrap_or(0), u64::try_from(left_out).unwrap_or(0));
    let page_limit = u64::try_from(limit.unwrap_or(MAX_MESSAGES)).unwrap_or(0);
    let written = run_by_size(bytes, move || {
        let shapes = messages.into_iter().map(|message| MessageShape::new(id, message)).collect::<Vec<_>>();
        Output::json(StatusCode::OK, &Page::new(&shapes, total, offset, page_limit).add_messages_field())
    });
    let cut = (limit.is_none() && left_out > 0)
        .then(|| format!("the oldest {left_out} messages were left out: export the session to have all"));
    Ok(written.await??.with_warning(cut).with_warning(unknown_warning(query, &PARAMETERS)))
}

/// Reads messages after `after` up to `last`, from the newest back until they fill one answer. Also returns their bytes.
async fn read_range(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    after: i64,
    last: i64,
) -> Result<(Vec<Message>, usize), Failure> {
    let (mut found, mut before, mut bytes) = (Vec::new(), last + 1, 0);
    while before > after + 1 && bytes < MAX_BYTES {
        let page = agents::messages::list_newest_messages(app, granted, id, after, before, AT_ONCE).await?;
        let Some(oldest) = page.last() else { break };
        before = oldest.sequence;
        bytes += page.iter().map(Message::bytes).sum::<usize>();
        found.extend(page);
    }
    found.reverse();
    Ok((found, bytes))
}

/// `POST …/messages`.
pub async fn create(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    session: PathText,
    WholeRequest(body): WholeRequest,
) -> HandlerResult {
    let id = path_text(session);
    ids::read_session(&id)?;
    let body: Map<String, Value> = middleware::read_json(&app, body).await?;
    Ok(post_message(&app, &granted, &id, &body).await?)
}

/// Posts a message to a session.
///
/// # Errors
/// [`RequestFailure::Body`](crate::failure::RequestFailure::Body) for a malformed id or body, and as
/// [`agents::messages::post`].
pub async fn post_message(
    app: &App,
    granted: &Granted<UseSessions>,
    id: &str,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let (text, parts) = read_fields::<SentMessage>(body)?.read()?;
    let post = MessageDraft { text, parts, ..MessageDraft::default() };
    let (_, message) = agents::messages::post_message(app, granted, id, post).await?;
    Output::json(StatusCode::CREATED, &MessageShape::new(id, message))
}

/// `GET …/export`: every message, one per line. Messages are read while they are sent, so a long session takes no memory.
pub async fn export(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    session: PathText,
    query: Query,
) -> Result<Response, EverrunsError> {
    let id = ids::read_session(&path_text(session))?;
    if !matches!(query.text("format")?, None | Some("jsonl")) {
        return Err(Failure::from(Refusal::invalid("format", "jsonl")).into());
    }
    let total = agents::sessions::load_agent_session(&app, &granted, id).await?.messages();
    let lines = stream::try_unfold(0, move |after| {
        let (app, granted) = (app.clone(), granted.clone());
        async move {
            if after >= total {
                return Ok::<_, std::io::Error>(None);
            }
            let page = agents::messages::list_messages(&app, &granted, id, after, AT_ONCE)
                .await
                .map_err(log_cut_export)?;
            let Some(last) = page.items.last().map(|message| message.sequence) else { return Ok(None) };
            Ok(Some((export_lines(id, page.items).map_err(log_cut_export)?, last)))
        }
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// Logs a failure after the response has begun. The response is cut off without its end, so that a client notices.
fn log_cut_export(failure: Failure) -> std::io::Error {
    tracing::warn!(failure = failure.log_text(), "an export was cut off");
    std::io::Error::other("the export was cut off")
}

fn export_lines(id: SessionId, messages: Vec<Message>) -> Result<Bytes, Failure> {
    let mut text = Vec::new();
    for message in messages {
        serde_json::to_writer(&mut text, &MessageShape::new(id, message)).map_err(Failure::internal)?;
        text.push(b'\n');
    }
    Ok(text.into())
}
