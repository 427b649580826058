//! The lanes of reads: scans never block reads by key, end in time, and are shared fairly.

use std::time::Duration;
use store::database::{Columns, Database, DatabaseError, OpenMode, Readers, ScanCaller, Statement};
use store::testing::{ENDLESS, MADE_US, TestDatabase, endless, fresh_postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

/// Longer than anything that passes takes.
const NEVER: Duration = Duration::from_secs(600);
const PATIENT: Readers = Readers {
    sqlite: 6,
    postgres: 6,
    read_timeout: NEVER,
    scan_timeout: NEVER,
    scan_wait: NEVER,
    connect_timeout: NEVER,
};

fn caller(organization: u128, principal: u128) -> ScanCaller {
    ScanCaller::Caller { organization: Uuid::from_u128(organization), principal: Uuid::from_u128(principal) }
}

async fn open(db: &TestDatabase, readers: Readers) -> Database {
    Database::open_with(&db.url, OpenMode::Existing, readers, MADE_US).await.unwrap()
}

/// A scan that is too long for the lane of keys, and then ends.
fn long(db: &Database) -> [Statement; 1] {
    let sql = match db.kind() {
        "sqlite" => {
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
             SELECT count(*) FROM n"
        }
        _ => "SELECT CAST(pg_sleep(0.1) AS TEXT)",
    };
    [Statement { sql, values: vec![], exactly_one: false }]
}

fn scans(db: &Database, asker: ScanCaller, count: usize) -> JoinSet<Result<(), DatabaseError>> {
    let scan = |_| {
        let db = db.clone();
        async move { db.scan(asker, [endless(&db)]).await.map(drop) }
    };
    (0..count).map(scan).collect()
}

async fn answers(db: &Database) {
    for _ in 0..20 {
        assert_eq!(
            db.read("SELECT count(*) FROM organizations WHERE name = $1", vec!["x".into()])
                .await
                .unwrap()
                .len(),
            1
        );
        db.ping().await.unwrap();
    }
}

/// Waits until PostgreSQL runs no endless scan.
async fn none_is_active(db: &Database) {
    if db.kind() == "postgres" {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
                   AND query LIKE $1 AND pid <> pg_backend_pid()";
        let text = format!("%{}%", ENDLESS.postgres);
        while db.read(sql, vec![text.as_str().into()]).await.unwrap().read_one(Columns::int).unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

both! {
    async fn endless_scans_leave_keys_and_others_scans_alone(db: &TestDatabase) {
        let db = open(db, PATIENT).await;
        let attack = scans(&db, caller(1, 1), 8);
        answers(&db).await;
        // Another principal of the same organization waits for its turn; another organization does not.
        for _ in 0..5 {
            db.scan(caller(2, 2), long(&db)).await.unwrap();
            answers(&db).await;
        }
        assert_eq!(attack.len(), 8, "all of them are under way or wait");
        drop(attack);
        none_is_active(&db).await;
        db.close().await;
    }

    async fn a_scan_ends_when_its_caller_leaves(db: &TestDatabase) {
        let db = open(db, Readers { sqlite: 2, postgres: 2, ..PATIENT }).await;
        for _ in 0..5 {
            drop(scans(&db, caller(1, 1), 3));
            let attack = scans(&db, caller(1, 1), 3);
            answers(&db).await;
            drop(attack);
            // There is one place for scans, and it is free again.
            db.scan(caller(1, 1), long(&db)).await.unwrap();
            none_is_active(&db).await;
        }
        db.close().await;
    }

    async fn a_read_by_key_ends_when_its_caller_leaves(db: &TestDatabase) {
        let db = open(db, Readers { sqlite: 2, postgres: 2, ..PATIENT }).await;
        for _ in 0..3 {
            let stuck = tokio::spawn({
                let db = db.clone();
                async move { db.read(endless(&db).sql, vec![]).await.map(drop) }
            });
            // The only reader for keys is at work on it once a look-up gets no answer.
            let answer = async || tokio::time::timeout(Duration::from_millis(50), db.read("SELECT 1", vec![])).await;
            while answer().await.is_ok() {}
            stuck.abort();
            assert!(stuck.await.unwrap_err().is_cancelled());
            answers(&db).await;
            none_is_active(&db).await;
        }
        db.close().await;
    }

    async fn reads_and_scans_have_a_deadline(made: &TestDatabase) {
        let limit = Duration::from_secs(1);
        let db = open(made, Readers { sqlite: 2, postgres: 2, scan_timeout: limit, ..PATIENT }).await;
        for asker in [caller(1, 1), caller(2, 2)] {
            let ended = db.scan(asker, [endless(&db)]).await.unwrap_err();
            assert!(matches!(ended, DatabaseError::Slow { seconds: 1 }), "{ended}");
        }
        none_is_active(&db).await;
        answers(&db).await;
        db.close().await;
        let db = open(made, Readers { read_timeout: Duration::from_secs(3), ..PATIENT }).await;
        let ended = db.read(endless(&db).sql, vec![]).await.unwrap_err();
        assert!(matches!(ended, DatabaseError::Slow { seconds: 3 }), "{ended}");
        answers(&db).await;
        db.close().await;
    }

    async fn a_principal_with_too_many_scans_is_refused_for_now(db: &TestDatabase) {
        let db = open(db, Readers { scan_wait: Duration::from_millis(1), ..PATIENT }).await;
        let mut attack = scans(&db, caller(1, 1), 9);
        let mut refused = 0;
        while refused < 7 {
            let ended = attack.join_next().await.unwrap().unwrap().unwrap_err();
            assert!(matches!(ended, DatabaseError::Crowded { own: true }), "{ended}");
            refused += 1;
        }
        assert!(attack.len() <= 2);
        db.scan(caller(2, 2), long(&db)).await.unwrap();
        db.scan(ScanCaller::Tenure, long(&db)).await.unwrap();
        db.close().await;
    }
}

/// A proxy before PostgreSQL that can go away and come back.
struct Door {
    address: std::net::SocketAddr,
    target: String,
    open: Option<JoinHandle<()>>,
}

impl Door {
    async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let target = self.target.clone();
        self.open = Some(tokio::spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((mut line, _)) = listener.accept().await {
                let target = target.clone();
                lines.spawn(async move {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    let _ = copy_bidirectional(&mut line, &mut server).await;
                });
            }
        }));
    }

    async fn close(&mut self) {
        let open = self.open.take().unwrap();
        open.abort();
        let _ = open.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_wait_for_a_server_that_restarts() {
    let Some(real) = fresh_postgres().await else { return };
    let (before, after) = real.url.split_once('@').unwrap();
    let (target, database) = after.split_once('/').unwrap();
    let mut door = Door { address: ([127, 0, 0, 1], 0).into(), target: target.to_owned(), open: None };
    door.open().await;
    let url = format!("{before}@{}/{database}", door.address);
    let open = async |away| {
        let readers = Readers { connect_timeout: away, ..PATIENT };
        Database::open_with(&url, OpenMode::Existing, readers, MADE_US).await.unwrap()
    };
    let (patient, hasty) = (open(NEVER).await, open(Duration::from_secs(2)).await);
    answers(&patient).await;
    answers(&hasty).await;
    door.close().await;
    assert!(patient.ping().await.is_err(), "it says so at once");
    let waiting = [1, 2].map(|principal| {
        let db = patient.clone();
        tokio::spawn(async move {
            match principal {
                1 => db.read("SELECT 1", vec![]).await.map(drop),
                _ => db.scan(caller(1, principal), long(&db)).await.map(drop),
            }
        })
    });
    let refused = hasty.read("SELECT 1", vec![]).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Away(_)), "{refused}");
    door.open().await;
    for read in waiting {
        read.await.unwrap().unwrap();
    }
    answers(&patient).await;
    patient.close().await;
    hasty.close().await;
}

