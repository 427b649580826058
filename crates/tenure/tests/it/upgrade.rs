//! A database that the program of commit 484978e wrote: service users with memberships in other organizations, and a worker
//! and a host with an administrator's key. `fixtures/make` created it with that program.

use crate::shell::Shell;
use std::os::unix::fs::PermissionsExt;
use store::testing::{TestPlace, empty_postgres, empty_sqlite, raw};

const SQLITE: &str = include_str!("../fixtures/schema-7.sqlite.sql");
const POSTGRES: &str = include_str!("../fixtures/schema-7.postgres.sql");

/// Runs what an operator runs after an upgrade.
fn upgrade(place: &TestPlace) -> String {
    let mut shell = Shell::new(Some(&place.url));
    for line in
        ["migrate", "admin service-user list", "admin user list --org Acme", "admin user list --org Globex"]
    {
        shell.run(line);
    }
    shell.run("admin key list");
    shell.run("doctor");
    shell.run("admin audit verify");
    shell.transcript()
}

#[tokio::test]
async fn upgrade_sqlite() {
    let place = empty_sqlite();
    raw(&place.url, SQLITE).await.unwrap();
    let file = place.url.strip_prefix("sqlite:").unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    insta::assert_snapshot!("upgrade", tokio::task::spawn_blocking(move || upgrade(&place)).await.unwrap());
}

#[tokio::test]
async fn upgrade_postgres() {
    let Some(place) = empty_postgres().await else { return };
    raw(&place.url, POSTGRES).await.unwrap();
    insta::assert_snapshot!("upgrade", tokio::task::spawn_blocking(move || upgrade(&place)).await.unwrap());
}
