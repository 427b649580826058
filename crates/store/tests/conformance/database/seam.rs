//! The interface over both databases: it keeps the promises of `store::database`.

use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::time::Duration;
use store::database::{
    Batch, Columns, Database, DatabaseError, OpenMode, SCHEMA_VERSION, Statement, Topic, Value, Watch,
};
use store::testing::{MADE_US, TestDatabase, empty_postgres, empty_sqlite, fresh_postgres, fresh_sqlite};
use uuid::Uuid;

use crate::database::opening::schema_error;

const INSERT: &str = "INSERT INTO things (id, number) VALUES ($1, $2)";
const ADD: &str = "UPDATE things SET number = number + $2 WHERE id = $1";
const SUM: &str = "SELECT CAST(sum(number) AS BIGINT), count(*) FROM things";

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn statement(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement { sql, values: values.into_iter().collect(), exactly_one: false }
}

fn one(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement { exactly_one: true, ..statement(sql, values) }
}

fn batch(statements: impl IntoIterator<Item = Statement>) -> Batch {
    Batch { statements: statements.into_iter().collect(), ..Batch::default() }
}

fn insert(key: u128, number: i64) -> Statement {
    one(INSERT, [id(key).into(), number.into()])
}

fn add(key: u128, number: i64) -> Statement {
    one(ADD, [id(key).into(), number.into()])
}

/// A separate table, so that these tests stay when the schema changes.
async fn table(db: &TestDatabase) {
    let sql = match db.kind() {
        "sqlite" => "CREATE TABLE things (id BLOB PRIMARY KEY, number INTEGER, word TEXT, raw BLOB) STRICT",
        _ => "CREATE TABLE things (id UUID PRIMARY KEY, number BIGINT, word TEXT COLLATE \"C\", raw BYTEA)",
    };
    db.apply(batch([statement(sql, [])])).await.unwrap();
}

async fn sum_and_count(db: &Database) -> (i64, i64) {
    let rows = db.read(SUM, vec![]).await.unwrap();
    rows.read_one(|columns| Ok((columns.maybe_int()?.unwrap_or(0), columns.int()?))).unwrap()
}

/// How long a signal from another server or process may take.
const PATIENCE: Duration = Duration::from_secs(10);

async fn woken(watch: &mut Watch) {
    assert!(
        tokio::time::timeout(PATIENCE, watch.wait_for_commit()).await.expect("a signal in time"),
        "it is open"
    );
}

/// A server signals its own commits before it acknowledges them.
fn silence(watch: &mut Watch) {
    assert_eq!(watch.wait_for_commit().now_or_never(), None, "no signal was due");
}

