//! Damaged databases are detected, and one server at a time serves an SQLite file.

use crate::serving::Serving;
use crate::shell::Shell;
use store::testing::destroy_page;

#[test]
fn a_damaged_database_takes_readiness_and_writes_away_and_the_doctor_finds_it() {
    let mut shell = Shell::new(None);
    shell.run("migrate");
    shell.run("admin org create Acme");
    shell.run("admin user create ana@example.com --org Acme --role admin");
    let key = shell.run("admin key create --user ana@example.com --wire devin --name laptop --json");
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    let bearer = format!("Bearer {}", key["secret"].as_str().unwrap());
    let output = shell.run("doctor");
    assert!(output.contains("ok     database"), "{output}");
    destroy_page(&shell.folder().join("tenure-data/tenure.db"), "messages");
    let output = shell.run("doctor");
    assert!(
        output.contains("WRONG  database: sqlite: ") && output.contains("tenure restore FILE"),
        "{output}"
    );
    // The server checks by itself: no request has read the damaged table.
    let mut serving = Serving::start(&shell, &[]);
    let line = serving.wait_for_log("the database is damaged");
    assert!(line.contains("tenure restore FILE"), "{line}");
    let (status, body) = serving.get("/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("damaged"), "{body}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let (status, body) = serving.send("POST", "/v3/organizations/sessions", &headers, r#"{"prompt":"hi"}"#);
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("damaged"), "{body}");
    assert!(serving.get("/metrics").1.contains("tenure_database_damaged 1"));
}

#[test]
fn one_sqlite_file_has_one_server_and_administration_goes_on_beside_it() {
    let mut shell = Shell::new(None);
    let first = Serving::start(&shell, &[]);
    std::os::unix::fs::symlink("tenure-data/tenure.db", shell.folder().join("other.db")).unwrap();
    for database in ["sqlite:tenure-data/tenure.db", "sqlite:other.db"] {
        let words = ["serve", "--listen", "127.0.0.1:0", "--database", database];
        let output = shell.command(&words).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && errors.contains("tenure-data/tenure.db is served already"),
            "{errors}"
        );
        assert!(errors.contains(&format!("process {}", first.id())), "{errors}");
    }
    shell.run("admin org create Acme");
    shell.run("migrate");
    assert!(shell.run("admin org list").contains("Acme"));
    // After a kill, the next server starts at once.
    drop(first);
    drop(Serving::start(&shell, &[]));
}

#[test]
fn a_newer_schema_takes_readiness_away() {
    let shell = Shell::new(None);
    let serving = Serving::start(&shell, &[]);
    // It loads its sessions first.
    assert!((0..10_000).any(|_| serving.get("/readyz") == (200, "ready\n".to_owned())));
    let connection = rusqlite::Connection::open(shell.folder().join("tenure-data/tenure.db")).unwrap();
    connection.execute_batch("INSERT INTO schema_migrations VALUES (9999, 'later', 'x', 0)").unwrap();
    let (status, body) = serving.get("/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("a newer tenure has changed the database: stop this server"), "{body}");
}

#[test]
fn metrics_are_for_this_machine_or_on_a_listener_of_their_own() {
    let shell = Shell::new(None);
    let serving = Serving::start(&shell, &[]);
    assert_eq!(serving.get("/metrics").0, 200);
    // A proxy forwarded these: the caller is on another machine.
    let nothing = serving.get("/nothing");
    for header in [("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=192.0.2.7")] {
        assert_eq!(serving.send("GET", "/metrics", &[header], "").0, 404);
    }
    drop(serving);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let serving = Serving::start(&shell, &["--metrics-listen", &free]);
    assert_eq!(serving.get("/metrics").0, nothing.0);
    assert_eq!(serving.get_metrics(&free).0, 200);
    assert!(serving.get_metrics(&free).1.contains("tenure_clock_doubted 0"));
}
