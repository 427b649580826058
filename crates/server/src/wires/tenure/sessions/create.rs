//! `POST /tenure/v1/sessions`: new sessions by their kind.

use super::super::extractors::{Authenticated, ORGANIZATION_HEADER};
use super::HandlerResult;
use super::actions::load;
use super::visible::check_names;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::{self, WholeRequest};
use crate::http::query::Query;
use crate::operations::agents::create::{AgentChoice, AgentSessionDraft, create_agent_session};
use crate::operations::agents::messages::MessageDraft;
use crate::operations::devices::create::{create_requesting_session, is_waiting, wait_for_device};
use crate::operations::devices::sessions::create_device_session;
use crate::operations::sessions::visible::{authorize_sessions, choose_organization};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::agent::check_agent_name;
use domain::device::{DeviceFilter, DeviceFilters};
use domain::ids::{AgentId, OrganizationId, SessionId, parse_uuid};
use domain::refusal::Thing;
use protocol::new_session::{
    AgentSessionRequest, DeviceSessionRequest, MAX_DEVICE_WAIT_SECONDS, NewDeviceRequest, SessionRequest,
};
use protocol::sessions::SESSIONS_PATH;
use std::time::Duration;
use store::{Caller, OrganizationChoice, RequestedScope};
use uuid::Uuid;

