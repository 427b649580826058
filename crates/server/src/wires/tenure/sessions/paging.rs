//! Pages of lists in any order: cursors in both directions.

use crate::app::App;
use crate::failure::Failure;
use crate::http::cursor::CursorBinding;
use crate::http::query::Query;
use crate::operations::sessions::ordered::{ListPage, PageRange};
use axum::http::Uri;
use domain::Refusal;
use domain::ids::{OrganizationId, SessionId};
use domain::page::{ListRange, OrderedRange, PageDirection};
use domain::session::{Field, OrderField, OrderPosition, OrderValue, SessionOrder, TimeField};
use domain::time::Micros;
use protocol::sessions::{DEFAULT_LIMIT, MAX_LIMIT};
use serde::{Deserialize, Serialize};
use store::VisibleSessions;
use uuid::Uuid;

/// The order of a list without an `order`.
const NEWEST_FIRST: SessionOrder =
    SessionOrder { field: OrderField::Time(TimeField::Created), descending: true };

/// What a cursor says: the session that its page is next to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CursorPosition {
    /// Whether the page precedes the session.
    back: bool,
    id: Uuid,
    /// What the session has in the field of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<CursorValue>,
    /// When lengths of time are measured.
    at_us: i64,
}

/// An [`OrderValue`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CursorValue {
    Number(i64),
    Id(Uuid),
    Text(String),
}

impl From<OrderValue> for CursorValue {
    fn from(value: OrderValue) -> CursorValue {
        match value {
            OrderValue::Number(number) => CursorValue::Number(number),
            OrderValue::Id(id) => CursorValue::Id(id),
            OrderValue::Text(text) => CursorValue::Text(text),
        }
    }
}

impl From<CursorValue> for OrderValue {
    fn from(value: CursorValue) -> OrderValue {
        match value {
            CursorValue::Number(number) => OrderValue::Number(number),
            CursorValue::Id(id) => OrderValue::Id(id),
            CursorValue::Text(text) => OrderValue::Text(text),
        }
    }
}

/// A request for a page.
pub struct PageRequest {
    binding: CursorBinding,
    limit: u32,
    order: SessionOrder,
    direction: PageDirection,
    /// The session that the page is next to; `None` for the first page.
    anchor: Option<OrderPosition>,
    measured: Micros,
}

impl PageRequest {
    /// Reads `limit`, `order` and `cursor`. A cursor belongs to its reader, and to the filter, scope and order of the request.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub fn read(app: &App, visible: &VisibleSessions, query: &Query) -> Result<PageRequest, Failure> {
        let limit = query.number("limit", 1..=MAX_LIMIT.into())?;
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
        let order = query.text("order")?.map_or(Ok(NEWEST_FIRST), read_order)?;
        let reader = visible.principal().map_or(Uuid::nil(), |reader| reader.0);
        let organizations = visible.organizations().map(|some| some.iter().map(ToString::to_string));
        let scope = organizations.map_or_else(String::new, |some| some.collect::<Vec<_>>().join(","));
        let text = |name| Ok::<_, Failure>(query.text(name)?.unwrap_or_default());
        let bound = format!("{scope}\n{order:?}\n{}\n{}", text("timezone")?, text("filter")?);
        let key = app.keys.derive_key("tenure cursors");
        let binding = CursorBinding::new(key, "sessions", reader, OrganizationId::ACCOUNT.0, &bound);
        let known = query.text("cursor")?.map(|cursor| read_position(&binding, cursor)).transpose()?;
        let Some((position, id)) = known else {
            let (direction, measured) = (PageDirection::Forward, app.now());
            return Ok(PageRequest { binding, limit, order, direction, anchor: None, measured });
        };
        let direction = if position.back { PageDirection::Backward } else { PageDirection::Forward };
        let anchor = Some(OrderPosition { value: position.value.map(OrderValue::from), id });
        Ok(PageRequest { binding, limit, order, direction, anchor, measured: Micros(position.at_us) })
    }

    /// The range of the list.
    pub fn range(&self) -> PageRange {
        let limit = self.limit;
        if self.order != NEWEST_FIRST {
            let (anchor, direction, measured) = (self.anchor.clone(), self.direction, self.measured);
            return PageRange::Ordered(self.order, OrderedRange { anchor, direction, limit, measured });
        }
        let position = self.anchor.as_ref().map(|anchor| (anchor.id.creation_time(), anchor.id));
        PageRange::Newest(match (position, self.direction) {
            (Some(position), PageDirection::Backward) => ListRange::After { position, limit },
            (position, _) => ListRange::Before { position, limit },
        })
    }

    /// The cursors of the next and the previous page.
    ///
    /// # Errors
    /// Those of [`CursorBinding::write`].
    pub fn cursors(&self, page: &ListPage) -> Result<(Option<String>, Option<String>), Failure> {
        let (is_back, more) = (self.direction == PageDirection::Backward, page.list.more);
        // The page that the cursor came from is always there.
        let has_next = more || is_back;
        let has_prev = if is_back { more } else { self.anchor.is_some() };
        let next = page.last.as_ref().filter(|_| has_next).map(|last| self.write(false, last));
        let prev = page.first.as_ref().filter(|_| has_prev).map(|first| self.write(true, first));
        Ok((next.transpose()?, prev.transpose()?))
    }

    fn write(&self, back: bool, anchor: &OrderPosition) -> Result<String, Failure> {
        let value = anchor.value.clone().map(CursorValue::from);
        let position = CursorPosition { back, id: anchor.id.uuid(), value, at_us: self.measured.0 };
        self.binding.write(&serde_json::to_vec(&position).map_err(Failure::internal)?)
    }
}

/// Reads the name of a field, with `-` in front for the greatest value first.
fn read_order(text: &str) -> Result<SessionOrder, Failure> {
    let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
    let field = Field::parse(name).and_then(OrderField::from_field);
    let expected = || {
        let names = Field::all().filter(|field| OrderField::from_field(*field).is_some()).map(Field::name);
        format!("a field, with - in front for the greatest first: {}", names.collect::<Vec<_>>().join(", "))
    };
    let field = field.ok_or_else(|| Refusal::invalid("order", expected()))?;
    Ok(SessionOrder { field, descending })
}

fn read_position(binding: &CursorBinding, cursor: &str) -> Result<(CursorPosition, SessionId), Failure> {
    let expected = "a cursor that this list gave you with the same filter, order and scope";
    let position = binding.read(cursor).and_then(|position| {
        let position = serde_json::from_slice::<CursorPosition>(&position).ok()?;
        let id = SessionId::from_uuid(position.id)?;
        Some((position, id))
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
