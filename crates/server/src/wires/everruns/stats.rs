//! `/v1/sessions/stats` and `/v1/sessions/facets`: how many sessions there are of what.

use super::extractors::May;
use super::output::{Answer, Output};
use super::query::Query;
use super::{filter, ids};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use domain::agent::{Group, State as Standing};
use serde::Serialize;
use store::Granted;
use store::access::ViewSessions;

#[derive(Debug, Serialize)]
struct Stats {
    session_count: u64,
    started_session_count: u64,
    active_session_count: u64,
    idle_session_count: u64,
    /// A status of newer servers, which sessions here never have.
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

fn of_group(states: &[(Standing, u64)], group: Group) -> u64 {
    states.iter().filter(|(state, _)| state.group() == group).map(|(_, count)| count).sum()
}

fn values(counted: Vec<(String, u64)>) -> Vec<Facet> {
    counted.into_iter().map(|(value, count)| Facet { value, count }).collect()
}

/// `GET /sessions/stats`.
pub async fn stats(May(granted): May<ViewSessions>, State(app): State<App>) -> Answer {
    Ok(count(&app, &granted).await?)
}

/// How many of the organization's sessions stand where.
///
/// # Errors
/// Only those of the store.
pub async fn count(app: &App, granted: &Granted<ViewSessions>) -> Result<Output, Failure> {
    let found = agents::sessions::load_agent_session_stats(app, granted).await?;
    let stats = Stats {
        session_count: found.total,
        started_session_count: of_group(&found.by_state, Group::Started),
        active_session_count: of_group(&found.by_state, Group::Active),
        idle_session_count: of_group(&found.by_state, Group::Idle),
        waiting_for_tool_results_session_count: 0,
        archived_session_count: found.archived,
    };
    Output::json(StatusCode::OK, &stats)
}

/// `GET /sessions/facets`.
pub async fn facets(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    Ok(divide(&app, &granted, &Query::read(query.as_deref())).await?)
}

/// Which values the sessions of a list have, and how often; over the same filter as the list.
///
/// # Errors
/// What cannot be read of the query.
pub async fn divide(app: &App, granted: &Granted<ViewSessions>, query: &Query) -> Result<Output, Failure> {
    let filter = filter::read(query, granted.principal())?;
    let found = agents::sessions::load_agent_session_facets(app, granted, &filter).await?;
    let groups =
        [Group::Started, Group::Active, Group::Idle].map(|group| (group, of_group(&found.states, group)));
    let groups = groups.into_iter().filter(|(_, count)| *count > 0);
    let agents = found.agents.into_iter().map(|(agent, count)| (ids::agent(agent).to_string(), count));
    let facets = Facets {
        total: found.states.iter().map(|(_, count)| count).sum(),
        status: values(groups.map(|(group, count)| (group.name().to_owned(), count)).collect()),
        source: values(found.origins),
        agent_id: values(agents.collect()),
        tag: values(found.tags),
    };
    Ok(Output::json(StatusCode::OK, &facets)?.warning(query.unknown(&filter::KNOWN)))
}
