//! Query plans of the search for words: candidates come from the index of trigrams, and texts are read in order.

use crate::agents::search::{POSTGRES_CANDIDATES, SQLITE_CANDIDATES, TEXTS};
use crate::database::{Batch, Columns, Database, Statement};
use crate::rows::values;
use crate::testing::{fresh_postgres, fresh_sqlite, intern_sql, read_plan_line};
use uuid::Uuid;

/// The organization with many sessions.
const MANY: u128 = 1;

#[tokio::test]
async fn sqlite_reads_candidates_from_the_range_of_the_organization() {
    let db = fresh_sqlite().await;
    let organization = Uuid::from_u128(MANY);
    let session = "SEARCH s USING PRIMARY KEY (organization=? AND created_us=?)";
    for (sql, values, needed) in [
        (
            SQLITE_CANDIDATES,
            values![organization, "%abc%", "\"abc\"", 9],
            vec![
                // A match, and both bounds of the range.
                "SCAN agent_trigrams VIRTUAL TABLE INDEX 0:M1><",
                "SEARCH agent_texts USING COVERING INDEX sqlite_autoindex_agent_texts_1 (organization=?)",
                "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
                session,
            ],
        ),
        (
            TEXTS,
            values![organization, "%abc%", 7, 9],
            vec![
                "SEARCH t USING INDEX sqlite_autoindex_agent_texts_1 (organization=? AND created_us>?)",
                session,
            ],
        ),
    ] {
        let rows = db.read(intern_sql(format!("EXPLAIN QUERY PLAN {sql}")), values).await.unwrap();
        let plan = rows.read_all(read_plan_line).unwrap();
        for needed in needed {
            assert!(plan.iter().any(|line| line == needed), "{needed}: {plan:#?}");
        }
        let made = ["SCAN found", "SCAN f"];
        let costly = |line: &&String| {
            line.contains("TEMP B-TREE")
                || (line.starts_with("SCAN") && !line.contains("VIRTUAL") && !made.contains(&line.as_str()))
        };
        assert_eq!(plan.iter().find(costly), None, "{plan:#?}");
    }
}

#[tokio::test]
async fn postgres_reads_candidates_from_the_index_with_any_statistics() {
    let Some(db) = fresh_postgres().await else { return };
    fill(&db).await;
    let organization = Uuid::from_u128(MANY);
    for statistics in ["as they are", "taken"] {
        if statistics == "taken" {
            apply(&db, "ANALYZE", vec![]).await;
        }
        let candidates = format!("'{organization}', '%abc%', '{{1,2}}', 20001");
        let plan = explain(&db, POSTGRES_CANDIDATES, &candidates).await;
        // The account's index is as good: few sessions have the same time.
        assert!(plan.contains("(created_us = f.created_us)"), "{statistics}: {plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{statistics}: {plan}");
        // The plan of a function is not shown, so its text is planned with its settings.
        let text = prepare_function(&db).await;
        let plan = explain(&db, &text, "'{1,2}', 20001").await;
        db.read("SET enable_bitmapscan = off", vec![]).await.unwrap();
        let needed = "Bitmap Index Scan on agent_texts_trigrams";
        assert!(plan.contains(needed) && !plan.contains("Seq Scan"), "{statistics}: {plan}");
        let plan = explain(&db, TEXTS, &format!("'{organization}', '%abc%', 7, 9")).await;
        let needed =
            "agent_texts_pkey on agent_texts t\n Index Cond: ((organization = $1) AND (created_us > $3))";
        assert!(plan.contains(needed), "{statistics}: {plan}");
        for costly in ["Seq Scan", "Bitmap", "Sort", "Hash Join", "Merge Join", "Join Filter"] {
            assert!(!plan.contains(costly), "{statistics}, {costly}: {plan}");
        }
    }
}

/// Sets the settings of the function that reads candidates, and returns its text.
async fn prepare_function(db: &Database) -> String {
    let sql = "SELECT array_to_string(proconfig, ', '), prosrc FROM pg_proc WHERE proname = 'agent_texts_candidates'";
    let rows = db.read(sql, vec![]).await.unwrap();
    let (settings, text) = rows.read_one(|columns| Ok((columns.text()?, columns.text()?))).unwrap();
    assert_eq!(settings, "enable_bitmapscan=on, work_mem=32MB");
    db.read("SET enable_bitmapscan = on", vec![]).await.unwrap();
    text
}

async fn explain(db: &Database, sql: &str, values: &str) -> String {
    // All of these use one connection of the pool, one after the other.
    db.read(intern_sql(format!("PREPARE x AS {sql}")), vec![]).await.unwrap();
    let explain = intern_sql(format!("EXPLAIN (COSTS OFF) EXECUTE x ({values})"));
    let rows = db.read(explain, vec![]).await.unwrap();
    db.read("DEALLOCATE x", vec![]).await.unwrap();
    let lines = rows.read_all(Columns::text).unwrap();
    lines.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join("\n ")
}

async fn apply(db: &Database, sql: &'static str, values: Vec<crate::database::Value>) {
    let statements = vec![Statement { sql, values, exactly_one: false }];
    db.apply(Batch { statements, ..Batch::default() }).await.unwrap();
}

/// Creates sessions in two organizations.
async fn fill(db: &Database) {
    for (organization, sessions) in [(MANY, 10_000), (2, 300)] {
        for sql in [
            "INSERT INTO agent_sessions (organization, created_us, tail, revision, owner, agent, agent_name, state,
                                         origin, updated_us, work, work_us)
             SELECT $1, n, n, 1, $1, $1, 'default', 'new', 'api', n, 'none', n
             FROM generate_series(1, CAST($2 AS BIGINT)) n",
            "INSERT INTO agent_bodies (organization, created_us, search, body)
             SELECT $1, n, 'session ' || n, '' FROM generate_series(1, CAST($2 AS BIGINT)) n",
        ] {
            apply(db, sql, values![Uuid::from_u128(organization), sessions]).await;
        }
    }
}
