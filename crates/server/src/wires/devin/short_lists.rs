//! Pages of lists that are short enough to be loaded whole: members, keys, organizations. Oldest first.

use super::cursor::{self, Binding};
use super::filter::read_paging;
use super::query::Query;
use super::sessions::{HandlerResult, respond};
use super::shapes::Page;
use crate::app::App;
use crate::failure::Failure;
use domain::ids::{OrganizationId, PrincipalId};
use serde::Serialize;
use uuid::Uuid;

/// The query parameters of these lists.
pub const PARAMETERS: &[&str] = &["after", "first"];

/// The list that is read, by whom, and where.
pub struct ListReader {
    /// The name of the list.
    pub list: &'static str,
    /// The caller.
    pub principal: Option<PrincipalId>,
    /// The organization; `None` for the account.
    pub organization: Option<OrganizationId>,
}

/// Answers with a page of a list. `all` is the whole list. `id` gives an item's id, which has the time of its creation.
pub fn respond_with_page<T, S: Serialize>(
    app: &App,
    reader: &ListReader,
    query: &Query,
    mut all: Vec<T>,
    id: impl Fn(&T) -> Uuid,
    show: impl Fn(&T) -> S,
) -> HandlerResult {
    let paging = read_paging(query).map_err(Failure::from)?;
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
    respond(&Page { items, has_next_page: last.is_some(), end_cursor: last, total })
}
