//! Lists: pages, filters, and cursors that belong to one caller.

use super::{assert_refused, create_session, org_path};
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("no page: {page}"));
    items.iter().map(|item| item["session_id"].as_str().unwrap().to_owned()).collect()
}

both! {
    async fn pages_are_walked_to_the_end_while_sessions_are_created(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let mut made = Vec::new();
        for _ in 0..25 {
            made.push(super::session(&ana, acme).await);
        }
        made.reverse();
        for list in ["/sessions", "/sessions/insights"] {
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let page = ana.get(&org_path(acme, &format!("{list}?first=4{after}"))).await.json();
                assert_eq!(page["has_next_page"], !page["end_cursor"].is_null());
                found.extend(ids(&page));
                let Some(cursor) = page["end_cursor"].as_str() else { break };
                after = format!("&after={cursor}");
                super::session(&ana, acme).await;
            }
            let old = found.iter().filter(|id| made.contains(id)).cloned().collect::<Vec<_>>();
            assert_eq!(old, made, "{list}");
            let unique = found.iter().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(unique.len(), found.len(), "{list}");
        }
    }

    async fn a_cursor_is_valid_only_for_its_list_filter_and_caller(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let ana = world.member(acme, Role::Readwrite).await;
        let bob = world.member(acme, Role::Readwrite).await;
        for _ in 0..3 {
            create_session(&ana, acme, json!({ "prompt": "x", "tags": ["a", "b"] })).await;
        }
        let first = ana.get(&org_path(acme, "/sessions?first=1&tags=a&tags=b")).await.json();
        let cursor = first["end_cursor"].as_str().unwrap();
        // The same filter written differently, and with another page size.
        let second = ana.get(&org_path(acme, &format!("/sessions?first=2&tags[]=b&tags[]=a&after={cursor}%3D%3D"))).await;
        assert_eq!(ids(&second.json()).len(), 2, "{}", second.text());
        let altered = format!("{}{}", &cursor[..cursor.len() - 2], if cursor.ends_with("AA") { "BB" } else { "AA" });
        for query in [
            format!("tags=a&after={cursor}"),
            format!("after={cursor}"),
            format!("tags=a&tags=b&category=other&after={cursor}"),
            format!("tags=a&tags=b&after={altered}"),
            "tags=a&tags=b&after=".to_owned(),
            "tags=a&tags=b&after=eyJsYXN0X2lkIjoiYWJjMTIzIn0=".to_owned(),
            format!("tags=a&tags=b&after={}", "A".repeat(5_000)),
        ] {
            assert_refused(&ana.get(&org_path(acme, &format!("/sessions?{query}"))).await, 422, "after: expected an end_cursor");
        }
        let query = format!("?tags=a&tags=b&after={cursor}");
        assert_refused(&bob.get(&org_path(acme, &format!("/sessions{query}"))).await, 422, "after: expected");
        assert_refused(&ana.get(&org_path(acme, &format!("/sessions/insights{query}"))).await, 422, "after: expected");
        let admin = world.account_member(AccountRole::Admin).await;
        assert_refused(&admin.get(&format!("/v3/enterprise/sessions{query}")).await, 422, "after: expected");
        assert_refused(&admin.get(&org_path(globex, &format!("/sessions{query}"))).await, 422, "after: expected");
    }

    async fn filters_select_matching_sessions(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let one = create_session(&ana, acme, json!({ "prompt": "x", "tags": ["a", "b,c"], "playbook_id": "playbook-1",
            "repos": ["acme/app"], "category": "bug_fixing", "origin": "slack", "schedule_id": "s", "automation_id": "m" })).await;
        world.advance(Span::seconds(10));
        let two = create_session(&admin, acme, json!({ "prompt": "x", "tags": ["b", "c"], "repos": ["acme/web"] })).await;
        let (one_id, two_id) = (one["session_id"].as_str().unwrap(), two["session_id"].as_str().unwrap());
        let (early, late) = (one["created_at"].as_i64().unwrap(), two["created_at"].as_i64().unwrap());
        let (user, machine) = (one["user_id"].as_str().unwrap(), format!("service-user-{}", "0".repeat(32)));
        let one = &[one_id][..];
        let two = &[two_id][..];
        let both = &[two_id, one_id][..];
        let none = &[][..];
        let table: Vec<(String, &[&str])> = vec![
            (String::new(), both),
            (format!("session_ids=devin-{one_id}"), one),
            (format!("session_ids={one_id},devin-{two_id}"), both),
            (format!("session_ids={one_id}&session_ids=nothing"), one),
            ("session_ids=nothing".into(), none),
            ("session_ids=".into(), none),
            ("tags=a".into(), one),
            ("tags=c".into(), two),
            // A tag that exists with its comma wins over two that exist too.
            ("tags=b,c".into(), one),
            ("tags=b&tags=c".into(), two),
            ("tags=a,c".into(), both),
            ("tags[]=a,c".into(), none),
            (r#"qs={"tags":["b,c"]}"#.into(), one),
            ("qs[tags][]=b&qs[tags][]=c".into(), two),
            ("playbook_id=playbook-1".into(), one),
            ("schedule_id=s&automation_ids=m,n".into(), one),
            ("repo_names=acme/app,acme/other".into(), one),
            ("category=bug_fixing".into(), one),
            ("category=security".into(), none),
            ("origins=slack".into(), one),
            ("origins=api,slack".into(), both),
            (format!("user_ids={user}"), one),
            (format!("service_user_ids={machine}"), none),
            (format!("user_ids={user}&service_user_ids={machine}"), none),
            (format!("created_after={early}"), both),
            (format!("created_after={}", early + 1), two),
            (format!("created_before={late}"), one),
            (format!("created_after={early}&created_before={late}"), one),
            (format!("updated_before={late}"), one),
            ("is_archived=false".into(), both),
            ("is_archived=true".into(), none),
            (format!("parent_session_id={one_id}"), none),
            ("parent_session_id=x".into(), none),
            ("tags=a&category=bug_fixing&origins=slack".into(), one),
            ("limit=1&status=running".into(), both),
        ];
        for (query, expected) in table {
            let encoded = query.replace(['{', '}', '"'], "%22").replace("qs=%22%22", "qs=%7B%22").replace("]%22", "]%7D");
            let response = admin.get(&org_path(acme, &format!("/sessions?{encoded}"))).await;
            assert_eq!(response.status, 200, "{query}: {}", response.text());
            let page = response.json();
            assert_eq!(ids(&page), expected, "{query}");
            assert_eq!(page["total"], expected.len(), "{query}");
        }
    }

    async fn unknown_parameters_are_ignored_and_named(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = super::session(&ana, acme).await;
        let session = format!("/sessions/{id}");
        #[rustfmt::skip]
        let table = [
            ("/sessions?limit=1&time_after=2&first=1",       Some("limit, time_after")),
            ("/sessions?org_ids=a&include_deleted_orgs=1",   Some("org_ids, include_deleted_orgs")),
            ("/sessions?qs[status]=running&a%22%0D%0Ab=1",   Some("status, a%22%0D%0Ab")),
            ("/sessions?first=1&tags[]=a&qs[category]=other", None),
            ("/sessions", None),
            ("/sessions?=&=1", None),
            ("/sessions?=&x=1", Some("x")),
            (&format!("{session}?x=1"), Some("x")),
            (&format!("{session}/messages?limit=5"), Some("limit")),
            (&format!("{session}/messages?first=5"), None),
        ];
        for (path, expected) in table {
            let response = ana.get(&org_path(acme, path)).await;
            assert_eq!(response.status, 200, "{path}: {}", response.text());
            let warning = response.headers.get("warning").map(|value| value.to_str().unwrap());
            let expected = expected.map(|names| format!("299 tenure \"unknown query parameters were ignored: {names}\""));
            assert_eq!(warning, expected.as_deref(), "{path}");
        }
        let beta = format!("/v3beta1/organizations/{acme}/sessions?limit=1");
        assert!(ana.get(&beta).await.headers.contains_key("warning"));
        let account = world.account_member(AccountRole::Viewer).await;
        assert!(!account.get("/v3/enterprise/sessions?org_ids=a&include_deleted_orgs=1").await.headers.contains_key("warning"));
    }

    async fn organizations_are_accepted_in_four_forms_or_left_out(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = super::session(&ana, acme).await;
        let hex = acme.0.simple();
        for prefix in ["/v3", "/v3beta1"] {
            for place in [format!("/{acme}"), format!("/{hex}"), format!("/org_{hex}"), format!("/org-{hex}"), String::new()] {
                let list = ana.get(&format!("{prefix}/organizations{place}/sessions")).await;
                assert_eq!(ids(&list.json()), std::slice::from_ref(&id), "{prefix} {place}");
                assert_eq!(ana.get(&format!("{prefix}/organizations{place}/sessions/{id}")).await.status, 200);
            }
        }
        let globex = world.organization("Globex").await;
        let foreign = ana.get(&org_path(globex, "/sessions")).await;
        assert_refused(&foreign, 403, "not a member");
        for place in ["x", "org_", "%20", "%ff", "00000000000000000000000000000000", "org-00000000000000000000000000000001"] {
            let response = ana.get(&format!("/v3/organizations/{place}/sessions")).await;
            assert_eq!((response.status, &response.body), (foreign.status, &foreign.body), "{place}");
        }
    }
}
