//! The cost of lists of agent sessions: of one organization, of the account, and with each filter. Rows and totals are
//! measured separately.
//!
//! It measures the index and the store, one list at a time, because a wire adds the same cost to all of them.

use crate::Outcome;
use clap::Args;
use domain::agent::{Agent, AgentSession, AgentState, NewSession, SessionFilter, TimeRange};
use domain::ids::{AgentId, OrganizationId, PrincipalId, SessionId};
use domain::json::Json;
use domain::organization::Organization;
use domain::page::ListRange;
use domain::principal::PrincipalKind;
use domain::session::{ListScope, SessionKind};
use domain::time::{Micros, Span};
use futures_util::stream::{self, StreamExt};
use index::Index;
use std::time::Instant;
use store::access::ViewSessions;
use store::{Database, Granted, GrantedAccount, NewAgentSession, OpenMode, Store, System};

/// Number of concurrent imports.
const AT_ONCE: usize = 256;
/// 2026-01-01. Each session is one second later than the one before.
const START: Micros = Micros(1_767_225_600_000_000);
/// Sessions in a page.
const PAGE: u32 = 100;

/// What to measure.
#[derive(Debug, Args)]
pub struct Agents {
    /// Database URL as in `tenure serve`: a new database, or one that this program has filled
    #[arg(long)]
    database: String,
    /// Sessions of all organizations together
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u32,
    /// Number of organizations
    #[arg(long, default_value_t = 1_000)]
    organizations: u32,
    /// Rounds for the totals; rows take ten times as many. The median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// A list, with the times of its parts in microseconds.
struct Case {
    name: &'static str,
    account: bool,
    filter: SessionFilter,
    rows: Vec<f64>,
    totals: Vec<f64>,
    total: u64,
}

impl Case {
    fn times(&mut self, part: Part) -> &mut Vec<f64> {
        match part {
            Part::Rows => &mut self.rows,
            Part::Total => &mut self.totals,
        }
    }
}

/// The sessions that are listed.
enum Reach {
    Organization(Granted<ViewSessions>),
    Account(GrantedAccount<ViewSessions>),
}

/// One part of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The sessions of the page: which they are, and their rows.
    Rows,
    /// The total.
    Total,
}

/// Measures all lists, and prints a table of medians and ratios.
pub async fn run(agents: Agents) -> Outcome {
    let store = Store::new(Database::open(&agents.database, OpenMode::Migrate, START.0).await?);
    let system = System::for_administration();
    let organizations = fill(&store, &system, &agents).await?;
    let own = Reach::Organization(system.grant(organizations[organizations.len() / 2]));
    let account = Reach::Account(system.grant_account());
    let index = load_index(&store, &system).await?;
    let mut cases = cases(&organizations);
    // The first rounds are not counted: they fill the caches and prepare the statements.
    for (part, first, rounds) in [(Part::Rows, 10, agents.rounds * 10), (Part::Total, 1, agents.rounds)] {
        for round in 0..first + rounds {
            for case in &mut cases {
                let reach = if case.account { &account } else { &own };
                let (time, total) = time_part(&store, &index, reach, &case.filter, part).await?;
                if round >= first {
                    case.times(part).push(time);
                }
                case.total = total;
            }
        }
    }
    report(&cases, &agents);
    store.database().close().await;
    Ok(())
}

/// Loads the summaries of all agent sessions into an index, as a server does when it starts.
async fn load_index(store: &Store, system: &System) -> Outcome<Index> {
    let (mut index, mut after, began) = (Index::default(), None, Instant::now());
    loop {
        let page = store.list_summaries(system, SessionKind::Agent, after, 10_000).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        page.into_iter().for_each(|summary| index.apply(summary));
    }
    index.shrink();
    let memory = index.memory();
    println!(
        "loaded {} sessions in {:.1} s; the index holds {:.0} bytes a session\n",
        memory.sessions,
        began.elapsed().as_secs_f64(),
        memory.bytes() as f64 / memory.sessions.max(1) as f64
    );
    Ok(index)
}

