//! Changes of title and tags, also of a session that must not have changed meanwhile.

use super::{path, refused};
use crate::world::{Actor, TestResponse};
use axum::body::Body;
use domain::permission::Role;
use serde_json::{Value, json};

async fn update(actor: &Actor<'_>, id: &str, body: Value, tag: Option<&str>) -> TestResponse {
    let headers = tag.map(|tag| ("if-match", tag));
    let headers = headers.as_slice();
    actor.send("PATCH", &path(id), headers, Body::from(body.to_string())).await
}

fn tag(response: &TestResponse) -> String {
    response.headers["etag"].to_str().unwrap().to_owned()
}

both! {
    async fn title_and_tags_change_together(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.agent_session(None).await.id.to_string();
        let before = ana.get(&path(&id)).await.json();
        let revision = |body: &Value| body["revision"].as_str().unwrap().parse::<i64>().unwrap();
        let both = update(&ana, &id, json!({ "title": "T", "tags": ["b", "a", "b"] }), None).await.json();
        assert_eq!((&both["title"], &both["tags"]), (&json!("T"), &json!(["b", "a"])));
        assert_eq!(revision(&both), revision(&before) + 1, "one change");
        for (body, title, tags) in [
            (json!({}), json!("T"), json!(["b", "a"])),
            (json!({ "tags": [] }), json!("T"), json!([])),
            (json!({ "title": null, "tags": null }), Value::Null, json!([])),
            (json!({ "title": "U" }), json!("U"), json!([])),
        ] {
            let answer = update(&ana, &id, body.clone(), None).await;
            assert_eq!(answer.text(), ana.get(&path(&id)).await.text());
            assert_eq!((&answer.json()["title"], &answer.json()["tags"]), (&title, &tags), "{body}");
        }
        let kept = ana.get(&path(&id)).await.text();
        for wrong in [
            json!({ "title": 1 }), json!({ "tags": "a" }), json!({ "tags": [""], "title": "V" }), json!({ "state": "exit" }),
            json!({ "title": "x".repeat(2_000), "tags": ["c"] }), json!([]),
        ] {
            refused(&update(&ana, &id, wrong, None).await, 400, "invalid");
        }
        assert_eq!(ana.get(&path(&id)).await.text(), kept, "a refused change changes nothing");
        assert_eq!(ana.act(&id, "archive", json!({})).await.status, 200);
        refused(&update(&ana, &id, json!({ "title": "W" }), None).await, 409, "session_archived");
    }

    async fn a_change_can_demand_the_session_that_was_read(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, bob) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readonly).await);
        let id = ana.agent_session(None).await.id.to_string();
        let read = tag(&ana.get(&path(&id)).await);
        assert_eq!(read, tag(&bob.get(&path(&id)).await), "the same for all readers");
        let first = update(&ana, &id, json!({ "title": "1" }), Some(&read)).await;
        assert_eq!(first.status, 200);
        for old in [read.as_str(), "\"0\"", "", &format!("W/{}", tag(&first))] {
            let problem = refused(&update(&ana, &id, json!({ "title": "2" }), Some(old)).await, 412, "precondition_failed");
            assert_eq!(problem["hint"], "read it again, then repeat the request");
        }
        assert_eq!(ana.get(&path(&id)).await.text(), first.text());
        let several = format!("\"0\", {}", tag(&first));
        for (number, given) in [several.as_str(), "*"].into_iter().enumerate() {
            let answer = update(&ana, &id, json!({ "title": format!("{number}") }), Some(given)).await;
            assert_eq!(answer.status, 200, "{given}: {}", answer.text());
        }
        // Who may not change it does not learn whether it has changed.
        refused(&update(&bob, &id, json!({ "title": "2" }), Some("\"0\"")).await, 403, "forbidden");
    }

    async fn of_two_changes_of_the_same_session_one_wins(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        for _ in 0..10 {
            let id = ana.agent_session(None).await.id.to_string();
            let read = tag(&ana.get(&path(&id)).await);
            let change = async |title: &str| update(&ana, &id, json!({ "title": title }), Some(&read)).await;
            let (one, other) = tokio::join!(change("one"), change("other"));
            let mut statuses = [one.status.as_u16(), other.status.as_u16()];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412]);
            let won = if one.status == 200 { one } else { other };
            assert_eq!(ana.get(&path(&id)).await.text(), won.text());
        }
    }
}
