//! The audit log on the command line.

use crate::shell::Shell;
use store::testing::{empty_sqlite, fresh_postgres};

/// Replaces hashes, which differ between runs.
fn replace_hashes(transcript: &str) -> String {
    let hash = |word: &str| word.len() == 64 && word.chars().all(|letter| letter.is_ascii_hexdigit());
    let mut text = transcript.to_owned();
    for word in transcript.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| hash(word)) {
        text = text.replace(word, "<hash>");
    }
    text
}

fn audit(url: &str) -> (String, String) {
    let mut shell = Shell::new(Some(url));
    shell.run("migrate");
    shell.run("admin audit checkpoint");
    shell.run("admin audit verify");
    shell.run("admin org create Acme");
    shell.run("admin org set Acme --max-devices 5");
    shell.run("admin user create ana@example.com --org Acme --role admin");
    shell.run("admin user suspend ana@example.com");
    let head = shell.run("admin audit checkpoint").trim().to_owned();
    shell.run("admin audit verify");
    shell.run("admin audit export");
    shell.run("admin audit export --since 2020-01-01 --format csv");
    shell.run("admin audit export --until 2020-01-01T00:00:00Z");
    shell.run(&format!("admin audit verify --json --against {head}"));
    shell.run(&format!("admin audit verify --against {}", head.replace(":4:", ":5:")));
    shell.run("admin audit verify --against 4711");
    (replace_hashes(&shell.transcript()), head)
}

#[test]
fn audit_sqlite() {
    let place = empty_sqlite();
    let (transcript, head) = audit(&place.url);
    insta::assert_snapshot!("audit", transcript);
    // The program names the changed entry, and fails.
    let path = place.url.strip_prefix("sqlite:").unwrap();
    let changed = "DROP TRIGGER audit_not_changed; UPDATE audit SET thing = 'x' WHERE sequence = 2";
    rusqlite::Connection::open(path).unwrap().execute_batch(changed).unwrap();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("admin audit verify");
    shell.run(&format!("admin audit verify --against {head}"));
    insta::assert_snapshot!("audit_changed", replace_hashes(&shell.transcript()));
}

#[tokio::test]
async fn audit_postgres() {
    let Some(database) = fresh_postgres().await else { return };
    let url = database.url.clone();
    let (transcript, _) = tokio::task::spawn_blocking(move || audit(&url)).await.unwrap();
    insta::assert_snapshot!("audit", transcript);
}
