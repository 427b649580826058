//! Lists of sessions: an organization's and the account's, page by page.

use super::cursor::Binding;
use super::filter::{Paging, Wanted, paging};
use super::query::Query;
use super::shapes::Page;
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents;
use domain::Refusal;
use domain::agent::{AgentSession, MAX_TAGS, SessionFilter};
use domain::ids::{OrganizationId, SessionId};
use domain::page::{Listed, Select};
use domain::time::Micros;
use store::access::ViewSessions;
use store::{Granted, GrantedAccount};
use uuid::Uuid;

/// Whose sessions are listed.
pub enum Scope<'a> {
    /// Those of one organization.
    Organization(&'a Granted<ViewSessions>),
    /// Those of all.
    Account(&'a GrantedAccount<ViewSessions>),
}

/// A page of sessions, before its items are shown.
pub struct Sessions {
    items: Vec<AgentSession>,
    end_cursor: Option<String>,
    total: u64,
}

impl Sessions {
    /// The page with its items as `show` shows them.
    pub fn shown<'a, T>(&'a self, show: impl Fn(&'a AgentSession) -> T) -> Page<T> {
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
        select: Select,
    ) -> Result<Listed<AgentSession>, Failure> {
        match self {
            Scope::Organization(granted) => {
                agents::sessions::list_agent_sessions(app, granted, filter, select).await
            }
            Scope::Account(granted) => {
                agents::sessions::list_account_agent_sessions(app, granted, filter, select).await
            }
        }
    }

    /// What cursors of a list are bound to.
    fn binding(&self, app: &App, list: &str, wanted: &Wanted) -> Binding {
        let (reader, place) = match self {
            Scope::Organization(granted) => (granted.principal(), granted.organization()),
            Scope::Account(granted) => (granted.principal(), OrganizationId::ACCOUNT),
        };
        let reader = reader.map_or(Uuid::nil(), |reader| reader.0);
        Binding::new(super::cursor::key(app), list, reader, place.0, &wanted.text())
    }

    /// Reads the page that a query asks for. Cursors of lists of another name do not fit.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub async fn page(&self, app: &App, list: &str, query: Option<&str>) -> Result<Sessions, Failure> {
        let query = Query::read(query)?;
        let Paging { first, after } = paging(&query)?;
        let wanted = Wanted::read(&query, matches!(self, Scope::Account(_)))?;
        let binding = self.binding(app, list, &wanted);
        let position = after.map(|after| binding.read(&after)).transpose()?.map(position).transpose()?;
        let filter = self.with_tags(app, wanted).await?;
        let found = self.list(app, &filter, Select::Before { position, limit: first }).await?;
        let last = found.items.last().filter(|_| found.more);
        let end_cursor = last.map(|last| binding.write(last.id.uuid().as_u128())).transpose()?;
        Ok(Sessions { end_cursor, items: found.items, total: found.total })
    }

    /// Asks which of the doubtful tags exist with their commas.
    async fn with_tags(&self, app: &App, wanted: Wanted) -> Result<SessionFilter, Failure> {
        if wanted.doubtful_tags().count() > MAX_TAGS {
            return Err(Refusal::invalid("tags", format!("at most {MAX_TAGS} values with commas")).into());
        }
        let doubtful = wanted.doubtful_tags().map(str::to_owned).collect::<Vec<_>>();
        if doubtful.is_empty() {
            return Ok(wanted.with_tags(&[]));
        }
        let existing = match self {
            Scope::Organization(granted) => {
                agents::sessions::list_existing_tags(app, granted, &doubtful).await?
            }
            Scope::Account(granted) => {
                agents::sessions::list_account_existing_tags(app, granted, &wanted.filter, &doubtful).await?
            }
        };
        Ok(wanted.with_tags(&existing))
    }
}

fn position(position: u128) -> Result<(Micros, SessionId), Failure> {
    let id = SessionId::from_uuid(Uuid::from_u128(position));
    // A cursor of ours that names no session: its key was used for something else.
    let id = id.ok_or_else(|| Failure::internal("a cursor that verifies names no session"))?;
    Ok((id.created(), id))
}
