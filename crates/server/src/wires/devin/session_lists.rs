//! Lists of sessions, of an organization and of the account, in pages.

use super::cursor::Binding;
use super::filter::{Paging, SessionListFilter, read_paging};
use super::query::Query;
use super::shapes::Page;
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents;
use domain::Refusal;
use domain::agent::{AgentSession, MAX_TAGS, SessionFilter};
use domain::ids::{OrganizationId, SessionId};
use domain::page::{ListRange, ListSlice};
use domain::time::Micros;
use store::access::ViewSessions;
use store::{Granted, GrantedAccount};
use uuid::Uuid;

/// Whose sessions are listed.
pub enum Scope<'a> {
    /// The sessions of one organization.
    Organization(&'a Granted<ViewSessions>),
    /// The sessions of all organizations.
    Account(&'a GrantedAccount<ViewSessions>),
}

/// A page of sessions, before they become shapes of this wire.
pub struct SessionPage {
    items: Vec<AgentSession>,
    end_cursor: Option<String>,
    total: u64,
}

impl SessionPage {
    /// Makes the page's JSON shape: `show` makes the shape of one session.
    pub fn to_page<'a, T>(&'a self, show: impl Fn(&'a AgentSession) -> T) -> Page<T> {
        Page {
            items: self.items.iter().map(show).collect(),
            has_next_page: self.end_cursor.is_some(),
            end_cursor: self.end_cursor.clone(),
            total: self.total,
        }
    }
}

impl Scope<'_> {
    async fn list(
        &self,
        app: &App,
        filter: &SessionFilter,
        select: ListRange,
    ) -> Result<ListSlice<AgentSession>, Failure> {
        match self {
            Scope::Organization(granted) => {
                agents::sessions::list_agent_sessions(app, granted, filter, select).await
            }
            Scope::Account(granted) => {
                agents::sessions::list_account_agent_sessions(app, granted, filter, select).await
            }
        }
    }

    /// What the cursors of a list are bound to.
    fn binding(&self, app: &App, list: &str, filter: &SessionListFilter) -> Binding {
        let (reader, place) = match self {
            Scope::Organization(granted) => (granted.principal(), granted.organization()),
            Scope::Account(granted) => (granted.principal(), OrganizationId::ACCOUNT),
        };
        let reader = reader.map_or(Uuid::nil(), |reader| reader.0);
        Binding::new(super::cursor::key(app), list, reader, place.0, &filter.text())
    }

    /// Reads the requested page. The cursors of a list with another name are refused.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a parameter or a cursor that is not valid.
    pub async fn read_page(&self, app: &App, list: &str, query: &Query) -> Result<SessionPage, Failure> {
        let Paging { first, after } = read_paging(query)?;
        let filter = SessionListFilter::read(query, matches!(self, Scope::Account(_)))?;
        let binding = self.binding(app, list, &filter);
        let position = after.map(|after| binding.read(&after)).transpose()?.map(read_position).transpose()?;
        let filter = self.resolve_tags(app, filter).await?;
        let found = self.list(app, &filter, ListRange::Before { position, limit: first }).await?;
        let last = found.items.last().filter(|_| found.more);
        let end_cursor = last.map(|last| binding.write(last.id.uuid().as_u128())).transpose()?;
        Ok(SessionPage { end_cursor, items: found.items, total: found.total })
    }

    /// Asks the store which of the ambiguous texts exist as tags.
    async fn resolve_tags(&self, app: &App, filter: SessionListFilter) -> Result<SessionFilter, Failure> {
        let ambiguous = filter.ambiguous_tags();
        if ambiguous.len() > MAX_TAGS {
            return Err(Refusal::invalid("tags", format!("at most {MAX_TAGS} values with commas")).into());
        }
        let existing = match self {
            _ if ambiguous.is_empty() => Vec::new(),
            Scope::Organization(granted) => {
                agents::sessions::list_existing_tags(app, granted, &ambiguous).await?
            }
            Scope::Account(granted) => {
                agents::sessions::list_account_existing_tags(app, granted, &filter.filter, &ambiguous).await?
            }
        };
        Ok(filter.resolve_tags(&existing))
    }
}

fn read_position(position: u128) -> Result<(Micros, SessionId), Failure> {
    let id = SessionId::from_uuid(Uuid::from_u128(position));
    // The cursor is ours, so only a key that is used for something else leads here.
    let id = id.ok_or_else(|| Failure::internal("a cursor that verifies names no session"))?;
    Ok((id.creation_time(), id))
}
