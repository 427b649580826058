//! Lists that are short enough to be read whole: people, keys, organizations. They are paged all the same, oldest first.

use super::cursor::{self, Binding};
use super::filter::paging;
use super::query::Query;
use super::sessions::{Answer, answer};
use super::shapes::Page;
use crate::app::App;
use crate::failure::Failure;
use domain::ids::{OrganizationId, PrincipalId};
use serde::Serialize;
use uuid::Uuid;

/// What these lists know.
pub const KNOWN: &[&str] = &["after", "first"];

/// Who reads a list, of which name, and where.
pub struct Reader {
    /// The name of the list.
    pub list: &'static str,
    /// Who.
    pub principal: Option<PrincipalId>,
    /// Where; nothing for the account.
    pub organization: Option<OrganizationId>,
}

/// A page of a list that was read whole; `id` is of each item the id that says when it was made.
pub fn page<T, S: Serialize>(
    app: &App,
    reader: &Reader,
    query: Option<&str>,
    mut all: Vec<T>,
    id: impl Fn(&T) -> Uuid,
    show: impl Fn(&T) -> S,
) -> Answer {
    let query = Query::read(query).map_err(Failure::from)?;
    let paging = paging(&query).map_err(Failure::from)?;
    let principal = reader.principal.map_or(Uuid::nil(), |principal| principal.0);
    let place = reader.organization.unwrap_or(OrganizationId::ACCOUNT).0;
    let binding = Binding::new(cursor::key(app), reader.list, principal, place, "");
    let after = paging.after.map(|after| binding.read(&after)).transpose()?;
    all.sort_by_key(|item| id(item));
    let total = all.len() as u64;
    let rest = all.into_iter().filter(|item| after.is_none_or(|after| id(item).as_u128() > after));
    let first = usize::try_from(paging.first).map_err(Failure::internal)?;
    let mut found = rest.take(first + 1).collect::<Vec<_>>();
    let more = found.len() > first;
    found.truncate(first);
    let last = found.last().filter(|_| more).map(|last| binding.write(id(last).as_u128())).transpose()?;
    let items = found.iter().map(show).collect();
    answer(&Page { items, has_next_page: last.is_some(), end_cursor: last, total })
}
