//! The audit log's entries about signing in.

use super::{AUTH, PASSWORD, SESSIONS};
use crate::world::{START, World};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use domain::permission::Role;
use domain::time::Span;
use std::net::SocketAddr;
use store::{AuditEntry, System};

/// The entries about signing in and passwords, the oldest first.
async fn lines(world: &World) -> Vec<AuditEntry> {
    let all = world
        .store()
        .list_account_audit_entries(&System::for_background_jobs().grant_account(), None, 1000)
        .await
        .unwrap()
        .items;
    let about = |line: &AuditEntry| {
        line.content.action.starts_with("login.") || line.content.action.starts_with("password.")
    };
    let mut lines: Vec<AuditEntry> = all.into_iter().filter(about).collect();
    lines.reverse();
    lines
}

async fn actions(world: &World) -> Vec<String> {
    lines(world)
        .await
        .into_iter()
        .map(|line| format!("{} {}", line.content.action, line.content.thing))
        .collect()
}

/// A request from an address.
async fn from(world: &World, method: &str, path: &str, token: &str, body: String) -> u16 {
    let peer: SocketAddr = "203.0.113.9:4711".parse().unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Bearer {token}"))
        .extension(ConnectInfo(peer))
        .body(Body::from(body));
    world.send(request.unwrap()).await.status.as_u16()
}

both! {
    async fn sign_ins_and_sign_outs_are_audited_with_the_address(world: &World) {
        let acme = world.organization("Acme").await;
        let id = world.user(acme, Role::Admin, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        let session = ana.session_id().await;
        let body = "old-password=correct+horse&new-password=battery+staple".to_owned();
        let token = ana.key.clone().unwrap();
        let path = format!("{AUTH}/current/password");
        assert_eq!(from(world, "PUT", &path, &token, body).await, 204);
        assert_eq!(from(world, "DELETE", &format!("{SESSIONS}/{session}"), &token, String::new()).await, 204);
        let lines = lines(world).await;
        let told: Vec<&str> = lines.iter().map(|line| line.content.action.as_str()).collect();
        assert_eq!(told, ["login.open", "password.change", "login.end"]);
        for line in &lines {
            assert_eq!(line.content.attribution.principal, Some(id));
            assert_eq!(line.content.attribution.login.unwrap().uuid().to_string(), session);
            let text = format!("{line:?}");
            assert!(!text.contains(PASSWORD) && !text.contains("battery") && !text.contains("argon2"), "{text}");
            assert!(!text.contains(&token) && !text.contains(token.rsplit('.').next().unwrap()));
        }
        for line in &lines[1..] {
            assert_eq!(line.content.attribution.address, Some("203.0.113.9".parse().unwrap()));
        }
    }

    async fn failures_are_audited_once_in_a_window(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let limit = world.app().settings.sign_in_attempts;
        for _ in 0..limit + 5 {
            assert!([401, 429].contains(&world.try_sign_in("Ana@example.com", "wrong").await.status.as_u16()));
            world.try_sign_in("nobody@example.com", "wrong").await;
        }
        let mut told = actions(world).await;
        told.sort();
        // An unknown address is not recorded: it may be a password that was typed in the wrong place.
        let expected =
            ["login.fail ", "login.fail ana@example.com", "login.lock ", "login.lock ana@example.com"];
        assert_eq!(told, expected);
        world.try_sign_in("correct horse", "").await;
        assert_eq!(actions(world).await.last().unwrap(), "login.fail ");
        world.advance(Span::from(world.app().settings.sign_in_window));
        world.try_sign_in("ana@example.com", "wrong").await;
        assert_eq!(actions(world).await.len(), 6);
        assert!(lines(world).await.iter().all(|line| line.content.attribution.principal.is_none() && line.content.at >= START));
    }
}