/// `POST /sessions`: 201 with the session, or 202 while it waits for a device.
pub async fn create(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    query: Query,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    check_names(&query, &[])?;
    let (mut parts, body) = request.into_parts();
    let wait = read_wait(&parts.headers);
    let request = Request::from_parts(parts.clone(), body);
    let new: SessionRequest = middleware::read_json(&app, request).await?;
    let named = match &new {
        SessionRequest::Agent(new) => new.organization,
        SessionRequest::Device(new) => new.organization,
    };
    let caller = choose(&app, caller, named, &parts.headers).await?;
    let (id, is_waiting) = match new {
        SessionRequest::Agent(new) => (create_agent(&app, &caller, new).await?, false),
        SessionRequest::Device(new) => create_device(&app, &caller, new, wait).await?,
    };
    // The caller may have lost access while the request waited.
    let caller = match wait {
        Some(_) => {
            let Authenticated(caller) = Authenticated::from_request_parts(&mut parts, &app).await?;
            choose(&app, caller, named, &parts.headers).await?
        }
        None => caller,
    };
    let status = if is_waiting { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    let mut response = respond(&app, &caller, id, status).await?;
    if let Some(wait) = wait {
        let applied = HeaderValue::try_from(format!("wait={}", wait.as_secs())).map_err(Failure::internal)?;
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

/// The caller in the organization of the body, or else of the header, or else by default.
async fn choose(
    app: &App,
    caller: Caller,
    named: Option<Uuid>,
    headers: &HeaderMap,
) -> Result<Caller, Failure> {
    let Some(named) = named.map(OrganizationId) else { return Ok(caller) };
    match middleware::organization_choice(headers, ORGANIZATION_HEADER) {
        OrganizationChoice::Named(other) if other != Some(named) => {
            let expected = format!("the organization of {ORGANIZATION_HEADER}, or none");
            Err(Refusal::invalid("organization", expected).into())
        }
        _ => choose_organization(app, &caller, named).await,
    }
}

async fn respond(app: &App, caller: &Caller, id: SessionId, status: StatusCode) -> Result<Response, Failure> {
    let organization = caller.organization().ok_or(Refusal::NoOrganization)?;
    let requested = RequestedScope::Organizations([organization].into());
    let visible = authorize_sessions(app, caller, &requested).await?;
    let session = load(app, &visible, id).await?;
    let mut response = middleware::json_response(status, session.body.text().into()).into_response();
    let place = format!("{}{SESSIONS_PATH}/{id}", app.base_url);
    let place = HeaderValue::try_from(place).map_err(Failure::internal)?;
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

async fn create_agent(app: &App, caller: &Caller, new: AgentSessionRequest) -> Result<SessionId, Failure> {
    let granted = caller.authorize()?;
    let no_parent = Refusal::NotFound(Thing::Session);
    let parent = new.parent.map(|id| SessionId::from_uuid(id).ok_or(no_parent)).transpose()?;
    let draft = AgentSessionDraft {
        agent: match new.agent {
            None => AgentChoice::Default,
            Some(agent) => match parse_uuid(&agent) {
                Some(id) => AgentChoice::Id(AgentId(id)),
                None => {
                    check_agent_name(&agent).map_err(|_| Refusal::NotFound(Thing::Agent))?;
                    AgentChoice::Name(agent)
                }
            },
        },
        message: new.message.map(|text| MessageDraft { text, ..MessageDraft::default() }),
        title: new.title,
        tags: new.tags,
        model: new.model,
        category: new.category,
        repos: new.repos,
        parent,
        ..AgentSessionDraft::default()
    };
    Ok(create_agent_session(app, &granted, draft).await?.id)
}

/// Creates a device session. Returns also whether it still waits for a device.
async fn create_device(
    app: &App,
    caller: &Caller,
    new: DeviceSessionRequest,
    wait: Option<Duration>,
) -> Result<(SessionId, bool), Failure> {
    let Some(request) = new.request else {
        return Ok((create_device_session(app, &caller.authorize()?).await?.id, false));
    };
    let mut session = create_requesting_session(app, caller, read_request(request)?).await?;
    if let Some(wait) = wait.filter(|_| is_waiting(&session)) {
        session = wait_for_device(app, &caller.authorize()?, session, wait).await?;
    }
    Ok((session.id, is_waiting(&session)))
}

/// The filters of a request for a device.
fn read_request(request: NewDeviceRequest) -> Result<DeviceFilters, Refusal> {
    let mut filters = vec![filter("platform", "EQUALS", &request.platform)];
    filters.extend(request.device_type.map(|value| filter("type", "EQUALS", &value)));
    filters.extend(request.name.map(|name| match name.strip_suffix('*') {
        Some(start) => filter("name", "STARTS_WITH", start),
        None => filter("name", "EQUALS", &name),
    }));
    filters.extend(request.version.map(|version| {
        const BOUNDS: [(&str, &str); 4] = [
            (">=", "GREATER_THAN_OR_EQUALS"),
            ("<=", "LESS_THAN_OR_EQUALS"),
            (">", "GREATER_THAN"),
            ("<", "LESS_THAN"),
        ];
        let bound = BOUNDS.iter().find_map(|(sign, name)| Some((name, version.strip_prefix(sign)?)));
        match bound {
            Some((name, version)) => filter("version", name, version.trim()),
            None => filter("version", "EQUALS", &version),
        }
    }));
    let names = filters.iter().map(|filter| filter.attribute.clone()).collect::<Vec<_>>();
    DeviceFilters::new(filters).map_err(|refusal| match refusal {
        // The caller wrote fields and no list.
        Refusal::Invalid { field, expected } => {
            let number = field.strip_prefix("filters[").and_then(|rest| rest.split(']').next()?.parse().ok());
            let name = number.and_then(|at: usize| names.get(at)).map_or("platform", String::as_str);
            Refusal::invalid(format!("request.{name}"), expected)
        }
        refusal => refusal,
    })
}

fn filter(attribute: &str, operator: &str, value: &str) -> DeviceFilter {
    DeviceFilter { attribute: attribute.into(), operator: operator.into(), value: value.into() }
}

/// How long the caller prefers to wait (RFC 7240), at most as long as the server allows. A preference that cannot be read is
/// ignored.
fn read_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    let seconds = preferences.find_map(|one| one.trim().strip_prefix("wait=")?.parse::<u64>().ok())?;
    Some(Duration::from_secs(seconds.min(MAX_DEVICE_WAIT_SECONDS)))
}
