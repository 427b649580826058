//! Pages of lists: cursors in both directions.

use crate::app::App;
use crate::failure::Failure;
use crate::http::cursor::CursorBinding;
use crate::http::query::Query;
use crate::operations::sessions::ListedSession;
use axum::http::Uri;
use domain::Refusal;
use domain::ids::{OrganizationId, SessionId};
use domain::page::{ListRange, ListSlice};
use protocol::sessions::{DEFAULT_LIMIT, MAX_LIMIT};
use store::VisibleSessions;
use uuid::Uuid;

/// Where a page is from the session of its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// After it in the list.
    Next,
    /// Before it in the list.
    Prev,
}

impl Direction {
    /// The first byte of a cursor's position.
    fn byte(self) -> u8 {
        match self {
            Direction::Next => 0,
            Direction::Prev => 1,
        }
    }
}

/// A request for a page.
pub struct PageRequest {
    binding: CursorBinding,
    limit: u32,
    /// The session that the page is next to; `None` for the first page.
    position: Option<(Direction, SessionId)>,
}

impl PageRequest {
    /// Reads `limit` and `cursor`. A cursor belongs to its reader, and to the filter and scope of the request.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub fn read(app: &App, visible: &VisibleSessions, query: &Query) -> Result<PageRequest, Failure> {
        let limit = query.number("limit", 1..=MAX_LIMIT.into())?;
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
        let reader = visible.principal().map_or(Uuid::nil(), |reader| reader.0);
        let organizations = visible.organizations().map(|some| some.iter().map(ToString::to_string));
        let scope = organizations.map_or_else(String::new, |some| some.collect::<Vec<_>>().join(","));
        let text = |name| Ok::<_, Failure>(query.text(name)?.unwrap_or_default());
        let bound = format!("{scope}\n{}\n{}", text("timezone")?, text("filter")?);
        let key = app.keys.derive_key("tenure cursors");
        let binding = CursorBinding::new(key, "sessions", reader, OrganizationId::ACCOUNT.0, &bound);
        let position = query.text("cursor")?.map(|cursor| read_position(&binding, cursor)).transpose()?;
        Ok(PageRequest { binding, limit, position })
    }

    /// The range of the list.
    pub fn range(&self) -> ListRange {
        let limit = self.limit;
        match self.position.map(|(direction, id)| (direction, (id.creation_time(), id))) {
            None => ListRange::Before { position: None, limit },
            Some((Direction::Next, position)) => ListRange::Before { position: Some(position), limit },
            Some((Direction::Prev, position)) => ListRange::After { position, limit },
        }
    }

    /// The cursors of the next and the previous page.
    ///
    /// # Errors
    /// Those of [`CursorBinding::write`].
    pub fn cursors(
        &self,
        found: &ListSlice<ListedSession>,
    ) -> Result<(Option<String>, Option<String>), Failure> {
        // The page that the cursor came from is always there.
        let direction = self.position.map(|(direction, _)| direction);
        let has_next = found.more || direction == Some(Direction::Prev);
        let has_prev = if direction == Some(Direction::Prev) { found.more } else { direction.is_some() };
        let write = |direction, listed: &ListedSession| self.write(direction, listed.session.key.id);
        let next = found.items.last().filter(|_| has_next).map(|last| write(Direction::Next, last));
        let prev = found.items.first().filter(|_| has_prev).map(|first| write(Direction::Prev, first));
        Ok((next.transpose()?, prev.transpose()?))
    }

    fn write(&self, direction: Direction, id: SessionId) -> Result<String, Failure> {
        let position = [direction.byte()].into_iter().chain(*id.uuid().as_bytes()).collect::<Vec<_>>();
        self.binding.write(&position)
    }
}

fn read_position(binding: &CursorBinding, cursor: &str) -> Result<(Direction, SessionId), Failure> {
    let expected = "a cursor that this list gave you with the same filter and scope";
    let position = binding.read(cursor).and_then(|position| {
        let (byte, id) = position.split_first()?;
        let direction = [Direction::Next, Direction::Prev].into_iter().find(|one| one.byte() == *byte)?;
        Some((direction, SessionId::from_uuid(Uuid::from_slice(id).ok()?)?))
    });
    Ok(position.ok_or_else(|| Refusal::invalid("cursor", expected))?)
}

/// The value of a `Link` header (RFC 8288): the same request with another cursor.
pub fn write_link(uri: &Uri, query: &Query, cursor: &str, relation: &str) -> String {
    let mut target = form_urlencoded::Serializer::new(String::new());
    for (name, value) in query.pairs().filter(|(name, _)| *name != "cursor") {
        target.append_pair(name, value);
    }
    target.append_pair("cursor", cursor);
    format!("<{}?{}>; rel=\"{relation}\"", uri.path(), target.finish())
}
