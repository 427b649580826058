//! A watch of access knows of every change that a remembered caller does not have.

use super::remembered::{Attempt, ISSUER, Remembered};
use crate::logins::sessions::{HASH, login};
use crate::world::{NOW, bytes, key, organization, principal, system};
use domain::credential::KeyLimits;
use domain::ids::{CredentialId, OrganizationId, PrincipalId, SessionId, SigningKeyId};
use domain::login::Method;
use domain::organization::Organization;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::time::Span;
use std::collections::BTreeMap;
use store::database::{Columns, Database};
use store::testing::{TestDatabase, fresh_postgres, fresh_sqlite, raw};
use store::{AccessMoment, AccessWatch, LoginExpectations, OrganizationChoice, PublicKey, Store};

/// A person with everything that authentication reads, and an administrator of the account.
pub struct House {
    pub acme: OrganizationId,
    pub other: OrganizationId,
    pub person: PrincipalId,
    pub root: PrincipalId,
    pub keys: [CredentialId; 3],
    pub logins: [SessionId; 2],
}

pub async fn build(db: &TestDatabase) -> (Remembered, House) {
    let limits = KeyLimits { age: Some(Span::minutes(600)), idle: Some(Span::minutes(300)) };
    let store = Store::new(db.database.clone()).limiting_keys(limits);
    let mut remembered = Remembered::new(&store);
    let (acme, person) = organization(&store).await;
    let other = OrganizationId::new(NOW, bytes());
    let new =
        Organization { id: other, name: other.to_string(), created: NOW, deleted: None, max_devices: None };
    store.create_organization(&system(), &new).await.unwrap();
    store.set_member(&system().grant(other), person, Role::Readonly, NOW + Span(1)).await.unwrap();
    let own = system().grant_person(person);
    store.propose_second_factor(&own, b"sealed", NOW).await.unwrap();
    let factor = store.load_second_factor(&own).await.unwrap().unwrap();
    store.confirm_second_factor(&own, &factor, 1, &[], None, NOW).await.unwrap();
    let root = principal(&store, Some(AccountRole::Admin)).await.id;
    let (free, free_secret) = key(&store, person, None, None).await;
    let (bound, bound_secret) = key(&store, person, Some(acme), Some(NOW + Span::minutes(600))).await;
    let (of_root, root_secret) = key(&store, root, None, None).await;
    let mut logins = Vec::new();
    for credential in [None, Some(free)] {
        let mut new = login(person, NOW);
        new.credential = credential;
        new.methods = if credential.is_some() { vec![Method::Key] } else { vec![Method::MultiFactor] };
        let opening = LoginExpectations { open: logins.len(), ..LoginExpectations::default() };
        logins.push(store.open_login(&system(), new, &HASH, &opening).await.unwrap().id);
    }
    let named = |id| OrganizationChoice::Named(Some(id));
    remembered.attempts = vec![
        Attempt::Key(free_secret.hash(), OrganizationChoice::ByDefault),
        Attempt::Key(free_secret.hash(), named(other)),
        Attempt::Key(bound_secret.hash(), OrganizationChoice::ByDefault),
        Attempt::Key(root_secret.hash(), OrganizationChoice::ByDefault),
        Attempt::Key(root_secret.hash(), named(acme)),
        Attempt::Login(logins[0], HASH, OrganizationChoice::ByDefault),
        Attempt::Login(logins[1], HASH, named(acme)),
    ];
    let id = |id: uuid::Uuid| literal(db, id);
    let identity = format!(
        "INSERT INTO identities (issuer, subject, principal, linked_us, seen_us) VALUES ('{ISSUER}', 's', {}, 0, 0)",
        id(person.0)
    );
    raw(&db.url, &identity).await.unwrap();
    let logins = logins.try_into().unwrap();
    (remembered, House { acme, other, person, root, keys: [free, bound, of_root], logins })
}

fn literal(db: &Database, id: uuid::Uuid) -> String {
    if db.kind() == "sqlite" { format!("X'{}'", id.simple()) } else { format!("'{id}'") }
}

