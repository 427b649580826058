//! Backups: written while servers write, restored as a whole or not at all.

use crate::shell::Shell;
use domain::ids::OrganizationId;
use domain::organization::Organization;
use domain::time::Micros;
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::testing::{MADE_US, TestPlace, empty_postgres, empty_sqlite};
use store::{Database, OpenMode, Store, System};

fn field(document: &str, name: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    document[name].as_str().unwrap().to_owned()
}

/// Makes backups and restores them, as an operator does.
fn back_up_and_restore(shell: &mut Shell) {
    shell.run("migrate");
    shell.run("admin org create Acme");
    shell.run("admin user create ana@example.com --org Acme --role admin");
    shell.run("admin key create --user ana@example.com --wire tenure --name laptop");
    shell.run("backup a.backup");
    shell.run("backup a.backup");
    shell.run("admin org create Later");
    shell.run("restore a.backup");
    shell.run("restore a.backup --force");
    shell.run("admin org list");
    shell.run("admin key list");
    shell.run("admin audit verify");
    shell.run("restore a.backup --force --keep-keys");
    shell.run("admin key list");
    let path = shell.folder().join("a.backup");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(shell.folder().join("flipped.backup"), bytes).unwrap();
    shell.run("restore flipped.backup --force");
    write_newer(&path, &shell.folder().join("newer.backup"));
    shell.run("restore newer.backup --force");
    shell.run("restore nothing.backup");
    shell.run("admin org list");
    let left = std::fs::read_dir(shell.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut left = left.filter(|name| name != "tenure-data").collect::<Vec<_>>();
    left.sort();
    assert_eq!(left, ["a.backup", "flipped.backup", "newer.backup"]);
}

/// Copies a backup as if a newer program had written it.
fn write_newer(from: &Path, to: &Path) {
    let bytes = std::fs::read(from).unwrap();
    let end = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let schema = format!("\"schema\":{}", store::database::SCHEMA_VERSION);
    assert!(head.contains(&schema));
    let mut other = head.replace(&schema, "\"schema\":99").into_bytes();
    other.extend(&bytes[end..bytes.len() - 32]);
    let sum = Sha256::digest(&other);
    other.extend(sum.iter());
    std::fs::write(to, other).unwrap();
}

#[test]
fn backup_sqlite() {
    let mut shell = Shell::new(None);
    back_up_and_restore(&mut shell);
    let mut key = std::fs::File::create(shell.folder().join("tenure-data/master.key")).unwrap();
    std::io::Write::write_all(&mut key, format!("1 {}\n", "07".repeat(32)).as_bytes()).unwrap();
    std::fs::create_dir_all(shell.folder().join("tenure-data/files/a")).unwrap();
    std::fs::write(shell.folder().join("tenure-data/files/a/b"), "file").unwrap();
    std::fs::create_dir_all(shell.folder().join("tenure-data/keys")).unwrap();
    std::fs::write(shell.folder().join("tenure-data/keys/signing-key.json"), "{}").unwrap();
    shell.run("backup whole.backup --with-master-key");
    std::fs::rename(shell.folder().join("tenure-data"), shell.folder().join("lost")).unwrap();
    std::fs::create_dir_all(shell.folder().join("tenure-data/keys")).unwrap();
    std::fs::copy(
        shell.folder().join("lost/keys/signing-key.json"),
        shell.folder().join("tenure-data/keys/signing-key.json"),
    )
    .unwrap();
    shell.run("restore whole.backup");
    let key = std::fs::read(shell.folder().join("tenure-data/master.key")).unwrap();
    assert_eq!(key, std::fs::read(shell.folder().join("lost/master.key")).unwrap());
    assert!(!shell.folder().join("tenure-data/keys/signing-key.json").exists());
    let mode = |name: &str| shell.folder().join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("tenure-data/tenure.db"), mode("tenure-data/master.key")), (0o600, 0o600));
    insta::assert_snapshot!("backup_sqlite", shell.transcript());
}

#[tokio::test]
async fn backup_postgres() {
    let Some(place) = empty_postgres().await else { return };
    let transcript = tokio::task::spawn_blocking(move || {
        let mut shell = Shell::new(Some(&place.url));
        back_up_and_restore(&mut shell);
        shell.run("restore a.backup --database sqlite:other.db");
        shell.transcript()
    });
    insta::assert_snapshot!("backup_postgres", transcript.await.unwrap());
}

fn organization(number: u32) -> Organization {
    let id = OrganizationId::new(Micros(MADE_US + i64::from(number)), [7; 10]);
    Organization {
        id,
        name: format!("o{number}"),
        created: Micros(MADE_US),
        deleted: None,
        max_devices: None,
    }
}

