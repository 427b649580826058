//! `/enterprise/sessions`: the sessions of the whole account. There is no create, end or archive here: a caller of the
//! account uses the organization's paths for them.

use super::errors::DevinError;
use super::extractors::MayInAccount;
use super::query::Query;
use super::session_lists::Scope;
use super::sessions::{Answer, Texts, answer, shown};
use super::shapes::{Insights, Seen, Session};
use super::{attachments, insights, messages, tags};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::Whole;
use crate::operations::agents;
use crate::operations::agents::sessions::TagsUpdate;
use axum::extract::{RawQuery, State};
use domain::Refusal;
use domain::agent::AgentSession;
use domain::ids::OrganizationId;
use domain::refusal::Thing;
use store::access::{PermissionType, UseSessions, ViewSessions};
use store::{Granted, GrantedAccount};

/// What every route of one session knows.
pub const KNOWN: &[&str] = &["org_id"];

type Viewer = MayInAccount<ViewSessions>;
type User = MayInAccount<UseSessions>;

/// `GET /enterprise/sessions`.
pub async fn list(viewer: Viewer, State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let page = Scope::Account(&viewer.granted).page(&app, "sessions", query.as_deref()).await?;
    answer(&page.shown(|session| Session::new(session, Seen::Read, &app.base_url)))
}

/// `GET /enterprise/sessions/insights`.
pub async fn list_insights(viewer: Viewer, State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let page = Scope::Account(&viewer.granted).page(&app, "insights", query.as_deref()).await?;
    answer(&page.shown(|session| Insights::new(session, &app.base_url)))
}

/// The session of the path, wherever it is; only in the organization that the query names, if it names one.
async fn found(
    app: &App,
    granted: &GrantedAccount<ViewSessions>,
    path: &Texts,
    query: Option<&str>,
) -> Result<AgentSession, Failure> {
    let query = Query::read(query)?;
    let named = query.one("org_id")?.map(OrganizationId::parse);
    let session = agents::sessions::find_agent_session(app, granted, path.session()?).await?;
    match named {
        Some(named) if named != Some(session.organization) => Err(Refusal::NotFound(Thing::Session).into()),
        _ => Ok(session),
    }
}

impl User {
    /// The session of the path and the right to act on it, which ends with its organization.
    async fn acting<P: PermissionType>(
        &self,
        app: &App,
        path: &Texts,
        query: Option<&str>,
    ) -> Result<(AgentSession, Granted<P>), Failure> {
        let view = self.caller.authorize_in_account::<ViewSessions>()?;
        let session = found(app, &view, path, query).await?;
        let granted = self.within(app, Some(session.organization)).await?;
        Ok((session, granted.authorize()?))
    }
}

/// `GET /enterprise/sessions/{devin}`.
pub async fn get(viewer: Viewer, State(app): State<App>, path: Texts, RawQuery(query): RawQuery) -> Answer {
    shown(&app, &found(&app, &viewer.granted, &path, query.as_deref()).await?, Seen::Read)
}

/// `GET …/messages`.
pub async fn list_messages(
    viewer: Viewer,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
) -> Answer {
    let session = found(&app, &viewer.granted, &path, query.as_deref()).await?;
    let granted = viewer.granted.narrow_to(session.organization);
    messages::page(&app, &granted, session.id, query.as_deref()).await
}

/// `POST …/messages`.
pub async fn post_message(
    user: User,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
    Whole(request): Whole,
) -> Answer {
    let (session, granted) = user.acting(&app, &path, query.as_deref()).await?;
    messages::say(&app, &granted, session.id, request).await
}

/// `GET …/tags`.
pub async fn get_tags(
    viewer: Viewer,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
) -> Answer {
    tags::of(&found(&app, &viewer.granted, &path, query.as_deref()).await?)
}

/// `POST …/tags`.
pub async fn append_tags(
    user: User,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
    Whole(request): Whole,
) -> Answer {
    let (session, granted) = user.acting(&app, &path, query.as_deref()).await?;
    tags::change(&app, &granted, session.id, request, TagsUpdate::Append).await
}

/// `PUT …/tags`.
pub async fn replace_tags(
    user: User,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
    Whole(request): Whole,
) -> Answer {
    let (session, granted) = user.acting(&app, &path, query.as_deref()).await?;
    tags::change(&app, &granted, session.id, request, TagsUpdate::Replace).await
}

/// `GET …/attachments`.
pub async fn list_attachments(
    viewer: Viewer,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
) -> Answer {
    let session = found(&app, &viewer.granted, &path, query.as_deref()).await?;
    attachments::of(&app, &viewer.granted.narrow_to(session.organization), session.id).await
}

/// `GET …/insights`.
pub async fn get_insights(
    viewer: Viewer,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
) -> Answer {
    let session = found(&app, &viewer.granted, &path, query.as_deref()).await?;
    answer(&Insights::new(&session, &app.base_url))
}

/// `POST …/insights/generate`.
pub async fn generate_insights(
    user: User,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
) -> Result<axum::response::Response, DevinError> {
    let (session, granted) = user.acting(&app, &path, query.as_deref()).await?;
    insights::generated(&app, &granted, session.id).await
}
