//! `/v1/sessions/{session}/messages`, and the export of all of them.

use super::errors::EverrunsError;
use super::extractors::May;
use super::ids;
use super::message_content::{Sent, Shown};
use super::output::{Answer, Output, PathText, fields, text};
use super::query::Query;
use super::shapes::Page;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::Whole;
use crate::operations::agents;
use crate::operations::agents::messages::MessageDraft;
use crate::operations::agents::messages::run_by_size;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::agent::Message;
use domain::ids::SessionId;
use futures_util::stream;
use serde_json::{Map, Value};
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// The most messages of one answer, which are the newest ones.
const MAX_MESSAGES: i64 = 1_000;
/// How many bytes the messages of one answer may have: together with the count it bounds what a request costs.
const MAX_BYTES: usize = 4 << 20;
/// How many messages are read at once.
const AT_ONCE: u32 = 50;
const KNOWN: [&str; 1] = ["limit"];

/// `GET …/messages`: the newest ones, in their order.
pub async fn list(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    session: PathText,
    RawQuery(query): RawQuery,
) -> Answer {
    Ok(newest(&app, &granted, &text(session), &Query::read(query.as_deref())).await?)
}

/// The newest messages of a session, in their order.
///
/// # Errors
/// What is no id, what is not there, and what cannot be read of the query.
pub async fn newest(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: &str,
    query: &Query,
) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let limit = query.number("limit", 1..=MAX_MESSAGES)?;
    let total = agents::sessions::load_agent_session(app, granted, id).await?.messages();
    let first = (total - limit.unwrap_or(MAX_MESSAGES)).max(0);
    let (messages, bytes) = between(app, granted, id, first, total).await?;
    let left_out = total - i64::try_from(messages.len()).unwrap_or(0);
    let (total, offset) = (u64::try_from(total).unwrap_or(0), u64::try_from(left_out).unwrap_or(0));
    let asked = u64::try_from(limit.unwrap_or(MAX_MESSAGES)).unwrap_or(0);
    let written = run_by_size(bytes, move || {
        let shown = messages.into_iter().map(|message| Shown::new(id, message)).collect::<Vec<_>>();
        Output::json(StatusCode::OK, &Page::new(&shown, total, offset, asked).of_messages())
    });
    let cut = (limit.is_none() && left_out > 0)
        .then(|| format!("the oldest {left_out} messages were left out: export the session to have all"));
    Ok(written.await??.warning(cut).warning(query.unknown(&KNOWN)))
}

/// Messages after one place up to another, from the newest back until they are too much for one answer; and their bytes.
async fn between(
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
    May(granted): May<UseSessions>,
    State(app): State<App>,
    session: PathText,
    Whole(body): Whole,
) -> Answer {
    let id = text(session);
    ids::read_session(&id)?;
    let body: Map<String, Value> = middleware::json(&app, body).await?;
    Ok(say(&app, &granted, &id, &body).await?)
}

/// Says something in a session.
///
/// # Errors
/// What cannot be read of the body, and what stands against the message.
pub async fn say(
    app: &App,
    granted: &Granted<UseSessions>,
    id: &str,
    body: &Map<String, Value>,
) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let (text, parts) = fields::<Sent>(body)?.read()?;
    let post = MessageDraft { text, parts, ..MessageDraft::default() };
    let (_, message) = agents::messages::post_message(app, granted, id, post).await?;
    Output::json(StatusCode::CREATED, &Shown::new(id, message))
}

/// `GET …/export`: every message, one a line, read while it is written: a long session costs no memory.
pub async fn export(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    session: PathText,
    RawQuery(query): RawQuery,
) -> Result<Response, EverrunsError> {
    let id = ids::read_session(&text(session))?;
    let query = Query::read(query.as_deref());
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
            let page =
                agents::messages::list_messages(&app, &granted, id, after, AT_ONCE).await.map_err(cut)?;
            let Some(last) = page.items.last().map(|message| message.sequence) else { return Ok(None) };
            Ok(Some((lines(id, page.items).map_err(cut)?, last)))
        }
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// The answer has begun already: it is cut off, which a client takes for no end.
fn cut(failure: Failure) -> std::io::Error {
    tracing::warn!(failure = failure.for_log(), "an export was cut off");
    std::io::Error::other("the export was cut off")
}

fn lines(id: SessionId, messages: Vec<Message>) -> Result<Bytes, Failure> {
    let mut text = Vec::new();
    for message in messages {
        serde_json::to_writer(&mut text, &Shown::new(id, message)).map_err(Failure::internal)?;
        text.push(b'\n');
    }
    Ok(text.into())
}
