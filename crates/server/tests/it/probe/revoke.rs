//! A revoke takes effect at once, on every path, and callers without permission cannot detect it.

use super::{AUTH, PASSWORD, SESSIONS, USER};
use crate::socket::Socket;
use crate::world::{Actor, START, World};
use axum::body::Body;
use domain::ids::SessionId;
use domain::permission::Role;
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::json;
use store::System;

async fn ana(world: &World) -> Actor<'_> {
    let acme = world.organization("Acme").await;
    world.user(acme, Role::Admin, "ana@example.com").await;
    world.sign_in("ana@example.com").await
}

/// Checks that a token is invalid on every wire, in every form and on every server.
async fn good_nowhere(actor: &Actor<'_>, other: &World) {
    let token = actor.key.clone().unwrap();
    for world in [actor.world, other] {
        let actor = actor.at_server(world);
        let anonymous = world.caller(None);
        for path in [SESSIONS, USER, "/api/v1/sessions", "/api/v1/organizations", "/tenure/v1/changes"] {
            assert_eq!(actor.get(path).await.status, 401, "{path}");
        }
        assert_eq!(anonymous.get(&format!("{SESSIONS}?jwt={token}")).await.status, 401);
        assert_eq!(actor.call_by_cookie("GET", SESSIONS, &[]).await.status, 401);
        let response = Socket::open(&actor).await.call("devices.list", json!({})).await;
        assert_eq!(response["error"]["code"], -32001, "{response}");
    }
}