/// Forwards connections to PostgreSQL and misspells each COMMIT: it fails, and an aborted transaction stays open, as when
/// a timeout ends the COMMIT.
async fn misspell_commits(target: String) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.unwrap();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                    let sent = &mut bytes[..count];
                    if let Some(at) = sent.windows(7).position(|word| word == b"COMMIT\0") {
                        sent[at + 5] = b'X';
                    }
                    if to_server.write_all(sent).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_whose_commit_fails_is_not_used_again() {
    let Some(real) = fresh_postgres().await else { return };
    let (before, after) = real.url.split_once('@').unwrap();
    let (target, database) = after.split_once('/').unwrap();
    let url = format!("{before}@{}/{database}", misspell_commits(target.to_owned()).await);
    let readers = Readers { postgres: 2, scan_timeout: Duration::from_secs(1), ..PATIENT };
    let db = Database::open_with(&url, OpenMode::Existing, readers, MADE_US).await.unwrap();
    let backend = "SELECT CAST(pg_backend_pid() AS BIGINT)";
    let backend_pid = async || {
        let [rows] = db
            .scan(caller(1, 1), [Statement { sql: backend, values: vec![], exactly_one: false }])
            .await
            .unwrap();
        rows.read_one(Columns::int).unwrap()
    };
    // What was read before the COMMIT is good.
    let first = backend_pid().await;
    assert_ne!(first, backend_pid().await);
    let ended = db.scan(caller(1, 1), [endless(&db)]).await.unwrap_err();
    assert!(matches!(ended, DatabaseError::Slow { seconds: 1 }), "{ended}");
    for _ in 0..3 {
        db.read(backend, vec![]).await.unwrap();
    }
    db.close().await;
}
