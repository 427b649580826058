//! Pages of lists that are read as a whole. A cursor names the place of the last item of its page, so a list goes on behind
//! it even when that item is gone.

use crate::app::App;
use crate::failure::Failure;
use crate::http::cursor::CursorBinding;
use crate::http::query::Query;
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use protocol::lists::List;
use protocol::sessions::{DEFAULT_LIMIT, MAX_LIMIT};
use store::VisibleSessions;
use uuid::Uuid;

/// A request for a page.
pub struct ListRequest {
    binding: CursorBinding,
    limit: usize,
    after: Option<Vec<u8>>,
}

impl ListRequest {
    /// Reads `limit` and `cursor` of a list of this name. A cursor belongs to its reader and to the scope of the request.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub fn read(
        app: &App,
        list: &str,
        reader: Option<PrincipalId>,
        scope: &str,
        query: &Query,
    ) -> Result<ListRequest, Failure> {
        let limit = query.number("limit", 1..=MAX_LIMIT.into())?.unwrap_or(DEFAULT_LIMIT.into());
        let reader = reader.map_or(Uuid::nil(), |reader| reader.0);
        let key = app.keys.derive_key("tenure cursors");
        let binding = CursorBinding::new(key, list, reader, OrganizationId::ACCOUNT.0, scope);
        let expected = || Refusal::invalid("cursor", "a cursor that this list gave you with the same scope");
        let read = |cursor| binding.read(cursor).ok_or_else(expected);
        let after = query.text("cursor")?.map(read).transpose()?;
        Ok(ListRequest { limit: usize::try_from(limit).unwrap_or(usize::MAX), after, binding })
    }

    /// The same for a list of what belongs to visible sessions.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub fn read_visible(
        app: &App,
        list: &str,
        visible: &VisibleSessions,
        query: &Query,
    ) -> Result<ListRequest, Failure> {
        let organizations = visible.organizations().map(|some| some.iter().map(ToString::to_string));
        let scope = organizations.map_or_else(String::new, |some| some.collect::<Vec<_>>().join(","));
        ListRequest::read(app, list, visible.principal(), &scope, query)
    }

    /// Chooses the page. `place` says where an item is in the list: as bytes, which no two items share.
    ///
    /// # Errors
    /// Those of [`CursorBinding::write`].
    pub fn cut<T>(&self, mut items: Vec<T>, place: impl Fn(&T) -> Vec<u8>) -> Result<List<T>, Failure> {
        let total = items.len() as u64;
        items.sort_by_cached_key(&place);
        if let Some(after) = &self.after {
            items.drain(..items.partition_point(|item| place(item) <= *after));
        }
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|last| self.binding.write(&place(last))).transpose()?;
        Ok(List { data: items, total, next })
    }
}

/// A place by some texts, in their order, and an id.
pub fn place_by(texts: &[&str], id: Uuid) -> Vec<u8> {
    let texts = texts.iter().flat_map(|text| text.bytes().chain([0]));
    texts.chain(*id.as_bytes()).collect()
}

/// The same page with other items.
pub fn map_page<T, U>(page: List<T>, change: impl FnMut(T) -> U) -> List<U> {
    List { data: page.data.into_iter().map(change).collect(), total: page.total, next: page.next }
}
