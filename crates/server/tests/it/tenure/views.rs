//! Saved views.

use crate::lost_responses::Keyed;
use crate::world::{Actor, START, TestResponse};
use axum::body::Body;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::{Value, json};
use store::System;

const PATH: &str = "/tenure/v1/views";

async fn save(actor: &Actor<'_>, draft: Value) -> Value {
    let response = actor.post(PATH, draft).await;
    assert_eq!(response.status, 201, "{}", response.text());
    response.json()
}

async fn put(actor: &Actor<'_>, view: &Value, draft: Value) -> TestResponse {
    let path = format!("{PATH}/{}", view["id"].as_str().unwrap());
    actor.call("PUT", &path, Body::from(draft.to_string())).await
}

async fn names(actor: &Actor<'_>) -> Vec<Value> {
    let response = actor.get(PATH).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let listed = response.json();
    let names =
        listed["data"].as_array().unwrap().iter().map(|view| view["name"].clone()).collect::<Vec<_>>();
    assert_eq!(listed["total"], names.len());
    names
}

both! {
    async fn a_view_is_saved_read_changed_and_deleted(world: &World) {
        let acme = world.organization("Acme").await;
        let member = world.member(acme, Role::Readonly).await;
        let saved = save(&member, json!({
            "name": "Mine", "filter": "owner:me  created > -24h", "order": "-updated", "columns": ["state", "owner"],
        })).await;
        assert_eq!(saved["filter"], "owner:me AND created > 2026-02-28T12:00:00Z");
        assert_eq!(saved["filter_as_written"], "owner:me  created > -24h");
        assert_eq!((&saved["order"], &saved["columns"]), (&json!("-updated"), &json!(["state", "owner"])));
        assert_eq!((&saved["organization"], &saved["creator"]["id"]), (&Value::Null, &json!(member.principal.0)));
        let path = format!("{PATH}/{}", saved["id"].as_str().unwrap());
        assert_eq!(member.get(&path).await.json(), saved);
        world.advance(Span::seconds(1));
        let changed = put(&member, &saved, json!({ "name": "Still mine" })).await.json();
        let expected = json!({
            "id": saved["id"], "name": "Still mine", "filter": "", "filter_as_written": "", "order": null, "columns": [],
            "organization": null, "creator": saved["creator"], "created": saved["created"],
            "updated": "2026-03-01T12:00:01.000000Z",
        });
        assert_eq!(changed, expected);
        assert_eq!(member.get(&path).await.json(), expected);
        assert_eq!(member.delete(&path).await.status, 204);
        assert_eq!((member.get(&path).await.status, member.delete(&path).await.status), (404.try_into().unwrap(), 404.try_into().unwrap()));
        assert_eq!(names(&member).await, Vec::<Value>::new());
    }

    async fn nobody_else_sees_a_view_of_ones_own(world: &World) {
        let acme = world.organization("Acme").await;
        let member = world.member(acme, Role::Readwrite).await;
        let saved = save(&member, json!({ "name": "Mine" })).await;
        let path = format!("{PATH}/{}", saved["id"].as_str().unwrap());
        let unknown = format!("{PATH}/{}", acme.0);
        for other in [
            world.member(acme, Role::Admin).await,
            world.account_member(AccountRole::Admin).await,
            world.account_member(AccountRole::Viewer).await,
        ] {
            assert_eq!(names(&other).await, Vec::<Value>::new());
            for method in ["GET", "PUT", "DELETE"] {
                let body = || if method == "PUT" { Body::from(r#"{"name":"x"}"#) } else { Body::empty() };
                let refused = other.call(method, &path, body()).await;
                let missing = other.call(method, &unknown, body()).await;
                assert_eq!((refused.status.as_u16(), &refused.body), (404, &missing.body), "{method}");
            }
        }
        // A key of one organization sees it too: it is the person's.
        assert_eq!(names(&member.naming(acme)).await, ["Mine"]);
        assert_eq!(names(&member).await, ["Mine"]);
    }

    async fn members_share_views_and_administrators_change_them(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let creator = world.member(acme, Role::Readwrite).await;
        let saved = save(&creator, json!({ "name": "Ours", "filter": "is:running", "shared": true })).await;
        assert_eq!(saved["organization"], json!({ "id": acme.0, "name": "Acme" }));
        let reader = world.member(acme, Role::Readonly).await;
        let colleague = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let account = world.account_member(AccountRole::Admin).await;
        let viewer = world.account_member(AccountRole::Viewer).await;
        let outsider = world.member(globex, Role::Admin).await;
        for seeing in [&creator, &reader, &colleague, &admin, &account, &viewer] {
            assert_eq!(names(seeing).await, ["Ours"]);
        }
        assert_eq!(names(&outsider).await, Vec::<Value>::new());
        for (actor, status, code) in [
            (&reader, 403, "forbidden"), (&colleague, 403, "forbidden"), (&viewer, 403, "forbidden"), (&outsider, 404, "not_found"),
        ] {
            let refused = put(actor, &saved, json!({ "name": "Theirs" })).await;
            assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (status, &json!(code)));
        }
        // The account's administrator names no organization, and has none by default.
        for (actor, name) in [(&creator, "One"), (&admin, "Two"), (&account, "Three")] {
            let changed = put(actor, &saved, json!({ "name": name, "shared": true })).await;
            assert_eq!((changed.status.as_u16(), &changed.json()["name"]), (200, &json!(name)));
            assert_eq!(changed.json()["creator"]["id"], json!(creator.principal.0));
        }
        let refused = reader.post(PATH, json!({ "name": "x", "shared": true })).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!("forbidden")));
        let moved = put(&creator, &saved, json!({ "name": "One", "shared": false })).await;
        assert_eq!((moved.status.as_u16(), &moved.json()["field"]), (400, &json!("shared")));
    }

    async fn every_bad_value_is_refused_by_its_field(world: &World) {
        let acme = world.organization("Acme").await;
        let member = world.member(acme, Role::Readwrite).await;
        let saved = save(&member, json!({ "name": "Good" })).await;
        for (draft, field) in [
            (json!({ "name": "" }), "name"),
            (json!({ "name": "n".repeat(101) }), "name"),
            (json!({ "name": "a\u{7}" }), "name"),
            (json!({ "name": "n", "order": "stat" }), "order"),
            (json!({ "name": "n", "columns": ["state", "stat"] }), "columns[1]"),
            (json!({ "name": "n", "filter": "\"a\u{0}\"" }), "filter"),
        ] {
            for refused in [member.post(PATH, draft.clone()).await, put(&member, &saved, draft.clone()).await] {
                assert_eq!(refused.status, 400, "{draft}: {}", refused.text());
                assert_eq!(refused.json()["field"], field, "{draft}");
            }
        }
        for draft in [json!({}), json!({ "name": 1 }), json!({ "name": "n", "nam": "n" }), json!({ "name": "n", "columns": "state" })] {
            let refused = member.post(PATH, draft.clone()).await;
            assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("invalid")), "{draft}");
        }
        let refused = member.post(PATH, json!({ "name": "n", "filter": "stat:running" })).await.json();
        assert_eq!((&refused["code"], &refused["filter"]), (&json!("filter"), &json!("stat:running")));
        assert_eq!((&refused["faults"][0]["at"], &refused["faults"][0]["length"]), (&json!(0), &json!(4)));
        assert_eq!(names(&member).await, ["Good"]);
    }

    async fn names_are_unique_for_each_owner(world: &World) {
        let acme = world.organization("Acme").await;
        let (one, two) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        save(&one, json!({ "name": "A" })).await;
        save(&two, json!({ "name": "A" })).await;
        save(&one, json!({ "name": "A", "shared": true })).await;
        let other = save(&two, json!({ "name": "B", "shared": true })).await;
        for refused in [
            one.post(PATH, json!({ "name": "A" })).await,
            two.post(PATH, json!({ "name": "A", "shared": true })).await,
            put(&two, &other, json!({ "name": "A" })).await,
        ] {
            assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("exists")));
        }
        // Its own name is not taken.
        assert_eq!(put(&two, &other, json!({ "name": "B", "filter": "kind:agent" })).await.status, 200);
        assert_eq!(names(&one).await, ["A", "A", "B"]);
    }

    async fn a_person_and_an_organization_have_at_most_200_views(world: &World) {
        let acme = world.organization("Acme").await;
        let member = world.member(acme, Role::Readwrite).await;
        for shared in [false, true] {
            for number in 0..200 {
                save(&member, json!({ "name": format!("{number:03}"), "shared": shared })).await;
            }
            let refused = member.post(PATH, json!({ "name": "more", "shared": shared })).await;
            assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("limit")));
        }
        let page = member.get(&format!("{PATH}?limit=300")).await.json();
        assert_eq!((page["data"].as_array().unwrap().len(), &page["total"]), (300, &json!(400)));
        let rest = member.get(&format!("{PATH}?limit=300&cursor={}", page["next"].as_str().unwrap())).await.json();
        assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next"]), (100, &Value::Null));
    }

    async fn a_repeated_request_saves_one_view(world: &World) {
        let acme = world.organization("Acme").await;
        let (one, two) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        for (member, name, shared) in [(&one, "A", false), (&two, "B", true)] {
            let draft = json!({ "name": name, "shared": shared });
            assert_eq!(Keyed::new(member, PATH, &draft).survives().await.status, 201);
        }
        assert_eq!(names(&one).await, ["A", "B"]);
    }

    async fn views_of_a_deleted_person_are_gone_and_shared_ones_stay(world: &World) {
        let acme = world.organization("Acme").await;
        let (creator, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        save(&creator, json!({ "name": "Mine" })).await;
        save(&creator, json!({ "name": "Ours", "shared": true })).await;
        let system = System::for_administration();
        world.store().set_principal_state(&system, creator.principal, PrincipalState::Deleted, START).await.unwrap();
        assert_eq!(names(&admin).await, ["Ours"]);
        let own = system.grant_person(creator.principal);
        let account = world.account_member(AccountRole::Admin).await;
        let caller = server::operations::access::authenticate::authenticate(
            world.app(), account.key.as_deref(), store::OrganizationChoice::ByDefault).await.unwrap();
        let scope = store::RequestedScope::Everything;
        let visible = world.store().authorize_sessions(&caller, &scope, |_| true).await.unwrap();
        assert_eq!(world.store().list_views(&visible, Some(&own)).await.unwrap().len(), 1);
    }
}
