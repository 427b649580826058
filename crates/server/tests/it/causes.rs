//! The cause of an internal error is in the log entry of its request, and not in the response.

use crate::socket::Socket;
use crate::world::World;
use domain::permission::Role;
use serde_json::{Value, json};
use server::logging::make_subscriber;
use server::settings::LogFormat;
use std::io::Write;
use std::sync::{Arc, Mutex};
use store::database::{Batch, Statement};

/// A log in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Memory {
    /// The entries of errors, as JSON.
    fn errors(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["level"] == "ERROR").collect()
    }

    /// Collects the log entries of this thread from now on.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        // A failed request has an entry even if others are not logged.
        let subscriber = make_subscriber("info,access=off", LogFormat::Json, move || writer.clone()).unwrap();
        tracing::subscriber::set_default(subscriber)
    }
}

/// Drops tables, so that reads of them fail.
async fn break_tables(world: &World) {
    let gone = [
        "ALTER TABLE sessions RENAME TO gone_sessions",
        "ALTER TABLE agent_sessions RENAME TO gone_agent_sessions",
        "ALTER TABLE changes RENAME TO gone_changes",
        "ALTER TABLE holds RENAME TO gone_holds",
        "ALTER TABLE logins RENAME TO gone_logins",
    ];
    let statements = gone.map(|sql| Statement { sql, values: Vec::new(), exactly_one: false });
    world
        .store()
        .database()
        .apply(Batch { statements: statements.into(), ..Batch::default() })
        .await
        .unwrap();
}

/// Whether a text names the missing table: a cause does, a response must not.
fn tells(text: &str) -> bool {
    text.contains("no such table") || text.contains("does not exist") || text.contains("relation")
}

both! {
    async fn the_cause_of_an_internal_error_is_in_the_log_entry_of_its_request(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Admin).await;
        // A session of each kind: an empty list asks the database nothing.
        ana.agent_session(None).await;
        assert_eq!(ana.post("/api/v1/sessions", json!({})).await.status, 201);
        assert_eq!(ana.post("/frontend/api/v1/auth/jwt", json!({})).await.status, 200);
        break_tables(world).await;
        let log = Memory::default();
        let _listening = log.listen();
        for (wire, path) in [
            ("mobilenext", "/api/v1/sessions"),
            ("everruns", "/v1/sessions"),
            ("devin", "/v3/organizations/sessions"),
            ("probe", "/frontend/api/v1/auth/session"),
            ("tenure", "/tenure/v1/changes"),
        ] {
            let response = ana.get(path).await;
            assert_eq!(response.status, 500, "{path}: {}", response.text());
            let id = response.headers["x-request-id"].to_str().unwrap();
            assert!(response.text().contains(id), "{wire} names the request: {}", response.text());
            assert!(!tells(&response.text()), "{wire}: {}", response.text());
            let errors = log.errors();
            let [line] = errors.as_slice() else { panic!("{wire} has one line: {errors:?}") };
            assert_eq!((&line["id"], &line["wire"], &line["route"]), (&json!(id), &json!(wire), &json!(path)));
            assert_eq!(line["principal"], ana.principal.to_string());
            assert!(tells(line["cause"].as_str().unwrap()), "{line}");
        }
    }
}

/// On one thread, so that the log of the WebSocket's task is collected too.
#[tokio::test]
async fn log_entries_within_a_request_have_its_id() {
    let world = World::sqlite().await;
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readonly).await;
    let log = Memory::default();
    let _listening = log.listen();
    let mut socket = Socket::open(&ana).await;
    break_tables(&world).await;
    let refused = socket.call("devices.list", json!({})).await;
    assert_eq!(refused["error"]["message"], "Internal error");
    assert!(!tells(&refused.to_string()), "{refused}");
    // The sweep and the queue also log errors, outside of any request.
    let errors: Vec<Value> = log.errors().into_iter().filter(|line| line.get("request").is_some()).collect();
    let [line] = errors.as_slice() else { panic!("one line: {errors:?}") };
    assert!(tells(line["cause"].as_str().unwrap()), "{line}");
    let request = &line["request"];
    assert_eq!((&request["wire"], &request["route"]), (&json!("mobilenext"), &json!("/ws")), "{line}");
    assert_eq!(request["principal"], ana.principal.to_string());
    assert_eq!(request["id"].as_str().unwrap().len(), 32);
}

/// There is no response, so only the log has the error. Also on one thread.
#[tokio::test]
async fn failures_in_the_background_are_logged_with_their_cause() {
    let world = World::sqlite().await;
    break_tables(&world).await;
    let log = Memory::default();
    let _listening = log.listen();
    world.sweep().await;
    let errors = log.errors();
    assert!(!errors.is_empty());
    for line in errors {
        assert!(tells(line["error"].as_str().unwrap()), "{line}");
    }
}
