//! The labels of agent sessions that a program with schema 13 wrote.

use super::world::{check_all, list_all};
use crate::database::upgrade::written_by;
use crate::world::NOW;
use domain::ids::SessionId;
use domain::session::{KindSummary, SessionKind};
use serde_json::{Value, json};
use std::fmt::Write as _;
use store::Store;
use store::database::{Columns, Database, Migration, OpenMode};
use store::testing::{TestPlace, empty_postgres, empty_sqlite, raw};

const NEW: &str = include_str!("../../../src/agents/bodies/session_v1_before_versions_new.json");
const FULL: &str = include_str!("../../../src/agents/bodies/session_v1_before_versions_full.json");

/// A body at another time, with another part.
fn vary(body: &str, at: i64, part: &str, by: &str) -> String {
    assert!(body.contains(part), "{part}");
    let id = SessionId::new(NOW + domain::time::Span(at), 7);
    body.replacen(parse(body)["id"].as_str().unwrap(), &id.to_string(), 1).replacen(part, by, 1)
}

/// Parses a body without what no tree of values can hold.
fn parse(body: &str) -> Value {
    let plain = body.replace(r"\ud800", "").replace(r"\uDFFF", "").replace("1e400", "1");
    serde_json::from_str(&plain).unwrap()
}

/// The bodies, and whether the migration fills the labels of each in PostgreSQL.
fn bodies() -> [(String, bool); 7] {
    let no_ending = r#""ended":[1767225600000060,{"reason":"released","actor":"01930000-0000-7000-8000-000000000004","evidence":"ended by its user"}]"#;
    let model = r#""model":"large""#;
    [
        (NEW.to_owned(), true),
        // Its last answer has NUL.
        (vary(FULL, 1, "", ""), true),
        (vary(FULL, 2, no_ending, r#""ended":null"#), true),
        (
            vary(
                FULL,
                3,
                r#""extra":{"#,
                r#""extra":{"half": "\ud800", "half \\u0000": "\uDFFF\uD83D\uDE00","#,
            ),
            true,
        ),
        (vary(FULL, 4, model, r#""model":"la\u0000rge""#), false),
        (vary(FULL, 5, model, r#""model":"la\\u0000rge \"'\\""#), false),
        (vary(FULL, 6, r#""tags":["a","ü"]"#, r#""tags":["it's","\"","\u001f","😀"]"#), true),
    ]
}

/// The rows of sessions as a program with schema 13 wrote them.
fn insert(sqlite: bool) -> String {
    let id = |text: &Value| {
        let hex = text.as_str().unwrap().replace('-', "");
        if sqlite { format!("X'{hex}'") } else { format!("'{hex}'") }
    };
    let text = |value: &Value| value.as_str().map_or("NULL".into(), |text| format!("'{text}'"));
    let mut sql = String::new();
    for (body, _) in bodies() {
        let session = parse(&body);
        let given = &session["given"];
        let key = SessionId::parse(session["id"].as_str().unwrap()).unwrap();
        let parent = given["parent"].as_str().map(|id| SessionId::parse(id).unwrap());
        let organization = id(&session["organization"]);
        let _ = write!(
            sql,
            "INSERT INTO agent_sessions (organization, created_us, tail, revision, owner, agent, agent_name, state, origin,
                 category, playbook, schedule, automation, parent_us, parent_tail, archived_us, updated_us, work, work_us)
             VALUES ({organization}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, 'none', 0);
             INSERT INTO agent_bodies (organization, created_us, search, body) VALUES ({organization}, {}, '', '{}');
             INSERT INTO counters VALUES ({organization}, 0, 0) ON CONFLICT DO NOTHING;",
            key.creation_time().0,
            key.tail(),
            session["revision"],
            id(&given["owner"]),
            id(&given["agent"]),
            text(&given["agent_name"]),
            text(&session["state"]),
            text(&given["origin"]),
            text(&given["category"]),
            text(&given["playbook"]),
            text(&given["schedule"]),
            text(&given["automation"]),
            parent.map_or(json!(null), |parent| json!(parent.creation_time().0)),
            parent.map_or(json!(null), |parent| json!(parent.tail())),
            session["archived"],
            session["updated"],
            key.creation_time().0,
            body.replace('\'', "''"),
        );
    }
    sql
}

async fn old_sessions_get_labels(place: TestPlace, text: fn(&Migration) -> &'static str) {
    let sqlite = place.url.starts_with("sqlite:");
    raw(&place.url, &(written_by(13, text) + &insert(sqlite))).await.unwrap();
    let database = Database::open(&place.url, OpenMode::Migrate, NOW.0).await.unwrap();
    let rows = database.read("SELECT labels FROM agent_sessions ORDER BY created_us", vec![]).await.unwrap();
    let labels = rows.read_all(Columns::text).unwrap();
    let filled = labels.iter().map(|labels| labels != "{}").collect::<Vec<_>>();
    assert_eq!(filled, bodies().map(|(_, filled)| filled || sqlite), "{labels:#?}");
    let store = Store::new(database);
    assert_eq!(check_all(&store).await.len(), bodies().len());
    let all = list_all(&store, SessionKind::Agent, 100).await;
    let KindSummary::Agent(last) = &all[6].of_kind else { panic!("an agent session") };
    assert_eq!(last.tags, ["it's", "\"", "\u{1f}", "😀"]);
    let agent = |at: usize| match &all[at].of_kind {
        KindSummary::Agent(agent) => {
            (agent.titled, agent.model.clone(), agent.usage.acus.0, all[at].ended.is_some())
        }
        _ => panic!("an agent session"),
    };
    assert_eq!(agent(0), (false, None, 0, false));
    assert_eq!(agent(1), (true, Some("large".into()), 100_000_005, true));
    assert_eq!(agent(2), (true, Some("large".into()), 100_000_005, false));
    assert_eq!(agent(4).1, Some("la\0rge".into()));
    assert_eq!(agent(5).1, Some("la\\u0000rge \"'\\".into()));
    store.database().close().await;
}

#[tokio::test]
async fn old_sessions_get_labels_in_sqlite() {
    old_sessions_get_labels(empty_sqlite(), |migration| migration.sqlite).await;
}

#[tokio::test]
async fn old_sessions_get_labels_in_postgres() {
    let Some(place) = empty_postgres().await else { return };
    old_sessions_get_labels(place, |migration| migration.postgres).await;
}
