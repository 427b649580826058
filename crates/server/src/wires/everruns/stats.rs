//! `/v1/sessions/stats` and `/v1/sessions/facets`: numbers of sessions.

use super::extractors::Authorized;
use super::output::{HandlerResult, Output};
use super::query::unknown_warning;
use super::{filter, ids};
use crate::app::App;
use crate::failure::Failure;
use crate::http::query::Query;
use crate::operations::agents;
use axum::extract::State;
use axum::http::StatusCode;
use domain::agent::{ActivityGroup, AgentState as SessionState};
use serde::Serialize;
use store::Granted;
use store::access::ViewSessions;

#[derive(Debug, Serialize)]
struct Stats {
    session_count: u64,
    started_session_count: u64,
    active_session_count: u64,
    idle_session_count: u64,
    /// A status of the vendor's newer servers. Always zero here.
    waiting_for_tool_results_session_count: u64,
    archived_session_count: u64,
}

#[derive(Debug, Serialize)]
struct Facets {
    total: u64,
    status: Vec<Facet>,
    source: Vec<Facet>,
    agent_id: Vec<Facet>,
    tag: Vec<Facet>,
}

#[derive(Debug, Serialize)]
struct Facet {
    value: String,
    count: u64,
}

fn count_group(states: &[(SessionState, u64)], group: ActivityGroup) -> u64 {
    states.iter().filter(|(state, _)| state.group() == group).map(|(_, count)| count).sum()
}

fn facet_list(counted: Vec<(String, u64)>) -> Vec<Facet> {
    counted.into_iter().map(|(value, count)| Facet { value, count }).collect()
}

/// `GET /sessions/stats`.
pub async fn stats(Authorized(granted): Authorized<ViewSessions>, State(app): State<App>) -> HandlerResult {
    Ok(session_stats(&app, &granted).await?)
}

/// Counts the organization's sessions by status.
///
/// # Errors
/// [`Failure::Internal`] when the store fails.
pub async fn session_stats(app: &App, granted: &Granted<ViewSessions>) -> Result<Output, Failure> {
    let found = agents::sessions::load_agent_session_stats(app, granted).await?;
    let stats = Stats {
        session_count: found.total,
        started_session_count: count_group(&found.by_state, ActivityGroup::Started),
        active_session_count: count_group(&found.by_state, ActivityGroup::Active),
        idle_session_count: count_group(&found.by_state, ActivityGroup::Idle),
        waiting_for_tool_results_session_count: 0,
        archived_session_count: found.archived,
    };
    Output::json(StatusCode::OK, &stats)
}

/// `GET /sessions/facets`.
pub async fn facets(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    Ok(session_facets(&app, &granted, &query).await?)
}

/// Counts the sessions of a filtered list by status, source, agent and tag.
///
/// # Errors
/// [`domain::Refusal::Invalid`] for a parameter that is not valid.
pub async fn session_facets(
    app: &App,
    granted: &Granted<ViewSessions>,
    query: &Query,
) -> Result<Output, Failure> {
    let filter = filter::read(query, granted.principal())?;
    let found = agents::sessions::load_agent_session_facets(app, granted, &filter).await?;
    let groups = [ActivityGroup::Started, ActivityGroup::Active, ActivityGroup::Idle]
        .map(|group| (group, count_group(&found.states, group)));
    let groups = groups.into_iter().filter(|(_, count)| *count > 0);
    let agents = found.agents.into_iter().map(|(agent, count)| (ids::agent(agent).to_string(), count));
    let facets = Facets {
        total: found.states.iter().map(|(_, count)| count).sum(),
        status: facet_list(groups.map(|(group, count)| (group.name().to_owned(), count)).collect()),
        source: facet_list(found.origins),
        agent_id: facet_list(agents.collect()),
        tag: facet_list(found.tags),
    };
    Ok(Output::json(StatusCode::OK, &facets)?.with_warning(unknown_warning(query, &filter::PARAMETERS)))
}
