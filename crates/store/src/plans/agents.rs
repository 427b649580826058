//! Query plans of lists, claims and events of agent sessions: they use the primary keys and the narrow indexes.

use crate::access::lane::Scan;
use crate::agents::events;
use crate::agents::lists::{BY_KEYS, BY_TIMES, BodiesQuery};
use crate::agents::sessions;
use crate::agents::turns;
use crate::database::{Batch, Columns, Database, Statement, Value};
use crate::rows::values;
use crate::testing::{fresh_postgres, fresh_sqlite, read_plan_line};
use domain::ids::OrganizationId;
use serde_json::json;
use uuid::Uuid;

/// Leaks the text of a statement that a test builds.
fn leak(sql: String) -> &'static str {
    Box::leak(sql.into_boxed_str())
}

/// The organization with many sessions.
const MANY: u128 = 1;

/// A frequent query, with what its plan must contain in SQLite and in PostgreSQL.
struct Hot {
    name: &'static str,
    query: (Scan, Vec<Value>),
    sqlite: &'static str,
    postgres: &'static str,
}

const EACH: &str = "s USING PRIMARY KEY (organization=? AND created_us=?)";

fn hot(sqlite: bool) -> Vec<Hot> {
    let mut all = lists(sqlite);
    let organization = OrganizationId(Uuid::from_u128(MANY));
    let mut add = |name, sql, values, sqlite, postgres| {
        all.push(Hot { name, query: (Scan(sql), values), sqlite, postgres });
    };
    let one = values![organization, 7, 7];
    add("one", sessions::ONE, one, EACH, "agent_bodies_pkey on agent_bodies b");
    let waiting = "using agent_sessions_waiting on agent_sessions s\n Index Cond: (organization = ";
    let of_one = "s USING INDEX agent_sessions_waiting (organization=?)";
    add("next", turns::ORGANIZATIONS, values!["", 8], of_one, waiting);
    let after = "agent_sessions_waiting on agent_sessions s\n Index Cond: (organization > $1)";
    add("skip", turns::NEXT, values![organization], "agent_sessions_waiting (organization>?)", after);
    add("waiting", turns::WAITING, values![organization, "", 8], of_one, waiting);
    let taken = "agent_sessions_taken on agent_sessions\n Index Cond: (lease_us <= $1)";
    add("expired", turns::EXPIRED, values![7, 8], "agent_sessions_taken (lease_us<?)", taken);
    let place = "events USING PRIMARY KEY (organization=? AND session_us=? AND sequence>? AND sequence<?)";
    let events = values![organization, 7, 0, 99, "", ",", 0, Value::Null, 9, 9];
    add("events", events::PAGE, events.clone(), place, "Index Scan using events_pkey on events");
    add("newest", events::NEWEST, events, place, "Index Scan Backward using events_pkey on events");
    all
}

fn lists(sqlite: bool) -> Vec<Hot> {
    let organization = OrganizationId(Uuid::from_u128(MANY));
    let text =
        |query: &'static BodiesQuery| if sqlite { query.sqlite.as_str() } else { query.postgres.as_str() };
    let keys = json!([[organization.0.simple().to_string(), 7], [organization.0.simple().to_string(), 8]]);
    // In PostgreSQL the account's index is as good: few sessions have the same time.
    let (size, by_key) = (1 << 20, "(created_us = (");
    let hot = |name, sql, values| Hot { name, query: (Scan(sql), values), sqlite: EACH, postgres: by_key };
    vec![
        hot("by times", text(&BY_TIMES), values![organization, "[7, 8]", size]),
        hot("by keys", text(&BY_KEYS), values![keys.to_string(), size]),
    ]
}

