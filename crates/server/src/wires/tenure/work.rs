//! The work of agents, for their workers. `protocol::work` defines the messages.

use super::errors::TenureError;
use super::extractors::AuthorizedReach;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::middleware;
use crate::http::middleware::NotStored;
use crate::http::middleware::WholeRequest;
use crate::http::middleware::read_json;
use crate::http::middleware::read_json_within;
use crate::operations::access::authenticate::authenticate_key;
use crate::operations::agents::turns;
use crate::operations::agents::turns::LeaseStatus;
use crate::operations::agents::turns::TurnKey;
use crate::operations::agents::turns::WorkerGrant;
use crate::operations::agents::turns::WorkerTurn;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::agent::{Acus, EventKind, MAX_TITLE_CHARS, PullRequest, TurnEnding, TurnItem, TurnItems, Usage};
use domain::credential::{KeySecret, SecretHash, TurnToken};
use domain::ids::SessionId;
use domain::json::{self, REPORT_BOUNDS};
use protocol::{WARNING_HEADER, work as messages};
use serde::de::DeserializeOwned;
use std::time::Duration;
use store::OrganizationChoice;
use store::access::ConnectWorkers;

/// How long a claim waits before its key is checked again: a revoked key must not get work.
const KEY_HOLDS: Duration = Duration::from_secs(10);
/// Most agents that a claim can name.
const MOST_AGENTS: usize = 1_000;
/// Longest address or state of a pull request, in bytes.
const MAX_ADDRESS: usize = 2_048;

type Session = Result<Path<String>, PathRejection>;

/// `POST /work/claim`: a turn as soon as there is one, or 204. The response is not stored for a repeated request: a turn has
/// the secrets of its session, and after a 204 there can be work later.
pub async fn claim(
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, TenureError> {
    let (mut parts, body) = request.into_parts();
    let key = claiming_key(&app, &parts)?;
    let mut reach = reach(&app, &mut parts).await?;
    let message: messages::TurnClaim = read_json(&app, Request::from_parts(parts.clone(), body)).await?;
    if message.agents.as_ref().is_some_and(|agents| agents.len() > MOST_AGENTS) {
        let expected = format!("at most {MOST_AGENTS} names");
        return Err(Failure::from(Refusal::invalid("agents", expected)).into());
    }
    // An invalid name matches no agent.
    let named = |name: &String| domain::agent::check_agent_name(name).is_ok();
    let agents = message.agents.clone().map(|agents| agents.into_iter().filter(named).collect::<Vec<_>>());
    let mut remaining = Duration::from_secs(message.wait_seconds.min(messages::MAX_WAIT_SECONDS));
    loop {
        let wait = remaining.min(KEY_HOLDS);
        let claim = turns::ClaimRequest { worker: message.worker.clone(), agents: agents.clone(), wait, key };
        if let Some(assignment) = turns::claim_turn(&app, &reach, &claim).await? {
            return Ok(claim_response(&reach, Json(assignment_message(assignment)).into_response()));
        }
        remaining -= wait;
        if remaining.is_zero() || app.stop.is_cancelled() {
            return Ok(claim_response(&reach, StatusCode::NO_CONTENT.into_response()));
        }
        reach = self::reach(&app, &mut parts).await?;
    }
}

/// The response to a claim: never stored, and with a warning for a key with too many permissions.
fn claim_response(reach: &WorkerGrant, mut response: Response) -> Response {
    response.extensions_mut().insert(NotStored);
    if let Some(warning) = reach.warning("worker").and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(WARNING_HEADER, warning);
    }
    response
}

/// `POST /work/{session}/heartbeat`: renews the lease of a turn.
pub async fn heartbeat(
    State(app): State<App>,
    session: Session,
    WholeRequest(request): WholeRequest,
) -> Result<Json<messages::LeaseRenewal>, TenureError> {
    let (held, messages::Heartbeat { turn_ref: claimed }) = read_turn_request(&app, session, request).await?;
    check_claim(&held, claimed)?;
    Ok(Json(beat_message(turns::renew_lease(&app, &held).await?)))
}

