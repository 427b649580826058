//! Joining an organization requires consent, and leaving it affects nothing else: finding M12.

use crate::devin::org_path;
use domain::permission::{AccountRole, Role};
use serde_json::json;

both! {
    async fn only_the_account_adds_members_by_id(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let eve = world.member(acme, Role::Admin).await;
        let account = world.account_member(AccountRole::Admin).await;
        let bob = world.member(globex, Role::Admin).await;
        let robot = world.account_member(AccountRole::Viewer).await;
        let nobody = world.principal(None, None).await;
        let path = org_path(acme, "/members/users");
        let add = |id: String| json!({ "user_id": id, "role_id": "org_member" });
        let user = |id: domain::ids::PrincipalId| format!("user-{}", id.0.simple());
        let unknown = eve.post(&path, add("user-00000000000000000000000000000001".into())).await;
        assert_eq!(unknown.status, 422);
        assert!(unknown.text().contains("invite others by their address"), "{}", unknown.text());
        for id in [user(bob.principal), user(robot.principal), user(nobody), "x".into(), "user-".into()] {
            let response = eve.post(&path, add(id.clone())).await;
            assert_eq!((response.status, response.text()), (unknown.status, unknown.text()), "{id}");
        }
        // No membership was created.
        let alone = world.actor(nobody, None, None).await;
        assert_eq!(alone.get("/api/v1/sessions").await.status, 403);
        assert_eq!(bob.get("/api/v1/organizations").await.json()["data"].as_array().unwrap().len(), 1);
        let added = account.post(&path, add(user(nobody))).await;
        assert_eq!(added.status, 200, "{}", added.text());
        assert_eq!(alone.get("/api/v1/sessions").await.status, 200);
        let machine = account.post(&path, add(user(robot.principal))).await;
        assert_eq!(machine.status, 404, "{}", machine.text());
    }

    async fn removing_a_member_ends_only_its_credentials_of_that_organization(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let eve = world.member(acme, Role::Admin).await;
        let who = world.user(globex, Role::Admin, "bob@example.com").await;
        let bob = world.sign_in("bob@example.com").await;
        let elsewhere = world.actor(who, Some(globex), None).await;
        let account = world.account_member(AccountRole::Admin).await;
        let id = format!("user-{}", who.0.simple());
        let path = org_path(acme, "/members/users");
        assert_eq!(account.post(&path, json!({ "user_id": id, "role_id": "org_member" })).await.status, 200);
        let here = world.actor(who, Some(acme), None).await;
        assert_eq!(here.get("/api/v1/sessions").await.status, 200);
        assert_eq!(eve.delete(&format!("{path}/{id}")).await.status, 204);
        assert_eq!(here.get("/api/v1/sessions").await.status, 401, "the key opened Acme alone");
        assert_eq!(bob.get("/tenure/v1/me").await.status, 200, "he is signed in still");
        assert_eq!(bob.get("/api/v1/sessions").await.status, 200);
        assert_eq!(elsewhere.get("/api/v1/sessions").await.status, 200);
        assert_eq!(bob.naming(acme).get("/api/v1/sessions").await.status, 403);
        // A member who comes back does not get old keys back.
        assert_eq!(account.post(&path, json!({ "user_id": id, "role_id": "org_member" })).await.status, 200);
        assert_eq!(here.get("/api/v1/sessions").await.status, 401);
    }
}
