//! The findings of `tenure doctor`.

use crate::shell::Shell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

fn chmod(shell: &Shell, path: &str, mode: u32) {
    std::fs::set_permissions(shell.folder().join(path), Permissions::from_mode(mode)).unwrap();
}

#[test]
fn problems_are_reported_with_what_to_do() {
    let mut shell = Shell::new(None);
    shell.run("doctor");
    shell.run("migrate");
    shell.run("admin org create Acme");
    shell.run("doctor");
    shell.run("backup a.backup");
    shell.run("doctor --backup a.backup --json");
    // Break one thing after another.
    std::fs::write(shell.folder().join("tenure-data/master.key"), "1 00\n").unwrap();
    chmod(&shell, "tenure-data", 0o777);
    chmod(&shell, "tenure-data/tenure.db", 0o644);
    chmod(&shell, "tenure-data/master.key", 0o640);
    std::fs::create_dir(shell.folder().join("tenure-data/keys")).unwrap();
    std::fs::write(shell.folder().join("tenure-data/keys/signing-key.json"), "{}").unwrap();
    chmod(&shell, "tenure-data/keys/signing-key.json", 0o600);
    chmod(&shell, "tenure-data/keys", 0o700);
    std::fs::write(shell.folder().join("a.backup"), "cut off").unwrap();
    let connection = rusqlite::Connection::open(shell.folder().join("tenure-data/tenure.db")).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER audit_not_changed; UPDATE audit SET details = '{\"name\":\"Other\"}' WHERE sequence = 1;
             INSERT INTO secrets (organization, session_us, name, ciphertext, sensitive)
                 VALUES (X'0192f3a4000070008000000000000009', 1, 'TOKEN', X'0100', 1);
             INSERT INTO second_factors (principal, sealed, created_us, used_step)
                 VALUES (X'0192f3a4000070008000000000000009', X'0100', 1, 0);
             INSERT INTO holds (organization, session_us, id, session_tail, principal, state, position, filters, platform,
                                requested_us, activity_us)
                 VALUES (X'0192f3a4000070008000000000000009', 1, X'0192f3a4000070008000000000000009', 1,
                         X'0192f3a4000070008000000000000009', 'pending', 1, '[]', 'ios', 1, 1);
             INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, activity_us)
                 VALUES (X'00000000000000000000000000000001', 'login', 4102444800000000, 1,
                         X'0192f3a4000070008000000000000009', 1, 1)",
        )
        .unwrap();
    drop(connection);
    let words = ["doctor", "--backup", "a.backup"];
    let mut command = shell.command(&words);
    command.env("TENURE_PROBE_RECOVERABLE_TOKENS", "true").env("TENURE_PASSWORD_MIN", "6");
    command.env("TENURE_INSECURE_HTTP", "true").env("TENURE_LISTEN", "0.0.0.0:7420");
    let output = command.output().unwrap();
    shell.record(&words, &output);
    // The master key of another server.
    std::fs::write(shell.folder().join("tenure-data/master.key"), format!("1 {}\n", "07".repeat(32)))
        .unwrap();
    let output = shell.run("doctor");
    assert!(output.contains("master key: 2 of 2 sealed secrets cannot be opened"), "{output}");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test]
async fn a_database_of_postgres_is_looked_at() {
    let Some(database) = store::testing::fresh_postgres().await else { return };
    let url = database.url.clone();
    let output = tokio::task::spawn_blocking(move || Shell::new(Some(&url)).run("doctor")).await.unwrap();
    assert!(output.lines().all(|line| line.starts_with("ok ")) && output.contains("clock"), "{output}");
}
