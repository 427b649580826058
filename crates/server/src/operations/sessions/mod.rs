//! Sessions of all kinds, as they are read: the index says which, their bodies are kept from the last time, and the store
//! has what is missing.

pub mod actions;
pub mod facets;
pub mod ordered;
mod parts;
pub mod queries;
pub mod timeline;
pub mod visible;
pub mod watch;

use crate::app::App;
use crate::failure::Failure;
use crate::services::session_bodies::{BodyShape, BodyVersion, SessionBody};
use domain::Refusal;
use domain::ids::SessionId;
use domain::page::{ListRange, ListSlice};
use domain::refusal::Thing;
use domain::session::{Filter, ListPart, SessionKey};
use domain::time::Micros;
use index::{Selection, SessionRef};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::HashMap;
use store::{LoadedSessions, MAX_PAGE_BYTES};

/// How often sessions are read at most while they change.
const ATTEMPTS: usize = 4;

/// The sessions that a grant gives access to.
pub trait SessionSource: Sync {
    /// A session.
    type Session: Send + Sync;

    /// Disjoint lists that have all of them together.
    fn parts(&self) -> Vec<ListPart>;

    /// Loads sessions by their keys, in the order of lists.
    fn load(
        &self,
        keys: &[SessionKey],
    ) -> impl Future<Output = Result<LoadedSessions<Self::Session>, store::Error>> + Send;

    /// Which session this is, and its revision.
    fn session_ref(session: &Self::Session) -> SessionRef;

    /// When it leaves these sessions by itself, unless it is used again, which does not change its revision.
    fn expiry(_: &Self::Session) -> Option<Micros> {
        None
    }

    /// Until when its encoded body is right, unless its revision changes.
    fn valid_until(session: &Self::Session, _: Micros) -> Option<Micros> {
        Self::expiry(session)
    }

    /// The version of the names that encoded bodies have; `None` when it is not known.
    fn names_version(&self) -> impl Future<Output = Result<Option<u64>, Failure>> + Send {
        std::future::ready(Ok(Some(0)))
    }
}

/// How a wire writes a session.
pub struct Encoding<'a, S> {
    /// The name of the shape.
    pub shape: BodyShape,
    /// Writes a session in the shape, as it is at a time.
    pub encode: &'a (dyn Fn(&S, Micros) -> serde_json::Result<Box<RawValue>> + Sync),
}

/// A session in a list, as a wire writes it.
#[derive(Debug, Clone)]
pub struct ListedSession {
    /// Which session it is, and its revision.
    pub session: SessionRef,
    /// Its JSON.
    pub body: SessionBody,
}

impl Serialize for ListedSession {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body.serialize(serializer)
    }
}

impl ListedSession {
    /// Sets the last field of the JSON object to true. Its text must end with this field, and with the value false.
    ///
    /// # Errors
    /// [`Failure::Internal`] for another text.
    pub fn set_last_field(&mut self, name: &str) -> Result<(), Failure> {
        let other = || Failure::internal(format!("a body does not end with {name:?}"));
        let start =
            self.body.text().strip_suffix("false}").filter(|start| start.ends_with(&format!("\"{name}\":")));
        let text = format!("{}true}}", start.ok_or_else(other)?);
        self.body = SessionBody::new(RawValue::from_string(text).map_err(Failure::internal)?);
        Ok(())
    }

    /// Keeps some fields of the JSON object, in this order.
    ///
    /// # Errors
    /// [`Failure::Internal`] for a body that is no object.
    pub fn keep_fields<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Result<(), Failure> {
        let fields = serde_json::from_str::<HashMap<&str, &RawValue>>(self.body.text());
        let fields = fields.map_err(Failure::internal)?;
        let kept = names.filter_map(|name| Some(format!("\"{name}\":{}", fields.get(name)?)));
        let text = format!("{{{}}}", kept.collect::<Vec<_>>().join(","));
        self.body = SessionBody::new(RawValue::from_string(text).map_err(Failure::internal)?);
        Ok(())
    }
}

/// Lists a range of the sessions that match a filter, newest first, with the number of all of them.
pub async fn list_sessions<S: SessionSource>(
    app: &App,
    source: &S,
    filter: Filter,
    range: ListRange,
    encoding: Encoding<'_, S::Session>,
) -> Result<ListSlice<ListedSession>, Failure> {
    let (query, encoding) = (&ListQuery::new(source, filter, range), &encoding);
    repeat_until_current(|| async move {
        let now = app.now();
        let selection = query.select(app, now).await?;
        let page = load_bodies(app, source, encoding, &selection.sessions, now).await?;
        Ok((page.is_current, page.into_slice(&selection)))
    })
    .await
}

/// Lists a range of the sessions that match a filter, newest first, as they are in the store.
pub async fn load_sessions<S: SessionSource>(
    app: &App,
    source: &S,
    filter: Filter,
    range: ListRange,
) -> Result<ListSlice<S::Session>, Failure> {
    let query = &ListQuery::new(source, filter, range);
    repeat_until_current(|| async move {
        let now = app.now();
        let selection = query.select(app, now).await?;
        let selected = &selection.sessions;
        let keys = selected.iter().map(|session| session.key).collect::<Vec<_>>();
        let LoadedSessions { mut items, found } = source.load(&keys).await?;
        let is_selected = |(selected, item): (&SessionRef, &S::Session)| *selected == S::session_ref(item);
        let is_current = found == keys.len() && selected.iter().zip(&items).all(is_selected);
        let cut = items.len() < found;
        items.retain(|session| !has_expired::<S>(session, now));
        Ok((is_current, LoadedPage { items, cut, is_current }.into_slice(&selection)))
    })
    .await
}

