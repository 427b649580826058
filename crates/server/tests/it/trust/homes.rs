//! Only its home manages a service user: finding C1.

use crate::devin::org_path;
use crate::world::{Actor, TestResponse, World};
use domain::ids::OrganizationId;
use domain::permission::{AccountRole, Role};
use serde_json::json;

/// A service user with its key: its id on the wire, the key's id and the key.
async fn create_service_user<'w>(
    world: &'w World,
    by: &Actor<'_>,
    place: &str,
    role: &str,
) -> (String, String, Actor<'w>) {
    let path = format!("{place}/service-users");
    let new = by.post(&path, json!({ "name": "bot", "role_id": role })).await.json();
    let id = new["service_user"]["service_user_id"].as_str().unwrap().to_owned();
    let keys = by.get(&format!("{path}/{id}/api-keys")).await.json();
    let bot = world.caller(Some(new["token"].as_str().unwrap()));
    (id, keys["items"][0]["api_key_id"].as_str().unwrap().to_owned(), bot)
}

/// Everything that an admin of an organization can try on a service user and its key.
async fn try_everything(
    eve: &Actor<'_>,
    organization: OrganizationId,
    user: &str,
    key: &str,
) -> Vec<TestResponse> {
    let one = org_path(organization, &format!("/service-users/{user}"));
    let person = user.replace("service-user-", "user-");
    let mut responses = Vec::new();
    for id in [user, &person] {
        let member = json!({ "user_id": id, "role_id": "org_admin" });
        responses.push(eve.post(&org_path(organization, "/members/users"), member).await);
        responses.push(eve.delete(&org_path(organization, &format!("/members/users/{id}"))).await);
    }
    let bare = user.trim_start_matches("service-user-");
    responses.push(eve.post("/api/v1/members", json!({ "userId": bare, "role": "admin" })).await);
    responses.push(eve.delete(&format!("/api/v1/members/{bare}")).await);
    responses.push(eve.get(&one).await);
    responses.push(eve.get(&format!("{one}/api-keys")).await);
    responses.push(eve.post(&format!("{one}/api-keys"), json!({ "name": "mine" })).await);
    responses.push(eve.post(&format!("{one}/api-keys/{key}/rotate"), json!({})).await);
    responses.push(eve.delete(&format!("{one}/api-keys/{key}")).await);
    responses.push(eve.delete(&one).await);
    responses
}

both! {
    async fn an_admin_cannot_access_service_users_of_other_homes(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (eve, other) = (world.member(acme, Role::Admin).await, world.member(globex, Role::Admin).await);
        let account = world.account_member(AccountRole::Admin).await;
        let unknown = "service-user-00000000000000000000000000000001";
        let nothing = try_everything(&eve, acme, unknown, "key-00000000000000000000000000000001").await;
        assert!(nothing.iter().all(|response| response.status.is_client_error()), "{nothing:?}");
        let theirs = create_service_user(world, &other, &org_path(globex, ""), "org_admin").await;
        let shared = create_service_user(world, &account, "/v3/enterprise", "account_worker").await;
        for (user, key, bot) in [theirs, shared] {
            let before = bot.get("/v3/self").await;
            for (response, nothing) in try_everything(&eve, acme, &user, &key).await.iter().zip(&nothing) {
                assert_eq!((response.status, response.text()), (nothing.status, nothing.text()));
            }
            assert_eq!((before.status.as_u16(), bot.get("/v3/self").await.text()), (200, before.text()));
        }
    }

    async fn an_account_key_creates_nothing_in_an_organization_it_was_added_to(world: &World) {
        let acme = world.organization("Acme").await;
        let eve = world.member(acme, Role::Admin).await;
        let account = world.account_member(AccountRole::Admin).await;
        let id = format!("user-{}", account.principal.0.simple());
        let taken = eve.post(&org_path(acme, "/members/users"), json!({ "user_id": id, "role_id": "org_admin" })).await;
        assert_eq!(taken.status, 422, "{}", taken.text());
        let lost = account.post("/v3/organizations/sessions", json!({ "prompt": "x", "secrets": [] })).await;
        assert_eq!(lost.status, 403, "{}", lost.text());
        assert_eq!(eve.get(&org_path(acme, "/sessions")).await.json()["total"], 0);
    }

    async fn a_service_user_creates_no_organization_as_its_member(world: &World) {
        let acme = world.organization("Acme").await;
        let open = world.another_server(|settings| settings.users_make_organizations = true).await;
        let admin = world.member(acme, Role::Admin).await;
        let (id, _, bot) = create_service_user(world, &admin, &org_path(acme, ""), "org_admin").await;
        assert_eq!(bot.at_server(&open).post("/api/v1/organizations", json!({ "name": "Mine" })).await.status, 403);
        // Nor with a key that is bound to no organization.
        let id = domain::ids::parse_uuid(id.trim_start_matches("service-user-")).unwrap();
        let free = world.actor(domain::ids::PrincipalId(id), None, None).await;
        assert_eq!(free.get("/api/v1/sessions").await.status, 200);
        assert_eq!(free.at_server(&open).post("/api/v1/organizations", json!({ "name": "Mine" })).await.status, 403);
        // A service user of the account creates one, and keeps its home.
        let account = world.account_member(AccountRole::Admin).await;
        assert_eq!(account.post("/api/v1/organizations", json!({ "name": "Theirs" })).await.status, 201);
        assert_eq!(account.get("/api/v1/sessions").await.status, 403);
        let members = world.store().list_members(&store::System::for_administration()).await.unwrap();
        assert!(members.iter().all(|(_, member, _)| *member != account.principal));
    }
}
