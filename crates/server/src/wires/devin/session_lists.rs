//! Lists of sessions, of an organization and of the account, in pages.

use super::cursor::Binding;
use super::filter::{Paging, SessionListFilter, read_paging};
use super::query::Query;
use super::sessions::HandlerResult;
use super::shapes::{Insights, Page, Session, SessionView};
use crate::app::App;
use crate::failure::Failure;
use crate::http::conditional::{KnownTags, Tag, respond_with_session};
use crate::http::middleware::encode_list;
use crate::operations::agents;
use crate::operations::sessions::{self, Encoding, ListedSession, SessionSource};
use crate::services::session_bodies::BodyShape;
use domain::Refusal;
use domain::agent::{AgentSession, MAX_TAGS, SessionFilter};
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::page::{ListRange, ListSlice};
use domain::time::Micros;
use serde_json::value::{RawValue, to_raw_value};
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

/// A list of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionList {
    /// Of sessions.
    Sessions,
    /// Of sessions with their insights.
    Insights,
}

impl SessionList {
    /// The name that cursors are bound to.
    fn name(self) -> &'static str {
        match self {
            SessionList::Sessions => "sessions",
            SessionList::Insights => "insights",
        }
    }

    fn shape(self) -> BodyShape {
        match self {
            SessionList::Sessions => BodyShape::Devin,
            SessionList::Insights => BodyShape::DevinInsights,
        }
    }

    fn encode(self, session: &AgentSession, base_url: &str) -> serde_json::Result<Box<RawValue>> {
        match self {
            SessionList::Sessions => to_raw_value(&Session::new(session, SessionView::Full, base_url)),
            SessionList::Insights => to_raw_value(&Insights::new(session, base_url)),
        }
    }
}

/// Answers with a session of a list.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn respond_with_listed(
    app: &App,
    source: &impl SessionSource<Session = AgentSession>,
    id: SessionId,
    list: SessionList,
    known: &KnownTags,
) -> HandlerResult {
    let encode = |session: &AgentSession, _| list.encode(session, &app.base_url);
    let encoding = Encoding { shape: list.shape(), encode: &encode };
    Ok(respond_with_session(known, &sessions::find_session(app, source, id, encoding).await?)?)
}

impl Scope<'_> {
    async fn list(
        &self,
        app: &App,
        filter: &SessionFilter,
        range: ListRange,
        list: SessionList,
    ) -> Result<ListSlice<ListedSession>, Failure> {
        let encode = |session: &AgentSession, _| list.encode(session, &app.base_url);
        let encoding = Encoding { shape: list.shape(), encode: &encode };
        match self {
            Scope::Organization(granted) => {
                agents::sessions::list_agent_sessions(app, granted, filter, range, encoding).await
            }
            Scope::Account(granted) => {
                agents::sessions::list_account_agent_sessions(app, granted, filter, range, encoding).await
            }
        }
    }

    /// What the cursors of a list are bound to.
    fn binding(&self, app: &App, list: SessionList, filter: &SessionListFilter) -> Binding {
        let place = match self {
            Scope::Organization(granted) => granted.organization(),
            Scope::Account(_) => OrganizationId::ACCOUNT,
        };
        let reader = self.reader().map_or(Uuid::nil(), |reader| reader.0);
        Binding::new(super::cursor::key(app), list.name(), reader, place.0, &filter.text())
    }

    /// Answers with the requested page. The cursors of another list are refused.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a parameter or a cursor that is not valid.
    pub async fn respond_with_page(
        &self,
        app: &App,
        list: SessionList,
        query: &Query,
        known: &KnownTags,
    ) -> HandlerResult {
        let found = self.read_page(app, list, query).await?;
        let tag = Tag::new(self.reader(), &found.items, (found.total, found.has_next_page));
        Ok(known.respond(tag, || encode_list(&found, &found.items))?)
    }

    fn reader(&self) -> Option<PrincipalId> {
        match self {
            Scope::Organization(granted) => granted.principal(),
            Scope::Account(granted) => granted.principal(),
        }
    }

    async fn read_page(
        &self,
        app: &App,
        list: SessionList,
        query: &Query,
    ) -> Result<Page<ListedSession>, Failure> {
        let Paging { first, after } = read_paging(query)?;
        let filter = SessionListFilter::read(query, matches!(self, Scope::Account(_)))?;
        let binding = self.binding(app, list, &filter);
        let position = after.map(|after| binding.read(&after)).transpose()?.map(read_position).transpose()?;
        let filter = self.resolve_tags(app, filter).await?;
        let found = self.list(app, &filter, ListRange::Before { position, limit: first }, list).await?;
        let last = found.items.last().filter(|_| found.more);
        let end_cursor = last.map(|last| binding.write(last.session.key.id.uuid().as_u128())).transpose()?;
        let has_next_page = end_cursor.is_some();
        Ok(Page { end_cursor, has_next_page, items: found.items, total: found.total })
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
