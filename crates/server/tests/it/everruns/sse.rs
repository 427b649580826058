//! The stream of a session's events.

use super::Worker;
use crate::world::{Actor, START, World, wait_until};
use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use domain::agent::TurnEnding as Outcome;
use domain::permission::Role;
use futures_util::StreamExt;
use serde_json::{Value, json};
use server::services::metrics::WokenReader;
use std::time::Duration;
use store::System;
use tower::ServiceExt;

/// One frame of a stream; a comment has no name.
#[derive(Debug, Clone, PartialEq)]
struct Frame {
    name: String,
    id: String,
    data: Value,
}

/// A reader of a stream.
struct Reader {
    path: String,
    body: BodyDataStream,
    text: String,
}

impl Reader {
    async fn open(actor: &Actor<'_>, path: &str) -> Reader {
        let request = Request::get(path).header("authorization", actor.key.clone().unwrap());
        let router = server::wires::router(actor.world.app().clone());
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = response.into_body().into_data_stream();
        let path = path.split('?').next().unwrap_or_default().to_owned();
        let mut reader = Reader { path, body, text: String::new() };
        let first = reader.next().await.unwrap();
        assert_eq!((first.name.as_str(), &first.data), ("connected", &json!({ "status": "connected" })));
        reader
    }

    /// The next frame; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let frame = read(frame);
                self.text = rest.to_owned();
                if !frame.name.is_empty() {
                    crate::contracts::check_frame(&self.path, &frame.name, &frame.id, &frame.data);
                }
                return Some(frame);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await;
            let chunk = chunk.expect("the stream says nothing")?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All frames up to the first event of a kind, with it.
    async fn read_until(&mut self, name: &str) -> Vec<Frame> {
        let mut seen = Vec::new();
        while let Some(frame) = self.next().await {
            let last = frame.name == name;
            seen.push(frame);
            if last {
                return seen;
            }
        }
        panic!("the stream ended before {name}: {seen:?}");
    }
}

fn read(frame: &str) -> Frame {
    let field = |name: &str| {
        let values = frame.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.collect::<Vec<_>>().join("\n")
    };
    let data = serde_json::from_str(&field("data")).unwrap_or_default();
    Frame { name: field("event"), id: field("id"), data }
}

fn sequences(frames: &[Frame]) -> Vec<i64> {
    frames.iter().filter_map(|frame| frame.data["sequence"].as_i64()).collect()
}

/// Another server of the same database, with streams that stay open.
async fn lasting(world: &World) -> World {
    world.another_server(|settings| settings.stream_lifetime = Duration::from_secs(300)).await
}

