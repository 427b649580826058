//! Login sessions that keys open: one per key and set of scopes.

use crate::probe::{AUTH, SESSIONS};
use crate::world::{Actor, World};
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::System;

async fn token(key: &Actor<'_>, body: Value) -> String {
    let response = key.post(&format!("{AUTH}/jwt"), body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["token"].as_str().unwrap().to_owned()
}

/// The number of sessions ever opened, by the audit log.
async fn count_opened(world: &World) -> usize {
    let lines = world
        .store()
        .list_account_audit_entries(&System::for_administration().grant_account(), None, 1000)
        .await;
    lines.unwrap().items.iter().filter(|line| line.content.action == "login.open").count()
}

both! {
    async fn a_key_that_requests_tokens_repeatedly_opens_one_session(world: &World) {
        let acme = world.organization("Acme").await;
        let key = world.member(acme, Role::Readonly).await;
        for second in 0..100 {
            let session = world.caller(Some(&token(&key, json!({})).await));
            assert_eq!(session.get(SESSIONS).await.status, 200, "{second}");
            world.advance(Span::seconds(1));
        }
        assert_eq!(count_opened(world).await, 1);
        // Another set of scopes, or another key, opens another session.
        let narrow = json!({ "permissions": ["read:user", "write:user"] });
        for _ in 0..3 {
            let session = world.caller(Some(&token(&key, narrow.clone()).await));
            assert_eq!(session.get(SESSIONS).await.status, 200);
        }
        let other = world.actor(key.principal, Some(acme), None).await;
        token(&other, json!({})).await;
        assert_eq!(count_opened(world).await, 3);
        // A session with less than half of its life left is replaced, and so is an ended one.
        world.advance(Span::minutes(8 * 24 * 60));
        let session = world.caller(Some(&token(&key, json!({})).await));
        assert_eq!(count_opened(world).await, 4);
        assert_eq!(session.delete(&format!("{AUTH}/sign-out")).await.status, 200);
        assert_eq!(session.get(SESSIONS).await.status, 401);
        let session = world.caller(Some(&token(&key, json!({})).await));
        assert_eq!((session.get(SESSIONS).await.status.as_u16(), count_opened(world).await), (200, 5));
    }

    async fn the_keys_of_a_principal_open_a_bounded_number_of_sessions(world: &World) {
        let acme = world.organization("Acme").await;
        let mut told = BTreeSet::new();
        let ana = world.member(acme, Role::Readonly).await;
        for _ in 0..70 {
            let key = world.actor(ana.principal, Some(acme), None).await;
            told.insert(key.post(&format!("{AUTH}/jwt"), json!({})).await.status.as_u16());
        }
        assert_eq!((told, count_opened(world).await), (BTreeSet::from([200, 429]), 60));
        assert_eq!(world.member(acme, Role::Readonly).await.post(&format!("{AUTH}/jwt"), json!({})).await.status, 200);
    }

    async fn sessions_that_ended_long_ago_are_forgotten(world: &World) {
        let acme = world.organization("Acme").await;
        let person = world.user(acme, Role::Readwrite, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        let id = ana.get(SESSIONS).await.json();
        let system = System::for_sign_in();
        let granted = system.grant_person(person);
        let login = world.store().list_open_logins(&system, person).await.unwrap()[0].id;
        assert_eq!(ana.delete(&format!("{AUTH}/sign-out")).await.status, 200, "{id}");
        for (days, there) in [(0, true), (89, true), (2, false)] {
            world.advance(Span::minutes(days * 24 * 60));
            world.sweep().await;
            assert_eq!(world.store().load_login(&granted, login).await.is_ok(), there, "{days} days more");
        }
        assert_eq!(count_opened(world).await, 1, "the audit log keeps its line");
    }
}
