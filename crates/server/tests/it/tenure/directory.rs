//! The directory: organizations, people, keys, the audit log and usage.

use crate::work::Turn;
use crate::world::Actor;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::{Value, json};
use store::System;

async fn read(actor: &Actor<'_>, path: &str) -> Value {
    let response = actor.get(&format!("/tenure/v1/{path}")).await;
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.json()
}

async fn list(actor: &Actor<'_>, path: &str) -> Vec<Value> {
    read(actor, path).await["data"].as_array().unwrap().clone()
}

fn each(items: &[Value], pointer: &str) -> Vec<Value> {
    items.iter().map(|item| item.pointer(pointer).unwrap_or(&Value::Null).clone()).collect()
}

both! {
    async fn organizations_have_the_callers_role_and_counts(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let member = world.member(acme, Role::Readwrite).await;
        let other = world.member(globex, Role::Readwrite).await;
        member.session().await;
        member.agent_session(None).await;
        member.agent_session(None).await;
        other.session().await;
        let entry = |id: domain::ids::OrganizationId, name: &str, role: Option<&str>, sessions: Value| json!({
            "id": id.0, "name": name, "role": role, "created": "2026-03-01T12:00:00.000000Z", "sessions": sessions,
        });
        let counts = json!({ "device": 1, "agent": 2 });
        assert_eq!(list(&member, "organizations").await, [entry(acme, "Acme", Some("readwrite"), counts.clone())]);
        let viewer = world.account_member(AccountRole::Viewer).await;
        let all = [entry(acme, "Acme", None, counts), entry(globex, "Globex", None, json!({ "device": 1, "agent": 0 }))];
        assert_eq!(list(&viewer, "organizations").await, all);
        let auditor = world.member(acme, Role::Auditor).await;
        assert_eq!(list(&auditor, "organizations").await, [entry(acme, "Acme", Some("auditor"), Value::Null)]);
        let worker = world.member(acme, Role::Worker).await;
        assert_eq!(worker.get("/tenure/v1/organizations").await.json()["code"], "out_of_scope");
    }

    async fn people_are_those_of_the_organizations_that_one_manages(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let admin = world.member(acme, Role::Admin).await;
        let member = world.member(acme, Role::Readonly).await;
        let machine = world.member(acme, Role::Worker).await;
        let outsider = world.member(globex, Role::Admin).await;
        let account = world.account_member(AccountRole::Admin).await;
        let system = System::for_administration();
        world.store().set_principal_state(&system, member.principal, PrincipalState::Suspended, world.app().now()).await.unwrap();
        let people = list(&admin, "people").await;
        assert_eq!(each(&people, "/id"), [admin.principal, member.principal, machine.principal].map(|id| json!(id.0)));
        assert_eq!(each(&people, "/kind"), ["user", "user", "service_user"]);
        assert_eq!(each(&people, "/state"), ["active", "suspended", "active"]);
        assert_eq!(each(&people, "/email"), [json!(format!("{}@example.com", admin.principal)), json!(format!("{}@example.com", member.principal)), Value::Null]);
        let acme_name = json!({ "id": acme.0, "name": "Acme" });
        assert_eq!(people[0]["roles"], json!([{ "organization": acme_name, "role": "admin" }]));
        assert_eq!((&people[0]["account_role"], &people[1]["last_seen"]), (&Value::Null, &Value::Null));
        let all = list(&account, "people").await;
        let ids = [&admin, &member, &machine, &outsider, &account].map(|actor| json!(actor.principal.0));
        assert_eq!(each(&all, "/id"), ids);
        assert_eq!((&all[4]["account_role"], &all[4]["roles"]), (&json!("admin"), &json!([])));
        assert_eq!(list(&account, &format!("people?scope={acme}")).await.len(), 3);
        for (actor, path, code) in [
            (&outsider, format!("people?scope={acme}"), "forbidden"),
            (&outsider, "people?scope=account".to_owned(), "forbidden"),
            (&machine, "people".to_owned(), "out_of_scope"),
            (&admin, format!("people?scope={acme},{globex}"), "forbidden"),
        ] {
            let refused = actor.get(&format!("/tenure/v1/{path}")).await;
            assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!(code)), "{path}");
        }
        world.advance(Span::minutes(1));
        assert_eq!(admin.get("/tenure/v1/me").await.status, 200);
    }

    async fn somebody_with_two_memberships_sees_both_and_manages_one(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let principal = world.principal(None, Some((acme, Role::Admin))).await;
        let actor = world.actor(principal, None, None).await;
        let system = System::for_administration();
let granted = system.grant::<store::access::ManageMembers>(globex);
        world.store().set_member(&granted, principal, Role::Readonly, world.app().now()).await.unwrap();
        world.member(globex, Role::Readonly).await;
        assert_eq!(each(&list(&actor, "organizations").await, "/role"), ["admin", "readonly"]);
        let people = list(&actor, "people").await;
        assert_eq!(each(&people, "/id"), [json!(principal.0)]);
        assert_eq!(people[0]["roles"].as_array().unwrap().len(), 1, "only roles in organizations that one manages");
        let refused = actor.naming(globex).get("/tenure/v1/people").await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!("forbidden")));
    }

    async fn keys_are_ones_own_and_tell_no_secret(world: &World) {
        let acme = world.organization("Acme").await;
        let member = world.member(acme, Role::Readwrite).await;
        world.member(acme, Role::Readwrite).await;
        let expiring = world.actor(member.principal, None, Some(world.app().now() + Span::minutes(1))).await;
        let response = member.get("/tenure/v1/keys").await;
        let keys = response.json()["data"].as_array().unwrap().clone();
        assert_eq!(each(&keys, "/id"), [json!(member.credential.0), json!(expiring.credential.0)]);
        assert_eq!((&keys[0]["organization"]["name"], &keys[1]["organization"]), (&json!("Acme"), &Value::Null));
        assert_eq!(keys[1]["expires"], "2026-03-01T12:01:00.000000Z");
        for actor in [&member, &expiring] {
            let key = actor.key.as_deref().unwrap();
            assert!(key.ends_with(keys[0]["suffix"].as_str().unwrap()) || key.ends_with(keys[1]["suffix"].as_str().unwrap()));
            assert!(!response.text().contains(key));
        }
        world.advance(Span::minutes(2));
        assert_eq!(list(&member, "keys").await.len(), 1);
    }

    async fn the_audit_log_is_newest_first_in_pages(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let admin = world.member(acme, Role::Admin).await;
        let account = world.account_member(AccountRole::Auditor).await;
        let member = world.member(acme, Role::Readonly).await;
        let body = json!({ "userId": member.principal, "role": "readwrite" });
        assert_eq!(admin.post("/api/v1/members", body).await.status, 200);
        let entries = list(&admin, "audit").await;
        let sequence = |entry: &Value| entry["sequence"].as_str().unwrap().parse::<i64>().unwrap();
        assert!(entries.is_sorted_by(|one, next| sequence(one) > sequence(next)), "{entries:?}");
        assert!(entries.iter().all(|entry| entry["organization"]["id"] == json!(acme.0)), "{entries:?}");
        let newest = &entries[0];
        assert_eq!(newest["actor"]["id"], json!(admin.principal.0));
        assert_eq!((&newest["key"], &newest["thing"]), (&json!(admin.credential.0), &json!(member.principal)));
        assert!(newest["was"].is_object() && newest["details"].is_object(), "{newest}");
        let all = list(&account, "audit?limit=500").await;
        assert!(all.len() > entries.len());
        let (mut path, mut paged) = ("audit?limit=2".to_owned(), Vec::new());
        loop {
            let page = read(&account, &path).await;
            paged.extend(page["data"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            path = format!("audit?limit=2&cursor={next}");
        }
        assert_eq!(paged, all);
        let of_two = read(&account, &format!("audit?scope={acme},{globex}&limit=500")).await["data"].clone();
        assert_eq!(of_two.as_array().unwrap()[..entries.len()], entries);
        let refused = account.get("/tenure/v1/audit?cursor=x").await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("cursor")));
        // Whoever may not view the log cannot.
        assert_eq!(member.get("/tenure/v1/audit").await.json()["code"], "forbidden");
    }

    async fn usage_is_listed_by_day(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        admin.agent_session(Some("go")).await;
        let turn = Turn::claim(&admin).await;
        let spent = json!({ "type": "usage", "acus": 1.5, "input_tokens": 10, "output_tokens": 5 });
        assert_eq!(turn.report(0, json!([spent])).await.status, 200);
        let days = list(&admin, "usage").await;
        assert_eq!(days.len(), 1);
        assert_eq!((&days[0]["day"], &days[0]["organization"]["name"]), (&json!("2026-03-01"), &json!("Acme")));
        assert_eq!((&days[0]["sessions"], &days[0]["acus"], &days[0]["input_tokens"]), (&json!(1), &json!(1.5), &json!(10)));
        let viewer = world.account_member(AccountRole::Viewer).await;
        assert_eq!(list(&viewer, "usage?from=2026-03-01&until=2026-03-02").await, days);
        assert_eq!(list(&viewer, "usage?from=2026-02-01&until=2026-03-01").await, Vec::<Value>::new());
        for (query, field) in [
            ("from=2026-3-1", "from"), ("until=x", "until"), ("from=2026-03-02&until=2026-03-01", "from"),
            ("from=2025-02-28&until=2026-03-01", ""), ("from=2025-02-27&until=2026-03-01", "from"), ("day=1", "day"),
        ] {
            let response = admin.get(&format!("/tenure/v1/usage?{query}")).await;
            let expected = if field.is_empty() { Value::Null } else { json!(field) };
            assert_eq!(response.json()["field"], expected, "{query}: {}", response.text());
        }
    }
}
