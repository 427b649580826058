//! Query plans of device sessions and credentials: a page costs the same in an organization with a thousand sessions
//! or a million, at its beginning and at its end.

use crate::access::credentials;
use crate::database::{Batch, Columns, Database, DatabaseError, Statement, Value};
use crate::devices::sessions::{ONE, POSTGRES_BY_TIMES, SQLITE_BY_TIMES};
use crate::logins::sessions as logins;
use crate::testing::{fresh_postgres, fresh_sqlite, read_plan_line};
use uuid::Uuid;

/// Leaks the text of a statement that a test builds.
fn leak(sql: String) -> &'static str {
    Box::leak(sql.into_boxed_str())
}

async fn lines(
    database: &Database,
    sql: String,
    values: Vec<Value>,
    read: impl FnMut(&mut Columns) -> Result<String, DatabaseError>,
) -> Vec<String> {
    let rows = database.read(leak(sql), values).await.unwrap();
    rows.read_all(read).unwrap()
}

#[tokio::test]
async fn sqlite_reads_pages_and_sessions_by_key() {
    let db = fresh_sqlite().await;
    let plan = async |sql, count| {
        let values = [Uuid::nil().into(), 1.into(), 1.into()].into_iter().take(count).collect();
        lines(&db, format!("EXPLAIN QUERY PLAN {sql}"), values, read_plan_line).await
    };
    let sessions = [
        "SCAN k VIRTUAL TABLE INDEX 1:",
        "SEARCH s USING PRIMARY KEY (organization=? AND kind=? AND created_us=?)",
        "USE TEMP B-TREE FOR ORDER BY",
    ];
    assert_eq!(plan(SQLITE_BY_TIMES.sessions, 2).await, sessions);
    let holds = [
        "CO-ROUTINE h",
        "CO-ROUTINE (subquery-3)",
        "SCAN k VIRTUAL TABLE INDEX 1:",
        "SEARCH h USING PRIMARY KEY (organization=? AND session_us=?)",
        "USE TEMP B-TREE FOR ORDER BY",
        "SCAN (subquery-3)",
        "SCAN h",
        "USE TEMP B-TREE FOR ORDER BY",
    ];
    assert_eq!(plan(SQLITE_BY_TIMES.holds, 2).await, holds);
    let one = [
        "SEARCH s USING PRIMARY KEY (organization=? AND kind=? AND created_us=?)",
        "SEARCH h USING PRIMARY KEY (organization=? AND session_us=?) LEFT-JOIN",
        "USE TEMP B-TREE FOR ORDER BY",
    ];
    assert_eq!(plan(ONE, 3).await, one);
}

/// Every request looks up its caller. This must not become slower with the number of rows.
#[tokio::test]
async fn sqlite_authenticates_callers_by_key() {
    let db = fresh_sqlite().await;
    let login = vec![Uuid::nil().into(), 1.into(), 1.into(), Value::Bytes(vec![]), 1.into(), 1.into()];
    let key = vec![Value::Bytes(vec![]), 1.into(), 1.into(), 1.into()];
    for (sql, values, first) in [
        (logins::CALLER, login, "SEARCH s USING PRIMARY KEY (organization=? AND kind=? AND created_us=?)"),
        (credentials::CALLER, key, "SEARCH c USING INDEX sqlite_autoindex_credentials_2 (hash=?)"),
        (
            logins::OPEN,
            vec![Uuid::nil().into()],
            "SEARCH s USING INDEX sessions_logins (principal=? AND kind=?)",
        ),
        (
            logins::SQLITE_BY_TIMES,
            vec![Uuid::nil().into(), "[1,2]".into(), Uuid::nil().into()],
            "SCAN k VIRTUAL TABLE INDEX 1:",
        ),
        (
            logins::OF_PERSON.sessions,
            vec![
                Uuid::nil().into(),
                Uuid::nil().into(),
                1.into(),
                1.into(),
                "x".into(),
                Value::Null,
                "x".into(),
            ],
            "SEARCH sessions USING INDEX sessions_logins (principal=? AND kind=?)",
        ),
    ] {
        let plan = lines(&db, format!("EXPLAIN QUERY PLAN {sql}"), values, read_plan_line).await;
        assert_eq!(plan[0], first, "{plan:#?}");
        let costly = |line: &String| {
            // The keys are a table of JSON values.
            let scans = line.starts_with("SCAN") && !line.starts_with("SCAN k VIRTUAL TABLE");
            scans || line.starts_with("MATERIALIZE")
        };
        assert!(!plan.iter().any(costly), "{plan:#?}");
    }
}

