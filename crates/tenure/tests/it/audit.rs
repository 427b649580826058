//! The audit log on the command line.

use crate::shell::Shell;
use store::testing::{empty_sqlite, fresh_postgres};

/// Hashes and heads differ from run to run.
fn plain(transcript: &str) -> String {
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
    shell.run("audit checkpoint");
    shell.run("audit verify");
    shell.run("org create Acme");
    shell.run("org set Acme --max-devices 5");
    shell.run("user create ana@example.com --org Acme --role admin");
    shell.run("user suspend ana@example.com");
    let head = shell.run("audit checkpoint").trim().to_owned();
    shell.run("audit verify");
    shell.run("audit export");
    shell.run("audit export --since 2020-01-01 --format csv");
    shell.run("audit export --until 2020-01-01T00:00:00Z");
    shell.run(&format!("audit verify --json --against {head}"));
    shell.run(&format!("audit verify --against {}", head.replace(":4:", ":5:")));
    shell.run("audit verify --against 4711");
    (plain(&shell.transcript()), head)
}

#[test]
fn audit_sqlite() {
    let place = empty_sqlite();
    let (transcript, head) = audit(&place.url);
    insta::assert_snapshot!("audit", transcript);
    // The program says where somebody changed it, and fails.
    let path = place.url.strip_prefix("sqlite:").unwrap();
    let changed = "DROP TRIGGER audit_not_changed; UPDATE audit SET thing = 'x' WHERE sequence = 2";
    rusqlite::Connection::open(path).unwrap().execute_batch(changed).unwrap();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("audit verify");
    shell.run(&format!("audit verify --against {head}"));
    insta::assert_snapshot!("audit_changed", plain(&shell.transcript()));
}

#[tokio::test]
async fn audit_postgres() {
    let Some(database) = fresh_postgres().await else { return };
    let url = database.url.clone();
    let (transcript, _) = tokio::task::spawn_blocking(move || audit(&url)).await.unwrap();
    insta::assert_snapshot!("audit", transcript);
}