/// `POST /work/{session}/report`: reports a turn's output and events.
pub async fn report(
    State(app): State<App>,
    session: Session,
    WholeRequest(request): WholeRequest,
) -> Result<Json<messages::LeaseRenewal>, TenureError> {
    let (held, report): (_, messages::TurnReport) = read_turn_request(&app, session, request).await?;
    if report.items.len() > messages::MAX_REPORT_ITEMS {
        let expected = format!("at most {}", messages::MAX_REPORT_ITEMS);
        return Err(Failure::from(Refusal::invalid("items", expected)).into());
    }
    check_claim(&held, report.turn_ref)?;
    let first = i64::try_from(report.first).unwrap_or(i64::MAX);
    let report = TurnItems { first, items: report.items.into_iter().map(read_item).collect() };
    let standing = match turns::report_turn(&app, &held, report).await {
        // A cancelled turn accepts no more reports. Its worker learns that it was cancelled, not that it was lost.
        Err(Failure::Refused(Refusal::TurnLost)) => turns::renew_lease(&app, &held).await?,
        reported => reported?,
    };
    Ok(Json(beat_message(standing)))
}

/// `POST /work/{session}/done`: ends a turn.
pub async fn finish(
    State(app): State<App>,
    session: Session,
    WholeRequest(request): WholeRequest,
) -> Result<StatusCode, TenureError> {
    let (held, done): (_, messages::TurnCompletion) = read_turn_request(&app, session, request).await?;
    check_claim(&held, done.turn_ref)?;
    let ending = match done.outcome {
        messages::TurnOutcome::Finished => TurnEnding::Finished,
        messages::TurnOutcome::WaitingForUser => TurnEnding::WaitingForUser,
        messages::TurnOutcome::WaitingForApproval => TurnEnding::WaitingForApproval,
        messages::TurnOutcome::Failed { message, exit_code } => {
            TurnEnding::Failed { message: replace_nul(message), exit_code: exit_code.map(i64::from) }
        }
        messages::TurnOutcome::Cancelled => TurnEnding::Cancelled,
    };
    turns::finish_turn(&app, &held, ending).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Authorizes the caller to claim turns, and reads whose turns it asks for.
async fn reach(app: &App, parts: &mut Parts) -> Result<WorkerGrant, TenureError> {
    let AuthorizedReach(reach) = AuthorizedReach::<ConnectWorkers>::from_request_parts(parts, app).await?;
    Ok(reach)
}

/// The hash of the worker's API key. A login session cannot claim work, because its token has no hash to check later.
fn claiming_key(app: &App, parts: &Parts) -> Result<SecretHash, Failure> {
    let credential = credential::read_credential(app, parts)?;
    let key = credential.as_deref().and_then(KeySecret::parse).ok_or(Failure::Unauthenticated)?;
    Ok(key.hash())
}

/// Authorizes the turn of the request's token, and then reads the body.
async fn read_turn_request<T: DeserializeOwned>(
    app: &App,
    session: Session,
    request: Request,
) -> Result<(WorkerTurn, T), TenureError> {
    let (parts, body) = request.into_parts();
    let held = authorize_turn(app, session, &parts).await?;
    Ok((held, read_json_within(app, Request::from_parts(parts, body), REPORT_BOUNDS).await?))
}

/// Checks the token of a turn. The key that claimed the turn must still be valid from this address, and its owner must
/// still be a worker there.
async fn authorize_turn(app: &App, session: Session, parts: &Parts) -> Result<WorkerTurn, Failure> {
    let credential = credential::read_credential(app, parts)?;
    let token = credential.as_deref().and_then(TurnToken::parse).ok_or(Failure::Unauthenticated)?;
    let session = session.ok().and_then(|Path(text)| SessionId::parse(&text));
    let (turn, key) = turns::authenticate_turn(app, &token, session.ok_or(Failure::Unauthenticated)?).await?;
    let chosen = OrganizationChoice::Named(Some(turn.organization));
    let caller = authenticate_key(app, &key, chosen, middleware::address(&parts.extensions)).await?;
    WorkerTurn::authorize(&middleware::admit_caller(app, parts, caller)?.authorize::<ConnectWorkers>()?, turn)
}

/// Refuses a body about another turn than the token's.
fn check_claim(held: &WorkerTurn, claimed: messages::TurnRef) -> Result<(), Failure> {
    let TurnKey { organization, turn, fence, .. } = held.key;
    let expected = messages::TurnRef { organization: organization.0, turn: turn.0, fence };
    if claimed == expected { Ok(()) } else { Err(Refusal::TurnLost.into()) }
}

fn beat_message(standing: LeaseStatus) -> messages::LeaseRenewal {
    messages::LeaseRenewal { lease_seconds: seconds(standing.lease), cancelled: standing.cancelled }
}

fn seconds(lease: domain::time::Span) -> u64 {
    u64::try_from(lease.0 / 1_000_000).unwrap_or(0).max(1)
}

fn assignment_message(assignment: turns::AssignedTurn) -> messages::TurnAssignment {
    let turns::AssignedTurn { session, turn, message, agent, secrets, token, lease } = assignment;
    let lease_seconds = seconds(lease);
    let prompt = agent.as_ref().map(|agent| agent.system_prompt.clone()).filter(|prompt| !prompt.is_empty());
    let agent = messages::AgentBrief {
        system_prompt: prompt,
        model: session.given.model.or_else(|| agent.and_then(|agent| agent.model)),
        name: session.given.agent_name,
    };
    messages::TurnAssignment {
        organization: session.organization.0,
        session: session.id.uuid(),
        title: session.given.title.unwrap_or_default(),
        agent,
        turn: turn.id.0,
        number: turn.number,
        fence: turn.fence,
        attempt: u32::try_from(turn.attempt).unwrap_or(u32::MAX),
        token: messages::TurnTokenText(token.reveal().to_owned()),
        lease_seconds,
        message: message_shape(message),
        secrets: messages::Secrets(secrets.into_iter().collect()),
        output_schema: session.given.output_schema.map(|schema| schema.value()),
        repos: session.given.repos,
        capabilities: session.given.capabilities.value(),
    }
}

fn message_shape(message: domain::agent::Message) -> messages::IncomingMessage {
    let attachments = message.attachments.into_iter().map(|file| messages::AttachmentBrief {
        name: file.name,
        url: file.url,
        content_type: file.content_type,
        size: file.size,
    });
    let parts = message.parts.read().unwrap_or_default();
    messages::IncomingMessage {
        id: message.id.0,
        text: message.text,
        parts,
        attachments: attachments.collect(),
    }
}

/// Reads an item of a report. An invalid item becomes a log entry: the rest of the report is valid, and a retry would not
/// help.
fn read_item(item: messages::ReportedItem) -> TurnItem {
    match item {
        messages::ReportedItem::Output { text } => TurnItem::Output(replace_nul(text)),
        messages::ReportedItem::Log { line } => TurnItem::Log(replace_nul(line)),
        messages::ReportedItem::Event { event, data } => {
            match EventKind::parse(&event).filter(|kind| kind.is_worker_event()) {
                Some(kind) => TurnItem::Event { kind, data: data.into() },
                None => reject_item("an event that workers do not tell of", &event),
            }
        }
        messages::ReportedItem::Message { text, parts } => {
            let parts = if parts.is_empty() { json::Json::default() } else { json::Json::encode(&parts) };
            TurnItem::Message { text: replace_nul(text), parts, attachments: Vec::new() }
        }
        messages::ReportedItem::Usage(amounts) => match read_usage(&amounts) {
            Some(usage) => TurnItem::Usage(usage),
            None => reject_item("a usage that is no amount", &format!("{amounts:?}")),
        },
        messages::ReportedItem::PullRequest(messages::ReportedPullRequest { url, state }) => {
            let long =
                url.len() > MAX_ADDRESS || state.as_ref().is_some_and(|state| state.len() > MAX_ADDRESS);
            match long || url.is_empty() {
                true => reject_item("a pull request without an address, or with a long one", &url),
                false => TurnItem::PullRequest(PullRequest {
                    url: replace_nul(url),
                    state: state.map(replace_nul),
                }),
            }
        }
        messages::ReportedItem::StructuredOutput { value } => TurnItem::StructuredOutput(value.into()),
        messages::ReportedItem::Title { title } => {
            TurnItem::Title(replace_nul(title).trim().chars().take(MAX_TITLE_CHARS).collect())
        }
    }
}

fn reject_item(name: &str, which: &str) -> TurnItem {
    TurnItem::Log(replace_nul(format!("not taken: {name}: {which}")))
}

fn read_usage(amounts: &messages::ReportedUsage) -> Option<Usage> {
    let tokens = |count: u64| i64::try_from(count).ok();
    Some(Usage {
        input_tokens: tokens(amounts.input_tokens)?,
        output_tokens: tokens(amounts.output_tokens)?,
        cache_read_tokens: tokens(amounts.cache_read_tokens)?,
        cache_creation_tokens: tokens(amounts.cache_creation_tokens)?,
        acus: Acus::from_units(amounts.acus)?,
    })
}

/// Replaces NUL, which PostgreSQL cannot store.
fn replace_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
