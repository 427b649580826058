//! Members, service users, organizations, usage and the audit log.

use super::{assert_refused, org_path, session};
use crate::world::{Actor, World};
use axum::body::Body;
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::json;
use std::sync::atomic::Ordering;
use store::testing::READS;

async fn with_key<'w>(world: &'w World, token: &str) -> Actor<'w> {
    world.caller(Some(token))
}

both! {
    async fn a_service_user_is_created_used_and_loses_its_keys(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let path = org_path(acme, "/service-users");
        let made = admin.post(&path, json!({ "name": "bot", "role_id": "org_member", "ttl_seconds": 3600 })).await.json();
        let user = &made["service_user"];
        assert_eq!(user["role_assignments"][0]["role"], json!({ "role_id": "org_member", "role_name": "Member", "role_type": "org" }));
        let token = made["token"].as_str().unwrap();
        assert!(token.starts_with("cog_") && token.len() == 56, "{token}");
        let bot = with_key(world, token).await;
        let org = format!("org-{}", acme.0.simple());
        let expected = json!({ "principal_type": "service_user", "service_user_id": user["service_user_id"], "service_user_name": "bot", "org_id": org });
        assert_eq!(bot.get("/v3/self").await.json(), expected);
        let id = session(&bot, acme).await;
        let got = bot.get(&org_path(acme, &format!("/sessions/{id}"))).await.json();
        assert_eq!((&got["service_user_id"], &got["user_id"]), (&user["service_user_id"], &json!(null)));
        let filter = format!("/sessions?service_user_ids={}", user["service_user_id"].as_str().unwrap());
        assert_eq!(bot.get(&org_path(acme, &filter)).await.json()["total"], 1);
        let one = format!("{path}/{}", user["service_user_id"].as_str().unwrap());
        let keys = format!("{one}/api-keys");
        let second = admin.post(&keys, json!({ "name": "second" })).await.json();
        let rotated = admin.post(&format!("{keys}/{}/rotate", second["api_key_id"].as_str().unwrap()), json!({})).await.json();
        assert_eq!(with_key(world, second["token"].as_str().unwrap()).await.get("/v3/self").await.status, 401);
        let third = with_key(world, rotated["token"].as_str().unwrap()).await;
        assert_eq!(third.get("/v3/self").await.status, 200);
        let listed = admin.get(&keys).await;
        assert_eq!((listed.json()["total"].as_i64(), listed.text().contains("cog_")), (Some(3), false), "{}", listed.text());
        let revoked = admin.delete(&format!("{keys}/{}", rotated["api_key_id"].as_str().unwrap())).await;
        assert_eq!(revoked.status, 204);
        assert_eq!(third.get("/v3/self").await.status, 401);
        assert_eq!(admin.delete(&one).await.status, 204);
        assert_eq!(bot.get("/v3/self").await.status, 401);
        assert_refused(&admin.get(&one).await, 404, "user not found");
        assert_refused(&admin.post(&path, json!({ "name": "x", "role_id": "account_admin" })).await, 422, "role_id: expected one of org_viewer");
        assert_refused(&admin.post(&path, json!({ "role_id": "org_admin" })).await, 422, "name: expected");
        assert_refused(&admin.post(&path, json!({ "name": "x", "role_id": "org_admin", "ttl_seconds": 0 })).await, 422, "ttl_seconds: expected");
    }

    async fn the_account_has_service_users_of_its_own(world: &World) {
        let acme = world.organization("Acme").await;
        let account = world.account_member(AccountRole::Admin).await;
        let made = account.post("/v3beta1/enterprise/service-users", json!({ "name": "robot", "role_id": "account_viewer" })).await.json();
        let robot = with_key(world, made["token"].as_str().unwrap()).await;
        assert_eq!(robot.get("/v3/self").await.json()["org_id"], json!(null));
        assert_eq!(robot.get("/v3/enterprise/sessions").await.status, 200);
        assert_eq!(robot.get(&org_path(acme, "/sessions")).await.status, 200);
        assert_refused(&robot.post(&org_path(acme, "/sessions"), json!({ "prompt": "x" })).await, 403, "use sessions");
        assert_refused(&robot.get("/v3/organizations/sessions").await, 403, "name one");
        let roles = account.get("/v3/enterprise/roles").await.json();
        assert_eq!((roles["total"].as_i64(), &roles["items"][1]["role_id"]), (Some(11), &json!("account_admin")));
        let mut names = Vec::new();
        let mut after = String::new();
        loop {
            let page = account.get(&format!("/v3/enterprise/service-users?first=1{after}")).await.json();
            names.push(page["items"][0]["name"].clone());
            let Some(cursor) = page["end_cursor"].as_str() else { break };
            after = format!("&after={cursor}");
        }
        assert_eq!(names, [json!("Somebody"), json!("robot")]);
    }

    async fn the_accounts_lists_take_as_many_queries_for_many_as_for_few(world: &World) {
        let root = world.account_member(AccountRole::Admin).await;
        world.member(world.organization("Acme").await, Role::Admin).await;
        let queries = async |path: &str| {
            let mut fewest = u64::MAX;
            for _ in 0..3 {
                let before = READS.load(Ordering::Relaxed);
                assert_eq!(root.get(path).await.status, 200);
                fewest = fewest.min(READS.load(Ordering::Relaxed) - before);
            }
            fewest
        };
        let paths = ["/v3/enterprise/organizations", "/v3/enterprise/members/users"];
        let few = [queries(paths[0]).await, queries(paths[1]).await];
        for number in 0..5 {
            world.member(world.organization(&format!("Globex {number}")).await, Role::Admin).await;
        }
        assert_eq!([queries(paths[0]).await, queries(paths[1]).await], few);
    }

    async fn members_are_listed_changed_and_removed(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let ana = world.member(acme, Role::Readonly).await;
        let name = format!("user-{}", ana.principal.0.simple());
        let path = org_path(acme, "/members/users");
        assert_eq!(admin.get(&path).await.json()["total"], 2);
        let set = admin.post(&path, json!({ "user_id": name, "role_id": "org_member" })).await.json();
        assert_eq!((&set["user_id"], &set["role_assignments"][0]["role"]["role_name"]), (&json!(name), &json!("Member")));
        assert_eq!(ana.post(&org_path(acme, "/sessions"), json!({ "prompt": "x" })).await.status, 200);
        let account = world.account_member(AccountRole::Admin).await;
        let one = account.get(&format!("/v3/enterprise/members/users/{name}")).await.json();
        assert_eq!(one["role_assignments"], set["role_assignments"]);
        assert_eq!(admin.delete(&format!("{path}/{name}")).await.status, 204);
        // Her key gave access only to that organization.
        assert_eq!(ana.get(&org_path(acme, "/sessions")).await.status, 401);
        assert_refused(&admin.delete(&format!("{path}/{name}")).await, 404, "member not found");
        assert_refused(&admin.post(&path, json!({ "user_id": "x", "role_id": "org_member" })).await, 422, "user_id: expected a member of the organization");
    }

    async fn no_key_outlives_the_key_that_created_it(world: &World) {
        let acme = world.organization("Acme").await;
        let id = world.principal(None, Some((acme, Role::Admin))).await;
        let until = crate::world::START + Span::minutes(10);
        let admin = world.actor(id, Some(acme), Some(until)).await;
        let root = world.principal(Some(AccountRole::Admin), None).await;
        let root = world.actor(root, None, Some(until)).await;
        let seconds = until.0 / 1_000_000;
        let places = [(&admin, org_path(acme, "/service-users"), "org_admin"), (&root, "/v3/enterprise/service-users".to_owned(), "account_admin")];
        for (maker, path, role) in places {
            let make = async |body: serde_json::Value| maker.post(&path, body).await.json();
            let lasting = make(json!({ "name": "bot", "role_id": role })).await;
            let longer = make(json!({ "name": "bot", "role_id": role, "ttl_seconds": 3600 })).await;
            let shorter = make(json!({ "name": "bot", "role_id": role, "ttl_seconds": 60 })).await;
            let expires = [&lasting, &longer, &shorter].map(|made| made["service_user"]["expires_at"].clone());
            assert_eq!(expires, [json!(seconds), json!(seconds), json!(seconds - 540)]);
            let keys = format!("{path}/{}/api-keys", lasting["service_user"]["service_user_id"].as_str().unwrap());
            let second = maker.post(&keys, json!({ "name": "second" })).await.json();
            assert_eq!(second["expires_at"], seconds);
            // Nor do the keys that those create.
            let bot = with_key(world, second["token"].as_str().unwrap()).await;
            let rotated = bot.post(&format!("{keys}/{}/rotate", second["api_key_id"].as_str().unwrap()), json!({})).await.json();
            assert_eq!(rotated["expires_at"], seconds);
        }
        // A signed-in user can create keys without an end.
        world.user(acme, Role::Admin, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        let made = ana.post(&org_path(acme, "/service-users"), json!({ "name": "bot", "role_id": "org_admin" })).await.json();
        assert_eq!(made["service_user"]["expires_at"], json!(null));
    }

    async fn the_last_admin_stays_on_this_wire_too(world: &World) {
        let acme = world.organization("Acme").await;
        let (admin, bob) = (world.member(acme, Role::Admin).await, world.member(acme, Role::Readwrite).await);
        let (account, path) = (world.account_member(AccountRole::Admin).await, org_path(acme, "/members/users"));
        let name = |actor: &Actor<'_>| format!("user-{}", actor.principal.0.simple());
        let set = async |by: &Actor<'_>, of: &Actor<'_>, role: &str| {
            by.post(&path, json!({ "user_id": name(of), "role_id": role })).await
        };
        for by in [&admin, &account] {
            assert_refused(&set(by, &admin, "org_member").await, 409, "last admin");
            assert_refused(&by.delete(&format!("{path}/{}", name(&admin))).await, 409, "last admin");
        }
        assert_eq!(set(&admin, &admin, "org_admin").await.status, 200, "as it is");
        assert_eq!(set(&admin, &bob, "org_admin").await.status, 200);
        assert_eq!(set(&bob, &admin, "org_member").await.status, 200);
        assert_refused(&bob.delete(&format!("{path}/{}", name(&bob))).await, 409, "last admin");
        assert_eq!(bob.delete(&format!("{path}/{}", name(&admin))).await.status, 204);
    }

    async fn organizations_have_limits_that_a_patch_sets_and_lifts(world: &World) {
        let account = world.account_member(AccountRole::Admin).await;
        let path = "/v3/enterprise/organizations";
        let made = account.post(path, json!({ "name": "Acme", "max_cycle_acu_limit": 10 })).await.json();
        assert_eq!((&made["name"], &made["max_cycle_acu_limit"], &made["max_session_acu_limit"]), (&json!("Acme"), &json!(10.0), &json!(null)));
        let one = format!("{path}/{}", made["org_id"].as_str().unwrap());
        let patch = async |body: serde_json::Value| account.call("PATCH", &one, Body::from(body.to_string())).await;
        let set = patch(json!({ "max_session_acu_limit": 3 })).await.json();
        assert_eq!((&set["max_cycle_acu_limit"], &set["max_session_acu_limit"]), (&json!(10.0), &json!(3.0)));
        let lifted = patch(json!({ "max_cycle_acu_limit": null, "name": "Acme Inc" })).await.json();
        assert_eq!((&lifted["max_cycle_acu_limit"], &lifted["name"]), (&json!(null), &json!("Acme Inc")));
        assert_eq!(account.get(&one).await.json(), lifted);
        assert_refused(&patch(json!({ "max_cycle_acu_limit": -1 })).await, 422, "max_cycle_acu_limit: expected");
        assert_refused(&account.post(path, json!({ "name": "Acme Inc" })).await, 409, "exists already");
        assert_eq!(account.delete(&one).await.status, 204);
        assert_refused(&account.get(&one).await, 404, "organization not found");
        let lines = account.get("/v3/enterprise/audit-logs?first=2").await.json();
        assert_eq!((&lines["items"][0]["action"], &lines["has_next_page"]), (&json!("organization.delete"), &json!(true)));
        let more = account.get(&format!("/v3/enterprise/audit-logs?first=200&after={}", lines["end_cursor"].as_str().unwrap())).await.json();
        let actions = more["items"].as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap());
        let expected = ["organization.update", "organization.update", "organization.create", "key.create", "service_user.create"];
        assert_eq!(actions.skip(1).collect::<Vec<_>>(), expected);
    }

    async fn unused_quotas_are_zero_and_the_queue_is_counted(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let viewer = world.account_member(AccountRole::Viewer).await;
        let nothing = json!({ "total_acus": 0.0, "consumption_by_date": [] });
        assert_eq!(admin.get(&org_path(acme, "/consumption/daily?time_after=0&time_before=1900000000")).await.json(), nothing);
        assert_eq!(viewer.get("/v3/enterprise/consumption/daily").await.json(), nothing);
        assert_refused(&admin.get(&org_path(acme, "/consumption/daily?time_after=x")).await, 422, "time_after: expected");
        session(&admin, acme).await;
        assert_eq!(viewer.get("/v3/enterprise/queue").await.json(), json!({ "total": 1, "status": "normal" }));
    }
}