/// The time of one part of a list, in microseconds, and the number of rows or the total.
async fn time_part(
    store: &Store,
    index: &Index,
    reach: &Reach,
    filter: &SessionFilter,
    part: Part,
) -> Outcome<(f64, u64)> {
    let began = Instant::now();
    let found = match (reach, &filter.search) {
        (Reach::Organization(granted), Some(text)) => Some(store.search_agent_sessions(granted, text).await?),
        _ => None,
    };
    let scope = match reach {
        Reach::Organization(granted) => ListScope::Organization(granted.organization()),
        Reach::Account(_) => filter.account_scope(),
    };
    let filter = filter.to_filter(found);
    if part == Part::Total {
        let total = index.count(&scope, &filter, START);
        return Ok((began.elapsed().as_secs_f64() * 1e6, total));
    }
    let range = ListRange::Before { position: None, limit: PAGE };
    let keys = index.select(&scope, &filter, START, range).sessions.into_iter().map(|session| session.key);
    let loaded = match reach {
        Reach::Organization(granted) => {
            store.load_agent_sessions(granted, &keys.map(|key| key.id).collect::<Vec<_>>()).await?
        }
        Reach::Account(granted) => {
            store.load_account_agent_sessions(granted, &keys.collect::<Vec<_>>()).await?
        }
    };
    Ok((began.elapsed().as_secs_f64() * 1e6, loaded.items.len() as u64))
}

fn cases(organizations: &[OrganizationId]) -> Vec<Case> {
    let all = SessionFilter::default;
    let of = |count: usize| {
        let step = organizations.len() / count;
        Some(organizations.iter().step_by(step).take(count).copied().collect::<Vec<_>>())
    };
    let text = |text: &str| Some(text.to_owned());
    let some = |text: &str| Some(vec![text.to_owned()]);
    let late = TimeRange { from: Some(START + Span::minutes(60)), until: None };
    let one = |name, filter| case(name, false, filter);
    let account = |name, filter| case(name, true, filter);
    vec![
        one("organization", all()),
        account("account", all()),
        account("account, org_ids of 1", SessionFilter { organizations: of(1), ..all() }),
        account("account, org_ids of 10", SessionFilter { organizations: of(10), ..all() }),
        account(
            "account, include_deleted_orgs",
            SessionFilter { include_deleted_organizations: true, ..all() },
        ),
        one("tags", SessionFilter { tags: some("tag-3"), ..all() }),
        account("account, tags", SessionFilter { tags: some("tag-3"), ..all() }),
        account(
            "account, tags and org_ids of 10",
            SessionFilter { tags: some("tag-3"), organizations: of(10), ..all() },
        ),
        account("account, origins", SessionFilter { origins: some("slack"), ..all() }),
        account("account, category", SessionFilter { category: text(domain::agent::CATEGORIES[3]), ..all() }),
        account("account, playbook", SessionFilter { playbook: text("playbook-7"), ..all() }),
        account("account, user_ids", SessionFilter { owners: Some(vec![owner(7)]), ..all() }),
        account("account, created_after", SessionFilter { created: late, ..all() }),
        account("account, updated_after", SessionFilter { updated: late, ..all() }),
        account("account, repo_names", SessionFilter { repos: some("acme/repo-3"), ..all() }),
        account("account, is_archived", SessionFilter { archived: Some(true), ..all() }),
        account("account, status", SessionFilter { states: Some(vec![AgentState::New]), ..all() }),
        one("search", SessionFilter { search: text("session 777"), ..all() }),
        one("search, of all sessions", SessionFilter { search: text("session"), ..all() }),
        one("search, two letters", SessionFilter { search: text("77"), ..all() }),
    ]
}

fn case(name: &'static str, account: bool, filter: SessionFilter) -> Case {
    Case { name, account, filter, rows: Vec::new(), totals: Vec::new(), total: 0 }
}

