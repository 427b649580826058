//! A database of an older program opens, and one of a newer program is refused.

use crate::database::opening::schema_error;
use crate::world::{NOW, organization, system};
use domain::principal::Home;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::database::{Database, MIGRATIONS, Migration, OpenMode, SCHEMA_VERSION};
use store::testing::{TestPlace, empty_postgres, empty_sqlite, raw};
use store::{Attribution, NewAuditEntry, Store};

/// A database as the program with this schema wrote it.
pub fn written_by(version: i64, text: fn(&Migration) -> &'static str) -> String {
    let mut sql = String::from(
        "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
                                         applied_us BIGINT NOT NULL);",
    );
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= version) {
        let checksum: String =
            Sha256::digest(text(migration)).iter().map(|byte| format!("{byte:02x}")).collect();
        sql += text(migration);
        sql += &format!(
            "\n;INSERT INTO schema_migrations VALUES ({}, '{}', '{checksum}', 0);",
            migration.version, migration.name
        );
    }
    sql
}

async fn every_older_schema_opens(place: TestPlace, version: i64, text: fn(&Migration) -> &'static str) {
    let (nobody, mut sql) = ("00000000000000000000000000000000", written_by(version, text));
    let id = if place.url.starts_with("sqlite:") { format!("X'{nobody}'") } else { format!("'{nobody}'") };
    if (2..4).contains(&version) {
        sql += &format!("INSERT INTO audit VALUES ({id}, 1, 5, NULL, 'organization.create', 'x', '{{}}');");
    }
    write(&place, &sql).await;
    let refused = schema_error(Database::open(&place.url, OpenMode::Existing, 0).await);
    assert!(
        refused.contains("written by an older tenure") && refused.contains("tenure migrate"),
        "{refused}"
    );
    let store = Store::new(Database::open(&place.url, OpenMode::Migrate, NOW.0).await.unwrap());
    organization(&store).await;
    let line = NewAuditEntry::new(Attribution::TENURE, "x", "y", json!({}), NOW);
    store.record_audit_entry(&system(), &line).await.unwrap();
    let proof = store.verify_audit(&system(), None, None).await.unwrap().unwrap();
    let old = u64::from((2..4).contains(&version));
    assert_eq!((proof.entries, proof.unchained, proof.head.unwrap().sequence), (3, old, 3 + old as i64));
    let all = store.list_account_audit_entries(&system().grant_account(), None, 9).await.unwrap();
    assert_eq!(all.items.len() as u64, 3 + old);
    store.database().close().await;
    Database::open(&place.url, OpenMode::Existing, 0).await.unwrap().close().await;
    let newer = format!("INSERT INTO schema_migrations VALUES ({}, 'later', 'x', 0)", SCHEMA_VERSION + 1);
    write(&place, &newer).await;
    for mode in [OpenMode::Existing, OpenMode::Migrate] {
        let refused = schema_error(Database::open(&place.url, mode, 0).await);
        assert!(refused.contains("written by a newer tenure"), "{refused}");
    }
}

/// Service users as a program with schema 7 left them: one that another organization added, one that the command line
/// created, one that lost its membership, and one of the account that an organization added.
fn before_homes(place: &TestPlace) -> String {
    let id = |number: u32| match place.url.starts_with("sqlite:") {
        true => format!("X'{number:032}'"),
        false => format!("'{number:032}'"),
    };
    let organization = |number: u32| {
        format!(
            "INSERT INTO organizations (id, name, created_us) VALUES ({}, 'o{number}', 0);
                 INSERT INTO counters (organization, sequence, pruned) VALUES ({}, 0, 0);",
            id(number),
            id(number)
        )
    };
    let principal = |number: u32, kind: &str, role: &str, default: &str| {
        format!("INSERT INTO principals (id, number, kind, name, state, created_us, account_role, default_organization)
                 VALUES ({}, {number}, '{kind}', 'p{number}', 'active', 0, {role}, {default});", id(number))
    };
    let member = |organization: u32, number: u32, at: u32| {
        format!(
            "INSERT INTO members (organization, principal, role, created_us)
                 VALUES ({}, {}, 'admin', {at});",
            id(organization),
            id(number)
        )
    };
    [
        organization(21),
        organization(22),
        principal(11, "service_user", "NULL", &id(21)),
        member(22, 11, 1),
        member(21, 11, 2),
        principal(12, "service_user", "NULL", "NULL"),
        member(22, 12, 5),
        member(21, 12, 6),
        principal(13, "service_user", "NULL", &id(22)),
        principal(14, "service_user", "'admin'", "NULL"),
        member(21, 14, 1),
        principal(15, "user", "NULL", "NULL"),
        member(21, 15, 1),
        member(22, 15, 2),
    ]
    .concat()
}

async fn service_users_come_home(place: TestPlace, text: fn(&Migration) -> &'static str) {
    let sql = written_by(7, text) + &before_homes(&place);
    write(&place, &sql).await;
    let store = Store::new(Database::open(&place.url, OpenMode::Migrate, NOW.0).await.unwrap());
    let number = |id: uuid::Uuid| id.simple().to_string().trim_start_matches('0').to_owned();
    let homes = store.list_principals(&system()).await.unwrap().into_iter().map(|one| match one.home() {
        Some(Home::Organization(home)) => format!("{} at {}", one.name, number(home.0)),
        Some(Home::Account) => format!("{} of the account", one.name),
        None => format!("{} is a person", one.name),
    });
    let homes = homes.collect::<Vec<_>>();
    assert_eq!(homes, ["p11 at 21", "p12 at 22", "p13 at 22", "p14 of the account", "p15 is a person"]);
    let mut members = store.list_members(&system()).await.unwrap();
    members.sort_by_key(|(organization, principal, _)| (principal.0, organization.0));
    let members = members.iter().map(|(place, who, _)| format!("{} in {}", number(who.0), number(place.0)));
    assert_eq!(members.collect::<Vec<_>>(), ["11 in 21", "12 in 22", "15 in 21", "15 in 22"]);
    store.database().close().await;
}

#[tokio::test]
async fn service_users_come_home_in_sqlite() {
    service_users_come_home(empty_sqlite(), |migration| migration.sqlite).await;
}

#[tokio::test]
async fn service_users_come_home_in_postgres() {
    let Some(place) = empty_postgres().await else { return };
    service_users_come_home(place, |migration| migration.postgres).await;
}

async fn write(place: &TestPlace, sql: &str) {
    raw(&place.url, sql).await.unwrap();
}

#[tokio::test]
async fn older_sqlite() {
    for version in 1..SCHEMA_VERSION {
        every_older_schema_opens(empty_sqlite(), version, |migration| migration.sqlite).await;
    }
}

#[tokio::test]
async fn older_postgres() {
    for version in 1..SCHEMA_VERSION {
        let Some(place) = empty_postgres().await else { return };
        every_older_schema_opens(place, version, |migration| migration.postgres).await;
    }
}
