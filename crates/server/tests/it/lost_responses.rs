//! Requests with an idempotency key whose server died before it stored the response. A repeated request finds what the
//! first one created and gets the same response. [`POSTS`] has the reason for every POST of every wire.

mod table;

pub use table::repeatable_posts;

use crate::devin::org_path;
use crate::probe::{AUTH, PASSWORD, USER};
use crate::world::{Actor, TestResponse};
use axum::body::Body;
use domain::credential::Wire;
use domain::ids::{OrganizationId, parse_uuid};
use domain::organization::Organization;
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};
use server::operations::access::authenticate::authenticate;
use server::operations::access::service_users;
use server::operations::access::service_users::ServiceUserHome;
use server::operations::idempotency;
use server::operations::idempotency::IdempotencyDecision;
use server::operations::idempotency::IdempotencyScope;
use store::testing::lose_responses;
use store::{Caller, OrganizationChoice, System};

/// A request that can be repeated.
pub struct Keyed<'a> {
    actor: &'a Actor<'a>,
    path: String,
    kind: &'static str,
    body: String,
}

impl<'a> Keyed<'a> {
    pub fn new(actor: &'a Actor<'a>, path: impl Into<String>, body: &Value) -> Keyed<'a> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Keyed { actor, path: path.into(), kind: "application/json", body }
    }

    async fn send(&self, body: &str) -> TestResponse {
        let length = body.len().to_string();
        let headers =
            [("idempotency-key", "k"), ("content-type", self.kind), ("content-length", length.as_str())];
        self.actor.send("POST", &self.path, &headers, Body::from(body.to_owned())).await
    }

    /// Sends it, loses the stored response and sends it again. Both responses must be equal. Returns the first one.
    pub async fn survives(&self) -> TestResponse {
        let first = self.send(&self.body).await;
        assert!(first.status.is_success(), "{}: {} {}", self.path, first.status, first.text());
        let kept = self.send(&self.body).await;
        assert_eq!(kept.headers["idempotent-replayed"], "true", "{}", self.path);
        lose_responses(self.actor.world.store()).await.unwrap();
        // Another body under the same key is refused, with and without a stored response.
        let another = format!("{} ", self.body);
        assert_eq!(self.send(&another).await.status, 422, "{}", self.path);
        let again = self.send(&self.body).await;
        assert!(!again.headers.contains_key("idempotent-replayed"), "{}", self.path);
        assert_eq!((again.status, again.text()), (kept.status, kept.text()), "{}", self.path);
        assert_eq!(self.send(&another).await.status, 422, "{}", self.path);
        let replayed = self.send(&self.body).await;
        assert_eq!(
            (replayed.text(), &replayed.headers["idempotent-replayed"]),
            (kept.text(), &"true".parse().unwrap())
        );
        first
    }
}

async fn survives(actor: &Actor<'_>, path: impl Into<String>, body: Value) -> Value {
    let first = Keyed::new(actor, path, &body).survives().await;
    if first.body.is_empty() { Value::Null } else { first.json() }
}

/// Begins a request with the key `k`, whose server dies before it responds. Returns the caller that its objects are recorded
/// for.
pub async fn begin_request(actor: &Actor<'_>, wire: &str, path: &str, body: &Value) -> Caller {
    let app = actor.world.app();
    let caller = authenticate(app, actor.key.as_deref(), OrganizationChoice::ByDefault).await.unwrap();
    let scope = IdempotencyScope::new_for_caller(&caller, wire, path, "k");
    let begun =
        idempotency::begin_idempotent_request(app, scope, body.to_string().as_bytes(), caller.authority())
            .await
            .unwrap();
    assert!(matches!(begun, IdempotencyDecision::New(_)), "the first one");
    caller.with_idempotency(Some(scope))
}

async fn total(actor: &Actor<'_>, path: &str) -> Value {
    actor.get(path).await.json()["total"].clone()
}