/// The number of sessions that match a filter.
pub async fn count_sessions<S: SessionSource>(app: &App, source: &S, filter: Filter) -> Result<u64, Failure> {
    let (parts, now) = (limit_parts(source.parts(), &filter), app.now());
    app.sessions.read(now, |index| parts::count(index, &parts, now)).await
}

/// Loads a session.
///
/// # Errors
/// [`Refusal::NotFound`] for a session that the grant gives no access to.
pub async fn find_session<S: SessionSource>(
    app: &App,
    source: &S,
    id: SessionId,
    encoding: Encoding<'_, S::Session>,
) -> Result<ListedSession, Failure> {
    let (parts, encoding) = (&source.parts(), &encoding);
    let found = repeat_until_current(|| async move {
        let now = app.now();
        let found = app.sessions.read(now, |index| parts::find(index, parts, now, id)).await?;
        let Some(found) = found else { return Ok((true, None)) };
        let mut page = load_bodies(app, source, encoding, &[found], now).await?;
        Ok((page.is_current, page.items.pop()))
    });
    Ok(found.await?.ok_or(Refusal::NotFound(Thing::Session))?)
}

/// Reads again when sessions have changed between the look at the index and the look at the store: a commit is seen in
/// the database a moment before it is in the index. The last attempt counts as it is.
async fn repeat_until_current<T, F>(read: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<(bool, T), Failure>>,
{
    for _ in 1..ATTEMPTS {
        if let (true, answer) = read().await? {
            return Ok(answer);
        }
        tokio::task::yield_now().await;
    }
    Ok(read().await?.1)
}

/// A question for a page.
struct ListQuery {
    parts: Vec<ListPart>,
    range: ListRange,
}

impl ListQuery {
    fn new<S: SessionSource>(source: &S, filter: Filter, range: ListRange) -> ListQuery {
        ListQuery { parts: limit_parts(source.parts(), &filter), range }
    }

    async fn select(&self, app: &App, now: Micros) -> Result<Selection, Failure> {
        app.sessions.read(now, |index| parts::select(index, &self.parts, now, self.range)).await
    }
}

/// The sessions of a page, as they were loaded.
struct LoadedPage<T> {
    items: Vec<T>,
    /// Whether the page ends early, because its sessions are large.
    cut: bool,
    /// Whether they are as they were selected.
    is_current: bool,
}

impl<T> LoadedPage<T> {
    fn into_slice(self, selection: &Selection) -> ListSlice<T> {
        ListSlice { items: self.items, total: selection.total, more: selection.more || self.cut }
    }
}

/// The ids of keys.
pub fn ids(keys: &[SessionKey]) -> Vec<SessionId> {
    keys.iter().map(|key| key.id).collect()
}

/// The same lists, with only the sessions that match a filter.
fn limit_parts(parts: Vec<ListPart>, filter: &Filter) -> Vec<ListPart> {
    let limit = |part: ListPart| ListPart {
        filter: Filter::And(vec![part.filter, filter.clone()]),
        scope: part.scope,
    };
    parts.into_iter().map(limit).collect()
}

fn has_expired<S: SessionSource>(session: &S::Session, now: Micros) -> bool {
    S::expiry(session).is_some_and(|expiry| expiry <= now)
}

/// The bodies of selected sessions.
async fn load_bodies<S: SessionSource>(
    app: &App,
    source: &S,
    encoding: &Encoding<'_, S::Session>,
    selected: &[SessionRef],
    now: Micros,
) -> Result<LoadedPage<ListedSession>, Failure> {
    let generation = app.sessions.generation();
    let version = source.names_version().await?.map(|names| BodyVersion { generation, names });
    let find = |session: &SessionRef| app.bodies.find(encoding.shape, session, version?, now);
    let known = selected.iter().map(find).collect::<Vec<_>>();
    let missing = selected.iter().zip(&known).filter(|(_, body)| body.is_none());
    let missing = missing.map(|(session, _)| session.key).collect::<Vec<_>>();
    app.metrics.count_bodies(selected.len() - missing.len(), missing.len());
    let mut page = LoadedPage { items: Vec::with_capacity(selected.len()), cut: false, is_current: true };
    let mut loaded = HashMap::new();
    // The first session that was not loaded, because those before it are large.
    let mut end = None;
    if !missing.is_empty() {
        let LoadedSessions { items, found } = source.load(&missing).await?;
        page.cut = items.len() < found;
        page.is_current = found == missing.len();
        if page.cut {
            let last = items.last().map(|session| S::session_ref(session).key);
            let after = missing.iter().position(|key| Some(*key) == last).map_or(0, |last| last + 1);
            end = missing.get(after).copied();
        }
        for session in &items {
            let found = S::session_ref(session);
            let body = SessionBody::new((encoding.encode)(session, now).map_err(Failure::internal)?);
            if let Some(version) = version {
                let until = S::valid_until(session, now);
                app.bodies.keep(encoding.shape, &found, version, until, body.clone());
            }
            let listed = (!has_expired::<S>(session, now)).then_some(body);
            loaded.insert(found.key, (found, listed));
        }
    }
    let mut bytes = 0;
    for (selected, known) in selected.iter().zip(known) {
        if end == Some(selected.key) {
            break;
        }
        let found = known.map(|body| (*selected, Some(body))).or_else(|| loaded.remove(&selected.key));
        let Some((session, body)) = found else { continue };
        page.is_current &= session == *selected;
        let Some(body) = body else { continue };
        bytes += body.text().len();
        if bytes > MAX_PAGE_BYTES as usize && !page.items.is_empty() {
            page.cut = true;
            break;
        }
        page.items.push(ListedSession { session, body });
    }
    Ok(page)
}
