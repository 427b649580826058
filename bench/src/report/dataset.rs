//! The data set: its organizations, people and agents, and the sessions. It is made once and kept.

use super::sessions::{login, organization_session};
use super::{Server, random::Random};
use crate::Outcome;
use domain::agent::Agent;
use domain::ids::{AgentId, OrganizationId, PrincipalId};
use domain::json::Json;
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::time::{Micros, Span};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;
use store::database::SCHEMA_VERSION;
use store::testing::bulk::{Bulk, PastSession, recreate_database};
use store::{Database, OpenMode, Store, System};

/// 2026-01-01.
pub const START: Micros = Micros(1_767_225_600_000_000);
/// The time between the first session and the last one: until 2026-11-29.
pub const SPAN: Span = Span::minutes(332 * 24 * 60);
/// Entries of the change feed are younger than this. A sweep has deleted the others.
const FEED: Span = Span::minutes(7 * 24 * 60);
/// Number of concurrent writes of people.
const AT_ONCE: usize = 256;
/// Sessions that are made at a time.
const CHUNK: usize = 5_000;
/// Names of the agents of an organization.
pub const AGENTS: [&str; 3] = ["builder", "reviewer", "tester"];
/// Login sessions of the person with few, and of the person with a page.
pub const LOGINS: [(&str, u64); 2] = [(FEW, 20), (PAGE, 100)];
/// The person with 20 login sessions, who is a member of the largest organization.
pub const FEW: &str = "few@bench.example";
/// The person with 100 login sessions.
pub const PAGE: &str = "page@bench.example";

/// An organization of the data set.
pub struct Place {
    /// Its number; the largest one has number 0.
    pub number: u64,
    /// Its id.
    pub id: OrganizationId,
    /// Number of device and agent sessions together.
    pub sessions: u64,
    /// Its members.
    pub members: Vec<PrincipalId>,
    /// Its agents.
    pub agents: Vec<AgentId>,
}

/// What is where in a data set.
#[derive(Serialize, Deserialize)]
pub struct Manifest {
    /// Number of sessions.
    pub sessions: u64,
    /// The database.
    pub database: String,
    /// The largest organization.
    pub largest: OrganizationId,
    /// How long it took to load, in seconds.
    pub load_seconds: f64,
}

/// The data set of a size, which is made if it does not exist. `folder` has the data sets of all sizes.
pub async fn prepare(server: &Server, folder: &Path, sessions: u64) -> Outcome<Manifest> {
    let name = folder_name(server, sessions);
    let own = folder.join(&name);
    std::fs::create_dir_all(&own)?;
    let manifest = own.join("manifest.json");
    if let Ok(text) = std::fs::read(&manifest) {
        return Ok(serde_json::from_slice(&text)?);
    }
    eprintln!("loading {sessions} sessions into {name}");
    let made = make(server, &own, &format!("bench_{sessions}_{SCHEMA_VERSION}"), sessions).await?;
    eprintln!("loaded in {:.0} s", made.load_seconds);
    // Written last: a data set without it is made again.
    std::fs::write(manifest, serde_json::to_vec_pretty(&made)?)?;
    Ok(made)
}

/// A data set that is made again each time, for cases that change it.
pub async fn prepare_anew(server: &Server, folder: &Path, name: &str, sessions: u64) -> Outcome<Manifest> {
    let own = folder.join(format!("{}-{name}", server.kind()));
    std::fs::create_dir_all(&own)?;
    make(server, &own, &format!("bench_{}", name.replace('-', "_")), sessions).await
}

async fn make(server: &Server, own: &Path, name: &str, sessions: u64) -> Outcome<Manifest> {
    let database = match server {
        Server::Sqlite => format!("sqlite:{}", empty_file(own)?.display()),
        Server::Postgres(url) => recreate_database(url, name).await?,
    };
    let began = Instant::now();
    let largest = load(&database, sessions).await?;
    Ok(Manifest { sessions, database, largest, load_seconds: began.elapsed().as_secs_f64() })
}

/// The name of the folder of a data set.
pub fn folder_name(server: &Server, sessions: u64) -> String {
    format!("{}-{sessions}-schema{SCHEMA_VERSION}", server.kind())
}

fn empty_file(folder: &Path) -> Outcome<PathBuf> {
    let file = folder.canonicalize()?.join("tenure.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
    }
    Ok(file)
}

async fn load(database: &str, sessions: u64) -> Outcome<OrganizationId> {
    let store = Store::new(Database::open(database, OpenMode::Migrate, START.0).await?);
    let (places, people) = make_places(&store, sessions).await?;
    store.database().close().await;
    let mut bulk = Bulk::begin(database, START + SPAN - FEED).await?;
    write_logins(&mut bulk, sessions, &places, &people).await?;
    for place in &places {
        write(&mut bulk, place.sessions, |number| organization_session(place, number)).await?;
    }
    eprintln!("building indexes");
    bulk.finish().await?;
    Ok(places[0].id)
}

