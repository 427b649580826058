//! `/enterprise/sessions`: the sessions of the whole account. To create, end or archive a session, a caller of the
//! account uses the organization's paths.

use super::errors::DevinError;
use super::extractors::AuthorizedInAccount;
use super::query::Query;
use super::session_lists::{Scope, SessionList, respond_with_listed};
use super::sessions::{HandlerResult, PathTexts};
use super::{attachments, insights, messages, tags};
use crate::app::App;
use crate::failure::Failure;
use crate::http::conditional::KnownTags;
use crate::http::middleware::WholeRequest;
use crate::operations::agents;
use crate::operations::agents::sessions::{AccountAgents, TagsUpdate};
use axum::extract::State;
use domain::Refusal;
use domain::agent::AgentSession;
use domain::ids::OrganizationId;
use domain::refusal::Thing;
use store::access::{PermissionType, UseSessions, ViewSessions};
use store::{Granted, GrantedAccount};

/// The query parameters of every route of one session.
pub const PARAMETERS: &[&str] = &["org_id"];

type Viewer = AuthorizedInAccount<ViewSessions>;
type User = AuthorizedInAccount<UseSessions>;

/// `GET /enterprise/sessions`.
pub async fn list(viewer: Viewer, State(app): State<App>, known: KnownTags, query: Query) -> HandlerResult {
    Scope::Account(&viewer.granted).respond_with_page(&app, SessionList::Sessions, &query, &known).await
}

/// `GET /enterprise/sessions/insights`.
pub async fn list_insights(
    viewer: Viewer,
    State(app): State<App>,
    known: KnownTags,
    query: Query,
) -> HandlerResult {
    Scope::Account(&viewer.granted).respond_with_page(&app, SessionList::Insights, &query, &known).await
}

/// The sessions of the account, or only of the query's `org_id` when it names one.
fn read_source<'a>(app: &'a App, viewer: &'a Viewer, query: &Query) -> Result<AccountAgents<'a>, Failure> {
    let source = AccountAgents::new(app, &viewer.granted);
    let named = query.one("org_id")?.map(OrganizationId::parse);
    Ok(named.into_iter().fold(source, |source, named| source.limit(named)))
}

/// Finds the session of the path in any organization, or only in the query's `org_id` when it names one.
async fn find_session(
    app: &App,
    granted: &GrantedAccount<ViewSessions>,
    path: &PathTexts,
    query: &Query,
) -> Result<AgentSession, Failure> {
    let named = query.one("org_id")?.map(OrganizationId::parse);
    let session = agents::sessions::find_agent_session(app, granted, path.session()?).await?;
    match named {
        Some(named) if named != Some(session.organization) => Err(Refusal::NotFound(Thing::Session).into()),
        _ => Ok(session),
    }
}

impl User {
    /// Finds the session of the path, and authorizes the caller in its organization alone.
    async fn authorize_session<P: PermissionType>(
        &self,
        app: &App,
        path: &PathTexts,
        query: &Query,
    ) -> Result<(AgentSession, Granted<P>), Failure> {
        let view = self.caller.authorize_in_account::<ViewSessions>()?;
        let session = find_session(app, &view, path, query).await?;
        let granted = self.authorize_in(app, Some(session.organization)).await?;
        Ok((session, granted.authorize()?))
    }
}

/// `GET /enterprise/sessions/{devin}`.
pub async fn get(
    viewer: Viewer,
    State(app): State<App>,
    known: KnownTags,
    path: PathTexts,
    query: Query,
) -> HandlerResult {
    let source = read_source(&app, &viewer, &query)?;
    respond_with_listed(&app, &source, path.session()?, SessionList::Sessions, &known).await
}

/// `GET …/messages`.
pub async fn list_messages(
    viewer: Viewer,
    State(app): State<App>,
    path: PathTexts,
    query: Query,
) -> HandlerResult {
    let session = find_session(&app, &viewer.granted, &path, &query).await?;
    let granted = viewer.granted.narrow_to(session.organization);
    messages::respond_with_page(&app, &granted, session.id, &query).await
}

/// `POST …/messages`.
pub async fn post_message(
    user: User,
    State(app): State<App>,
    path: PathTexts,
    query: Query,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let (session, granted) = user.authorize_session(&app, &path, &query).await?;
    messages::post_message(&app, &granted, session.id, request).await
}

/// `GET …/tags`.
pub async fn get_tags(
    viewer: Viewer,
    State(app): State<App>,
    path: PathTexts,
    query: Query,
) -> HandlerResult {
    tags::respond_with_tags(&find_session(&app, &viewer.granted, &path, &query).await?)
}

/// `POST …/tags`.
pub async fn append_tags(
    user: User,
    State(app): State<App>,
    path: PathTexts,
    query: Query,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let (session, granted) = user.authorize_session(&app, &path, &query).await?;
    tags::update_tags(&app, &granted, session.id, request, TagsUpdate::Append).await
}

/// `PUT …/tags`.
pub async fn replace_tags(
    user: User,
    State(app): State<App>,
    path: PathTexts,
    query: Query,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let (session, granted) = user.authorize_session(&app, &path, &query).await?;
    tags::update_tags(&app, &granted, session.id, request, TagsUpdate::Replace).await
}

/// `GET …/attachments`.
pub async fn list_attachments(
    viewer: Viewer,
    State(app): State<App>,
    path: PathTexts,
    query: Query,
) -> HandlerResult {
    let session = find_session(&app, &viewer.granted, &path, &query).await?;
    attachments::respond_with_attachments(&app, &viewer.granted.narrow_to(session.organization), session.id)
        .await
}

/// `GET …/insights`.
pub async fn get_insights(
    viewer: Viewer,
    State(app): State<App>,
    known: KnownTags,
    path: PathTexts,
    query: Query,
) -> HandlerResult {
    let source = read_source(&app, &viewer, &query)?;
    respond_with_listed(&app, &source, path.session()?, SessionList::Insights, &known).await
}

/// `POST …/insights/generate`.
pub async fn generate_insights(
    user: User,
    State(app): State<App>,
    path: PathTexts,
    query: Query,
) -> Result<axum::response::Response, DevinError> {
    let (session, granted) = user.authorize_session(&app, &path, &query).await?;
    insights::confirm_generated(&app, &granted, session.id).await
}
