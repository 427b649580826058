//! Checks, reads and writes detect damage, and writes end then.

use std::path::Path;
use store::database::{Batch, Database, DatabaseError, OpenMode, Statement};
use store::testing::{destroy_page, empty_sqlite, fresh_postgres, raw};

fn write() -> Batch {
    let sql = "UPDATE counters SET pruned = pruned + 0";
    let statements = vec![Statement { sql, values: Vec::new(), exactly_one: false }];
    Batch { statements, ..Batch::default() }
}

fn damaged<T>(outcome: Result<T, DatabaseError>) -> bool {
    matches!(outcome, Err(DatabaseError::Damaged(_)))
}

#[tokio::test]
async fn a_damaged_page_is_found_by_a_check_and_by_a_read_and_nothing_is_written_afterwards() {
    let place = empty_sqlite();
    let path = Path::new(place.url.strip_prefix("sqlite:").unwrap());
    let database = Database::open(&place.url, OpenMode::Migrate, 0).await.unwrap();
    database.check().await.unwrap();
    database.close().await;
    destroy_page(path, "messages");
    // The damaged rows are neither read nor written, so only a check notices.
    let database = Database::open(&place.url, OpenMode::Existing, 0).await.unwrap();
    database.apply(write()).await.unwrap();
    assert_eq!(database.damage_report(), None);
    assert!(damaged(database.check().await));
    assert!(database.damage_report().is_some());
    assert!(damaged(database.apply(write()).await), "no write after a check that found damage");
    database.close().await;
    let database = Database::open(&place.url, OpenMode::Existing, 0).await.unwrap();
    assert!(damaged(database.read("SELECT * FROM messages", Vec::new()).await));
    assert!(damaged(database.apply(write()).await), "no write after a read that met damage");
    database.close().await;
    // A write that touches the damage.
    let database = Database::open(&place.url, OpenMode::Existing, 0).await.unwrap();
    let statement = Statement { sql: "DELETE FROM messages", values: Vec::new(), exactly_one: false };
    let batch = Batch { statements: vec![statement], ..Batch::default() };
    assert!(damaged(database.apply(batch).await));
    assert!(database.damage_report().is_some() && damaged(database.apply(write()).await));
}

#[tokio::test]
async fn postgres_says_that_it_is_damaged() {
    let Some(db) = fresh_postgres().await else { return };
    let broken = "CREATE FUNCTION broken(code TEXT) RETURNS INTEGER LANGUAGE plpgsql AS
                  $$ BEGIN RAISE EXCEPTION 'invalid page in block 7' USING ERRCODE = code; END $$";
    raw(&db.url, broken).await.unwrap();
    let database = Database::open(&db.url, OpenMode::Existing, 0).await.unwrap();
    let other = database.read("SELECT broken('22012')", Vec::new()).await;
    assert!(matches!(other, Err(DatabaseError::Failed(_))) && database.damage_report().is_none());
    database.apply(write()).await.unwrap();
    assert!(damaged(database.read("SELECT broken('XX001')", Vec::new()).await));
    assert!(damaged(database.apply(write()).await));
    let again = Database::open(&db.url, OpenMode::Existing, 0).await.unwrap();
    assert!(damaged(again.read("SELECT broken('XX002')", Vec::new()).await));
}
