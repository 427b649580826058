//! The work of agents, as their workers ask for it: `protocol::work` says what is asked and answered.

use super::errors::TenureError;
use super::extractors::Serving;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::middleware;
use crate::http::middleware::NotKept;
use crate::http::middleware::Whole;
use crate::http::middleware::json;
use crate::http::middleware::json_within;
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
use domain::agent::{Acus, Answer, EventKind, Item, MAX_TITLE_CHARS, PullRequest, Report, Usage};
use domain::credential::{Secret, SecretHash, TurnToken};
use domain::ids::SessionId;
use domain::json::{self, REPORTED};
use protocol::{WARNING_HEADER, work as said};
use serde::de::DeserializeOwned;
use std::time::Duration;
use store::OrganizationChoice;
use store::access::ConnectWorkers;

/// How long a claim waits before its key is read again: a revoked one must not be given work.
const KEY_HOLDS: Duration = Duration::from_secs(10);
/// For how many agents one worker may ask.
const MOST_AGENTS: usize = 1_000;
/// How long the address or state of a pull request may be, in bytes.
const MAX_ADDRESS: usize = 2_048;

type Session = Result<Path<String>, PathRejection>;

/// `POST /work/claim`: a turn, as soon as there is one, or 204. Neither is kept for a request that is repeated: a turn
/// has the secrets of its session, and nothing to do now is not nothing to do later.
pub async fn claim(State(app): State<App>, Whole(request): Whole) -> Result<Response, TenureError> {
    let (mut parts, body) = request.into_parts();
    let key = key_of(&app, &parts)?;
    let mut reach = reach(&app, &mut parts).await?;
    let asked: said::Claim = json(&app, Request::from_parts(parts.clone(), body)).await?;
    if asked.agents.as_ref().is_some_and(|agents| agents.len() > MOST_AGENTS) {
        let expected = format!("at most {MOST_AGENTS} names");
        return Err(Failure::from(Refusal::invalid("agents", expected)).into());
    }
    // What can be no name is the name of no agent that will ever be there.
    let named = |name: &String| domain::agent::agent_name(name).is_ok();
    let agents = asked.agents.clone().map(|agents| agents.into_iter().filter(named).collect::<Vec<_>>());
    let mut left = Duration::from_secs(asked.wait_seconds.min(said::MOST_WAIT_SECONDS));
    loop {
        let wait = left.min(KEY_HOLDS);
        let claim = turns::ClaimRequest { worker: asked.worker.clone(), agents: agents.clone(), wait, key };
        if let Some(assignment) = turns::claim_turn(&app, &reach, &claim).await? {
            return Ok(answer(&reach, Json(to_worker(assignment)).into_response()));
        }
        left -= wait;
        if left.is_zero() || app.stop.is_cancelled() {
            return Ok(answer(&reach, StatusCode::NO_CONTENT.into_response()));
        }
        reach = self::reach(&app, &mut parts).await?;
    }
}

/// An answer to a claim: never kept, and with a warning for a key that can do too much.
fn answer(reach: &WorkerGrant, mut response: Response) -> Response {
    response.extensions_mut().insert(NotKept);
    if let Some(warning) = reach.warning("worker").and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(WARNING_HEADER, warning);
    }
    response
}

/// `POST /work/{session}/heartbeat`: keeps a claim.
pub async fn heartbeat(
    State(app): State<App>,
    session: Session,
    Whole(request): Whole,
) -> Result<Json<said::Beat>, TenureError> {
    let (held, said::Heartbeat { claimed }) = asked(&app, session, request).await?;
    is_of(&held, claimed)?;
    Ok(Json(beat(turns::renew_lease(&app, &held).await?)))
}

