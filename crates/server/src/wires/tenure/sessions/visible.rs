//! The extractors of requests for sessions: what the caller may see, and which session the path names.

use super::super::errors::TenureError;
use super::super::extractors::{Authenticated, ORGANIZATION_HEADER};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::query::Query;
use crate::operations::sessions::visible::authorize_sessions;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use domain::Refusal;
use domain::ids::{OrganizationId, SessionId};
use jiff::tz::TimeZone;
use std::convert::Infallible;
use store::{Caller, OrganizationChoice, RequestedScope, VisibleSessions};

/// The sessions that the caller may see, within the scope that the request asks for: `scope`, or else the organization in
/// the header, or else everything.
pub struct Visible(pub VisibleSessions);

impl FromRequestParts<App> for Visible {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Visible, TenureError> {
        let VisibleTo(_, visible) = VisibleTo::from_request_parts(parts, app).await?;
        Ok(Visible(visible))
    }
}

/// The caller, with [`Visible`].
pub struct VisibleTo(pub Caller, pub VisibleSessions);

impl FromRequestParts<App> for VisibleTo {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<VisibleTo, TenureError> {
        let Scoped(caller, requested) = Scoped::from_request_parts(parts, app).await?;
        let visible = authorize_sessions(app, &caller, &requested).await?;
        Ok(VisibleTo(caller, visible))
    }
}

/// The caller, and the scope that the request asks for: `scope`, or else the organization in the header, or else everything.
pub struct Scoped(pub Caller, pub RequestedScope);

impl FromRequestParts<App> for Scoped {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Scoped, TenureError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        let query = Query::read(parts.uri.query().unwrap_or_default());
        let named = middleware::organization_choice(&parts.headers, ORGANIZATION_HEADER);
        let requested = match (query.list("scope"), named) {
            (Some(scope), _) => read_scope(&scope).map_err(Failure::from)?,
            (None, OrganizationChoice::Named(Some(one))) => RequestedScope::Organizations([one].into()),
            (None, _) => RequestedScope::Everything,
        };
        Ok(Scoped(caller, requested))
    }
}

/// Reads `account`, or the ids of organizations. One that is malformed is refused like one of others.
pub fn read_scope(scope: &[&str]) -> Result<RequestedScope, Refusal> {
    match scope {
        ["account"] => Ok(RequestedScope::Account),
        [] => Err(Refusal::invalid("scope", "account, or the ids of organizations with commas between them")),
        ids => {
            let ids = ids.iter().map(|text| OrganizationId::parse(text).ok_or(Refusal::NotAMember));
            Ok(RequestedScope::Organizations(ids.collect::<Result<_, _>>()?))
        }
    }
}

/// The session that the path names; `None` for a text that is no session's id.
pub struct SessionPath(pub Option<SessionId>);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<SessionPath, Infallible> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(SessionPath(path.ok().and_then(|Path(text)| read_session_id(&text))))
    }
}

/// Reads a session's id in the form of any wire: a UUID, 32 hexadecimal digits, or those after `session_` or `devin-`.
pub fn read_session_id(text: &str) -> Option<SessionId> {
    let bare = text.strip_prefix("session_").or_else(|| text.strip_prefix("devin-")).unwrap_or(text);
    SessionId::parse(bare)
}

/// The time zone in which days begin: `timezone`, or else UTC.
pub fn read_zone(query: &Query) -> Result<TimeZone, Failure> {
    let Some(name) = query.text("timezone")? else { return Ok(TimeZone::UTC) };
    let expected = "the name of a time zone such as Europe/Berlin";
    TimeZone::get(name).map_err(|_| Refusal::invalid("timezone", expected).into())
}

/// Refuses a parameter that the request does not have: a slip of the pen would list other sessions.
pub fn check_names(query: &Query, known: &[&str]) -> Result<(), Failure> {
    match query.names().find(|name| !known.contains(name)) {
        Some(name) => {
            let field = name.chars().take(64).collect::<String>();
            Err(Refusal::invalid(field, format!("one of the parameters {}", known.join(", "))).into())
        }
        None => Ok(()),
    }
}
