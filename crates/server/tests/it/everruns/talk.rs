//! Messages, and their export.

use super::{Worker, each, plain};
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

both! {
    async fn messages_have_exactly_this_json(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        let content = json!([{ "type": "text", "text": "Look at this" }, { "type": "image", "url": "https://example.com/a.png" }]);
        let body = json!({ "message": { "role": "user", "content": content }, "controls": { "model_id": "big" } });
        let posted = ana.post(&format!("/v1/sessions/{id}/messages"), body).await;
        assert_eq!(posted.status, 201);
        world.advance(Span::seconds(2));
        Worker::answer(&admin, "I see.").await;
        let list = ana.get(&format!("/v1/sessions/{id}/messages")).await.json();
        assert_eq!(list["data"][0], posted.json());
        assert_eq!(list["data"], list["messages"]);
        insta::assert_snapshot!("messages", plain(&list["data"]));
        assert_eq!((&list["total"], &list["offset"]), (&json!(2), &json!(0)));
    }

    async fn the_newest_messages_come_in_their_order(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        for number in 1..=120 {
            ana.say(&id, &number.to_string()).await;
        }
        let path = format!("/v1/sessions/{id}/messages");
        let sequences = |first: i64| (first..=120).map(|sequence| json!(sequence)).collect::<Vec<_>>();
        assert_eq!(each(&ana.get(&path).await.json(), "sequence"), sequences(1));
        let some = ana.get(&format!("{path}?limit=70")).await.json();
        assert_eq!((each(&some, "sequence"), &some["total"], &some["offset"]), (sequences(51), &json!(120), &json!(50)));
        let exported = ana.get(&format!("/v1/sessions/{id}/export?format=jsonl")).await;
        assert_eq!(exported.headers["content-type"], "application/x-ndjson");
        let lines = exported.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
        assert_eq!(json!(lines), ana.get(&path).await.json()["data"]);
        let other = ana.get(&format!("/v1/sessions/{id}/export?format=atif")).await;
        assert_eq!((other.status.as_u16(), &other.json()["detail"]), (400, &json!("format: expected jsonl")));
    }
}