both! {
    async fn a_stream_reads_only_its_own_session_and_ends_when_its_key_is_revoked(world: &World) {
        let world = &lasting(world).await;
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let (one, two) = (ana.talk(json!({})).await, ana.talk(json!({})).await);
        // Its own session stays unchanged: a commit about it during the stream's first read would cause a second read.
        let mut reader = Reader::open(&ana, &format!("/v1/sessions/{one}/sse")).await;
        let before = world.app().metrics.woken_reads(WokenReader::Stream);
        for _ in 0..5 {
            ana.say(&two, "hi").await;
        }
        let system = System::for_administration();
        world.store().revoke_credential(&system, ana.credential, world.app().now()).await.unwrap();
        let bye = reader.read_until("disconnecting").await.pop().unwrap();
        assert_eq!(bye.data["reason"], "unauthorized");
        assert_eq!(world.app().metrics.woken_reads(WokenReader::Stream), before + 1, "the look that found the revoke");
    }

    async fn a_turn_is_followed_from_the_first_event_to_the_last(world: &World) {
        let world = &lasting(world).await;
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        ana.say(&id, "hi").await;
        let mut reader = Reader::open(&ana, &format!("/v1/sessions/{id}/sse")).await;
        reader.read_until("input.message").await;
        let mut worker = Worker::claim(&admin).await;
        reader.read_until("turn.started").await;
        worker.stream("Hello ").await;
        let first = reader.read_until("output.message.delta").await.pop().unwrap();
        assert_eq!((&first.data["data"]["delta"], &first.data["data"]["accumulated"]), (&json!("Hello "), &json!("Hello ")));
        worker.stream("there.").await;
        let second = reader.read_until("output.message.delta").await.pop().unwrap();
        assert_eq!(second.data["data"]["accumulated"], "Hello there.");
        assert_eq!((second.data["id"].as_str(), second.data["type"].as_str()), (Some(second.id.as_str()), Some("output.message.delta")));
        worker.finish(Outcome::WaitingForUser).await;
        let message = reader.read_until("output.message.completed").await.pop().unwrap();
        assert_eq!(message.data["data"]["message"]["content"], json!([{ "type": "text", "text": "Hello there." }]));
        reader.read_until("turn.completed").await;
        reader.read_until("session.idled").await;
        // A reader that connects in the middle of an answer gets all of it.
        let mut late = Reader::open(&ana, &format!("/v1/sessions/{id}/sse?since_id={}", first.id)).await;
        assert_eq!(late.next().await.unwrap(), second);
    }

    async fn readers_that_reconnect_see_each_event_once(world: &World) {
        let world = &lasting(world).await;
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        let path = format!("/v1/sessions/{id}/sse");
        let work = async {
            for number in 0..20 {
                ana.say(&id, &format!("message {number}")).await;
                let mut worker = Worker::claim(&admin).await;
                for piece in ["a", "b", "c"] {
                    worker.stream(piece).await;
                }
                worker.finish(Outcome::WaitingForUser).await;
            }
        };
        let follow = async {
            let (mut seen, mut last) = (Vec::new(), String::new());
            let mut idle = 0;
            while idle < 20 {
                let since = if last.is_empty() { String::new() } else { format!("?since_id={last}") };
                let mut reader = Reader::open(&ana, &format!("{path}{since}")).await;
                // It disconnects after a few events, in the middle of whatever is sent.
                for _ in 0..7 {
                    let frame = reader.next().await.unwrap();
                    last.clone_from(&frame.id);
                    idle += usize::from(frame.name == "session.idled");
                    seen.push(frame);
                    if idle == 20 {
                        break;
                    }
                }
            }
            seen
        };
        let ((), seen) = tokio::join!(work, follow);
        let listed = ana.get(&format!("/v1/sessions/{id}/events")).await.json();
        assert_eq!(sequences(&seen), (1..=seen.len() as i64).collect::<Vec<_>>());
        assert_eq!(listed["total"], seen.len());
        let told = seen.iter().map(|frame| frame.data.clone()).collect::<Vec<_>>();
        assert_eq!(json!(told), listed["data"], "the list and the stream tell the same");
    }

    async fn a_stream_can_be_limited_to_some_kinds(world: &World) {
        let world = &lasting(world).await;
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        ana.say(&id, "hi").await;
        Worker::answer(&admin, "hello").await;
        let names = async |query: &str| {
            let mut reader = Reader::open(&ana, &format!("/v1/sessions/{id}/sse?{query}")).await;
            let seen = reader.read_until("turn.completed").await;
            seen.into_iter().map(|frame| frame.name).collect::<Vec<_>>()
        };
        assert_eq!(names("types=input.message&types=turn.completed").await, ["input.message", "turn.completed"]);
        let most = names("exclude=output.message.delta&exclude=output.message.started").await;
        assert!(!most.iter().any(|name| name.ends_with("delta") || name.ends_with("message.started")), "{most:?}");
        assert!(most.len() > 3, "{most:?}");
    }

    async fn a_stream_that_reached_its_lifetime_is_closed_with_a_goodbye_event(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        let short = world.another_server(|settings| settings.stream_lifetime = Duration::from_millis(50)).await;
        let mut reader = Reader::open(&ana.at_server(&short), &format!("/v1/sessions/{id}/sse?types=turn.completed")).await;
        let bye = reader.next().await.unwrap();
        assert_eq!((bye.name.as_str(), &bye.data), ("disconnecting", &json!({ "reason": "connection_cycle", "retry_ms": 100 })));
        assert_eq!(reader.next().await, None);
    }

    async fn a_stopping_server_closes_streams_with_a_goodbye_event(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        let other = lasting(world).await;
        let mut reader = Reader::open(&ana.at_server(&other), &format!("/v1/sessions/{id}/sse")).await;
        reader.read_until("session.started").await;
        other.stop.cancel();
        let bye = reader.next().await.unwrap();
        assert_eq!((bye.name.as_str(), &bye.data["reason"]), ("disconnecting", &json!("server_shutdown")));
        assert_eq!(reader.next().await, None);
    }

    async fn an_idle_stream_sends_heartbeats_until_the_key_is_revoked(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        let set = |settings: &mut server::settings::Settings| {
            settings.stream_lifetime = Duration::from_secs(300);
            settings.stream_heartbeat = Duration::from_millis(200);
        };
        let beating = world.another_server(set).await;
        let mut reader = Reader::open(&ana.at_server(&beating), &format!("/v1/sessions/{id}/sse?types=turn.completed")).await;
        for _ in 0..2 {
            assert_eq!(reader.next().await.unwrap().name, "", "a comment");
        }
        world.store().revoke_credential(&System::for_administration(), ana.credential, START).await.unwrap();
        let bye = reader.read_until("disconnecting").await.pop().unwrap();
        assert_eq!(bye.data["reason"], "unauthorized");
        assert_eq!(reader.next().await, None);
    }

    async fn a_stream_ends_when_its_key_is_revoked(world: &World) {
        let world = &lasting(world).await;
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readonly).await);
        let id = ana.talk(json!({})).await;
        let mut reader = Reader::open(&ben, &format!("/v1/sessions/{id}/sse")).await;
        reader.read_until("session.started").await;
        world.store().revoke_credential(&System::for_administration(), ben.credential, START).await.unwrap();
        ana.say(&id, "a secret").await;
        let bye = reader.next().await.unwrap();
        assert_eq!((bye.name.as_str(), &bye.data["reason"]), ("disconnecting", &json!("unauthorized")));
    }

    async fn a_deleted_session_ends_its_streams(world: &World) {
        let world = &lasting(world).await;
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        let mut reader = Reader::open(&ana, &format!("/v1/sessions/{id}/sse")).await;
        reader.read_until("session.started").await;
        assert_eq!(ana.delete(&format!("/v1/sessions/{id}")).await.status, 204);
        let bye = reader.read_until("disconnecting").await.pop().unwrap();
        assert_eq!(bye.data["reason"], "session_deleted");
    }

    async fn a_slow_reader_is_disconnected_and_resumes_at_its_position(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        ana.say(&id, "hi").await;
        let mut worker = Worker::claim(&admin).await;
        for number in 0..100 {
            worker.stream(&number.to_string()).await;
        }
        worker.finish(Outcome::WaitingForUser).await;
        let set = |settings: &mut server::settings::Settings| {
            settings.stream_lifetime = Duration::from_secs(300);
            settings.stream_heartbeat = Duration::from_millis(200);
        };
        let impatient = world.another_server(set).await;
        let reader_of = ana.at_server(&impatient);
        let path = format!("/v1/sessions/{id}/sse");
        let mut reader = Reader::open(&reader_of, &path).await;
        wait_until("the stream is given up", || async { impatient.app().tasks.len() == tasks_of_a_server(world) }).await;
        let mut seen = Vec::new();
        while let Some(frame) = reader.next().await {
            assert_ne!(frame.name, "disconnecting", "it was cut");
            seen.push(frame);
        }
        assert!(!seen.is_empty() && seen.len() < 50, "{} frames were kept for it", seen.len());
        let last = seen.last().unwrap().id.clone();
        let mut again = Reader::open(&reader_of, &format!("{path}?since_id={last}")).await;
        seen.extend(again.read_until("session.idled").await);
        assert_eq!(sequences(&seen), (1..=seen.len() as i64).collect::<Vec<_>>());
    }

    async fn one_key_has_a_bounded_number_of_streams(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        let path = format!("/v1/sessions/{id}/sse");
        let set = |settings: &mut server::settings::Settings| {
            settings.stream_lifetime = Duration::from_secs(300);
            settings.websockets_per_credential = 1;
        };
        let narrow = world.another_server(set).await;
        let ana = ana.at_server(&narrow);
        let first = Reader::open(&ana, &path).await;
        let refused = ana.get(&path).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (429, &json!("too_many_connections")));
        assert_eq!(refused.headers["retry-after"], "5");
        drop(first);
        wait_until("the first is gone", || async { narrow.app().tasks.len() == tasks_of_a_server(world) }).await;
        Reader::open(&ana, &path).await;
    }
}

/// The number of tasks of a server without clients.
fn tasks_of_a_server(world: &World) -> usize {
    world.app().tasks.len()
}