#[tokio::test]
async fn postgres_reads_login_sessions_by_key() {
    let Some(db) = fresh_postgres().await else { return };
    let filled =
        "INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, activity_us)
                  SELECT $1, 'login', n, n, $1, 1, n FROM generate_series(1, 30000) n";
    let login = "INSERT INTO logins (created_us, hash, idle_us, expires_us, authenticated_us, methods, agent, agent_type)
                 SELECT n, '', n, n, n, '', '', '' FROM generate_series(1, 30000) n";
    let one = |sql, values| Statement { sql, values, exactly_one: false };
    let people = Value::from(Uuid::from_u128(1));
    let statements = vec![one(filled, vec![people]), one(login, vec![]), one("ANALYZE", vec![])];
    db.apply(Batch { statements, ..Batch::default() }).await.unwrap();
    let prepare = format!("PREPARE who (uuid, bigint, bigint, bytea, bigint, bigint) AS {}", logins::CALLER);
    db.read(leak(prepare), vec![]).await.unwrap();
    let execute = format!("EXPLAIN (COSTS OFF) EXECUTE who ('{}', 5, 5, '', 5, 5)", Uuid::from_u128(1));
    let plan = lines(&db, execute, vec![], Columns::text).await.join("\n");
    for table in ["sessions s", "logins l", "principals p"] {
        assert!(!plan.contains(&format!("Seq Scan on {table}")), "{plan}");
    }
    for needed in ["logins_pkey on logins l", "(created_us = "] {
        assert!(plan.contains(needed), "{needed}: {plan}");
    }
    let prepare = format!("PREPARE page (uuid, text, uuid) AS {}", logins::POSTGRES_BY_TIMES);
    db.read(leak(prepare), vec![]).await.unwrap();
    for mode in ["SET plan_cache_mode = force_custom_plan", "SET plan_cache_mode = force_generic_plan"] {
        db.read(mode, vec![]).await.unwrap();
        let execute =
            format!("EXPLAIN (COSTS OFF) EXECUTE page ('{0}', '[5, 6]', '{0}')", Uuid::from_u128(1));
        let plan = lines(&db, execute, vec![], Columns::text).await.join("\n");
        for costly in ["Seq Scan on sessions", "Seq Scan on logins", "Hash Join", "Merge Join"] {
            assert!(!plan.contains(costly), "{mode}: {plan}");
        }
        for needed in ["logins_pkey on logins l", "created_us = "] {
            assert!(plan.contains(needed), "{needed}: {plan}");
        }
    }
}

/// Creates an organization with sessions, each with one hold.
fn fill(organization: u128, sessions: i64) -> [Statement; 2] {
    let all = |sql| Statement {
        sql,
        values: vec![Uuid::from_u128(organization).into(), sessions.into()],
        exactly_one: false,
    };
    [
        all("INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, activity_us)
             SELECT $1, 'device', n, n, $1, 1, n FROM generate_series(1, CAST($2 AS BIGINT)) n"),
        all("INSERT INTO holds (organization, session_us, id, session_tail, principal, state, position, filters,
                                platform, requested_us, activity_us, released_us)
             SELECT $1, n, gen_random_uuid(), n, $1, 'released', n, '[]', 'android', n, n, n
             FROM generate_series(1, CAST($2 AS BIGINT)) n"),
    ]
}

/// With these organizations, PostgreSQL used to read all holds for one page, or to walk the account's index.
#[tokio::test]
async fn postgres_reads_pages_by_key_with_any_statistics() {
    let Some(db) = fresh_postgres().await else { return };
    let mut statements = fill(1, 30_000).to_vec();
    statements.extend(fill(2, 300));
    db.apply(Batch { statements, ..Batch::default() }).await.unwrap();
    // All of these use one connection of the pool, one after the other.
    let prepared = [
        ("sessions", "uuid, text", POSTGRES_BY_TIMES.sessions),
        ("holds", "uuid, text", POSTGRES_BY_TIMES.holds),
        ("one", "uuid, bigint, bigint", ONE),
    ];
    for (name, types, sql) in prepared {
        db.read(leak(format!("PREPARE {name} ({types}) AS {sql}")), vec![]).await.unwrap();
    }
    for statistics in ["as they are", "taken"] {
        if statistics == "taken" {
            let analyze = Statement { sql: "ANALYZE", values: vec![], exactly_one: false };
            db.apply(Batch { statements: vec![analyze], ..Batch::default() }).await.unwrap();
        }
        for mode in ["SET plan_cache_mode = force_custom_plan", "SET plan_cache_mode = force_generic_plan"] {
            db.read(mode, vec![]).await.unwrap();
            for (number, name) in (0..6).zip(["sessions", "holds", "one"].into_iter().cycle()) {
                let id = Uuid::from_u128(1 + number / 3);
                let values = if name == "one" { "200, 101" } else { "'[200, 101]'" };
                let sql = format!("EXPLAIN (COSTS OFF) EXECUTE {name} ('{id}', {values})");
                let plan = lines(&db, sql, vec![], Columns::text).await.join("\n");
                check_keys(name, &plan)
                    .map_err(|wrong| panic!("{statistics}, {mode}, {wrong}: {plan}"))
                    .unwrap();
            }
        }
    }
}

/// Checks that a plan uses the keys, and no costly step.
fn check_keys(name: &str, plan: &str) -> Result<(), &'static str> {
    const COSTLY: [&str; 6] = ["Seq Scan", "Bitmap", "Hash", "Merge", "Materialize", "Join Filter"];
    let needed: &[&str] = match name {
        "sessions" => &["(created_us = "],
        "holds" => &["holds_pkey on holds h", "(session_us = "],
        // Either of two keys is fine: few sessions have the same time, even over all organizations.
        _ => &["(created_us = ", "holds_pkey on holds h", "(session_us = "],
    };
    match COSTLY.into_iter().find(|word| plan.contains(word)) {
        Some(word) => Err(word),
        None => needed.iter().find(|word| !plan.contains(**word)).map_or(Ok(()), |word| Err(word)),
    }
}
