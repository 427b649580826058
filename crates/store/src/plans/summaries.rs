//! Query plans of summaries: a page costs the same at the beginning of ten million sessions and at their end.

use crate::access::watch;
use crate::database::{Batch, Columns, Database, Statement, Value};
use crate::rows::values;
use crate::summaries::changes::SINCE;
use crate::summaries::statements::{SummaryStatements, page_values};
use crate::testing::{fresh_postgres, fresh_sqlite, read_plan_line};
use domain::ids::{OrganizationId, SessionId};
use domain::session::{SessionKey, SessionKind};
use domain::time::Micros;
use uuid::Uuid;

const KINDS: [(SessionKind, &str); 3] = [
    (SessionKind::Agent, "agent_sessions_account"),
    (SessionKind::Device, "sessions_account"),
    (SessionKind::Login, "sessions_account"),
];

/// The pages, the look-ups by key, and what is needed of the plan of each.
fn all(sqlite: bool) -> Vec<(&'static str, Statement)> {
    let statements = SummaryStatements::new(sqlite);
    let key = |kind| SessionKey {
        organization: OrganizationId(Uuid::from_u128(1)),
        kind,
        id: SessionId::new(Micros(20_000), 20_000),
    };
    let mut all = Vec::new();
    for (kind, index) in KINDS {
        let (sql, values) = (SummaryStatements::page(kind), page_values(Some(key(kind)), 100));
        all.push((index, Statement { sql, values, exactly_one: false }));
        // In PostgreSQL the account's indexes are as good: few sessions have the same time.
        let primary = if sqlite { "USING PRIMARY KEY (organization=? AND" } else { "(created_us = ((value" };
        all.push((primary, statements.look_up(kind, &[key(kind), key(kind)])));
    }
    let bodies =
        if sqlite { "agent_bodies_1 (organization=? AND created_us=?)" } else { "agent_bodies_pkey" };
    all.push((bodies, statements.bodies(&[key(SessionKind::Agent)])));
    all
}

#[tokio::test]
async fn sqlite_reads_summaries_by_key() {
    let db = fresh_sqlite().await;
    for (needed, Statement { sql, values, .. }) in all(true) {
        let sql = Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
        let plan = db.read(sql, values).await.unwrap().read_all(read_plan_line).unwrap();
        assert!(plan.iter().any(|line| line.contains(needed)), "{needed}: {plan:#?}");
        let made = ["SCAN s", "SCAN json_each VIRTUAL TABLE INDEX 1:"];
        let costly = |line: &&String| {
            (line.starts_with("SCAN") && !made.contains(&line.as_str()))
                || line.contains("AUTOMATIC")
                || *line == "USE TEMP B-TREE FOR ORDER BY"
        };
        assert_eq!(plan.iter().find(costly), None, "{plan:#?}");
    }
}

#[tokio::test]
async fn postgres_reads_summaries_and_looks_by_key_with_any_statistics() {
    let Some(db) = fresh_postgres().await else { return };
    fill(&db).await;
    for statistics in ["as they are", "taken"] {
        if statistics == "taken" {
            let analyze = Statement { sql: "ANALYZE", values: vec![], exactly_one: false };
            db.apply(Batch { statements: vec![analyze], ..Batch::default() }).await.unwrap();
        }
        let look = Statement { sql: SINCE, values: values!["5:9:5,7"], exactly_one: false };
        let look = ("changes_tx on changes\n Index Cond: ((tx >= ", look);
        let access = Statement { sql: watch::POSTGRES, values: values!["5:9:5,7"], exactly_one: false };
        let access = ("access_changes_pkey on access_changes\n Index Cond: ((tx >= ", access);
        for (needed, Statement { sql, values, .. }) in all(false).into_iter().chain([look, access]) {
            let plan = explain(&db, sql, &values).await;
            assert!(plan.contains(needed), "{statistics}, {needed}: {plan}");
            // One row, joined with those that the look has found.
            let plan = ["Seq Scan on pruned_changes p", "Seq Scan on access_pruned p"]
                .into_iter()
                .chain(["Materialize\n ->  Append", "Materialize\n ->  Limit"])
                .fold(plan, |plan, expected| plan.replace(expected, ""));
            for costly in ["Seq Scan", "Bitmap", "Hash Join", "Merge Join", "Materialize", "\n Sort\n"] {
                assert!(!plan.contains(costly), "{statistics}, {costly}: {plan}");
            }
        }
    }
}

async fn explain(db: &Database, sql: &str, values: &[Value]) -> String {
    let leak = |sql: String| -> &'static str { Box::leak(sql.into_boxed_str()) };
    // All of these use one connection of the pool, one after the other.
    db.read(leak(format!("PREPARE x AS {sql}")), vec![]).await.unwrap();
    let literal = |value: &Value| match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("'{text}'"),
        Value::Id(id) => format!("'{id}'"),
        Value::Null | Value::Bytes(_) => "NULL".into(),
    };
    let values = values.iter().map(literal).collect::<Vec<_>>().join(", ");
    let rows = db.read(leak(format!("EXPLAIN (COSTS OFF) EXECUTE x ({values})")), vec![]).await.unwrap();
    db.read("DEALLOCATE x", vec![]).await.unwrap();
    let lines = rows.read_all(Columns::text).unwrap();
    lines.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join("\n ")
}

/// Creates sessions of all kinds in two organizations.
async fn fill(db: &Database) {
    let mut statements = Vec::new();
    for (organization, sessions) in [(1, 30_000), (2, 300)] {
        for sql in [
            "INSERT INTO agent_sessions (organization, created_us, tail, revision, owner, agent, agent_name, state,
                                         origin, updated_us, work, work_us)
             SELECT $1, n, n, 1, $1, $1, 'default', 'new', 'api', n, 'none', n
             FROM generate_series(1, CAST($2 AS BIGINT)) n",
            "INSERT INTO agent_bodies (organization, created_us, search, body)
             SELECT $1, n, '', '' FROM generate_series(1, CAST($2 AS BIGINT)) n",
            "INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, activity_us)
             SELECT $1, kind, n, n, $1, 1, n
             FROM generate_series(1, CAST($2 AS BIGINT)) n, (VALUES ('device'), ('login')) k (kind)",
            "INSERT INTO logins (created_us, hash, idle_us, expires_us, authenticated_us, methods, agent, agent_type)
             SELECT n, '', n, n, n, '', '', '' FROM generate_series(1, CAST($2 AS BIGINT)) n
             WHERE CAST($1 AS UUID) IS NOT NULL ON CONFLICT DO NOTHING",
            "INSERT INTO holds (organization, session_us, id, session_tail, principal, state, position, filters,
                                platform, requested_us, activity_us, released_us)
             SELECT $1, n, gen_random_uuid(), n, $1, 'released', n, '[]', 'android', n, n, n
             FROM generate_series(1, CAST($2 AS BIGINT)) n",
            "INSERT INTO changes (organization, sequence, kind, session_us, session_tail, revision, what, at_us)
             SELECT $1, n, 'agent', n, n, 1, 'created', n FROM generate_series(1, CAST($2 AS BIGINT)) n",
        ] {
            let values = values![Uuid::from_u128(organization), sessions];
            statements.push(Statement { sql, values, exactly_one: false });
        }
    }
    db.apply(Batch { statements, ..Batch::default() }).await.unwrap();
}