/// A backup of a database that is being written is consistent: it has an organization and its audit entry, or neither.
async fn under_load(place: TestPlace, others: Vec<TestPlace>) {
    let shell = Shell::new(Some(&place.url));
    let store = Store::new(Database::open(&place.url, OpenMode::Migrate, MADE_US).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = stop.clone();
    let writer = tokio::spawn(async move {
        let mut number = 0;
        while !stopping.load(Ordering::SeqCst) {
            let many = (0..16).map(|more| organization(number + more)).collect::<Vec<_>>();
            let system = System::for_administration();
            let made = many.iter().map(|one| store.create_organization(&system, one));
            futures_util::future::join_all(made).await.into_iter().for_each(Result::unwrap);
            number += 16;
        }
        store.database().close().await;
        number
    });
    let (folder, mut shell) = (shell.folder().to_owned(), shell);
    let mut counts = Vec::new();
    for (number, other) in others.iter().enumerate() {
        let (url, file) = (other.url.clone(), format!("{number}.backup"));
        (shell, counts) = tokio::task::spawn_blocking(move || {
            let lines = shell.run(&format!("backup {file} --json"));
            let head = field(&lines, "audit");
            shell.run(&format!("restore {file} --database {url}"));
            let whole = shell.run(&format!("admin audit verify --json --against {head} --database {url}"));
            assert!(whole.contains("\"lines\""), "{}", shell.transcript());
            let exported = shell.run(&format!("admin audit export --database {url}"));
            let noted = exported.matches("organization.create").count();
            let listed = shell.run(&format!("admin org list --json --database {url}"));
            assert_eq!(noted, listed.matches("\"name\"").count());
            counts.push(noted);
            (shell, counts)
        })
        .await
        .unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let last = writer.await.unwrap();
    assert!(counts.is_sorted() && counts[counts.len() - 1] <= last as usize, "{counts:?} of {last}");
    assert!(folder.join("0.backup").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_under_load_sqlite() {
    under_load(empty_sqlite(), (0..3).map(|_| empty_sqlite()).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_under_load_postgres() {
    let Some(place) = empty_postgres().await else { return };
    under_load(place, vec![empty_postgres().await.unwrap(), empty_postgres().await.unwrap()]).await;
}

/// A restore that is killed at any moment has either happened as a whole or not begun.
fn kill_restores(place: &TestPlace, moments: &[&dyn Fn(&Path) -> bool]) {
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("admin org create Acme");
    shell.run("admin user create ana@example.com --org Acme --role admin");
    shell.run("admin key create --user ana@example.com --wire tenure");
    for number in 0..40 {
        shell.run(&format!("admin org create filler-{number}"));
    }
    shell.run("backup a.backup");
    shell.run("admin org create Later");
    let database = place.url.strip_prefix("sqlite:").map_or_else(|| shell.folder().to_owned(), Into::into);
    let mut outcomes = Vec::new();
    for moment in moments {
        // Files that earlier killed restores left.
        for entry in std::fs::read_dir(shell.folder()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("tenure-restore-") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        let mut command = shell.command(&["restore", "a.backup", "--force"]);
        let mut running = command.env("TMPDIR", shell.folder()).process_group(0).spawn().unwrap();
        while running.try_wait().unwrap().is_none() && !moment(&database) {
            std::thread::yield_now();
        }
        // With its child processes.
        let group = format!("-{}", running.id());
        let _ = std::process::Command::new("kill").args(["-9", "--", &group]).output();
        running.wait().unwrap();
        // PostgreSQL may still be finishing a statement: read until two results agree.
        let (later, revoked) = loop {
            let before = shell.run("admin audit export");
            let keys: serde_json::Value = serde_json::from_str(&shell.run("admin key list --json")).unwrap();
            let newest = keys.as_array().unwrap().last().unwrap();
            if shell.run("admin audit export") == before {
                break (before.contains("Later"), !newest["revokedAt"].is_null());
            }
        };
        assert_eq!(later, !revoked, "all of it or nothing\n{}", shell.transcript());
        assert!(shell.run("admin audit verify").contains("is intact"));
        outcomes.push(later);
        if !later {
            shell.run("admin org create Later");
            shell.run("admin key create --user ana@example.com --wire tenure");
        }
    }
    assert!(outcomes[0], "the first was killed before it did anything");
    let done = shell.run("restore a.backup --force");
    assert!(done.contains("Restored"), "{}", shell.transcript());
    assert!(!shell.run("admin org list").contains("Later"));
}

#[test]
fn killed_sqlite() {
    let place = empty_sqlite();
    let there =
        |end: &'static str| move |path: &Path| Path::new(&format!("{}{end}", path.display())).exists();
    let (staged, log, kept) = (there(".restoring"), there(".restoring-wal"), there(".replaced"));
    kill_restores(&place, &[&|_| true, &staged, &log, &kept]);
}

#[tokio::test]
async fn killed_postgres() {
    let Some(place) = empty_postgres().await else { return };
    let scripts = |ends: &'static str| {
        move |folder: &Path| {
            let entries = std::fs::read_dir(folder).unwrap().flatten();
            entries
                .map(|entry| entry.file_name().into_string().unwrap_or_default())
                .any(|name| name.starts_with("tenure-restore-") && name.ends_with(ends))
        }
    };
    let (dump, script) = (scripts(".dump"), scripts(".sql"));
    tokio::task::spawn_blocking(move || kill_restores(&place, &[&|_| true, &dump, &script])).await.unwrap();
}

#[tokio::test]
async fn a_database_in_use_is_not_replaced() {
    let place = empty_sqlite();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("backup a.backup");
    let server = Database::open(&place.url, OpenMode::Existing, 0).await.unwrap();
    shell.run("restore a.backup --force");
    assert!(shell.transcript().contains("is in use: stop the server first"), "{}", shell.transcript());
    server.close().await;
    assert!(shell.run("restore a.backup --force").contains("Restored"));
    // A damaged database is replaced, with its log.
    let path = place.url.strip_prefix("sqlite:").unwrap();
    // Longer than a page: SQLite would otherwise start a new database and delete the log.
    std::fs::write(path, "this was a database once, and is not one now".repeat(500)).unwrap();
    std::fs::write(format!("{path}-wal"), "nor is this its log").unwrap();
    assert!(shell.run("restore a.backup --force").contains("Restored"), "{}", shell.transcript());
    assert!(shell.run("admin audit verify").contains("is intact"));
    assert_eq!(std::fs::read(format!("{path}.replaced-wal")).unwrap(), b"nor is this its log");
}
