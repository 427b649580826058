//! The token of a turn: what it gives access to, and when it ends.

use crate::work::{Turn, acme};
use crate::world::Actor;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};
use store::System;

/// The status of a heartbeat, which changes nothing.
async fn heartbeat(turn: &Turn<'_, '_>) -> u16 {
    turn.say("heartbeat", json!({})).await.status.as_u16()
}

fn body(turn: &Value) -> Value {
    json!({ "organization": turn["organization"], "turn": turn["turn"], "fence": turn["fence"], "first": 0, "items": [],
            "outcome": { "type": "finished" } })
}

/// Sends every kind of report about a turn.
async fn speak(who: &Actor<'_>, session: &str, turn: &Value) -> Vec<(u16, String)> {
    let mut responses = Vec::new();
    for what in ["heartbeat", "report", "done"] {
        let response = who.post(&format!("/tenure/v1/work/{session}/{what}"), body(turn)).await;
        responses.push((response.status.as_u16(), response.text()));
    }
    responses
}

both! {
    async fn the_key_claims_turns_and_only_the_token_reports_on_one(world: &World) {
        let (_, ana, worker) = acme(world).await;
        ana.agent_session(Some("hello")).await;
        let turn = Turn::claim(&worker).await;
        let session = turn.given["session"].as_str().unwrap();
        let anonymous = world.caller(None);
        let refused = speak(&anonymous, session, &turn.given).await;
        assert!(refused.iter().all(|(status, _)| *status == 401), "{refused:?}");
        // The worker's own key and its administrator's key are refused here.
        assert_eq!(speak(&worker, session, &turn.given).await, refused);
        assert_eq!(speak(&ana, session, &turn.given).await, refused);
        assert_eq!(heartbeat(&turn).await, 200);
    }

    async fn the_token_gives_access_only_to_its_turn(world: &World) {
        let (acme, ana, worker) = acme(world).await;
        let other = ana.agent_session(Some("another")).await.id;
        ana.agent_session(Some("hello")).await;
        let turns = [Turn::claim(&worker).await, Turn::claim(&worker).await];
        let [first, second] = &turns;
        let token = first.worker();
        let session = second.given["session"].as_str().unwrap();
        // Another turn of the same worker looks like an unknown session.
        let nowhere = "01987a6b-5c4d-7e8f-9012-3456789abcde";
        let unknown = speak(&token, nowhere, &second.given).await;
        assert!(unknown.iter().all(|(status, _)| *status == 401), "{unknown:?}");
        assert_eq!(speak(&token, session, &second.given).await, unknown);
        assert_eq!(speak(&token, "x", &second.given).await, unknown);
        // Its own session, with the number of another turn.
        let own = first.given["session"].as_str().unwrap();
        assert!(speak(&token, own, &second.given).await.iter().all(|(status, _)| *status == 409));
        let org = format!("org-{}", acme.0.simple());
        for (method, path) in [
            ("POST", "/tenure/v1/work/claim".to_owned()), ("GET", "/tenure/v1/me".to_owned()), ("GET", "/tenure/v1/changes".to_owned()),
            ("GET", "/tenure/v1/host".to_owned()), ("GET", "/v1/sessions".to_owned()), ("GET", format!("/v1/sessions/{other}")),
            ("GET", format!("/v1/sessions/{other}/messages")), ("GET", "/api/v1/sessions".to_owned()), ("GET", "/api/v1/members".to_owned()),
            ("GET", format!("/v3/organizations/{org}/sessions")), ("GET", format!("/v3/organizations/{org}/members/users")),
            ("POST", format!("/v3/organizations/{org}/service-users")), ("GET", format!("/v3/organizations/{org}/audit-logs")),
            ("GET", "/v3/enterprise/organizations".to_owned()), ("GET", "/frontend/api/v1/auth/api-token".to_owned()),
            ("POST", "/frontend/api/v1/auth/jwt".to_owned()),
        ] {
            let response = token.call_with(method, &path, "{}").await;
            assert_eq!(response.status, 401, "{method} {path}: {}", response.text());
        }
        assert_eq!([heartbeat(first).await, heartbeat(second).await], [200; 2]);
    }

    async fn the_token_ends_with_the_turn(world: &World) {
        let (_, ana, worker) = acme(world).await;
        let id = ana.agent_session(Some("hello")).await.id;
        let turn = Turn::claim(&worker).await;
        assert_eq!(turn.finish("waiting_for_user").await.status, 204);
        assert_eq!(heartbeat(&turn).await, 409);
        assert_eq!(turn.report(0, json!([{ "type": "output", "text": "late" }])).await.status, 409);
        // The response may have been lost, and the next turn may have begun.
        assert_eq!(turn.finish("waiting_for_user").await.status, 204);
        ana.says(id, "more").await;
        let next = Turn::claim(&worker).await;
        assert_eq!((turn.finish("waiting_for_user").await.status.as_u16(), heartbeat(&turn).await), (204, 409));
        assert_eq!(next.finish("waiting_for_user").await.status, 204);
        ana.says(id, "and more").await;
        let last = Turn::claim(&worker).await;
        assert_eq!((turn.finish("waiting_for_user").await.status.as_u16(), heartbeat(&turn).await), (401, 401));
        assert_eq!(heartbeat(&last).await, 200);
    }

    async fn the_token_ends_with_the_claiming_key_and_its_permissions(world: &World) {
        let (acme, ana, worker) = acme(world).await;
        let lowered = world.member(acme, Role::Admin).await;
        for _ in 0..2 {
            ana.agent_session(Some("hello")).await;
        }
        let turns = [Turn::claim(&worker).await, Turn::claim(&lowered).await];
        let (system, now) = (System::for_administration(), world.app().now());
        world.store().revoke_credential(&system, worker.credential, now).await.unwrap();
        assert_eq!([heartbeat(&turns[0]).await, heartbeat(&turns[1]).await], [401, 200]);
        world.store().change_role(&system.grant(acme), lowered.principal, Role::Readwrite, now).await.unwrap();
        assert_eq!(heartbeat(&turns[1]).await, 403);
        world.store().delete_organization(&system, acme, now).await.unwrap();
        assert_eq!(heartbeat(&turns[1]).await, 403);
    }

    async fn the_token_ends_when_another_worker_takes_the_turn(world: &World) {
        let (_, ana, worker) = acme(world).await;
        ana.agent_session(Some("hello")).await;
        world.advance(Span::seconds(61));
        let first = Turn::claim(&worker).await;
        world.advance(Span::seconds(61));
        world.sweep().await;
        assert_eq!(heartbeat(&first).await, 409);
        let second = Turn::claim(&worker).await;
        assert_ne!(second.given["token"], first.given["token"]);
        assert_eq!([heartbeat(&first).await, heartbeat(&second).await], [401, 200]);
    }

    async fn a_login_session_claims_nothing(world: &World) {
        let (_, ana, worker) = acme(world).await;
        ana.agent_session(Some("hello")).await;
        let opened = worker.call_with("POST", "/frontend/api/v1/auth/jwt", "").await;
        let token = opened.json()["token"].as_str().unwrap_or_default().to_owned();
        assert!(token.contains('.'), "{}", opened.text());
        let signed_in = Actor { key: Some(token), ..worker.clone() };
        assert_eq!(signed_in.post("/tenure/v1/work/claim", json!({ "worker": "w" })).await.status, 401);
        Turn::claim(&worker).await;
    }
}
