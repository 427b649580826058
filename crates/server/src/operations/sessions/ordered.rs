//! Lists in any order, with a position in the change feeds.

use super::{Encoding, ListedSession, SessionSource, limit_parts, load_bodies, parts, repeat_until_current};
use crate::app::App;
use crate::failure::Failure;
use domain::page::{ListRange, ListSlice, OrderedRange};
use domain::session::{Filter, OrderPosition, SessionOrder};
use domain::time::Micros;
use index::{Index, Selection};
use std::collections::HashMap;
use store::FeedPosition;

/// Which part of a list is asked for.
pub enum PageRange {
    /// Of the list with the newest first.
    Newest(ListRange),
    /// Of the list in another order.
    Ordered(SessionOrder, OrderedRange),
}

/// A page of a list.
pub struct ListPage {
    /// The sessions.
    pub list: ListSlice<ListedSession>,
    /// Where the first session is in the list.
    pub first: Option<OrderPosition>,
    /// Where the last one is.
    pub last: Option<OrderPosition>,
    /// The list has all that was committed before it.
    pub position: FeedPosition,
}

/// Lists a page of the sessions that match a filter, with the number of all of them.
pub async fn list_page<S: SessionSource>(
    app: &App,
    source: &S,
    filter: Filter,
    range: PageRange,
    encoding: Encoding<'_, S::Session>,
) -> Result<ListPage, Failure> {
    let (all, range, encoding) = (&limit_parts(source.parts(), &filter), &range, &encoding);
    repeat_until_current(|| async move {
        let now = app.now();
        let select = |index: &Index| match range {
            PageRange::Newest(range) => (parts::select(index, all, now, *range), HashMap::new()),
            PageRange::Ordered(order, range) => select_ordered(index, all, now, *order, range),
        };
        let ((selection, places), position) = app.sessions.read_with_position(now, select).await?;
        let page = load_bodies(app, source, encoding, &selection.sessions, now).await?;
        let is_current = page.is_current;
        let list = page.into_slice(&selection);
        let place = |listed: &ListedSession| {
            let id = listed.session.key.id;
            places.get(&listed.session.key).cloned().unwrap_or(OrderPosition { value: None, id })
        };
        let (first, last) = (list.items.first().map(place), list.items.last().map(place));
        Ok((is_current, ListPage { list, first, last, position }))
    })
    .await
}

type Places = HashMap<domain::session::SessionKey, OrderPosition>;

fn select_ordered(
    index: &Index,
    all: &[domain::session::ListPart],
    now: Micros,
    order: SessionOrder,
    range: &OrderedRange,
) -> (Selection, Places) {
    let found = parts::select_ordered(index, all, now, order, range);
    let sessions = found.sessions.iter().map(|ordered| ordered.session).collect();
    let places = found.sessions.into_iter().map(|ordered| (ordered.session.key, ordered.position));
    (Selection { sessions, total: found.total, more: found.more }, places.collect())
}