/// `POST /work/{session}/report`: what happened in a turn.
pub async fn report(
    State(app): State<App>,
    session: Session,
    Whole(request): Whole,
) -> Result<Json<said::Beat>, TenureError> {
    let (held, report): (_, said::Report) = asked(&app, session, request).await?;
    if report.items.len() > said::MOST_ITEMS {
        let expected = format!("at most {}", said::MOST_ITEMS);
        return Err(Failure::from(Refusal::invalid("items", expected)).into());
    }
    is_of(&held, report.claimed)?;
    let first = i64::try_from(report.first).unwrap_or(i64::MAX);
    let report = Report { first, items: report.items.into_iter().map(item).collect() };
    let standing = match turns::report_turn(&app, &held, report).await {
        // A cancelled turn takes nothing more, and its worker is told to end it rather than that it is lost.
        Err(Failure::Refused(Refusal::TurnLost)) => turns::renew_lease(&app, &held).await?,
        reported => reported?,
    };
    Ok(Json(beat(standing)))
}

/// `POST /work/{session}/done`: a turn is over.
pub async fn done(
    State(app): State<App>,
    session: Session,
    Whole(request): Whole,
) -> Result<StatusCode, TenureError> {
    let (held, done): (_, said::Done) = asked(&app, session, request).await?;
    is_of(&held, done.claimed)?;
    let answer = match done.outcome {
        said::Outcome::Finished => Answer::Finished,
        said::Outcome::WaitingForUser => Answer::WaitingForUser,
        said::Outcome::WaitingForApproval => Answer::WaitingForApproval,
        said::Outcome::Failed { message, exit_code } => {
            Answer::Failed { message: without_nul(message), exit_code: exit_code.map(i64::from) }
        }
        said::Outcome::Cancelled => Answer::Cancelled,
    };
    turns::finish_turn(&app, &held, answer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose turns the caller may run, and asks to.
async fn reach(app: &App, parts: &mut Parts) -> Result<WorkerGrant, TenureError> {
    let Serving(reach) = Serving::<ConnectWorkers>::from_request_parts(parts, app).await?;
    Ok(reach)
}

/// The API key that the worker claims with. A login session claims no work: its token has no hash to look up later.
fn key_of(app: &App, parts: &Parts) -> Result<SecretHash, Failure> {
    let credential = credential::of(app, parts)?;
    let key = credential.as_deref().and_then(Secret::parse).ok_or(Failure::Unauthenticated)?;
    Ok(key.hash())
}

/// The turn that the request's token is good for, judged first, and what is said about it.
async fn asked<T: DeserializeOwned>(
    app: &App,
    session: Session,
    request: Request,
) -> Result<(WorkerTurn, T), TenureError> {
    let (parts, body) = request.into_parts();
    let held = held(app, session, &parts).await?;
    Ok((held, json_within(app, Request::from_parts(parts, body), REPORTED).await?))
}

/// SchemaValidator the token of a turn. The key that claimed the turn must still be good, from this address
/// too, and its owner a worker there.
async fn held(app: &App, session: Session, parts: &Parts) -> Result<WorkerTurn, Failure> {
    let credential = credential::of(app, parts)?;
    let token = credential.as_deref().and_then(TurnToken::parse).ok_or(Failure::Unauthenticated)?;
    let session = session.ok().and_then(|Path(text)| SessionId::parse(&text));
    let (turn, key) = turns::authenticate_turn(app, &token, session.ok_or(Failure::Unauthenticated)?).await?;
    let chosen = OrganizationChoice::Named(Some(turn.organization));
    let caller = authenticate_key(app, &key, chosen, middleware::address(&parts.extensions)).await?;
    WorkerTurn::authorize(&middleware::recognized(app, parts, caller)?.authorize::<ConnectWorkers>()?, turn)
}

/// That the body is about the turn of the token.
fn is_of(held: &WorkerTurn, claimed: said::Claimed) -> Result<(), Failure> {
    let TurnKey { organization, turn, fence, .. } = held.key;
    let told = said::Claimed { organization: organization.0, turn: turn.0, fence };
    if claimed == told { Ok(()) } else { Err(Refusal::TurnLost.into()) }
}

fn beat(standing: LeaseStatus) -> said::Beat {
    said::Beat { lease_seconds: seconds(standing.lease), cancelled: standing.cancelled }
}

fn seconds(lease: domain::time::Span) -> u64 {
    u64::try_from(lease.0 / 1_000_000).unwrap_or(0).max(1)
}

fn to_worker(assignment: turns::TurnAssignment) -> said::Assignment {
    let turns::TurnAssignment { session, turn, message, agent, secrets, token, lease } = assignment;
    let lease_seconds = seconds(lease);
    let prompt = agent.as_ref().map(|agent| agent.system_prompt.clone()).filter(|prompt| !prompt.is_empty());
    let agent = said::AgentBrief {
        system_prompt: prompt,
        model: session.given.model.or_else(|| agent.and_then(|agent| agent.model)),
        name: session.given.agent_name,
    };
    said::Assignment {
        organization: session.organization.0,
        session: session.id.uuid(),
        title: session.given.title.unwrap_or_default(),
        agent,
        turn: turn.id.0,
        number: turn.number,
        fence: turn.fence,
        attempt: u32::try_from(turn.attempt).unwrap_or(u32::MAX),
        token: said::TurnToken(token.reveal().to_owned()),
        lease_seconds,
        message: incoming(message),
        secrets: said::Secrets(secrets.into_iter().collect()),
        output_schema: session.given.output_schema.map(|schema| schema.value()),
        repos: session.given.repos,
        capabilities: session.given.capabilities.value(),
    }
}

fn incoming(message: domain::agent::Message) -> said::IncomingMessage {
    let attachments = message.attachments.into_iter().map(|file| said::Attachment {
        name: file.name,
        url: file.url,
        content_type: file.content_type,
        size: file.size,
    });
    let parts = message.parts.read().unwrap_or_default();
    said::IncomingMessage { id: message.id.0, text: message.text, parts, attachments: attachments.collect() }
}

/// What cannot be taken becomes a line of the log: the rest of the report is good, and repeating it would not help.
fn item(item: said::Item) -> Item {
    match item {
        said::Item::Output { text } => Item::Output(without_nul(text)),
        said::Item::Log { line } => Item::Log(without_nul(line)),
        said::Item::Event { event, data } => {
            match EventKind::parse(&event).filter(|kind| kind.is_workers()) {
                Some(kind) => Item::Event { kind, data: data.into() },
                None => untaken("an event that workers do not tell of", &event),
            }
        }
        said::Item::Message { text, parts } => {
            let parts = if parts.is_empty() { json::Json::default() } else { json::Json::of(&parts) };
            Item::Message { text: without_nul(text), parts, attachments: Vec::new() }
        }
        said::Item::Usage(amounts) => match usage(&amounts) {
            Some(usage) => Item::Usage(usage),
            None => untaken("a usage that is no amount", &format!("{amounts:?}")),
        },
        said::Item::PullRequest(said::PullRequest { url, state }) => {
            let long =
                url.len() > MAX_ADDRESS || state.as_ref().is_some_and(|state| state.len() > MAX_ADDRESS);
            match long || url.is_empty() {
                true => untaken("a pull request without an address, or with a long one", &url),
                false => {
                    Item::PullRequest(PullRequest { url: without_nul(url), state: state.map(without_nul) })
                }
            }
        }
        said::Item::StructuredOutput { value } => Item::StructuredOutput(value.into()),
        said::Item::Title { title } => {
            Item::Title(without_nul(title).trim().chars().take(MAX_TITLE_CHARS).collect())
        }
    }
}

fn untaken(what: &str, which: &str) -> Item {
    Item::Log(without_nul(format!("not taken: {what}: {which}")))
}

fn usage(amounts: &said::Usage) -> Option<Usage> {
    let tokens = |count: u64| i64::try_from(count).ok();
    Some(Usage {
        input_tokens: tokens(amounts.input_tokens)?,
        output_tokens: tokens(amounts.output_tokens)?,
        cache_read_tokens: tokens(amounts.cache_read_tokens)?,
        cache_creation_tokens: tokens(amounts.cache_creation_tokens)?,
        acus: Acus::from_units(amounts.acus)?,
    })
}

/// PostgreSQL keeps no NUL.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