both! {
    async fn all_types_and_nulls_round_trip(db: &TestDatabase) {
        table(db).await;
        let sql = "INSERT INTO things (id, number, word, raw) VALUES ($1, $2, $3, $4)";
        let word = "grüße, 世界 'quoted' \"too\"";
        let full = [id(1).into(), i64::MIN.into(), word.into(), vec![0_u8, 255, 7].into()];
        let null = [id(2).into(), Value::Null, Value::Null, None::<Vec<u8>>.into()];
        // Bytes with the length of an id stay bytes, and empty values are not NULL.
        let edge = [id(3).into(), i64::MAX.into(), "".into(), vec![9_u8; 16].into()];
        let empty = [id(4).into(), 0.into(), "a".into(), Vec::<u8>::new().into()];
        db.apply(batch([full, null, edge, empty].map(|values| one(sql, values)))).await.unwrap();

        let sql = "SELECT id, id, number, word, raw FROM things ORDER BY id";
        let rows = db.read(sql, vec![]).await.unwrap();
        let read = |columns: &mut Columns| {
            let ids = (columns.id()?, columns.bytes()?);
            Ok((ids, columns.maybe_int()?, columns.maybe_text()?, columns.maybe_bytes()?))
        };
        let ids = |number| (id(number), id(number).as_bytes().to_vec());
        let expected = [
            (ids(1), Some(i64::MIN), Some(word.to_owned()), Some(vec![0, 255, 7])),
            (ids(2), None, None, None),
            (ids(3), Some(i64::MAX), Some(String::new()), Some(vec![9; 16])),
            (ids(4), Some(0), Some("a".to_owned()), Some(vec![])),
        ];
        assert_eq!(rows.clone().read_all(read).unwrap(), expected);
        type Read = fn(&mut Columns) -> Result<(), DatabaseError>;
        let wrong: [Read; 4] = [
            |columns| columns.int().map(drop),
            |columns| columns.id().and(columns.bytes()).and(columns.text()).map(drop),
            |columns| {
                columns.skip_rest();
                columns.text().map(drop)
            },
            |columns| columns.id().map(drop),
        ];
        assert!(wrong.into_iter().all(|wrong| rows.clone().read_first(wrong).is_err()));
        let null = db.read("SELECT raw FROM things WHERE raw IS NULL", vec![]).await.unwrap();
        assert_eq!(null.clone().read_one(Columns::maybe_id).unwrap(), None);
        assert!(null.read_one(Columns::bytes).is_err());
    }

    async fn values_are_bound_by_name(db: &TestDatabase) {
        table(db).await;
        // $2 comes first and $3 comes twice: by position, each would get another one's value.
        let sql = "INSERT INTO things (number, word, id) VALUES ($2, $3, $1)";
        db.apply(batch([one(sql, [id(5).into(), 42.into(), "five".into()])])).await.unwrap();
        let sql = "SELECT word FROM things WHERE number = $2 AND id = $1 AND word <> $3 AND $3 = word || 'x'";
        let values = vec![id(5).into(), 42.into(), "fivex".into()];
        assert_eq!(db.read(sql, values).await.unwrap().read_one(Columns::text).unwrap(), "five");
    }

    async fn values_that_do_not_fit_are_refused(db: &TestDatabase) {
        table(db).await;
        let word = "INSERT INTO things (id, word) VALUES ($1, $2)";
        for (sql, values) in [
            (INSERT, vec![id(1).into()]),
            (INSERT, vec![id(1).into(), 1.into(), 2.into()]),
            (INSERT, vec![id(1).into(), "text".into()]),
            (word, vec![id(1).into(), "a\0b".into()]),
            (word, vec![id(1).into(), vec![1_u8].into()]),
            ("INSERT INTO nowhere (id) VALUES ($1)", vec![id(1).into()]),
        ] {
            let error = db.apply(batch([statement(sql, values)])).await.unwrap_err();
            assert!(matches!(error, DatabaseError::Failed(_)), "{sql}: {error}");
        }
        assert_eq!(sum_and_count(db).await, (0, 0));
        db.apply(batch([insert(1, 1)])).await.unwrap();
    }

    async fn reads_cannot_write(db: &TestDatabase) {
        table(db).await;
        let returning = "INSERT INTO things (id, number) VALUES ($1, $2) RETURNING number";
        for sql in [INSERT, returning] {
            let read = db.read(sql, vec![id(1).into(), 1.into()]).await;
            assert!(matches!(read, Err(DatabaseError::Failed(_))));
            let read = db.read_all([statement(sql, [id(1).into(), 1.into()])]).await;
            assert!(matches!(read, Err(DatabaseError::Failed(_))));
        }
        assert_eq!(sum_and_count(db).await, (0, 0));
    }

    async fn a_refusal_names_the_statement(db: &TestDatabase) {
        table(db).await;
        db.apply(batch([insert(1, 10)])).await.unwrap();
        let taken = db.apply(batch([insert(2, 1), add(2, 1), insert(1, 1)])).await.unwrap_err();
        assert!(matches!(taken, DatabaseError::Taken { statement: 2 }), "{taken}");
        let unmet = db.apply(batch([insert(2, 1), add(3, 1)])).await.unwrap_err();
        assert!(matches!(unmet, DatabaseError::Unmet { statement: 1, rows: 0 }), "{unmet}");
        db.apply(batch([insert(2, 1)])).await.unwrap();
        let many = one("UPDATE things SET number = number + $1", [5.into()]);
        let unmet = db.apply(batch([many.clone()])).await.unwrap_err();
        assert!(matches!(unmet, DatabaseError::Unmet { statement: 0, rows: 2 }), "{unmet}");
        assert_eq!(sum_and_count(db).await, (11, 2), "nothing of the refused batches is kept");
        db.apply(batch([Statement { exactly_one: false, ..many }])).await.unwrap();
        assert_eq!(sum_and_count(db).await, (21, 2));
    }

    async fn an_insert_that_gives_way_changes_no_row(db: &TestDatabase) {
        table(db).await;
        let sql = "INSERT INTO things (id, number) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        db.apply(batch([one(sql, [id(1).into(), 1.into()])])).await.unwrap();
        let again = db.apply(batch([one(sql, [id(1).into(), 1.into()])])).await.unwrap_err();
        assert!(matches!(again, DatabaseError::Unmet { statement: 0, rows: 0 }), "{again}");
    }

    async fn one_refusal_of_a_group_leaves_the_others_alone(db: &TestDatabase) {
        table(db).await;
        db.apply(batch([insert(0, 0)])).await.unwrap();
        let tasks: Vec<_> = (1..=50).map(|number: u128| {
            let database = db.database.clone();
            tokio::spawn(async move {
                let last = match number {
                    17 => insert(0, 0),
                    23 | 24 => add(1000, 1),
                    40 => statement("INSERT INTO things (id) VALUES (CAST($1 AS BIGINT))", [7.into()]),
                    _ => insert(100 + number, 1),
                };
                database.apply(batch([insert(number, 1), last])).await
            })
        }).collect();
        for (number, task) in (1..).zip(tasks) {
            let outcome = task.await.unwrap();
            match number {
                17 => assert!(matches!(outcome, Err(DatabaseError::Taken { statement: 1 })), "{outcome:?}"),
                23 | 24 => assert!(matches!(outcome, Err(DatabaseError::Unmet { .. })), "{outcome:?}"),
                40 => assert!(matches!(outcome, Err(DatabaseError::Failed(_))), "{outcome:?}"),
                _ => outcome.unwrap(),
            }
        }
        assert_eq!(sum_and_count(db).await, (92, 93), "46 batches of two rows, and the row from before");
    }

    async fn later_batches_of_a_group_see_the_earlier_ones(db: &TestDatabase) {
        table(db).await;
        db.apply(batch([insert(1, 0)])).await.unwrap();
        let tasks: Vec<_> = (0..40).map(|number| {
            let database = db.database.clone();
            // Every fourth batch adds to a missing row, after it has added to an existing one.
            let other = if number % 4 == 0 { vec![add(1, 1), add(9, 1)] } else { vec![add(1, 1)] };
            tokio::spawn(async move { database.apply(batch(other)).await.is_ok() })
        }).collect();
        let mut kept = 0;
        for task in tasks {
            kept += i64::from(task.await.unwrap());
        }
        assert_eq!(kept, 30);
        assert_eq!(sum_and_count(db).await, (30, 1));
    }

    /// A constraint that is checked at the commit refuses the whole group, and the writer continues.
    async fn a_failed_commit_fails_the_group(db: &TestDatabase) {
        table(db).await;
        let sql = match db.kind() {
            "sqlite" => "CREATE TABLE parts (thing BLOB REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED) STRICT",
            _ => "CREATE TABLE parts (thing UUID REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED)",
        };
        db.apply(batch([statement(sql, [])])).await.unwrap();
        let part = "INSERT INTO parts (thing) VALUES ($1)";
        let error = db.apply(batch([insert(1, 1), one(part, [id(7).into()])])).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Failed(_)), "{error}");
        assert_eq!(sum_and_count(db).await, (0, 0));
        db.apply(batch([one(part, [id(1).into()]), insert(1, 1)])).await.unwrap();
        assert_eq!(sum_and_count(db).await, (1, 1));
    }

    async fn read_all_is_one_snapshot(db: &TestDatabase) {
        table(db).await;
        db.apply(batch([insert(1, 1000), insert(2, 0)])).await.unwrap();
        let writer = db.database.clone();
        let moving = tokio::spawn(async move {
            for _ in 0..150 {
                writer.apply(batch([add(1, -1), add(2, 1)])).await.unwrap();
            }
        });
        let row = |key| statement("SELECT number FROM things WHERE id = $1", [id(key).into()]);
        let mut seen = BTreeSet::new();
        while !moving.is_finished() {
            let answers = db.read_all([row(1), row(2), row(1)]).await.unwrap();
            let numbers = answers.map(|rows| rows.read_one(Columns::int).unwrap());
            assert_eq!(numbers[0] + numbers[1], 1000);
            assert_eq!(numbers[0], numbers[2]);
            seen.insert(numbers[0]);
        }
        moving.await.unwrap();
        assert!(seen.len() > 3, "the writer and the readers did run at once: {seen:?}");
        assert_eq!(db.read_all([]).await.unwrap().len(), 0);
    }

    async fn a_failed_read_does_not_harm_the_next(db: &TestDatabase) {
        table(db).await;
        for _ in 0..40 {
            assert!(db.read("SELECT nothing FROM things", vec![]).await.is_err());
            assert!(db.read("SELECT number FROM things WHERE id = $1", vec![]).await.is_err());
            let bad = statement("SELECT CAST($1 AS BIGINT) / 0", ["x".into()]);
            let _ = db.read_all([statement(SUM, []), bad]).await;
            assert_eq!(sum_and_count(db).await, (0, 0));
        }
        assert_eq!(db.read_all([statement(SUM, [])]).await.unwrap().len(), 1);
    }

    async fn writers_of_several_servers_do_not_deadlock(db: &TestDatabase) {
        table(db).await;
        // The first ids are reserved.
        let organizations: Vec<u128> = (11..=14).collect();
        let counter = "INSERT INTO counters (organization, sequence, pruned) VALUES ($1, 0, 0)";
        let rows = organizations.iter().flat_map(|key| [one(counter, [id(*key).into()]), insert(*key, 0)]);
        db.apply(batch(rows)).await.unwrap();
        let mut tasks = Vec::new();
        for server in 0..4_u128 {
            let database = db.open_again().await;
            for number in 0..25_u128 {
                let database = database.clone();
                // Each takes two rows, in every order.
                let keys = [11 + (server + number) % 4, 11 + (server + number * 3 + 1) % 4];
                let locks = keys.iter().map(|key| id(*key)).collect();
                let statements = keys.iter().map(|key| add(*key, 1)).collect::<Vec<_>>();
                tasks.push(tokio::spawn(async move { database.apply(Batch { locks, ..batch(statements) }).await }));
            }
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(sum_and_count(db).await, (200, 4));
    }

    async fn a_commit_wakes_tasks_that_wait_for_its_topics_and_a_refused_one_wakes_none(db: &TestDatabase) {
        table(db).await;
        let mut watches: Vec<Watch> = (0..4).map(|number| db.watch([Topic::Holds(id(number))])).collect();
        let of = |number, statement| batch([statement]).with_topic(Topic::Holds(id(number)));
        db.apply(of(0, insert(1, 1))).await.unwrap();
        db.apply(of(1, insert(1, 1))).await.unwrap_err();
        db.apply(batch([insert(2, 1)])).await.unwrap();
        db.apply(of(2, insert(3, 1))).await.unwrap();
        woken(&mut watches[0]).await;
        woken(&mut watches[2]).await;
        for watch in &mut watches {
            silence(watch);
        }
    }

    async fn commits_of_other_servers_are_signalled(db: &TestDatabase) {
        table(db).await;
        let other = db.open_again().await;
        let mut watches: Vec<Watch> = (0..400).map(|number| db.watch([Topic::Access(id(number))])).collect();
        let mut outsider = db.watch([Topic::Access(id(400))]);
        let topics = (0..400).map(|number| Topic::Access(id(number))).collect();
        other.apply(Batch { topics, ..batch([insert(1, 1)]) }).await.unwrap();
        for watch in &mut watches {
            woken(watch).await;
        }
        assert_eq!(sum_and_count(db).await, (1, 1), "and can be read by then");
        match db.kind() {
            // Of another process, only the fact that it wrote is known.
            "sqlite" => woken(&mut outsider).await,
            _ => silence(&mut outsider),
        }
        other.close().await;
    }

    async fn a_turn_wakes_one_waiting_worker_on_each_server(db: &TestDatabase) {
        table(db).await;
        let other = db.open_again().await;
        let mut near = [None, Some(id(1)), Some(id(2))].map(|organization| db.wait_for_work(organization, None));
        let mut far = [Some(id(2)), Some(id(1))].map(|organization| other.wait_for_work(organization, None));
        near.iter_mut().chain(&mut far).for_each(|work| work.finish_search());
        let turn = Topic::Work { organization: id(1), agent: "coder".into() };
        db.apply(batch([insert(1, 1)]).with_topic(turn)).await.unwrap();
        assert!(tokio::time::timeout(PATIENCE, near[0].wait_for_call()).await.unwrap());
        assert!(tokio::time::timeout(PATIENCE, far[1].wait_for_call()).await.unwrap());
        for work in &mut near[1..] {
            assert_eq!(work.wait_for_call().now_or_never(), None);
        }
        if db.kind() == "postgres" {
            assert_eq!(far[0].wait_for_call().now_or_never(), None);
        }
        other.close().await;
    }

    async fn closing_finishes_running_writes(db: &TestDatabase) {
        table(db).await;
        let mut watch = db.watch([Topic::Devices]);
        let tasks: Vec<_> = (0..100).map(|key| {
            let database = db.database.clone();
            tokio::spawn(async move { database.apply(batch([insert(key, 1)])).await.is_ok() })
        }).collect();
        tokio::task::yield_now().await;
        db.close().await;
        db.close().await;
        let mut kept = 0;
        for task in tasks {
            kept += i64::from(task.await.unwrap());
        }
        assert!(matches!(db.apply(batch([insert(200, 1)])).await, Err(DatabaseError::Failed(_))));
        assert!(matches!(db.read(SUM, vec![]).await, Err(DatabaseError::Failed(_))));
        assert!(db.read_all([statement(SUM, [])]).await.is_err());
        assert!(db.ping().await.is_err());
        assert!(!watch.wait_for_commit().await);
        assert!(!db.watch([Topic::Devices]).wait_for_commit().await);

        let again = db.open_again().await;
        assert_eq!(sum_and_count(&again).await, (kept, kept), "what was acknowledged is there, and no more");
        again.ping().await.unwrap();
        again.close().await;
    }

    async fn other_schemas_are_refused(db: &TestDatabase) {
        let note = "INSERT INTO schema_migrations (version, name, checksum, applied_us) VALUES ($1, 'x', 'x', 0)";
        db.apply(batch([one(note, [(SCHEMA_VERSION + 1).into()])])).await.unwrap();
        for mode in [OpenMode::Existing, OpenMode::Migrate] {
            let text = schema_error(Database::open(&db.url, mode, 0).await);
            assert!(text.contains("was written by a newer tenure (schema "), "{text}");
        }
        let undo = "DELETE FROM schema_migrations WHERE version > $1";
        db.apply(batch([statement(undo, [SCHEMA_VERSION.into()])])).await.unwrap();
        let alter = statement("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1", []);
        db.apply(batch([alter])).await.unwrap();
        for mode in [OpenMode::Existing, OpenMode::Migrate] {
            let text = schema_error(Database::open(&db.url, mode, 0).await);
            assert!(text.contains("migration 1 in the database is not the one"), "{text}");
        }
        db.apply(batch([statement("DELETE FROM schema_migrations", [])])).await.unwrap();
        let text = schema_error(Database::open(&db.url, OpenMode::Existing, 0).await);
        assert!(text.contains("tenure migrate"), "{text}");
    }

    async fn a_migration_is_recorded_with_the_callers_time(db: &TestDatabase) {
        let rows = db.read("SELECT version, applied_us FROM schema_migrations", vec![]).await.unwrap();
        assert_eq!(rows.len(), usize::try_from(SCHEMA_VERSION).unwrap());
        if db.kind() == "sqlite" {
            let times = rows.read_all(|columns| columns.int().and(columns.int())).unwrap();
            assert!(times.iter().all(|time| *time == MADE_US));
        }
    }
}