async fn write(bulk: &mut Bulk, count: u64, make: impl Fn(u64) -> PastSession) -> Outcome {
    let mut chunk = Vec::with_capacity(CHUNK);
    for number in 0..count {
        chunk.push(make(number));
        if chunk.len() == CHUNK || number + 1 == count {
            bulk.write(&chunk).await?;
            chunk.clear();
        }
    }
    Ok(())
}

/// A fifth of all sessions: those of the two people with a given number, and of all members.
async fn write_logins(bulk: &mut Bulk, sessions: u64, places: &[Place], people: &[PrincipalId]) -> Outcome {
    let members = places.iter().flat_map(|place| place.members.iter().copied()).collect::<Vec<_>>();
    let total = logins(sessions);
    let own: u64 = LOGINS.iter().map(|(_, count)| count).sum();
    write(bulk, total, |number| {
        // The last ones belong to the two people.
        let left = total - number;
        let owner = match left {
            left if left <= LOGINS[0].1 => Some(people[0]),
            left if left <= own => Some(people[1]),
            _ => None,
        };
        login(number, total, owner, &members)
    })
    .await
}

/// Number of login sessions.
fn logins(sessions: u64) -> u64 {
    sessions / 5
}

/// Number of sessions of each organization, the largest first: it has a tenth of all.
fn sizes(sessions: u64) -> Vec<u64> {
    let count = (sessions / 1_000).clamp(10, 1_000);
    let weights = (1..count).map(|number| (number as f64 + 3.0).powf(-0.7)).collect::<Vec<_>>();
    let total: f64 = weights.iter().sum();
    let largest = sessions / 10;
    let rest = (sessions - logins(sessions) - largest) as f64;
    std::iter::once(largest).chain(weights.iter().map(|weight| (weight / total * rest) as u64)).collect()
}

/// Creates all organizations with their members and agents, and the two people with a given number of logins.
async fn make_places(store: &Store, sessions: u64) -> Outcome<(Vec<Place>, Vec<PrincipalId>)> {
    let system = System::for_administration();
    let mut places = Vec::new();
    for (number, sessions) in (0..).zip(sizes(sessions)) {
        let mut random = Random::new(number);
        let id = OrganizationId::new(START + Span(number as i64), random.bytes());
        let name = format!("Organization {number}");
        let new = Organization { id, name, created: START, deleted: None, max_devices: None };
        store.create_organization(&system, &new).await?;
        let mut agents = Vec::new();
        for name in AGENTS {
            let agent = AgentId::new(START, random.bytes());
            store.create_agent(&system.grant(id), &new_agent(id, agent, name)).await?;
            agents.push(agent);
        }
        let count = (sessions / 200).clamp(2, 1_000);
        let members = (0..count).map(|_| PrincipalId::new(START, random.bytes())).collect();
        places.push(Place { number, id, sessions, members, agents });
    }
    let members = places.iter().flat_map(|place| {
        let members = (0u64..).zip(&place.members);
        members.map(|(member, id)| (place.id, *id, format!("member{member}-{}@bench.example", place.number)))
    });
    let mut random = Random::new(u64::MAX);
    let people =
        LOGINS.map(|(email, _)| (places[0].id, PrincipalId::new(START, random.bytes()), email.to_owned()));
    let all = people.iter().cloned().chain(members).collect::<Vec<_>>();
    let (store, system) = (&store, &system);
    let mut creates = stream::iter(all)
        .map(|(organization, id, email)| async move {
            let member = Some((organization, Role::Readwrite));
            store.create_principal(system, &new_person(id, email), None, member).await
        })
        .buffered(AT_ONCE);
    while let Some(created) = creates.next().await {
        created?;
    }
    drop(creates);
    Ok((places, people.map(|(_, id, _)| id).to_vec()))
}

fn new_agent(organization: OrganizationId, id: AgentId, name: &str) -> Agent {
    Agent {
        organization,
        id,
        name: name.to_owned(),
        display_name: None,
        description: None,
        system_prompt: String::new(),
        model: None,
        tags: Vec::new(),
        capabilities: Json::encode(&[(); 0]),
        created: START,
        updated: START,
    }
}

fn new_person(id: PrincipalId, email: String) -> Principal {
    Principal {
        id,
        number: 0,
        kind: PrincipalKind::User,
        name: email.split('@').next().unwrap_or_default().to_owned(),
        email: Some(email),
        state: PrincipalState::Active,
        created: START,
        account_role: None,
        default_organization: None,
    }
}
