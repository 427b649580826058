//! Opening a database: what is created and what is refused. No error shows a password.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use store::database::{Database, DatabaseError, OpenMode, SCHEMA_VERSION};
use store::testing::{empty_postgres, empty_sqlite, fresh_postgres};

/// The message with which a database was refused for its schema.
pub fn schema_error(result: Result<Database, DatabaseError>) -> String {
    match result {
        Err(DatabaseError::Schema(text)) => text,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it opened"),
    }
}

#[tokio::test]
async fn existing_never_creates_a_file() {
    let place = empty_sqlite();
    let path = Path::new(place.url.strip_prefix("sqlite:").unwrap());
    let text = schema_error(Database::open(&place.url, OpenMode::Existing, 0).await);
    assert!(text.contains("there is no database at") && text.contains("tenure migrate"), "{text}");
    assert!(!path.exists());
    std::fs::write(path, "").unwrap();
    let text = schema_error(Database::open(&place.url, OpenMode::Existing, 0).await);
    assert!(text.contains("holds no data of tenure"), "{text}");
    assert_eq!(std::fs::metadata(path).unwrap().len(), 0, "nothing was written");
}

#[tokio::test]
async fn existing_refuses_an_empty_postgres() {
    let Some(place) = empty_postgres().await else { return };
    let text = schema_error(Database::open(&place.url, OpenMode::Existing, 0).await);
    assert!(text.contains("holds no data of tenure"), "{text}");
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let place = empty_sqlite();
    let url = place.url.replace("tenure.db", "a/b/tenure.db");
    let path = Path::new(url.strip_prefix("sqlite:").unwrap());
    let database = Database::open(&url, OpenMode::Migrate, 0).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path), 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(path.parent().unwrap().parent().unwrap()), 0o700);
    database.close().await;
    assert!(!path.with_extension("db-wal").exists(), "after closing, the file alone is the database");
}

#[tokio::test]
async fn unusable_places_are_refused_with_a_reason() {
    let place = empty_sqlite();
    let folder = Path::new(place.url.strip_prefix("sqlite:").unwrap()).parent().unwrap().to_owned();
    std::fs::write(folder.join("file"), "not a database, but something else that is long enough").unwrap();
    for (url, expected) in [
        (format!("sqlite:{}", folder.display()), "is not a file"),
        (format!("sqlite:{}/file", folder.display()), "file is not a database"),
        (format!("sqlite:{}/file/tenure.db", folder.display()), "cannot create the folder"),
    ] {
        let error = Database::open(&url, OpenMode::Migrate, 0).await.err().expect(&url).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_the_password() {
    for url in ["postgres://me:hush@127.0.0.1:1/data", "postgres://me:hush@%2Fnowhere/data?sslmode=require"] {
        let error = Database::open(url, OpenMode::Migrate, 0).await.err().unwrap().to_string();
        assert!(error.contains("cannot connect to PostgreSQL at") && error.contains("/data"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn require_does_not_fall_back_to_plain_text() {
    let Some(db) = fresh_postgres().await else { return };
    for mode in ["require", "verify-full"] {
        // The server of scripts/postgres does not encrypt.
        let opened = Database::open(&format!("{}?sslmode={mode}", db.url), OpenMode::Existing, 0).await;
        assert!(opened.is_err(), "{mode}");
    }
    Database::open(&format!("{}?sslmode=prefer", db.url), OpenMode::Existing, 0).await.unwrap();
}

both! {
    async fn a_schema_that_became_newer_is_seen(db: &TestDatabase) {
        let database = Database::open(&db.url, OpenMode::Existing, 0).await.unwrap();
        assert_eq!(database.newer_schema().await.unwrap(), None);
        let newer = format!("INSERT INTO schema_migrations VALUES ({}, 'later', 'x', 0)", SCHEMA_VERSION + 1);
        store::testing::raw(&db.url, &newer).await.unwrap();
        assert_eq!(database.newer_schema().await.unwrap(), Some(SCHEMA_VERSION + 1));
    }
}