both! {
    async fn everything_that_ends_a_session_ends_it_at_once(world: &World) {
        let ana = ana(world).await;
        let other = world.another_server(|_| {}).await;
        let form = format!("old-password={}&new-password=another+horse", PASSWORD.replace(' ', "+"));
        let again = form.replace("correct+horse", "another+horse").replace("new-password=another", "new-password=correct");
        for how in ["one", "all", "sign-out", "sign-out all", "password", "password all", "suspended"] {
            let actor = world.sign_in("ana@example.com").await;
            assert!(actor.at_server(&other).is_good().await, "signed in on one server is signed in on all");
            let by = world.sign_in("ana@example.com").await;
            let status = match how {
                "one" => by.delete(&format!("{SESSIONS}/{}", actor.session_id().await)).await.status,
                "all" => by.delete(SESSIONS).await.status,
                "sign-out" => actor.delete(&format!("{AUTH}/sign-out")).await.status,
                "sign-out all" => by.delete(&format!("{AUTH}/sign-out?logout-all=true")).await.status,
                "password" => by.call_with("PUT", &format!("{AUTH}/current/password"), &form).await.status,
                "password all" => {
                    let back = by.call_with("PUT", &format!("{AUTH}/current/password?logout-all=1"), &again).await;
                    assert_eq!(back.status, 400, "the password is another one by now");
                    continue;
                }
                _ => continue,
            };
            assert!(status.is_success(), "{how}: {status}");
            good_nowhere(&actor, &other).await;
            assert_eq!(by.is_good().await, ["one", "sign-out", "password"].contains(&how), "{how}");
            if how == "password" {
                let path = format!("{AUTH}/current/password?logout-all=true");
                assert_eq!(by.call_with("PUT", &path, &again).await.status, 204);
                good_nowhere(&by, &other).await;
            }
        }
        assert!(!ana.is_good().await);
    }

    async fn users_who_may_not_act_are_signed_out(world: &World) {
        let acme = world.organization("Acme").await;
        let id = world.user(acme, Role::Readwrite, "ana@example.com").await;
        let other = world.another_server(|_| {}).await;
        let system = System::for_administration();
        let ana = world.sign_in("ana@example.com").await;
        world.store().set_principal_state(&system, id, PrincipalState::Suspended, START).await.unwrap();
        good_nowhere(&ana, &other).await;
        world.store().set_principal_state(&system, id, PrincipalState::Active, START).await.unwrap();
        good_nowhere(&ana, &other).await;
        let ana = world.sign_in("ana@example.com").await;
        world.store().remove_member(&system.grant(acme), id, START).await.unwrap();
        assert!(ana.is_good().await, "leaving an organization ends what acted in it, and nothing else");
        assert_eq!(ana.get("/api/v1/sessions").await.status, 403);
        world.store().set_principal_state(&system, id, PrincipalState::Deleted, START).await.unwrap();
        good_nowhere(&ana, &other).await;
    }

    async fn revokes_survive_a_restart(world: &World) {
        let ana = ana(world).await;
        let kept = world.sign_in("ana@example.com").await;
        assert_eq!(ana.delete(&format!("{AUTH}/sign-out")).await.status, 200);
        let restarted = world.another_server(|_| {}).await;
        assert!(!ana.at_server(&restarted).is_good().await);
        assert!(kept.at_server(&restarted).is_good().await);
    }

    async fn ended_credentials_are_refused_like_unknown_ones(world: &World) {
        let ana = ana(world).await;
        let globex = world.organization("Globex").await;
        world.user(globex, Role::Admin, "dora@example.com").await;
        let foreign = world.sign_in("dora@example.com").await.session_id().await;
        let ended = world.sign_in("ana@example.com").await;
        let ended_id = ended.session_id().await;
        assert_eq!(ana.delete(&format!("{SESSIONS}/{ended_id}")).await.status, 204);
        let body = json!({ "email": "ana@example.com", "password": PASSWORD, "long-term-token": false });
        let short = world.caller(None).call_with("POST", &format!("{AUTH}/sign-in"), &body.to_string()).await;
        let short = world.caller(Some(short.json()["jwt-token"]["token"].as_str().unwrap()));
        let over = short.session_id().await;
        world.advance(Span::minutes(180));
        let ids = [
            SessionId::new(START, 77).to_string(), foreign, ended_id, over, "x".into(), "%00".into(), "%ff".into(),
            "00000000-0000-0000-0000-000000000000".into(), format!("%7B{}%7D", SessionId::new(START, 77)),
        ];
        for method in ["GET", "DELETE"] {
            let mut responses = Vec::new();
            for id in &ids {
                let response = ana.call(method, &format!("{SESSIONS}/{id}"), Body::empty()).await;
                // One header counts requests, and the other is new in each response.
                let headers = response.headers.iter().filter(|(name, _)| *name != "x-request-id" && *name != "ratelimit");
                let headers = headers.map(|(name, value)| format!("{name}: {value:?}")).collect::<Vec<_>>();
                responses.push((response.status.as_u16(), headers, response.text()));
            }
            responses.dedup();
            assert_eq!(responses.len(), 1, "{responses:#?}");
            assert_eq!(responses[0].0, 404);
            assert_eq!(responses[0].2, "{\"status\":\"NOT_FOUND\",\"error\":\"not found: session not found\"}\n");
        }
    }

    async fn of_many_concurrent_revokes_one_succeeds(world: &World) {
        let ana = ana(world).await;
        let other = world.sign_in("ana@example.com").await;
        let path = format!("{SESSIONS}/{}", other.session_id().await);
        let responses = futures_util::future::join_all((0..16).map(|_| ana.delete(&path))).await;
        let done = responses.iter().filter(|response| response.status == 204).count();
        assert_eq!(done, 1);
        assert!(responses.iter().all(|response| response.status == 204 || response.status == 404));
        assert!(!other.is_good().await);
    }

    async fn all_other_sessions_end_and_this_one_stays(world: &World) {
        let ana = ana(world).await;
        let (one, two) = (world.sign_in("ana@example.com").await, world.sign_in("ana@example.com").await);
        assert_eq!(ana.sessions().await, 3);
        assert_eq!(ana.delete(&format!("{SESSIONS}?keep-current=true")).await.status, 204);
        assert!(ana.is_good().await && !one.is_good().await && !two.is_good().await);
        let body = json!({ "email": "ana@example.com", "password": PASSWORD, "logout-other": true }).to_string();
        assert_eq!(world.caller(None).call_with("POST", &format!("{AUTH}/sign-in"), &body).await.status, 200);
        assert!(!ana.is_good().await);
    }

    async fn an_open_socket_ends_with_its_session(world: &World) {
        let ana = ana(world).await;
        let mut socket = Socket::open(&ana).await;
        assert!(socket.call("devices.list", json!({})).await["result"].is_object());
        assert_eq!(ana.delete(&format!("{AUTH}/sign-out")).await.status, 200);
        assert_eq!(socket.call("devices.list", json!({})).await["error"]["code"], -32001);
    }
}
