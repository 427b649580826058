//! `/tenure/v1/agents` and `/workers`: who is at work, as far as the caller may see it.

use super::errors::TenureError;
use super::lists::{ListRequest, map_page, place_by};
use super::sessions::shapes::write_organization;
use super::sessions::visible::{Visible, check_names};
use crate::app::App;
use crate::http::query::Query;
use crate::operations::agents::overview;
use crate::operations::agents::overview::{IdleWorker, TakenTurn};
use crate::operations::devices::overview::load_names;
use axum::Json;
use axum::extract::State;
use protocol::agents::{AgentEntry, WorkerEntry, WorkerState};
use protocol::lists::List;
use protocol::time::Time;
use store::SessionNames;
use uuid::Uuid;

/// The parameters of the lists.
const PARAMETERS: &[&str] = &["limit", "cursor", "scope"];

/// `GET /agents`: by name.
pub async fn agents(
    Visible(visible): Visible,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<AgentEntry>>, TenureError> {
    check_names(&query, PARAMETERS)?;
    let request = ListRequest::read_visible(&app, "agents", &visible, &query)?;
    let agents = overview::list_agents(&app, &visible).await?;
    let page = request.cut(agents, |agent| place_by(&[&agent.name], agent.id.0))?;
    let mut states = overview::count_states(&app, &visible, &page.data).await?.into_iter();
    let workers = overview::list_workers(&app, &visible).await?;
    let organizations = page.data.iter().map(|agent| agent.organization);
    let names = load_names(&app, &visible, organizations, [].into_iter()).await?;
    Ok(Json(map_page(page, |agent| AgentEntry {
        worker_connected: workers.has_worker(&agent),
        id: agent.id.0,
        organization: write_organization(&names, agent.organization),
        name: agent.name,
        display_name: agent.display_name,
        sessions: states.next().unwrap_or_default(),
    })))
}

/// `GET /workers`: by name.
pub async fn workers(
    Visible(visible): Visible,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<WorkerEntry>>, TenureError> {
    check_names(&query, PARAMETERS)?;
    let request = ListRequest::read_visible(&app, "workers", &visible, &query)?;
    let workers = overview::list_workers(&app, &visible).await?;
    let organizations = overview::list_named_organizations(&workers).into_iter();
    let names = load_names(&app, &visible, organizations, [].into_iter()).await?;
    let working = workers.working.into_iter().map(|turn| write_working(turn, &names));
    let waiting = workers.waiting.into_iter().map(|worker| write_waiting(worker, &names));
    // Waits have no ids: of two with one name, the older is first.
    let entries = working.chain(waiting).zip(0_u64..).collect();
    let page = request.cut(entries, |(entry, number): &(WorkerEntry, u64)| {
        let place = entry.session.unwrap_or_else(|| Uuid::from_u64_pair(u64::MAX, *number));
        place_by(&[&entry.name], place)
    })?;
    Ok(Json(map_page(page, |(entry, _)| entry)))
}

fn write_working(turn: TakenTurn, names: &SessionNames) -> WorkerEntry {
    WorkerEntry {
        name: turn.worker,
        state: WorkerState::Working,
        organization: Some(write_organization(names, turn.session.organization)),
        agents: Some(vec![turn.agent]),
        session: Some(turn.session.id.uuid()),
        since: Time(turn.since.0),
        lease: Some(Time(turn.lease.0)),
    }
}

fn write_waiting(worker: IdleWorker, names: &SessionNames) -> WorkerEntry {
    WorkerEntry {
        name: worker.name,
        state: WorkerState::Waiting,
        organization: worker.organization.map(|organization| write_organization(names, organization)),
        agents: worker.agents,
        session: None,
        since: Time(worker.since.0),
        lease: None,
    }
}
