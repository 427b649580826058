//! Query plans of lists, claims and events of agent sessions: they use the primary keys and the narrow indexes.

use crate::access::lane::Scan;
use crate::agents::events;
use crate::agents::filter::{ListReach, account_existing_tags_query, conditions, existing_tags_query};
use crate::agents::lists::{ListQuery, count_by_columns, count_by_tag, count_query, page_query, page_reach};
use crate::agents::sessions;
use crate::agents::turns;
use crate::database::{Batch, Columns, Database, Statement, Value};
use crate::rows::values;
use crate::testing::{fresh_postgres, fresh_sqlite, read_plan_line};
use domain::agent::{AgentState, SessionFilter};
use domain::ids::{OrganizationId, SessionId};
use domain::time::Micros;
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
    query: ListQuery,
    sqlite: &'static str,
    postgres: &'static str,
}

const KEY: &str = "s USING PRIMARY KEY ((organization,created_us)>(?,?) AND (organization,created_us)<(?,?))";
const EACH: &str = "s USING PRIMARY KEY (organization=? AND created_us=?)";
const ANY: &str =
    "agent_sessions_pkey on agent_sessions s\n Index Cond: ((organization = $1) AND (created_us = ANY";
const BACKWARD: &str = "Scan Backward using agent_sessions_pkey on agent_sessions s";
const DELETED: &str = "organizations USING INDEX organizations_deleted";
const TAGS: &str = "session_tags_pkey on session_tags x\n Index Cond: (organization = $1)";

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
    let all = SessionFilter::default();
    let tags = SessionFilter { tags: Some(vec!["rare".into(), "none".into()]), ..all.clone() };
    let ids = vec![SessionId::new(Micros(7), 7), SessionId::new(Micros(8), 8)];
    let sessions = SessionFilter { sessions: Some(ids), ..all.clone() };
    let states = SessionFilter { states: Some(vec![AgentState::New]), ..all.clone() };
    let within = SessionFilter { organizations: Some(vec![organization]), ..all.clone() };
    let mut hot = Vec::new();
    for (name, filter, by_key, page_needs, total_needs) in [
        ("all", &all, KEY, BACKWARD, "agent_sessions_pkey on agent_sessions s"),
        ("tags", &tags, EACH, ANY, ANY),
        ("sessions", &sessions, EACH, ANY, ANY),
        ("states", &states, KEY, BACKWARD, "agent_sessions_pkey on agent_sessions s"),
    ] {
        let mut add = |(sql, values): ListQuery, sqlite, postgres| {
            let values = values![organization].into_iter().chain(values).collect();
            hot.push(Hot { name, query: (sql, values), sqlite, postgres });
        };
        let conditions = |reach| conditions(sqlite, reach, filter, None);
        add(page_query(conditions(ListReach::Organization), 101, 0), by_key, page_needs);
        add(count_query(conditions(ListReach::Organization)), by_key, total_needs);
        add(count_by_columns(conditions(ListReach::Organization)), by_key, total_needs);
        add(count_by_tag(conditions(ListReach::Known)), EACH, TAGS);
    }
    let some = vec!["a,b".to_owned()];
    let (sql, values) = existing_tags_query(sqlite, &some);
    let query = (sql, values![organization].into_iter().chain(values).collect());
    let by_tag = "t USING PRIMARY KEY (organization=? AND tag=?)";
    let exists = "session_tags_pkey on session_tags t\n Index Cond: ((organization = $1) AND (tag = ";
    hot.push(Hot { name: "existing tags", query, sqlite: by_tag, postgres: exists });
    let query = account_existing_tags_query(sqlite, &all, &some);
    let exists = "session_tags_pkey on session_tags t\n Index Cond: ((organization = o.id) AND (tag = ";
    hot.push(Hot { name: "existing tags of all", query, sqlite: by_tag, postgres: exists });
    let range = "s USING COVERING INDEX agent_sessions_account (created_us>? AND created_us<?)";
    let walk = "Index Scan Backward using agent_sessions_account on agent_sessions s";
    let of_some = "s USING PRIMARY KEY (organization=? AND created_us>? AND created_us<?)";
    let some = "Index Only Scan Backward using agent_sessions_pkey on agent_sessions s\n Index Cond: ((ROW(organization";
    for (name, filter, sqlite_needs, postgres) in
        [("account", &all, range, walk), ("organizations", &within, of_some, some)]
    {
        let reach = page_reach(ListReach::Account, filter);
        let query = page_query(conditions(sqlite, reach, filter, None), 101, 0);
        hot.push(Hot { name, query, sqlite: sqlite_needs, postgres });
    }
    hot
}

#[tokio::test]
async fn sqlite_reads_lists_claims_and_events_by_key() {
    let db = fresh_sqlite().await;
    for Hot { name, query: (Scan(sql), values), sqlite: needed, .. } in hot(true) {
        let rows = db.read(leak(format!("EXPLAIN QUERY PLAN {sql}")), values).await.unwrap();
        let plan = rows.read_all(read_plan_line).unwrap();
        assert!(plan.iter().any(|line| line.ends_with(needed)), "{name} {needed}: {plan:#?}");
        // These scans are allowed: rows that the statement itself made, an index of few rows, one step from an
        // organization to the next, and the organizations themselves when a tag of any of them is looked for.
        let known = ["s", "o", "w", "p", "q", "first", "json_each VIRTUAL TABLE INDEX 1:", DELETED];
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
            // A tag of any organization is looked up in one organization after the other.
            let known =
                if name == "existing tags of all" { "Seq Scan on organizations o" } else { "nothing" };
            let unexpected = plan.replace(known, "").contains("Seq Scan on ");
            assert!(!unexpected, "{statistics}, {name}: {plan}");
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

/// Creates sessions in two organizations, some of them with a tag.
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
            "INSERT INTO session_tags (organization, tag, session_us)
             SELECT $1, CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'often' END, n
             FROM generate_series(1, CAST($2 AS BIGINT)) n",
            "INSERT INTO events (organization, session_us, sequence, id, kind, at_us, data)
             SELECT $1, n, 1, $1, 'input.message', n, '{}' FROM generate_series(1, CAST($2 AS BIGINT)) n",
        ] {
            statements.push(Statement { sql, values: vec![id.into(), Value::Int(sessions)], exactly_one: false });
        }
    }
    db.apply(Batch { statements, ..Batch::default() }).await.unwrap();
}