/// The rows that authentication reads, as table and condition.
fn rows(db: &Database, house: &House) -> Vec<(&'static str, String)> {
    let id = |id: uuid::Uuid| literal(db, id);
    let mut rows = vec![
        ("principals", format!("id = {}", id(house.person.0))),
        ("principals", format!("id = {}", id(house.root.0))),
        ("organizations", format!("id = {}", id(house.acme.0))),
        ("organizations", format!("id = {}", id(house.other.0))),
        ("second_factors", format!("principal = {}", id(house.person.0))),
        ("identities", format!("principal = {}", id(house.person.0))),
    ];
    for organization in [house.acme, house.other] {
        rows.push(("members", format!("organization = {}", id(organization.0))));
    }
    rows.extend(house.keys.map(|key| ("credentials", format!("id = {}", id(key.0)))));
    for session in house.logins {
        let condition = format!("created_us = {}", session.creation_time().0);
        rows.push(("sessions", format!("kind = 'login' AND {condition}")));
        rows.push(("logins", condition));
    }
    rows
}

/// The columns of a table, and their types.
async fn columns(db: &Database, table: &'static str) -> Vec<(String, String)> {
    let sql = match db.kind() {
        "sqlite" => "SELECT name, type FROM pragma_table_info($1)",
        _ => {
            "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns
             WHERE CAST(table_name AS TEXT) = $1 AND table_schema = current_schema() ORDER BY ordinal_position"
        }
    };
    let caller = store::ScanCaller::Tenure;
    let statement = store::database::Statement { sql, values: vec![table.into()], exactly_one: false };
    let [rows] = db.scan(caller, [statement]).await.unwrap();
    rows.read_all(|columns: &mut Columns| Ok((columns.text()?, columns.text()?.to_uppercase()))).unwrap()
}

