//! Sessions from creation to end.

use super::{assert_refused, create_session, org_path, session};
use axum::body::Body;
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};

/// Replaces the values that differ in each run.
fn steady(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let opaque =
                    ["_id", "_ids", "url"].iter().any(|end| name.ends_with(end)) && name != "playbook_id";
                *field = if opaque && !field.is_null() { json!("…") } else { steady(field.take()) };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = steady(item.take())),
        _ => {}
    }
    value
}

both! {
    async fn a_session_is_created_read_and_ended(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let made = create_session(&ana, acme, json!({
            "prompt": "Fix the tests", "title": "Tests", "tags": ["ci", "ci", "red"], "playbook_id": "playbook-1",
            "repos": ["acme/app"], "max_acu_limit": 5, "devin_mode": "fast", "category": "bug_fixing",
            "structured_output_schema": { "type": "object" }, "surprise": [1, 2],
            "session_secrets": [{ "key": "TOKEN", "value": "hunter2" }],
        })).await;
        insta::assert_json_snapshot!("created", steady(made.clone()));
        let id = made["session_id"].as_str().unwrap();
        assert_eq!(made["url"], format!("{}/sessions/{id}", world.server.base_url()));
        assert_eq!(made["org_id"], format!("org-{}", acme.0.simple()));
        assert_eq!(made["user_id"], format!("user-{}", ana.principal.0.simple()));
        let got = ana.get(&org_path(acme, &format!("/sessions/devin-{id}"))).await;
        insta::assert_json_snapshot!("got", steady(got.json()));
        let listed = ana.get(&org_path(acme, "/sessions")).await.json();
        assert_eq!(listed["items"], json!([got.json()]));
        assert_eq!((&listed["total"], &listed["end_cursor"], &listed["has_next_page"]), (&json!(1), &json!(null), &json!(false)));
        let ended = ana.delete(&org_path(acme, &format!("/sessions/{id}?archive=true"))).await;
        assert_eq!((&ended.json()["status"], &ended.json()["is_archived"]), (&json!("exit"), &json!(true)), "{}", ended.text());
        for text in [got.text(), ended.text(), listed.to_string()] {
            assert!(!text.contains("hunter2") && !text.contains("TOKEN"), "{text}");
        }
        assert_refused(&ana.post(&org_path(acme, &format!("/sessions/{id}/messages")), json!({ "message": "more" })).await, 410, "ended");
    }

    async fn messages_are_posted_and_listed_oldest_first(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = session(&ana, acme).await;
        let path = org_path(acme, &format!("/sessions/{id}/messages"));
        for number in 0..5 {
            world.advance(Span::seconds(1));
            let said = ana.post(&path, json!({ "message": format!("more {number}"), "attachment_urls": ["https://example.com/a%20b.txt"] })).await;
            assert_eq!((said.status.as_u16(), &said.json()["session_id"]), (200, &json!(id)), "{}", said.text());
        }
        let (mut after, mut texts, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let page = ana.get(&format!("{path}?first=2{after}")).await.json();
            assert_eq!(page["total"], 6);
            texts.extend(page["items"].as_array().unwrap().iter().map(|item| item["message"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(cursor) = page["end_cursor"].as_str() else { break };
            after = format!("&after={cursor}");
        }
        assert_eq!((texts.len(), pages), (6, 3));
        assert_eq!(texts[0], "Fix the tests");
        assert!(texts[1].starts_with("more 0\n\nATTACHMENT:{"), "{}", texts[1]);
        let other = session(&ana, acme).await;
        let moved = ana.get(&org_path(acme, &format!("/sessions/{other}/messages?first=2{after}"))).await;
        assert_refused(&moved, 422, "after: expected an end_cursor");
        let attached = ana.get(&org_path(acme, &format!("/sessions/{id}/attachments"))).await.json();
        assert_eq!((attached.as_array().unwrap().len(), &attached[0]["name"], &attached[0]["source"]), (5, &json!("a b.txt"), &json!("user")));
    }

    async fn tags_are_added_and_replaced(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = session(&ana, acme).await;
        let path = org_path(acme, &format!("/sessions/{id}/tags"));
        assert_eq!(ana.get(&path).await.json(), json!({ "tags": [] }));
        assert_eq!(ana.post(&path, json!({ "tags": ["a", "b"] })).await.json(), json!({ "tags": ["a", "b"] }));
        assert_eq!(ana.post(&path, json!({ "tags": ["b", "c"] })).await.json(), json!({ "tags": ["a", "b", "c"] }));
        let put = ana.call("PUT", &path, Body::from(json!({ "tags": ["x"] }).to_string())).await;
        assert_eq!(put.json(), json!({ "tags": ["x"] }));
        assert_eq!(ana.delete(&path).await.status, 405);
        let many = (0..51).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_refused(&ana.post(&path, json!({ "tags": many })).await, 422, "tags: expected a list of at most 50 texts");
        let fifty = (0..50).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_refused(&ana.post(&path, json!({ "tags": fifty })).await, 422, "tags: expected at most 50 tags");
        assert_eq!(ana.get(&path).await.json(), json!({ "tags": ["x"] }));
    }

    async fn archiving_includes_the_children_and_restoring_does_not(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let parent = session(&ana, acme).await;
        let child = create_session(&ana, acme, json!({ "prompt": "Part", "parent_session_id": format!("devin-{parent}") })).await;
        assert_eq!(child["parent_session_id"], parent);
        let child = child["session_id"].as_str().unwrap();
        let get = async |id: &str| ana.get(&org_path(acme, &format!("/sessions/{id}"))).await.json();
        assert_eq!(get(&parent).await["child_session_ids"], json!([child]));
        let listed = ana.get(&org_path(acme, &format!("/sessions?parent_session_id=devin-{parent}"))).await.json();
        assert_eq!((&listed["items"][0]["session_id"], &listed["total"]), (&json!(child), &json!(1)));
        let mut archive = axum::http::Request::builder().method("POST").uri(org_path(acme, &format!("/sessions/{parent}/archive")));
        // As the official client sends it: content type JSON with an empty body.
        archive = archive.header("content-type", "application/json").header("authorization", format!("Bearer {}", ana.key.as_ref().unwrap()));
        let archived = world.send(archive.body(Body::empty()).unwrap()).await;
        assert_eq!((&archived.json()["is_archived"], &archived.json()["status"]), (&json!(true), &json!("suspended")));
        assert_eq!(archived.json()["status_detail"], json!(null));
        assert_eq!(get(child).await["is_archived"], true);
        assert_refused(&ana.post(&org_path(acme, &format!("/sessions/{parent}/messages")), json!({ "message": "x" })).await, 410, "archived");
        let back = ana.post(&org_path(acme, &format!("/sessions/{parent}/unarchive")), json!({})).await;
        assert_eq!(back.json()["is_archived"], false);
        assert_eq!(get(child).await["is_archived"], true);
    }

    async fn files_are_uploaded_named_and_read_through_a_redirect(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let form = "--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n--x\r\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"a b.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n";
        let key = ana.key.as_ref().unwrap();
        let request = axum::http::Request::builder().method("POST").uri(org_path(acme, "/attachments"))
            .header("content-type", "multipart/form-data; boundary=x").header("authorization", format!("Bearer {key}"));
        let sent = world.send(request.body(Body::from(form)).unwrap()).await;
        assert_eq!((sent.status.as_u16(), &sent.json()["name"]), (200, &json!("a b.txt")), "{}", sent.text());
        let url = sent.json()["url"].as_str().unwrap().to_owned();
        let made = create_session(&ana, acme, json!({ "prompt": "Read it", "attachment_urls": [url] })).await;
        let attached = ana.get(&org_path(acme, &format!("/sessions/{}/attachments", made["session_id"].as_str().unwrap()))).await.json();
        assert_eq!((&attached[0]["attachment_id"], &attached[0]["name"]), (&sent.json()["attachment_id"], &json!("a b.txt")));
        let path = url.strip_prefix(world.server.base_url()).unwrap();
        let sent_on = ana.get(path).await;
        assert_eq!(sent_on.status, 307);
        let link = sent_on.headers["location"].to_str().unwrap().strip_prefix(world.server.base_url()).unwrap();
        let read = world.caller(None).get(link).await;
        assert_eq!((read.status.as_u16(), read.text().as_str()), (200, "hello"));
        assert_eq!(read.headers["content-disposition"], "attachment; filename*=UTF-8''a%20b.txt");
        assert_refused(&world.caller(None).get(&format!("{}A", &link[..link.len() - 1])).await, 404, "file not found");
        world.advance(Span::minutes(11));
        assert_refused(&world.caller(None).get(link).await, 404, "file not found");
        let no_form = ana.post(&org_path(acme, "/attachments"), json!({})).await;
        assert_refused(&no_form, 422, "multipart/form-data");
        let expected = "a form of the type multipart/form-data with a field `file`";
        assert_eq!(no_form.json()["errors"], json!([{ "field": "body", "expected": expected }]));
    }

    async fn an_archived_session_can_be_read_and_not_changed(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, account) = (world.member(acme, Role::Readwrite).await, world.account_member(AccountRole::Admin).await);
        let id = session(&ana, acme).await;
        let path = org_path(acme, &format!("/sessions/{id}"));
        let tags = format!("{path}/tags");
        assert_eq!(ana.post(&tags, json!({ "tags": ["a"] })).await.status, 200);
        assert_eq!(ana.post(&format!("{path}/archive"), json!({})).await.status, 200);
        let put = async |path: &str, tags: Value| {
            ana.call("PUT", path, axum::body::Body::from(json!({ "tags": tags }).to_string())).await
        };
        assert_refused(&ana.post(&tags, json!({ "tags": ["b"] })).await, 410, "archived");
        assert_refused(&put(&tags, json!([])).await, 410, "archived");
        assert_refused(&account.post(&format!("/v3/enterprise/sessions/{id}/tags"), json!({ "tags": ["b"] })).await, 410, "archived");
        let everruns = format!("/v1/sessions/session_{id}");
        let renamed = ana.call("PATCH", &everruns, axum::body::Body::from(r#"{"title":"New"}"#)).await;
        assert_eq!(renamed.status, 409, "{}", renamed.text());
        // Setting the same state again is no change.
        assert_eq!(put(&tags, json!(["a"])).await.json(), json!({ "tags": ["a"] }));
        assert_eq!(ana.get(&path).await.json()["tags"], json!(["a"]));
        assert_eq!(ana.post(&format!("{path}/unarchive"), json!({})).await.status, 200);
        assert_eq!(put(&tags, json!(["b"])).await.json(), json!({ "tags": ["b"] }));
    }

    async fn insights_count_events(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = session(&ana, acme).await;
        let got = ana.get(&org_path(acme, &format!("/sessions/{id}/insights"))).await.json();
        insta::assert_json_snapshot!("insights", steady(got.clone()));
        assert_eq!(ana.get(&org_path(acme, "/sessions/insights")).await.json()["items"], json!([got]));
        let made = ana.post(&org_path(acme, &format!("/sessions/{id}/insights/generate")), json!({})).await;
        assert_eq!(made.json(), json!({ "session_id": id, "status": "already_exists" }));
    }

    async fn impersonation_requires_a_permission(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, bob) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let viewer = world.member(acme, Role::Readonly).await;
        let globex = world.organization("Globex").await;
        let foreign = world.member(globex, Role::Admin).await;
        let name = |of: &crate::world::Actor<'_>| format!("user-{}", of.principal.0.simple());
        let body = |user: String| json!({ "prompt": "Do it", "create_as_user_id": user });
        let path = org_path(acme, "/sessions");
        // The check comes before the user is looked up.
        for user in [name(&bob), name(&foreign), "x".to_owned()] {
            assert_refused(&ana.post(&path, body(user)).await, 403, "create sessions in another user's name");
        }
        for user in [name(&foreign), name(&viewer), "x".to_owned(), "user-0".to_owned()] {
            assert_refused(&admin.post(&path, body(user)).await, 404, "member not found");
        }
        let made = create_session(&admin, acme, body(name(&bob))).await;
        assert_eq!(made["user_id"], name(&bob));
        let said = format!("/sessions/{}/messages", made["session_id"].as_str().unwrap());
        let as_bob = json!({ "message": "x", "message_as_user_id": name(&bob) });
        assert_refused(&ana.post(&org_path(acme, &said), as_bob.clone()).await, 403, "create sessions in another user's name");
        assert_eq!(admin.post(&org_path(acme, &said), as_bob).await.status, 200);
    }

    async fn agents_and_parents_of_others_do_not_exist(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, dora) = (world.member(acme, Role::Readwrite).await, world.member(globex, Role::Readwrite).await);
        let theirs = session(&dora, globex).await;
        let path = org_path(acme, "/sessions");
        let parent = async |id: &str| ana.post(&path, json!({ "prompt": "x", "parent_session_id": id })).await;
        assert_refused(&parent(&theirs).await, 404, "session not found");
        assert_eq!(parent(&theirs).await.body, parent("nothing").await.body);
        let agent = ana.post(&path, json!({ "prompt": "x", "agent_id": format!("agent_{}", "0".repeat(32)) })).await;
        assert_refused(&agent, 404, "agent not found");
    }

    async fn the_account_sees_every_session(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, dora) = (world.member(acme, Role::Readwrite).await, world.member(globex, Role::Readwrite).await);
        let (one, two) = (session(&ana, acme).await, session(&dora, globex).await);
        let admin = world.account_member(AccountRole::Admin).await;
        let viewer = world.account_member(AccountRole::Viewer).await;
        let ids = |page: Value| -> Vec<String> {
            page["items"].as_array().unwrap().iter().map(|item| item["session_id"].as_str().unwrap().to_owned()).collect()
        };
        let all = viewer.get("/v3/enterprise/sessions").await;
        assert_eq!(ids(all.json()).len(), 2, "{}", all.text());
        let some = viewer.get(&format!("/v3/enterprise/sessions?org_ids=org-{}", acme.0.simple())).await.json();
        assert_eq!((ids(some.clone()), &some["total"]), (vec![one.clone()], &json!(1)));
        let path = format!("/v3/enterprise/sessions/devin-{two}");
        assert_eq!(viewer.get(&path).await.json()["session_id"], two);
        assert_eq!(viewer.get(&format!("{path}?org_id=org-{}", globex.0.simple())).await.status, 200);
        assert_refused(&viewer.get(&format!("{path}?org_id=org-{}", acme.0.simple())).await, 404, "session not found");
        assert_refused(&viewer.get(&format!("{path}?org_id=x")).await, 404, "session not found");
        assert_refused(&viewer.post(&format!("{path}/messages"), json!({ "message": "x" })).await, 403, "use sessions");
        let said = admin.post(&format!("{path}/messages"), json!({ "message": "x" })).await;
        assert_eq!((said.status.as_u16(), &said.json()["session_id"]), (200, &json!(two)), "{}", said.text());
        assert_eq!(viewer.get(&format!("{path}/messages")).await.json()["total"], 2);
        assert_eq!(admin.post(&format!("{path}/tags"), json!({ "tags": ["a"] })).await.json(), json!({ "tags": ["a"] }));
        assert_eq!(viewer.get(&format!("{path}/tags")).await.json(), json!({ "tags": ["a"] }));
        assert_refused(&ana.get("/v3/enterprise/sessions").await, 403, "view sessions");
        world.store().delete_organization(&store::System::for_administration(), globex, crate::world::START).await.unwrap();
        assert_eq!(ids(viewer.get("/v3/enterprise/sessions").await.json()), vec![one]);
        assert_eq!(ids(viewer.get("/v3/enterprise/sessions?include_deleted_orgs=true").await.json()).len(), 2);
        assert_eq!(admin.post(&format!("{path}/messages"), json!({ "message": "x" })).await.status, 403);
    }
}
