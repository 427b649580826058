//! The data of the scenarios, created once and kept in a folder.

use super::Unfair;
use crate::agents::new_session;
use crate::{Outcome, seed};
use domain::ids::AgentId;
use domain::permission::Role;
use domain::time::{Micros, Span};
use futures_util::stream::{self, StreamExt};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use store::{Database, OpenMode, Store, System};

/// Number of concurrent imports.
const AT_ONCE: usize = 256;
/// 2026-01-01.
const START: Micros = Micros(1_767_225_600_000_000);
/// Sessions of the tenant.
const OWN: u32 = 1_000;
/// A member of an organization, with a role and a number of keys.
type Member = (&'static str, Role, usize);
/// The organizations and their members.
const PEOPLE: [(&str, &[Member]); 3] = [
    ("Tenant", &[("tenant", Role::Readwrite, 1)]),
    ("Big", &[("search", Role::Readonly, 1)]),
    (
        "Crowd",
        &[("subscribers", Role::Readonly, 4), ("member", Role::Readwrite, 1), ("worker", Role::Worker, 1)],
    ),
];

/// The data of one folder.
pub struct Data {
    /// The database URL.
    pub database: String,
    /// The server's certificate; its private key is `key.pem` in the same folder.
    pub certificate: PathBuf,
    /// The tenant's API key.
    pub tenant: String,
}

/// The path of the certificate in a folder.
pub fn certificate(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

/// The API keys in a folder, by their owners' names. They are valid in every database that was filled from it.
pub fn keys(folder: &Path) -> Outcome<HashMap<String, Vec<String>>> {
    let text = std::fs::read_to_string(folder.join("keys"))?;
    let mut keys: HashMap<String, Vec<String>> = HashMap::new();
    for (name, key) in text.lines().filter_map(|line| line.split_once(' ')) {
        keys.entry(name.to_owned()).or_default().push(key.to_owned());
    }
    Ok(keys)
}

/// Creates everything that is missing. Each database needs its own folder.
pub async fn prepare(unfair: &Unfair) -> Outcome<Data> {
    std::fs::create_dir_all(&unfair.data)?;
    let folder = unfair.data.canonicalize()?;
    let own = || format!("sqlite:{}", folder.join("tenure.db").display());
    let database = unfair.database.clone().unwrap_or_else(own);
    let certificate = certificate(&folder);
    if !folder.join("keys").exists() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
        fill(&database, unfair.sessions, &folder).await?;
    }
    let tenant = keys(&folder)?.remove("tenant").and_then(|mut keys| keys.pop());
    Ok(Data { database, certificate, tenant: tenant.ok_or("the tenant has no key")? })
}

async fn fill(database: &str, sessions: u32, folder: &Path) -> Outcome {
    eprintln!("filling {database} with {sessions} sessions; this takes minutes, once");
    let store = Store::new(Database::open(database, OpenMode::Migrate, START.0).await?);
    let system = System::for_administration();
    let mut keys = String::new();
    for (name, members) in PEOPLE {
        let organization = seed::create_organization(&store, &system, name).await?;
        for (member, role, count) in members {
            let owner = seed::create_member(&store, &system, organization, member, *role).await?;
            for _ in 0..*count {
                writeln!(keys, "{member} {}", seed::create_key(&store, &system, organization, owner).await?)?;
            }
        }
        let granted = system.grant(organization);
        let agent = store.ensure_default_agent(&granted, AgentId::new(START, rand::random()), START).await?;
        let count = [("Tenant", OWN), ("Big", sessions)].into_iter().find(|(known, _)| *known == name);
        let (store, system, agent) = (&store, &system, &agent);
        let mut imports = stream::iter(0..count.map_or(0, |(_, count)| count))
            .map(|number| async move {
                let at = START + Span::seconds(i64::from(number));
                store.import_agent_session(system, &new_session(agent, number, at), at).await
            })
            .buffer_unordered(AT_ONCE);
        while let Some(imported) = imports.next().await {
            imported?;
        }
    }
    store.database().close().await;
    // Written last: a folder without keys is filled again.
    std::fs::write(folder.join("keys"), keys)?;
    Ok(())
}