/// Values that a column may be set to. Some are refused, and some change nothing.
fn values(db: &Database, house: &House, column: &str, kind: &str) -> Vec<String> {
    let values: &[&str] = match (kind, column) {
        ("INTEGER" | "BIGINT", _) => &["NULL", "1", &format!("COALESCE({column}, {}) + 5", NOW.0)],
        ("TEXT", "role" | "account_role") => &["NULL", "'readonly'"],
        ("TEXT", "kind") => &["'service_user'", "'device'"],
        ("TEXT", "networks") => &["'10.0.0.0/8'"],
        ("TEXT", "scopes") => &["'read:user'"],
        ("TEXT", "methods") => &["'pwd'"],
        ("TEXT", "state") => &["'suspended'"],
        ("TEXT", _) => &["NULL", "'x'"],
        (_, "hash" | "sealed") if db.kind() == "sqlite" => &["zeroblob(32)"],
        (_, "hash" | "sealed") => &["'\\x00'::bytea"],
        _ => &["NULL", &literal(db, house.other.0), &literal(db, house.root.0)],
    };
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// Sets each column of each row to other values, and checks. Returns the columns whose changes counted, with whether
/// each of them changed an answer.
async fn change_columns(db: &TestDatabase) -> BTreeMap<String, bool> {
    let (mut remembered, house) = build(db).await;
    let all = remembered.attempts.len();
    let mut counted = BTreeMap::new();
    for (table, row) in rows(db, &house) {
        raw(&db.url, &format!("CREATE TABLE kept AS SELECT * FROM {table}")).await.unwrap();
        for (column, kind) in columns(db, table).await {
            for value in values(db, &house, &column, &kind) {
                let set = format!("UPDATE {table} SET {column} = {value} WHERE {row}");
                assert_eq!(remembered.remember(NOW).await, all, "before {set}");
                if raw(&db.url, &set).await.is_err() {
                    continue;
                }
                let (changed, forgotten) = remembered.check(&set, NOW).await;
                if forgotten > 0 {
                    *counted.entry(format!("{table}.{column}")).or_insert(false) |= changed > 0;
                }
                let undo =
                    format!("BEGIN; DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept; COMMIT");
                raw(&db.url, &undo).await.unwrap();
            }
        }
        raw(&db.url, "DROP TABLE kept").await.unwrap();
    }
    counted
}

/// The columns that count. Authentication reads each of them.
const COUNTED: [(&str, &str); 9] = [
    (
        "credentials",
        "created_us expires_us hash id last_used_us networks organization principal revoked_us scopes",
    ),
    ("identities", "issuer principal"),
    ("logins", "authenticated_us created_us credential expires_us hash idle_us methods organization scopes"),
    ("members", "created_us organization principal role"),
    ("organizations", "deleted_us id"),
    ("principals", "account_role default_organization id kind state"),
    ("second_factors", "confirmed_us principal"),
    ("sessions", "activity_us created_us ended_us kind organization principal tail"),
    ("signing_keys", ""),
];

/// A watch's view of one principal.
async fn is_told(remembered: &Remembered, principal: PrincipalId, since: AccessMoment) -> bool {
    let now = remembered.moment().await;
    assert!(!remembered.watch.has_changed(principal, now));
    remembered.watch.has_changed(principal, since)
}

both! {
    async fn every_column_that_authentication_reads_counts(db: &TestDatabase) {
        let counted = change_columns(db).await;
        let of = |(table, columns): &(&str, &str)| {
            columns.split_whitespace().map(|column| format!("{table}.{column}")).collect::<Vec<_>>()
        };
        let expected = COUNTED.iter().flat_map(of).map(|column| (column, true)).collect::<BTreeMap<_, _>>();
        assert_eq!(counted, expected, "it counts, and an answer changes with it");
    }

    async fn a_change_counts_for_its_own_principal(db: &TestDatabase) {
        let (remembered, house) = build(db).await;
        let (store, start) = (&remembered.store, remembered.moment().await);
        // What only lets somebody in, and uses of credentials.
        let (new, _) = key(store, house.person, None, None).await;
        store.record_credential_use(&system(), new, NOW + Span::minutes(1)).await.unwrap();
        store.record_login_use(&system(), house.logins[0], NOW + Span::minutes(1)).await.unwrap();
        store.rename_organization(&system(), house.acme, "another name", NOW).await.unwrap();
        let own = system().grant_person(house.person);
        store.set_names(&own, Some("A"), Some("B"), NOW).await.unwrap();
        store.use_one_time_code(&own, 7).await.unwrap();
        for principal in [house.person, house.root] {
            assert!(!is_told(&remembered, principal, start).await);
        }
        store.revoke_credential(&system(), house.keys[2], NOW).await.unwrap();
        assert!(is_told(&remembered, house.root, start).await);
        assert!(!is_told(&remembered, house.person, start).await);
        store.delete_organization(&system(), house.other, NOW).await.unwrap();
        assert!(is_told(&remembered, house.person, start).await, "everybody");
    }

    async fn signing_keys_count_for_everybody(db: &TestDatabase) {
        let (remembered, house) = build(db).await;
        let key = PublicKey {
            id: SigningKeyId::new(NOW, bytes()),
            bytes: vec![1; 32],
            created: NOW,
            retires: NOW + Span::minutes(1),
        };
        let start = remembered.moment().await;
        remembered.store.store_public_key(&system(), &key).await.unwrap();
        assert!(!is_told(&remembered, house.person, start).await, "no token was signed with it yet");
        for sql in ["UPDATE signing_keys SET retires_us = 0", "DELETE FROM signing_keys"] {
            let before = remembered.moment().await;
            raw(&db.url, sql).await.unwrap();
            assert!(is_told(&remembered, house.person, before).await, "{sql}");
        }
    }

    async fn more_changes_than_are_kept_count_for_everybody(db: &TestDatabase) {
        let (remembered, house) = build(db).await;
        let start = remembered.moment().await;
        let flip = format!(
            "UPDATE principals SET account_role = 'readonly' WHERE id = {0};
             UPDATE principals SET account_role = 'admin' WHERE id = {0};",
            literal(db, house.root.0)
        );
        match db.kind() {
            "sqlite" => raw(&db.url, &format!("BEGIN; {} COMMIT", flip.repeat(1_000))).await.unwrap(),
            _ => {
                let many = "INSERT INTO access_changes (principal)
                            SELECT CAST(lpad(to_hex(i), 32, '0') AS uuid) FROM generate_series(1, 2000) i";
                raw(&db.url, many).await.unwrap();
            }
        }
        assert!(is_told(&remembered, house.person, start).await);
        let later = remembered.moment().await;
        raw(&db.url, &flip).await.unwrap();
        assert!(!is_told(&remembered, house.person, later).await && is_told(&remembered, house.root, later).await);
    }

    async fn rows_that_go_and_come_count(db: &TestDatabase) {
        let (mut remembered, house) = build(db).await;
        let all = remembered.attempts.len();
        for (table, row) in rows(db, &house) {
            assert_eq!(remembered.remember(NOW).await, all, "before {table}");
            raw(&db.url, &format!("CREATE TABLE kept AS SELECT * FROM {table}")).await.unwrap();
            raw(&db.url, &format!("DELETE FROM {table} WHERE {row}")).await.unwrap();
            let (changed, _) = remembered.check(&format!("DELETE FROM {table} WHERE {row}"), NOW).await;
            assert!(changed > 0, "{table} is read");
            remembered.remember(NOW).await;
            raw(&db.url, &format!("INSERT INTO {table} SELECT * FROM kept WHERE {row}")).await.unwrap();
            remembered.check(&format!("INSERT INTO {table} … WHERE {row}"), NOW).await;
            raw(&db.url, "DROP TABLE kept").await.unwrap();
        }
    }
}

/// A PostgreSQL connection of another program.
async fn connect(db: &TestDatabase) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&db.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_commits_after_a_look_is_not_missed() {
    let Some(db) = fresh_postgres().await else { return };
    let (remembered, house) = build(&db).await;
    let (store, client) = (remembered.store.clone(), connect(&db).await);
    for (number, end) in ["COMMIT", "ROLLBACK", "COMMIT"].into_iter().enumerate() {
        let start = remembered.moment().await;
        let change = format!(
            "BEGIN; SAVEPOINT inner_transaction;
             UPDATE members SET created_us = {number} WHERE organization = '{}'",
            house.acme.0
        );
        client.batch_execute(&change).await.unwrap();
        // Later transactions are committed before it, and wait for nothing.
        for role in [Role::Readwrite, Role::Readonly] {
            store.set_member(&system().grant(house.other), house.person, role, NOW).await.unwrap();
            assert!(is_told(&remembered, house.person, start).await);
        }
        let before = remembered.moment().await;
        client.batch_execute(end).await.unwrap();
        assert_eq!(is_told(&remembered, house.person, before).await, end == "COMMIT");
        let after = remembered.moment().await;
        assert!(!is_told(&remembered, house.person, after).await, "it is told once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_were_pruned_unseen_count_for_everybody() {
    let Some(db) = fresh_postgres().await else { return };
    let (remembered, house) = build(&db).await;
    let other = AccessWatch::new(remembered.store.clone());
    let look = async || remembered.store.look(&system()).await.unwrap();
    let start = remembered.moment().await;
    let start_of_other = other.catch_up(&look().await).await.unwrap().unwrap();
    // The transactions of a cluster that was restored here are higher than all of this one.
    raw(&db.url, "INSERT INTO access_changes (tx, principal) VALUES ('1000000000', gen_random_uuid())")
        .await
        .unwrap();
    raw(&db.url, "UPDATE access_pruned SET tx = '1000000000'").await.unwrap();
    assert!(!is_told(&remembered, house.root, start).await);
    remembered
        .store
        .set_principal_state(&system(), house.root, PrincipalState::Suspended, NOW)
        .await
        .unwrap();
    assert!(is_told(&remembered, house.root, start).await);
    // Another transaction stays open meanwhile.
    let client = connect(&db).await;
    client.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    for round in 0..2 {
        let many = "DO $$ BEGIN
                        FOR i IN 1..10 LOOP
                            INSERT INTO access_changes (principal)
                            SELECT gen_random_uuid() FROM generate_series(1, 1100);
                            COMMIT;
                        END LOOP;
                    END $$";
        raw(&db.url, many).await.unwrap();
        remembered.moment().await;
        if round == 0 {
            remembered.store.prune_access_changes(&system()).await.unwrap();
        }
    }
    client.batch_execute("COMMIT").await.unwrap();
    remembered.moment().await;
    // A transaction of another test may still be open, and what it may have seen begin stays.
    let mut left = i64::MAX;
    for _ in 0..10_000 {
        remembered.store.prune_access_changes(&system()).await.unwrap();
        let rows = db.read("SELECT count(*) FROM access_changes", vec![]).await.unwrap();
        left = rows.read_one(Columns::int).unwrap();
        if left < 15_000 {
            break;
        }
    }
    assert!((8_000..15_000).contains(&left), "{left} rows are left");
    // The look before may count everybody, when a transaction of another test was open.
    let seen = remembered.moment().await;
    assert!(!is_told(&remembered, house.person, seen).await, "all of them were seen");
    other.catch_up(&look().await).await.unwrap();
    assert!(other.has_changed(house.person, start_of_other), "rows that it has not seen are gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_database_tells_nothing() {
    for db in [Some(fresh_sqlite().await), fresh_postgres().await].into_iter().flatten() {
        let (remembered, _) = build(&db).await;
        remembered.moment().await;
        db.database.close().await;
        if let Ok(look) = remembered.store.look(&system()).await {
            let told = remembered.watch.catch_up(&look).await;
            assert!(matches!(told, Ok(None) | Err(_)), "{told:?}");
        }
    }
}
