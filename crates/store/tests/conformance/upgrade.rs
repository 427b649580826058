//! What an older program wrote opens, and what a newer one wrote is refused.

use crate::audit::raw;
use crate::opening::schema_error;
use crate::world::{NOW, organization, system};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::database::{Database, MIGRATIONS, Migration, OpenMode, SCHEMA_VERSION};
use store::testing::{TestPlace, empty_postgres, empty_sqlite};
use store::{By, NewAuditLine, Store};

/// What a database is that the program of a schema wrote.
fn written_by(version: i64, text: fn(&Migration) -> &'static str) -> String {
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
    let line = NewAuditLine::new(By::NOBODY, "x", "y", json!({}), NOW);
    store.audit_note(&system(), &line).await.unwrap();
    let proof = store.verify_audit(&system(), None, None).await.unwrap().unwrap();
    let old = u64::from((2..4).contains(&version));
    assert_eq!((proof.lines, proof.unchained, proof.head.unwrap().sequence), (3, old, 3 + old as i64));
    let all = store.audit_lines_account(&system().account(), None, 9).await.unwrap();
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
