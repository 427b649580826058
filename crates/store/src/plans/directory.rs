//! Query plans of invitations, members, identities and device logins: they use the keys.

use crate::access::watch;
use crate::database::Value;
use crate::directory::identities;
use crate::directory::invitations;
use crate::directory::memberships;
use crate::logins::device_logins;
use crate::testing::{fresh_sqlite, read_plan_line};
use uuid::Uuid;

#[tokio::test]
async fn sqlite_finds_users_and_device_logins_by_key() {
    let db = fresh_sqlite().await;
    let (id, hash) = (Value::from(Uuid::nil()), Value::Bytes(vec![1]));
    for (sql, values) in [
        (invitations::HERE, vec![id.clone(), 1.into()]),
        (invitations::OF_PERSON, vec![id.clone(), 1.into()]),
        (memberships::MEMBERS, vec![id.clone()]),
        (identities::OF_SUBJECT, vec!["issuer".into(), "subject".into()]),
        (identities::OF_PERSON, vec![id.clone(), "issuer".into()]),
        (identities::HELD, vec![id]),
        (watch::SQLITE, vec![1.into()]),
        (device_logins::BY_HASH, vec![hash.clone()]),
        (device_logins::BY_CODE, vec![hash, 1.into()]),
    ] {
        let explain: &'static str = Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
        let rows = db.read(explain, values).await.unwrap();
        let plan = rows.read_all(read_plan_line).unwrap();
        let costly = |line: &String| line.starts_with("SCAN") || line.starts_with("MATERIALIZE");
        assert!(!plan.iter().any(costly), "{sql}: {plan:#?}");
    }
}