both! {
    async fn service_users_and_their_keys_are_created_once(world: &World) {
        let acme = world.organization("Acme").await;
        let (admin, account) = (world.member(acme, Role::Admin).await, world.account_member(AccountRole::Admin).await);
        let places = [(&admin, org_path(acme, ""), "org_member"), (&account, "/v3/enterprise".into(), "account_viewer")];
        for (actor, place, role) in places {
            let users = format!("{place}/service-users");
            let before = total(actor, &users).await.as_i64().unwrap();
            let made = survives(actor, &users, json!({ "name": "bot", "role_id": role })).await;
            assert_eq!(total(actor, &users).await, before + 1);
            let key = world.caller(made["token"].as_str());
            assert_eq!(key.get("/v3/self").await.json()["service_user_id"], made["service_user"]["service_user_id"]);
            let keys = format!("{users}/{}/api-keys", made["service_user"]["service_user_id"].as_str().unwrap());
            assert_eq!(total(actor, &keys).await, 1);
            let second = survives(actor, &keys, json!({ "name": "second", "ttl_seconds": 60 })).await;
            assert_eq!(total(actor, &keys).await, 2);
            let rotate = format!("{keys}/{}/rotate", second["api_key_id"].as_str().unwrap());
            let third = survives(actor, &rotate, Value::Null).await;
            assert_eq!(total(actor, &keys).await, 3);
            assert_eq!(world.caller(second["token"].as_str()).get("/v3/self").await.status, 401);
            assert_eq!(world.caller(third["token"].as_str()).get("/v3/self").await.status, 200);
        }
    }

    async fn a_repeated_request_finishes_a_half_done_one(world: &World) {
        let acme = world.organization("Acme").await;
        let (admin, account) = (world.member(acme, Role::Admin).await, world.account_member(AccountRole::Admin).await);
        let users = org_path(acme, "/service-users");
        let made = admin.post(&users, json!({ "name": "bot", "role_id": "org_member" })).await.json();
        let user = made["service_user"]["service_user_id"].as_str().unwrap();
        let keys_path = format!("{users}/{user}/api-keys");
        let old = admin.get(&keys_path).await.json()["items"][0]["api_key_id"].as_str().unwrap().to_owned();
        let rotate = format!("{keys_path}/{old}/rotate");
        // The new key exists, and the old one is not revoked yet.
        let of = ServiceUserHome::Organization(begin_request(&admin, "devin", &rotate, &json!({})).await.authorize().unwrap());
        let service = service_users::list_service_users(world.app(), &of).await.unwrap()[0].principal.id;
        let new = service_users::create_service_user_key(world.app(), &of, service, &service_users::KeyTerms::new("bot", Wire::Devin, None)).await.unwrap();
        // The organization exists, without its limits.
        let enterprise = "/v3/enterprise/organizations";
        let body = json!({ "name": "Globex", "max_cycle_acu_limit": 9 });
        let by = begin_request(&account, "devin", enterprise, &body).await.attribution();
        let id = OrganizationId::new(crate::world::START, world.bytes());
        let globex = Organization { id, name: "Globex".into(), created: crate::world::START, deleted: None, max_devices: None };
        world.store().create_organization(&System::for_administration().attribute_to(by), &globex).await.unwrap();

        world.advance(Span::minutes(5));
        let again = Keyed::new(&admin, &rotate, &json!({})).send("{}").await;
        let named = format!("key-{}", new.credential.id.0.simple());
        assert_eq!((again.status.as_u16(), &again.json()["api_key_id"], &again.json()["token"]), (200, &json!(named), &json!(null)));
        assert_eq!(total(&admin, &keys_path).await, 2);
        assert_eq!(world.caller(made["token"].as_str()).get("/v3/self").await.status, 401);
        assert_eq!(world.caller(Some(new.secret.unwrap().reveal())).get("/v3/self").await.status, 200);
        let again = Keyed::new(&account, enterprise, &body).send(&body.to_string()).await;
        assert_eq!((again.status.as_u16(), &again.json()["max_cycle_acu_limit"]), (200, &json!(9.0)));
        assert_eq!(again.json()["org_id"], format!("org-{}", id.0.simple()));
        assert_eq!(total(&account, enterprise).await, 2);
    }

    async fn a_deleted_object_is_not_created_again_by_a_repeated_request(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let users = org_path(acme, "/service-users");
        let body = json!({ "name": "bot", "role_id": "org_member" });
        let request = Keyed::new(&admin, &users, &body);
        let made = request.survives().await.json();
        let user = format!("{users}/{}", made["service_user"]["service_user_id"].as_str().unwrap());
        assert_eq!(admin.delete(&user).await.status, 204);
        lose_responses(world.store()).await.unwrap();
        assert_eq!(request.send(&request.body).await.status, 404);
        assert_eq!(total(&admin, &users).await, 0);
    }

    async fn organizations_and_files_are_created_once(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, account) = (world.member(acme, Role::Readwrite).await, world.account_member(AccountRole::Admin).await);
        let enterprise = "/v3/enterprise/organizations";
        let made = survives(&account, enterprise, json!({ "name": "Globex", "max_session_acu_limit": 5 })).await;
        assert_eq!((&made["max_session_acu_limit"], total(&account, enterprise).await), (&json!(5.0), json!(2)));
        let made = survives(&account, "/api/v1/organizations", json!({ "name": "Initech" })).await;
        assert_eq!(made["name"], "Initech");
        assert_eq!(total(&account, enterprise).await, 3);
        // For a file, only the length is compared.
        let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.txt\"\r\n\r\nhello\r\n--x--\r\n";
        let kind = "multipart/form-data; boundary=x";
        let request = Keyed { actor: &ana, path: org_path(acme, "/attachments"), kind, body: form.into() };
        let sent = request.survives().await.json();
        assert_eq!(world.store().count_used_bytes(&System::for_administration().grant(acme)).await.unwrap(), 5);
        let read = ana.get(sent["url"].as_str().unwrap().strip_prefix(world.server.base_url()).unwrap()).await;
        assert_eq!(read.status, 307);
    }

    async fn own_keys_are_created_once(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let keys = "/api/v1/keys";
        let made = survives(&ana, keys, json!({ "name": "CI" })).await;
        assert_eq!(world.caller(made["apiKey"].as_str()).get("/api/v1/sessions").await.status, 200);
        assert_eq!(ana.get(keys).await.json()["data"].as_array().unwrap().len(), 1);
        let tokens = format!("{AUTH}/api-token");
        let made = survives(&ana, &tokens, json!({ "ttl": 3600 })).await;
        assert_eq!(world.caller(made["token"].as_str()).get("/api/v1/sessions").await.status, 200);
        assert_eq!(ana.get(keys).await.json()["data"].as_array().unwrap().len(), 2);
        // Also where secrets are stored recoverably: they are not returned by this.
        let keeping = world.another_server(|settings| settings.probe_recoverable_tokens = true).await;
        let ana = ana.at_server(&keeping);
        survives(&ana, &format!("{tokens}?"), json!({})).await;
        assert_eq!(ana.get(&tokens).await.json()["api-tokens"].as_array().unwrap().len(), 3);
    }

    async fn invitations_are_created_once_and_accepted_once(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let eve = world.lone("eve@example.com").await;
        let body = json!({ "email": "eve@example.com", "role": "readwrite" });
        let invited = survives(&ana, "/api/v1/members/invitations", body).await;
        let open = async || ana.get("/api/v1/members").await.json()["invitations"].as_array().unwrap().len();
        assert_eq!(open().await, 1);
        // An address gets one mail per hour from one organization.
        assert!(world.mail(1).await.contains(invited["id"].as_str().unwrap()));
        assert_eq!(world.mails().len(), 1);
        survives(&eve, format!("/api/v1/invitations/{}/accept", invited["id"].as_str().unwrap()), Value::Null).await;
        assert_eq!((open().await, eve.get("/api/v1/sessions").await.status.as_u16()), (0, 200));
        let other = world.invite(world.organization("Globex").await, "eve@example.com", Role::Readonly).await;
        survives(&eve, format!("/api/v1/invitations/{}/reject", other.id), Value::Null).await;
        assert_eq!(eve.get("/api/v1/invitations").await.json()["invitations"], json!([]));
        // An invitation that was accepted since is returned as created, and no mail is sent.
        lose_responses(world.store()).await.unwrap();
        let body = json!({ "email": "eve@example.com", "role": "readwrite" });
        let again = Keyed::new(&ana, "/api/v1/members/invitations", &body).send(&body.to_string()).await;
        assert_eq!((again.status.as_u16(), again.json()), (201, invited));
        assert_eq!(open().await, 0);
    }

    async fn a_sub_user_is_created_once(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let body = json!({ "email": "sub@example.com", "password": PASSWORD, "first-name": "Sub" });
        let made = survives(&ana, format!("{USER}/current"), body).await;
        assert_eq!((&made["email"], &made["first-name"]), (&json!("sub@example.com"), &json!("Sub")));
        let listed = ana.get(USER).await.json();
        assert_eq!(listed["pagination"]["total"], 2);
        // A repeated request sends no second mail.
        let token = crate::probe::token_in(&world.mail(1).await);
        assert_eq!(world.mails().len(), 1);
        let verify = json!({ "verify-token": token }).to_string();
        let verified = world.caller(None).call_with("POST", &format!("{AUTH}/verify"), &verify).await;
        assert_eq!(verified.status, 200, "{}", verified.text());
    }

    async fn idempotent_changes_get_the_same_response_twice(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let account = world.account_member(AccountRole::Admin).await;
        let bob = world.person(acme, Role::Readwrite, "bob@example.com").await;
        let member = world.member(acme, Role::Readonly).await.principal;
        let session = ana.agent_session(Some("hi")).await.id.uuid();
        let devin = org_path(acme, &format!("/sessions/{}", session.simple()));
        survives(&ana, format!("{devin}/tags"), json!({ "tags": ["a", "b"] })).await;
        survives(&account, format!("/v3/enterprise/sessions/{}/tags", session.simple()), json!({ "tags": ["c"] })).await;
        survives(&ana, format!("{devin}/insights/generate"), Value::Null).await;
        survives(&account, format!("/v3/enterprise/sessions/{}/insights/generate", session.simple()), Value::Null).await;
        survives(&ana, format!("{devin}/archive"), Value::Null).await;
        survives(&ana, format!("{devin}/unarchive"), Value::Null).await;
        assert_eq!(ana.get(&devin).await.json()["tags"], json!(["a", "b", "c"]));
        let user = format!("user-{}", member.0.simple());
        survives(&admin, org_path(acme, "/members/users"), json!({ "user_id": user, "role_id": "org_member" })).await;
        survives(&admin, "/api/v1/members", json!({ "userId": member.to_string(), "role": "readonly" })).await;
        let everruns = format!("session_{}", session.simple());
        // A second stop reports that nothing runs.
        assert_eq!(ana.call("POST", &format!("/v1/sessions/{everruns}/cancel"), Body::empty()).await.status, 200);
        survives(&ana, format!("/v1/sessions/{everruns}/cancel"), Value::Null).await;
        for name in ["pin", "archive", "unarchive", "cancel", "unpin", "delete"] {
            let params = json!({ "params": { "session_id": everruns } });
            survives(&ana, format!("/v1/commands/{name}_session"), params).await;
        }
        assert_eq!(ana.get(&format!("/v1/sessions/{everruns}")).await.status, 404);
        let id = format!("agent_{}", "b".repeat(32));
        for (name, params) in [
            ("create_agent", json!({ "name": "one", "system_prompt": "" })),
            ("upsert_agent", json!({ "id": id, "name": "two", "system_prompt": "" })),
            ("update_agent", json!({ "id": id, "description": "Helps" })),
            ("copy_agent", json!({ "id": id })),
            ("delete_agent", json!({ "id": id })),
        ] {
            survives(&ana, format!("/v1/commands/{name}"), json!({ "params": params })).await;
        }
        let archived = json!({ "id": ana.agent("three").await, "status": "archived" });
        // The same key again, so on the wire's other prefix.
        survives(&ana, "/everruns/api/v1/commands/update_agent", json!({ "params": archived })).await;
        let names = ana.get("/v1/agents").await.json()["data"].as_array().unwrap().iter().map(|agent| agent["name"].clone()).collect::<Vec<_>>();
        // They were created at one moment.
        let names = names.iter().filter_map(Value::as_str).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(names, ["default", "one", "two-copy"].into());
        let _host = world.host(&admin, "rack", &[("one", "android")]).await;
        let held = ana.session().await;
        let device = ana.ask(&held, "android").await.json()["allocationId"].as_str().unwrap().to_owned();
        survives(&ana, format!("/api/v1/sessions/{held}/devices/{device}/release"), Value::Null).await;
        survives(&bob, format!("{AUTH}/password-restore"), json!({ "email": "bob@example.com" })).await;
        assert!(parse_uuid(&device).is_some());
    }
}
