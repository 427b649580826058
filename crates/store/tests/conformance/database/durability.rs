//! Acknowledged batches survive whatever happens to the files, and no batch is written in part.

use crate::world::{NOW, bytes, system};
use domain::ids::OrganizationId;
use domain::organization::Organization;
use std::path::{Path, PathBuf};
use store::Store;
use store::database::{Database, OpenMode, Readers};
use store::testing::{TestDatabase, empty_sqlite, fresh_sqlite};

fn new(number: usize) -> Organization {
    let id = OrganizationId::new(NOW, bytes());
    Organization { id, name: format!("o{number:03}"), created: NOW, deleted: None, max_devices: None }
}

fn file(url: &str) -> PathBuf {
    url.strip_prefix("sqlite:").unwrap().into()
}

fn log(path: &Path) -> PathBuf {
    format!("{}-wal", path.display()).into()
}

/// The number of organizations in a database, each with its entry in a whole audit log.
async fn whole(url: &str) -> usize {
    let readers = Readers { sqlite: 1, postgres: 1, ..Readers::default() };
    let database = Database::open_with(url, OpenMode::Migrate, readers, NOW.0).await.unwrap();
    let store = Store::new(database);
    let made = store.list_organizations(&system()).await.unwrap();
    let mut names: Vec<&str> = made.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.iter().enumerate().all(|(number, name)| *name == format!("o{number:03}")), "{names:?}");
    let proof = store.verify_audit(&system(), None, None).await.unwrap().unwrap();
    assert_eq!(proof.entries, made.len() as u64, "each with its line");
    store.database().close().await;
    made.len()
}

/// A database with its log, and the length of the log after each acknowledged batch.
async fn written() -> (Vec<u8>, Vec<u8>, Vec<usize>) {
    let db = fresh_sqlite().await;
    let (store, path) = (Store::new(db.database.clone()), file(&db.url));
    let mut lengths = Vec::new();
    for number in 0..12 {
        store.create_organization(&system(), &new(number)).await.unwrap();
        lengths.push(std::fs::metadata(log(&path)).unwrap().len() as usize);
    }
    (std::fs::read(&path).unwrap(), std::fs::read(log(&path)).unwrap(), lengths)
}

/// A power cut may cut the log at any point, or leave anything at its end. The tables are in the log as well.
#[tokio::test]
async fn a_torn_log_has_everything_up_to_the_tear() {
    let (database, logged, lengths) = written().await;
    let near = lengths.iter().flat_map(|length| [length - 1, *length, (length + 1).min(logged.len())]);
    let mut cuts: Vec<usize> = near.chain((0..logged.len()).step_by(7499)).collect();
    cuts.sort_unstable();
    for (number, cut) in cuts.into_iter().enumerate() {
        let place = empty_sqlite();
        let path = file(&place.url);
        std::fs::write(&path, &database).unwrap();
        let mut torn = logged[..cut].to_vec();
        match number % 3 {
            // Blocks that were allocated but not written are zero.
            1 => torn.resize(logged.len(), 0),
            2 if cut < logged.len() => torn.extend(logged[cut..].iter().map(|byte| byte ^ 0x55)),
            _ => {}
        }
        std::fs::write(log(&path), torn).unwrap();
        let acknowledged = lengths.iter().filter(|length| **length <= cut).count();
        let found = whole(&place.url).await;
        // The log is filled up to a whole sector after a commit, so a batch may be there before its last byte is.
        let whole = found == acknowledged || found == acknowledged + 1;
        assert!(whole, "{found} of {acknowledged}, cut at {cut} of {}", logged.len());
    }
}

/// The server waits for another process that writes, and nothing is lost or done twice.
#[tokio::test(flavor = "multi_thread")]
async fn opening_waits_for_another_writer() {
    let db: TestDatabase = fresh_sqlite().await;
    let store = Store::new(db.database.clone());
    let other = rusqlite::Connection::open(file(&db.url)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.create_organization(&system(), &new(0)).await }
    });
    // Reads do not wait.
    for _ in 0..50 {
        assert!(store.list_organizations(&system()).await.unwrap().is_empty());
    }
    assert!(!waiting.is_finished());
    other.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
    drop(other);
    store.database().close().await;
    assert_eq!(whole(&db.url).await, 1);
}