fn report(cases: &[Case], agents: &Agents) {
    let median = |times: &[f64]| {
        let mut times = times.to_vec();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    println!(
        "{} sessions in {} organizations, pages of {PAGE}, medians of {} (rows) and {} (total):\n",
        agents.sessions,
        agents.organizations,
        agents.rounds * 10,
        agents.rounds
    );
    println!("| list | found | rows, ms | total, ms | rows to the organization's |\n|---|---|---|---|---|");
    let base = median(&cases[0].rows);
    for case in cases {
        let (rows, total) = (median(&case.rows), median(&case.totals));
        println!(
            "| {} | {} | {:.2} | {:.2} | {:.2} |",
            case.name,
            case.total,
            rows / 1e3,
            total / 1e3,
            rows / base
        );
    }
    println!("\nthe account, with org_ids and include_deleted_orgs: at most 1.5");
}

/// Creates organizations and assigns the sessions to them in turn, one second apart.
async fn fill(store: &Store, system: &System, agents: &Agents) -> Outcome<Vec<OrganizationId>> {
    let known = store.list_organizations(system).await?;
    if !known.is_empty() {
        return Ok(known.into_iter().map(|organization| organization.id).collect());
    }
    eprintln!("filling {} organizations with {} sessions", agents.organizations, agents.sessions);
    let mut workers = Vec::new();
    for number in 0..agents.organizations {
        let id = OrganizationId::new(START, rand::random());
        let name = format!("org {number}");
        let new = Organization { id, name, created: START, deleted: None, max_devices: None };
        store.create_organization(system, &new).await?;
        let agent =
            store.ensure_default_agent(&system.grant(id), AgentId::new(START, rand::random()), START).await?;
        workers.push(agent);
    }
    let workers = &workers;
    let mut imports = stream::iter(0..agents.sessions)
        .map(|number| async move {
            let agent = &workers[(number % agents.organizations) as usize];
            let at = START + Span::seconds(i64::from(number));
            store.import_agent_session(system, &new_session(agent, number, at), at).await
        })
        .buffer_unordered(AT_ONCE);
    while let Some(imported) = imports.next().await {
        imported?;
    }
    drop(imports);
    Ok(workers.iter().map(|agent| agent.organization).collect())
}

fn owner(number: u32) -> PrincipalId {
    PrincipalId(uuid::Uuid::from_u128(u128::from(number) + 1))
}

/// A session in its initial state.
pub fn new_session(agent: &Agent, number: u32, at: Micros) -> NewAgentSession {
    // A different number than the one that chooses the organization, so that each organization has sessions of every
    // kind.
    let other = number / 1_000 + number;
    let given = NewSession {
        owner: owner(other % 100),
        owner_kind: PrincipalKind::User,
        created_by: owner(other % 100),
        agent: agent.id,
        agent_name: agent.name.clone(),
        title: Some(format!("session {number}")),
        tags: vec![format!("tag-{}", other % 50), format!("team-{}", other % 7)],
        model: None,
        capabilities: Json::encode(&[(); 0]),
        origin: ["api", "slack", "webapp", "cli"][(other % 4) as usize].to_owned(),
        category: Some(domain::agent::CATEGORIES[(other % 12) as usize].to_owned()),
        subcategory: None,
        playbook: other.is_multiple_of(10).then(|| format!("playbook-{}", other % 100 / 10)),
        schedule: None,
        automation: None,
        repos: vec![format!("acme/repo-{}", other % 20)],
        parent: None,
        output_schema: None,
        max_acus: None,
        extra: Json::default(),
    };
    let mut session = AgentSession::new(agent.organization, SessionId::new(at, rand::random()), given);
    session.archived = other.is_multiple_of(10).then_some(at);
    NewAgentSession { session, changes: Vec::new(), parent: None, secrets: Vec::new() }
}