/// Several servers start at the same moment on an empty database: one migrates, the others wait.
async fn all_start_at_once(url: &str) {
    let opens: Vec<_> = (0..6)
        .map(|_| {
            let url = url.to_owned();
            tokio::spawn(async move { Database::open(&url, OpenMode::Migrate, MADE_US).await })
        })
        .collect();
    for open in opens {
        let database = open.await.unwrap().unwrap();
        let rows = database.read("SELECT count(*) FROM schema_migrations", vec![]).await.unwrap();
        assert_eq!(rows.read_one(Columns::int).unwrap(), SCHEMA_VERSION);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_may_start_at_once_on_sqlite() {
    all_start_at_once(&empty_sqlite().url).await;
}

/// Another process has the new file for itself for a moment, like a server that starts at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_waits_for_one_that_writes() {
    let place = empty_sqlite();
    let path = place.url.strip_prefix("sqlite:").unwrap();
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let writing = tokio::task::spawn_blocking(move || {
        // A slow statement, so that the two meet.
        other
            .execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
                 SELECT max(i) FROM n; COMMIT",
            )
            .unwrap();
    });
    all_start_at_once(&place.url).await;
    writing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_may_start_at_once_on_postgres() {
    if let Some(place) = empty_postgres().await {
        all_start_at_once(&place.url).await;
    }
}

/// Rows without a counter, taken in opposite orders: PostgreSQL ends one of the two, and it is retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlocks_are_retried() {
    let Some(db) = fresh_postgres().await else { return };
    table(&db).await;
    db.apply(batch([insert(1, 0), insert(2, 0)])).await.unwrap();
    let servers = [db.open_again().await, db.open_again().await];
    for _ in 0..5 {
        // Slow statements in between make the two meet.
        let pause = || statement("SELECT pg_sleep(0.1)", []);
        let one = servers[0].apply(batch([add(1, 1), pause(), add(2, 1)]));
        let two = servers[1].apply(batch([add(2, 1), pause(), add(1, 1)]));
        let (one, two) = tokio::join!(one, two);
        one.unwrap();
        two.unwrap();
    }
    assert_eq!(sum_and_count(&db).await, (20, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_are_replaced() {
    let Some(db) = fresh_postgres().await else { return };
    table(&db).await;
    let other = db.open_again().await;
    for key in 0..5 {
        let mut watch = db.watch([Topic::Devices]);
        assert_eq!(sum_and_count(&db).await, (key, key));
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(other.read(cut, vec![]).await.unwrap().read_one(Columns::int).unwrap() > 0);
        db.apply(batch([insert(u128::try_from(key).unwrap(), 1)])).await.unwrap();
        assert_eq!(sum_and_count(&db).await, (key + 1, key + 1));
        woken(&mut watch).await;
    }
}

/// Dropping every handle without closing must leave no threads or connections behind.
#[tokio::test]
async fn dropped_databases_end_by_themselves() {
    let db = fresh_sqlite().await;
    let again = db.open_again().await;
    let mut watch = again.watch([Topic::Devices]);
    drop(again);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), watch.wait_for_commit()).await, Ok(false));
}
