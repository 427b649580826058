//! Events by page.

use super::{Worker, each, plain};
use domain::agent::{EventKind, TurnEnding as Outcome, TurnItem};
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

both! {
    async fn the_events_of_a_turn_have_exactly_this_json(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        ana.say(&id, "hi").await;
        let mut worker = Worker::claim(&admin).await;
        world.advance(Span::seconds(3));
        let tool = json!({ "tool_name": "ls", "tool_call": { "id": "1", "name": "ls", "arguments": {} } });
        worker.report(vec![
            TurnItem::Output("Hello ".into()),
            TurnItem::Log("warming up".into()),
            TurnItem::Event { kind: EventKind::ToolStarted, data: tool.into() },
            TurnItem::Output("there.".into()),
        ]).await;
        worker.finish(Outcome::WaitingForUser).await;
        ana.say(&id, "again").await;
        let worker = Worker::claim(&admin).await;
        worker.finish(Outcome::Failed { message: "no such command".into(), exit_code: Some(127) }).await;
        let list = ana.get(&format!("/v1/sessions/{id}/events")).await.json();
        insta::assert_snapshot!("events", plain(&list["data"]));
        let sequences = each(&list, "sequence");
        assert_eq!(sequences, (1..=sequences.len()).map(|sequence| json!(sequence)).collect::<Vec<_>>());
        assert_eq!(list["total"], sequences.len());
    }

    async fn events_are_filtered(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        for text in ["first", "second"] {
            ana.say(&id, text).await;
            let mut worker = Worker::claim(&admin).await;
            worker.report(vec![TurnItem::Output("a".into()), TurnItem::Output("b".into())]).await;
            let data = json!({ "tool_name": text });
            worker.report(vec![TurnItem::Event { kind: EventKind::ToolStarted, data: data.into() }]).await;
            worker.finish(Outcome::WaitingForUser).await;
            world.advance(Span::seconds(10));
        }
        let path = format!("/v1/sessions/{id}/events");
        let all = ana.get(&path).await.json()["data"].as_array().unwrap().clone();
        let of = async |query: &str| each(&ana.get(&format!("{path}?{query}")).await.json(), "sequence");
        let those = |lets: &dyn Fn(&Value) -> bool| {
            all.iter().filter(|event| lets(event)).map(|event| event["sequence"].clone()).collect::<Vec<_>>()
        };
        let third = all[2]["id"].as_str().unwrap();
        let turn = all.iter().find(|event| event["type"] == "turn.completed").unwrap()["context"]["turn_id"].clone();
        let last = all.len() as i64;
        for (query, expected) in [
            (format!("since_id={third}"), those(&|event| event["sequence"].as_i64() > Some(3))),
            ("types=input.message&types=turn.completed".into(),
             those(&|event| event["type"] == "input.message" || event["type"] == "turn.completed")),
            ("exclude=output.message.delta".into(), those(&|event| event["type"] != "output.message.delta")),
            ("limit=2".into(), those(&|event| event["sequence"].as_i64() > Some(last - 2))),
            ("after_sequence=3&limit=2".into(), vec![json!(4), json!(5)]),
            ("before_sequence=3".into(), vec![json!(1), json!(2)]),
            ("order_desc=true&limit=2".into(), vec![json!(last), json!(last - 1)]),
            (format!("around={third}&window=1"), vec![json!(2), json!(3), json!(4)]),
            (format!("turn_id={}", turn.as_str().unwrap()), those(&|event| event["context"]["turn_id"] == turn)),
            ("tool_name=second".into(), those(&|event| event["data"]["tool_name"] == "second")),
            ("q=SECOND".into(), those(&|event| event["data"].to_string().contains("second"))),
            ("from_ts=2026-03-01T12:00:10Z".into(), those(&|event| event["ts"].as_str() >= Some("2026-03-01T12:00:10"))),
            ("to_ts=2026-03-01T12:00:00Z".into(), those(&|event| event["ts"].as_str() < Some("2026-03-01T12:00:01"))),
            ("exec_id=x".into(), vec![]),
            ("tags=x".into(), vec![]),
        ] {
            assert!(query.contains("=x") || !expected.is_empty(), "{query} tests nothing");
            assert_eq!(of(&query).await, expected, "{query}");
        }
        let deltas = ana.get(&format!("{path}?types=output.message.delta&order_desc=true&limit=1")).await.json();
        assert_eq!(deltas["data"][0]["data"]["accumulated"], "ab", "what came before is read too");
        let other = ana.talk(json!({})).await;
        for query in ["since_id", "around"] {
            let response = ana.get(&format!("/v1/sessions/{other}/events?{query}={third}")).await;
            assert_eq!((response.status.as_u16(), &response.json()["detail"]), (404, &json!("Event not found")), "{query}");
        }
    }
}
