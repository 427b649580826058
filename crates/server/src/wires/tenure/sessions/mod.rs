//! `/tenure/v1/sessions`: sessions of all kinds, as far as the caller may see them.

mod actions;
mod create;
mod facets;
mod filters;
mod histogram;
mod paging;
pub mod shapes;
mod timeline;
pub mod visible;
mod watch;

pub use actions::{act, allowed_methods, update};
pub use create::create;
pub use facets::list as facets;
pub use filters::{complete, fields};
pub use histogram::get as histogram;
pub use timeline::list as timeline;
pub use watch::open as watch;

use self::watch::WatchToken;
use super::errors::TenureError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::conditional::{KnownTags, Tag, respond_with_session};
use crate::http::middleware::{self, WholeRequest, encode_list};
use crate::http::query::Query;
use crate::operations::sessions::ordered::list_page;
use crate::operations::sessions::visible::{NamedSession, VisibleSource};
use crate::operations::sessions::watch::WatchStart;
use crate::operations::sessions::{self, Encoding, ListedSession, queries};
use crate::services::session_bodies::BodyShape;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::ids::SessionId;
use domain::refusal::Thing;
use domain::session::Filter;
use domain::time::Micros;
use paging::PageRequest;
use protocol::sessions::{BatchRequest, MAX_BATCH, SessionBatch, SessionPage};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use visible::{Visible, check_names, read_session_id, read_zone};

type HandlerResult = Result<Response, TenureError>;

/// The parameters of the list.
const PARAMETERS: &[&str] = &["filter", "order", "limit", "cursor", "fields", "scope", "timezone"];
/// The top-level fields of a session that `fields` may name.
const FIELDS: &[&str] = &[
    "id",
    "kind",
    "organization",
    "owner",
    "state",
    "title",
    "tags",
    "origin",
    "agent",
    "model",
    "category",
    "parent",
    "device",
    "login",
    "created",
    "updated",
    "ended",
    "end",
    "expires",
    "archived",
    "usage",
    "pull_requests",
    "revision",
    "links",
];

/// `GET /sessions`: newest first, or in the order of any field.
pub async fn list(
    Visible(visible): Visible,
    State(app): State<App>,
    known: KnownTags,
    uri: Uri,
    query: Query,
) -> HandlerResult {
    check_names(&query, PARAMETERS)?;
    let request = PageRequest::read(&app, &visible, &query)?;
    let text = query.text("filter")?.unwrap_or_default();
    let chosen = read_fields(&query)?;
    let filter = queries::read_filter(&app, &visible, text, read_zone(&query)?).await?;
    let encode = |named: &NamedSession, now: Micros| encode(&app, named, now);
    let encoding = Encoding { shape: BodyShape::Tenure, encode: &encode };
    let source = VisibleSource::new(&app, &visible);
    let at = app.now();
    let found = list_page(&app, &source, filter.filter(), request.range(), encoding).await?;
    let (next, prev) = request.cursors(&found)?;
    let start = WatchStart { position: found.position, at, lookups: filter.hash_lookups() };
    let token = WatchToken::new(&visible, &filter, start).write(&app, &visible)?;
    let page = SessionPage {
        data: choose_fields(found.list.items, chosen.as_deref())?,
        total: found.list.total,
        next,
        prev,
        watch: token,
        filter_as_read: filter.text(),
    };
    let tag = Tag::new(visible.principal(), &page.data, (page.total, &page.next, &page.prev));
    let mut response = known.respond(tag, || encode_list(&page, &page.data))?;
    for (cursor, relation) in [(&page.next, "next"), (&page.prev, "prev")] {
        if let Some(cursor) = cursor {
            let link = paging::write_link(&uri, &query, cursor, relation);
            let link = HeaderValue::try_from(link).map_err(Failure::internal)?;
            response.headers_mut().append(header::LINK, link);
        }
    }
    Ok(response)
}

/// `GET /sessions/{session}`: by its id in the form of any wire.
pub async fn get(
    Visible(visible): Visible,
    State(app): State<App>,
    known: KnownTags,
    session: visible::SessionPath,
) -> HandlerResult {
    let encode = |named: &NamedSession, now: Micros| encode(&app, named, now);
    let encoding = Encoding { shape: BodyShape::Tenure, encode: &encode };
    let source = VisibleSource::new(&app, &visible);
    let id = session.0.ok_or_else(|| Failure::from(Refusal::NotFound(Thing::Session)))?;
    Ok(respond_with_session(&known, &sessions::find_session(&app, &source, id, encoding).await?)?)
}

/// `POST /sessions:batchGet`: several sessions by their ids.
pub async fn batch_get(
    Visible(visible): Visible,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let BatchRequest { ids } = middleware::read_json(&app, request).await?;
    if ids.len() > MAX_BATCH {
        let refusal = Refusal::invalid("ids", format!("at most {MAX_BATCH} ids"));
        return Err(Failure::from(refusal).into());
    }
    let wanted = ids.iter().map(|text| read_session_id(text)).collect::<Vec<_>>();
    let filter = Filter::Ids(wanted.iter().flatten().copied().collect());
    let encode = |named: &NamedSession, now: Micros| encode(&app, named, now);
    let encoding = Encoding { shape: BodyShape::Tenure, encode: &encode };
    let range = domain::page::ListRange::Before { position: None, limit: 2 * MAX_BATCH as u32 };
    let source = VisibleSource::new(&app, &visible);
    let found = sessions::list_sessions(&app, &source, filter, range, encoding).await?;
    let found = found.items.into_iter().map(|listed| (listed.session.key.id, listed));
    let found = found.collect::<BTreeMap<SessionId, ListedSession>>();
    let mut batch = SessionBatch { data: Vec::new(), missing: Vec::new() };
    for (text, id) in ids.into_iter().zip(wanted) {
        match id.and_then(|id| found.get(&id)) {
            Some(listed) => batch.data.push(listed.clone()),
            None => batch.missing.push(text),
        }
    }
    let body = encode_list(&batch, &batch.data)?;
    Ok(middleware::json_response(StatusCode::OK, body).into_response())
}

pub(super) fn encode(app: &App, named: &NamedSession, now: Micros) -> serde_json::Result<Box<RawValue>> {
    to_raw_value(&shapes::write_session(named, &app.base_url, now))
}

/// The fields that a client wants of each session; `None` for all.
fn read_fields(query: &Query) -> Result<Option<Vec<&str>>, Failure> {
    let Some(names) = query.list("fields") else { return Ok(None) };
    match names.iter().find(|name| !FIELDS.contains(name)) {
        Some(_) => Err(Refusal::invalid("fields", format!("some of {}", FIELDS.join(", "))).into()),
        None => Ok(Some(names)),
    }
}

/// The same sessions with some of their fields, in the usual order.
fn choose_fields(
    mut listed: Vec<ListedSession>,
    chosen: Option<&[&str]>,
) -> Result<Vec<ListedSession>, Failure> {
    let Some(chosen) = chosen else { return Ok(listed) };
    for session in &mut listed {
        session.keep_fields(FIELDS.iter().copied().filter(|name| chosen.contains(name)))?;
    }
    Ok(listed)
}
