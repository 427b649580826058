//! The roles of service users: keys of workers and of hosts give access to their one purpose.

use crate::coverage::TABLE;
use crate::coverage::story::{Story, send};
use crate::devin::coverage as devin;
use crate::devin::org_path;
use crate::world::{Actor, World};
use domain::permission::{AccountRole, Role};
use serde_json::json;

/// The routes that every valid key may use: reading its own identity.
const WHO: [(&str, &str); 2] = [("GET", "/v1/auth/me"), ("GET", "/v3/self")];

/// Whether a route is for workers or for hosts.
fn serves(role: &str, path: &str) -> bool {
    match role {
        "worker" => path == "/tenure/v1/work/claim",
        _ => path.starts_with("/tenure/v1/host"),
    }
}

/// Whether a route answers 401 for a missing key. Others check a password, a code or a token.
fn asks_for_key(pattern: &str) -> bool {
    let others =
        ["/sign-in", "/login/device", "/auth/verify", "/auth/password-restore-verify", "/work/{session}/"];
    !others.iter().any(|other| pattern.contains(other))
}

/// Workers and hosts of the organization and of the account, the latter with and without naming the organization.
async fn machines<'w>(world: &'w World, story: &Story<'w>) -> Vec<(&'static str, Actor<'w>)> {
    let organization = story.organization;
    let (worker, host) =
        (world.account_member(AccountRole::Worker).await, world.account_member(AccountRole::Host).await);
    vec![
        ("worker", world.member(organization, Role::Worker).await),
        ("host", world.member(organization, Role::Host).await),
        ("worker", worker.naming(organization)),
        ("host", host.naming(organization)),
        ("worker", worker),
        ("host", host),
    ]
}

