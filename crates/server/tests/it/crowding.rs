//! Too many lists, searches and counts of one caller are refused on each wire and do not delay others.

use crate::world::{Actor, TestResponse, World};
use domain::permission::{AccountRole, Role};
use serde_json::json;
use std::time::Duration;
use store::database::{DatabaseError, ScanCaller};
use store::testing::endless;
use tokio::task::JoinSet;

/// A search or count that a member may read.
const COUNTED: [&str; 3] = ["/v1/sessions?search=zzz", "/v1/sessions/facets?search=zzz", "/api/v1/members"];
/// Reads by key, and lists and counts that the session index answers.
const BY_KEY: [&str; 8] = [
    "/api/v1/sessions",
    "/api/v1/organizations",
    "/frontend/api/v1/auth/session",
    "/tenure/v1/me",
    "/v1/sessions",
    "/v1/sessions/stats",
    "/v3/organizations/sessions",
    "/v3/organizations/sessions?tags=a,b",
];

/// Endless searches of a caller: as many as run at once, and more that were refused.
async fn searches(of: &Actor<'_>) -> JoinSet<Result<(), DatabaseError>> {
    let caller = of.grant::<store::access::ViewSessions>().await;
    let asker = ScanCaller::Caller { principal: of.principal.0, organization: caller.organization().0 };
    begin(of.world, asker).await
}

async fn begin(world: &World, asker: ScanCaller) -> JoinSet<Result<(), DatabaseError>> {
    let mut searches = JoinSet::new();
    for _ in 0..8 {
        let database = world.store().database().clone();
        searches.spawn(async move { database.scan(asker, [endless(&database)]).await.map(drop) });
    }
    for _ in 0..6 {
        let refused = searches.join_next().await.unwrap().unwrap().unwrap_err();
        assert!(matches!(refused, DatabaseError::Crowded { own: true }), "{refused}");
    }
    searches
}

async fn server(world: &World) -> World {
    world
        .another_server(|settings| {
            settings.scan_wait = Duration::from_millis(100);
            settings.scan_timeout = Duration::from_secs(600);
            settings.sqlite_readers = 12;
            settings.postgres_connections = 12;
        })
        .await
}

fn assert_refused(response: &TestResponse, what: &str) {
    assert_eq!(response.status, 429, "{what}: {}", response.text());
    assert_eq!(response.headers["retry-after"], "5", "{what}");
    assert!(response.text().contains("lists, searches and counts"), "{what}: {}", response.text());
}

both! {
    async fn too_many_searches_are_refused_without_delaying_others(world: &World) {
        let world = server(world).await;
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let ana = world.member(acme, Role::Admin).await;
        let (ben, gil) = (world.member(acme, Role::Admin).await, world.member(globex, Role::Admin).await);
        let searches = searches(&ana).await;
        for path in COUNTED {
            assert_refused(&ana.get(path).await, path);
            for other in [&ben, &gil] {
                assert_eq!(other.get(path).await.status, 200, "{path}");
            }
        }
        for path in BY_KEY {
            for actor in [&ana, &ben, &gil] {
                let status = actor.get(path).await.status;
                assert!(status == 200 || path == "/frontend/api/v1/auth/session", "{path}: {status}");
            }
        }
        for path in ["/readyz", "/healthz"] {
            assert_eq!(world.caller(None).get(path).await.status, 200);
        }
        assert_eq!(searches.len(), 2, "they still run");
        drop(searches);
        crate::world::wait_until("its places are free again", || async { ana.get(COUNTED[0]).await.status == 200 }).await;
    }

    async fn too_many_searches_of_an_administrator_are_refused(world: &World) {
        let world = server(world).await;
        let root = world.account_member(AccountRole::Admin).await;
        let asker = ScanCaller::Caller { principal: root.principal.0, organization: uuid::Uuid::nil() };
        let searches = begin(&world, asker).await;
        assert_refused(&root.get("/frontend/api/v1/user").await, "users");
        // The session index answers lists, and a single user is read by key.
        assert_eq!(root.get("/v3/enterprise/sessions").await.status, 200);
        let person = world.principal(None, None).await;
        let path = format!("/v3/enterprise/members/users/user-{}", person.0.simple());
        assert_eq!(root.get(&path).await.status, 200);
        let path = "/tenure/v1/login-sessions/revoke";
        assert_refused(&root.post(path, json!({ "dry_run": true })).await, path);
        drop(searches);
    }
}
