//! A database that the program of 484978e has left behind: service users that others took in, and a worker and a host
//! that connect with an administrator's key. `fixtures/make` made it with that program.

use crate::shell::Shell;
use std::os::unix::fs::PermissionsExt;
use store::testing::{TestPlace, empty_postgres, empty_sqlite, raw};

const SQLITE: &str = include_str!("../fixtures/schema-7.sqlite.sql");
const POSTGRES: &str = include_str!("../fixtures/schema-7.postgres.sql");

/// What an operator types who upgrades.
fn upgrade(place: &TestPlace) -> String {
    let mut shell = Shell::new(Some(&place.url));
    for line in ["migrate", "service-user list", "user list --org Acme", "user list --org Globex"] {
        shell.run(line);
    }
    shell.run("key list");
    shell.run("doctor");
    shell.run("audit verify");
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