both! {
    async fn worker_and_host_keys_give_no_other_access(world: &World) {
        let story = Story::create(world).await;
        for (role, machine) in machines(world, &story).await {
            for (method, pattern, anybody, _) in TABLE.iter().filter(|(_, path, ..)| !serves(role, path)) {
                let path = story.path(pattern).await;
                let response = send(&story, &machine, method, &path).await;
                let expected = match *anybody {
                    401 if WHO.contains(&(method, pattern)) => 200,
                    // Another user is not found by any caller.
                    401 if pattern.starts_with("/frontend/") && pattern.contains("{user}") => 404,
                    401 if asks_for_key(pattern) => 403,
                    same => same,
                };
                assert_eq!(response.status, expected, "{role}: {method} {path}: {}", response.text());
            }
        }
    }

    async fn worker_and_host_keys_give_no_other_access_on_devins_wire(world: &World) {
        let devin = devin::Story::create(world).await;
        let story = Story { organization: devin.organization, owner: devin.owner.clone(), file: String::new() };
        for (role, machine) in machines(world, &story).await {
            for (method, pattern, anybody, _) in devin::all() {
                let path = devin.path(&pattern).await;
                let response = devin::call(&devin, &machine, method, &path).await;
                let expected = if WHO.contains(&(method, pattern.as_str())) { 200 } else if anybody == 401 { 403 } else { anybody };
                assert_eq!(response.status, expected, "{role}: {method} {path}: {}", response.text());
            }
        }
    }

    async fn workers_work_and_hosts_connect(world: &World) {
        let acme = world.organization("Acme").await;
        let claim = json!({ "worker": "w", "agents": ["nobody"], "wait_seconds": 0 });
        let (worker, host) = (world.member(acme, Role::Worker).await, world.member(acme, Role::Host).await);
        let shared = (world.account_member(AccountRole::Worker).await, world.account_member(AccountRole::Host).await);
        for (worker, host) in [(worker, host), shared] {
            assert_eq!(worker.post("/tenure/v1/work/claim", claim.clone()).await.status, 204);
            assert_eq!(host.post("/tenure/v1/work/claim", claim.clone()).await.status, 403);
            // Refused only because this is no WebSocket.
            assert_eq!(host.get("/tenure/v1/host").await.status, 400);
            assert_eq!(worker.get("/tenure/v1/host").await.status, 403);
            let rack = world.host(&host, "rack", &[("one", "android")]).await;
            rack.leave().await;
        }
    }

    async fn a_worker_with_an_administrators_key_is_refused_with_a_hint(world: &World) {
        let acme = world.organization("Acme").await;
        let of_acme = format!("--role worker --org {acme}`");
        for (who, told) in [
            (world.member(acme, Role::Admin).await, Some(of_acme.as_str())),
            (world.account_member(AccountRole::Admin).await, Some("--role worker`")),
            (world.member(acme, Role::Worker).await, None),
            (world.account_member(AccountRole::Worker).await, None),
        ] {
            let response = who.post("/tenure/v1/work/claim", json!({ "worker": "w" })).await;
            assert_eq!(response.status, 204, "{}", response.text());
            let warning = response.headers.get("x-tenure-warning").map(|text| text.to_str().unwrap());
            assert_eq!(warning.is_some(), told.is_some());
            assert!(warning.unwrap_or_default().contains(told.unwrap_or_default()), "{warning:?}");
        }
    }

    async fn auditors_read_the_audit_log_and_the_usage(world: &World) {
        let acme = world.organization("Acme").await;
        let account = world.account_member(AccountRole::Auditor).await;
        let person = world.member(acme, Role::Auditor).await;
        for (auditor, is_account) in [(&person, false), (&account, true)] {
            for (path, expected) in [
                (org_path(acme, "/audit-logs"), 200),
                (org_path(acme, "/consumption/daily"), 200),
                (org_path(acme, "/sessions"), 403),
                (org_path(acme, "/members/users"), 403),
                (org_path(acme, "/service-users"), 403),
                ("/v3/enterprise/audit-logs".to_owned(), if is_account { 200 } else { 403 }),
                ("/v3/enterprise/consumption/daily".to_owned(), if is_account { 200 } else { 403 }),
                ("/v3/enterprise/sessions".to_owned(), 403),
                ("/v3/enterprise/organizations".to_owned(), 403),
            ] {
                let response = auditor.get(&path).await;
                assert_eq!(response.status, expected, "{path}: {}", response.text());
            }
            assert_eq!(auditor.post("/tenure/v1/work/claim", json!({ "worker": "w" })).await.status, 403);
        }
    }

    async fn every_wire_names_the_roles(world: &World) {
        let acme = world.organization("Acme").await;
        let (admin, account) = (world.member(acme, Role::Admin).await, world.account_member(AccountRole::Admin).await);
        let roles = account.get("/v3/enterprise/roles").await.json();
        let ids = roles["items"].as_array().unwrap().iter().map(|role| role["role_id"].clone()).collect::<Vec<_>>();
        for name in ["auditor", "worker", "host"] {
            let (of_org, of_account) = (json!(format!("org_{name}")), json!(format!("account_{name}")));
            assert!(ids.contains(&of_org) && ids.contains(&of_account), "{ids:?}");
            for (actor, path, role) in [(&admin, org_path(acme, "/service-users"), &of_org), (&account, "/v3/enterprise/service-users".into(), &of_account)] {
                let made = actor.post(&path, json!({ "name": name, "role_id": role })).await;
                assert_eq!(made.status, 200, "{}", made.text());
                assert_eq!(&made.json()["service_user"]["role_assignments"][0]["role"]["role_id"], role);
            }
        }
        // A user can be an auditor, but not a worker or a host.
        let person = world.principal(None, Some((acme, Role::Readonly))).await;
        let set = |role: &'static str| json!({ "user_id": format!("user-{}", person.0.simple()), "role_id": role });
        assert_eq!(admin.post(&org_path(acme, "/members/users"), set("org_auditor")).await.status, 200);
        let change = |role: &'static str| json!({ "userId": person.to_string(), "role": role });
        assert_eq!(admin.post("/api/v1/members", change("auditor")).await.status, 200);
        for role in ["worker", "host"] {
            let devin = admin.post(&org_path(acme, "/members/users"), set(if role == "host" { "org_host" } else { "org_worker" })).await;
            assert_eq!(devin.status, 422);
            assert!(devin.text().contains("role_id: expected one of org_viewer, org_member, org_admin, org_auditor"), "{}", devin.text());
            for (path, body) in [("/api/v1/members", change(role)), ("/api/v1/members/invitations", json!({ "email": "a@example.com", "role": role }))] {
                let mobile = admin.post(path, body).await;
                assert_eq!(mobile.status, 400);
                assert!(mobile.text().contains("role: expected one of readonly, readwrite, admin, auditor"), "{}", mobile.text());
            }
        }
    }
}
