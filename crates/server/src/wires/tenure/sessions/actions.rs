//! `POST /tenure/v1/sessions/{session}:{action}`, and changes of title and tags.

use super::visible::{SessionPath, VisibleTo, check_names, read_session_id};
use super::{HandlerResult, TenureError};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::conditional::{ExpectedTags, KnownTags, Tag, respond_with_session};
use crate::http::middleware::{self, WholeRequest};
use crate::http::query::Query;
use crate::operations::agents::sessions::{AgentSessionUpdate, TagsUpdate, update_agent_session};
use crate::operations::sessions::actions::{self, Action};
use crate::operations::sessions::visible::{NamedSession, VisibleSource};
use crate::operations::sessions::{Encoding, ListedSession, find_session};
use crate::services::session_bodies::BodyShape;
use axum::body::Body;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::ids::SessionId;
use domain::refusal::Thing;
use domain::time::Micros;
use protocol::actions::{ACTIONS, EmptyRequest, EndRequest, MessageRequest, SessionUpdate};
use serde::de::DeserializeOwned;
use store::VisibleSessions;

/// The parameters of requests for one session.
const PARAMETERS: &[&str] = &["scope"];

/// `POST /sessions/{session}:{action}`: the router has one route for all actions.
pub async fn act(
    ActionPath(path): ActionPath,
    VisibleTo(caller, visible): VisibleTo,
    State(app): State<App>,
    query: Query,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    check_names(&query, PARAMETERS)?;
    let (id, action) = path.rsplit_once(':').unwrap_or((&path, ""));
    if !ACTIONS.contains(&action) {
        return Err(Failure::from(RequestFailure::NoAction { known: ACTIONS }).into());
    }
    let id = read_session_id(id).ok_or_else(not_found)?;
    let action = read_action(&app, action, request).await?;
    actions::act_on_session(&app, &caller, &visible, id, action).await?;
    let session = load(&app, &visible, id).await?;
    Ok(respond_with_session(&KnownTags::default(), &session)?)
}

/// `PATCH /sessions/{session}`: title and tags of an agent session.
pub async fn update(
    VisibleTo(caller, visible): VisibleTo,
    State(app): State<App>,
    expected: ExpectedTags,
    path: SessionPath,
    query: Query,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    check_names(&query, PARAMETERS)?;
    let id = path.0.ok_or_else(not_found)?;
    let body: SessionUpdate = middleware::read_json(&app, request).await?;
    let update = AgentSessionUpdate { title: body.title, tags: body.tags.map(TagsUpdate::Replace) };
    let granted = actions::authorize_update(&app, &caller, &visible, id).await?;
    let revision = match expected.are_given() {
        true => Some(check_tag(&expected, &load(&app, &visible, id).await?).map_err(Failure::from)?),
        false => None,
    };
    update_agent_session(&app, &granted, id, update, revision).await?;
    let session = load(&app, &visible, id).await?;
    Ok(respond_with_session(&KnownTags::default(), &session)?)
}

/// The last segment of the path: a session and an action. A session itself has no POST; only the router has it.
pub struct ActionPath(String);

impl<S: Send + Sync> FromRequestParts<S> for ActionPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ActionPath, Response> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(path)) if path.contains(':') => Ok(ActionPath(path)),
            Ok(_) => {
                let mut response = TenureError::from(Failure::from(RequestFailure::Method)).into_response();
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(SESSION_METHODS));
                Err(response)
            }
            Err(_) => Err(TenureError::from(not_found()).into_response()),
        }
    }
}

/// The methods of a session itself.
const SESSION_METHODS: &str = "GET,HEAD,PATCH";

/// The methods of a path, where the router has those of sessions and of their actions.
pub fn allowed_methods(path: &str) -> Option<&'static str> {
    let last = path.strip_prefix("/tenure/v1/sessions/")?;
    match last {
        "facets" | "histogram" => None,
        _ if last.contains('/') => None,
        _ if last.contains(':') => Some("POST"),
        _ => Some(SESSION_METHODS),
    }
}

/// Checks that a session has an expected tag. Returns the revision that it must still have when it changes.
fn check_tag(expected: &ExpectedTags, session: &ListedSession) -> Result<i64, RequestFailure> {
    match expected.include(Tag::new_for_session(session)) {
        true => Ok(session.session.revision),
        false => Err(RequestFailure::Precondition),
    }
}

/// The session, as this wire writes it.
pub async fn load(app: &App, visible: &VisibleSessions, id: SessionId) -> Result<ListedSession, Failure> {
    let encode = |named: &NamedSession, now: Micros| super::encode(app, named, now);
    let encoding = Encoding { shape: BodyShape::Tenure, encode: &encode };
    find_session(app, &VisibleSource::new(app, visible), id, encoding).await
}

async fn read_action(app: &App, action: &str, request: Request) -> Result<Action, Failure> {
    Ok(match action {
        "end" => Action::End { reason: read_optional_json::<EndRequest>(app, request).await?.reason },
        "message" => {
            let MessageRequest { text } = middleware::read_json(app, request).await?;
            Action::Message { text }
        }
        _ => {
            let EmptyRequest {} = read_optional_json(app, request).await?;
            match action {
                "extend" => Action::Extend,
                "archive" => Action::Archive,
                _ => Action::Unarchive,
            }
        }
    })
}

/// Reads a JSON body that may be left out.
async fn read_optional_json<T: DeserializeOwned + Default>(
    app: &App,
    request: Request,
) -> Result<T, Failure> {
    let (parts, body) = request.into_parts();
    let bytes = middleware::read_body(app, &parts.extensions, body).await?;
    match bytes.is_empty() {
        true => Ok(T::default()),
        false => middleware::read_json(app, Request::from_parts(parts, Body::from(bytes))).await,
    }
}

fn not_found() -> Failure {
    Refusal::NotFound(Thing::Session).into()
}