#[tokio::test]
async fn sqlite_reads_lists_claims_and_events_by_key() {
    let db = fresh_sqlite().await;
    for Hot { name, query: (Scan(sql), values), sqlite: needed, .. } in hot(true) {
        let rows = db.read(leak(format!("EXPLAIN QUERY PLAN {sql}")), values).await.unwrap();
        let plan = rows.read_all(read_plan_line).unwrap();
        assert!(plan.iter().any(|line| line.ends_with(needed)), "{name} {needed}: {plan:#?}");
        // These scans are allowed: rows that the statement itself made, an index of few rows, and one step from an
        // organization to the next.
        let known = ["s", "o", "w", "p", "q", "first", "json_each VIRTUAL TABLE INDEX 1:"];
        let next = "agent_sessions USING COVERING INDEX agent_sessions_waiting";
        let scans = plan.iter().filter_map(|line| line.strip_prefix("SCAN "));
        let window = |table: &str| table.starts_with("(subquery-");
        let unexpected = scans.filter(|table| !known.contains(table) && *table != next && !window(table));
        let unexpected = unexpected.collect::<Vec<_>>();
        assert!(unexpected.is_empty(), "{name} scans {unexpected:?}: {plan:#?}");
        assert!(!plan.iter().any(|line| line.contains("AUTOMATIC")), "{name}: {plan:#?}");
    }
}

#[tokio::test]
async fn postgres_reads_lists_claims_and_events_by_key_with_any_statistics() {
    let Some(db) = fresh_postgres().await else { return };
    fill(&db).await;
    for statistics in ["as they are", "taken"] {
        if statistics == "taken" {
            let analyze = Statement { sql: "ANALYZE", values: vec![], exactly_one: false };
            db.apply(Batch { statements: vec![analyze], ..Batch::default() }).await.unwrap();
        }
        for Hot { name, query: (Scan(sql), values), postgres: needed, .. } in hot(false) {
            // All of these use one connection of the pool, one after the other.
            db.read(leak(format!("PREPARE x AS {sql}")), vec![]).await.unwrap();
            let values = values.iter().map(literal).collect::<Vec<_>>().join(", ");
            let explain = leak(format!("EXPLAIN (COSTS OFF) EXECUTE x ({values})"));
            let rows = db.read(explain, vec![]).await.unwrap();
            db.read("DEALLOCATE x", vec![]).await.unwrap();
            let lines = rows.read_all(Columns::text).unwrap();
            let plan = lines.iter().map(|line| line.trim_start().to_owned()).collect::<Vec<_>>().join("\n ");
            assert!(plan.contains(needed), "{statistics}, {name} needs {needed}: {plan}");
            let costly = ["Bitmap", "Hash Join", "Merge Join", "Materialize", "Join Filter"];
            let found = costly.iter().find(|word| plan.contains(**word));
            assert_eq!(found, None, "{statistics}, {name}: {plan}");
            assert!(!plan.contains("Seq Scan on "), "{statistics}, {name}: {plan}");
        }
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("'{text}'"),
        Value::Bytes(_) => "''".into(),
        Value::Id(id) => format!("'{id}'"),
    }
}

/// Creates sessions in two organizations.
async fn fill(db: &Database) {
    let mut statements = Vec::new();
    for (organization, sessions) in [(MANY, 30_000), (2, 300)] {
        let id = Uuid::from_u128(organization);
        for sql in [
            "INSERT INTO agent_sessions (organization, created_us, tail, revision, owner, agent, agent_name, state,
                                         origin, updated_us, work, work_us)
             SELECT $1, n, n, 1, $1, $1, 'default', 'new', 'api', n,
                    CASE WHEN n % 100 = 0 THEN 'waiting' ELSE 'none' END, n
             FROM generate_series(1, CAST($2 AS BIGINT)) n",
            "INSERT INTO agent_bodies (organization, created_us, search, body)
             SELECT $1, n, '', '' FROM generate_series(1, CAST($2 AS BIGINT)) n",
            "INSERT INTO events (organization, session_us, sequence, id, kind, at_us, data)
             SELECT $1, n, 1, $1, 'input.message', n, '{}' FROM generate_series(1, CAST($2 AS BIGINT)) n",
        ] {
            statements.push(Statement { sql, values: vec![id.into(), Value::Int(sessions)], exactly_one: false });
        }
    }
    db.apply(Batch { statements, ..Batch::default() }).await.unwrap();
}
