//! Jumps of the clock.

use crate::probe::SESSIONS;
use crate::world::{Actor, START, World};
use axum::body::Body;
use domain::ids::OrganizationId;
use domain::permission::Role;
use domain::time::{Micros, Span};
use serde_json::Value;
use store::System;

const DAY: i64 = 24 * 60;

/// Uploads an attachment. Its response has the file's URL.
pub async fn upload(
    actor: &Actor<'_>,
    organization: OrganizationId,
    bytes: usize,
) -> crate::world::TestResponse {
    let form = format!(
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n{}\r\n--x--\r\n",
        "a".repeat(bytes)
    );
    let path = format!("/v3/organizations/org-{}/attachments", organization.0.simple());
    actor.send("POST", &path, &[("content-type", "multipart/form-data; boundary=x")], Body::from(form)).await
}

/// The path of an uploaded file.
async fn file(world: &World, actor: &Actor<'_>, organization: OrganizationId) -> String {
    let sent = upload(actor, organization, 5).await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    let url = sent.json()["url"].as_str().unwrap().to_owned();
    url.strip_prefix(world.server.base_url()).unwrap().to_owned()
}

async fn readiness(world: &World) -> String {
    let response = world.caller(None).get("/readyz").await;
    assert_eq!(response.status, 200);
    response.text()
}

/// The number of readable entries in an organization's change feed.
async fn feed(actor: &Actor<'_>) -> usize {
    let response = actor.get("/tenure/v1/changes?after=0").await;
    response.json()["changes"].as_array().map_or(0, Vec::len)
}

/// The jump of the clock in days: longer than any retention.
const JUMP: Span = Span::minutes(91 * DAY);

both! {
    async fn nothing_is_deleted_after_a_jump_of_the_clock(world: &World) {
        let acme = world.organization("Acme").await;
        let key = world.member(acme, Role::Readwrite).await;
        world.user(acme, Role::Readwrite, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        let session = key.session().await;
        let path = file(world, &key, acme).await;
        world.sweep().await;
        assert_eq!(readiness(world).await, "ready\n");
        let lines = feed(&key).await;
        assert!(lines > 0);
        world.clock.set(START + JUMP);
        world.sweep().await;
        let said = readiness(world).await;
        assert!(said.contains("nothing is deleted") && said.contains("jumped ahead by 131040 minutes"), "{said}");
        // Seconds later, the clock is right again.
        world.clock.set(START);
        world.advance(Span::seconds(7));
        world.sweep().await;
        assert_eq!(readiness(world).await, "ready\n");
        assert_eq!(key.get(&path).await.status, 307);
        assert_eq!(ana.get(SESSIONS).await.status, 200);
        assert_eq!(feed(&key).await, lines);
        assert_eq!(key.get(&format!("/api/v1/sessions/{session}")).await.status, 200);
        // Old data is deleted.
        world.advance(JUMP);
        world.sweep().await;
        assert_eq!(key.get(&path).await.status, 404);
        assert_eq!(feed(&key).await, 0);
    }

    async fn a_correct_jump_is_trusted_when_an_operator_confirms_it(world: &World) {
        let acme = world.organization("Acme").await;
        let key = world.member(acme, Role::Readwrite).await;
        let path = file(world, &key, acme).await;
        world.sweep().await;
        world.clock.set(START + JUMP);
        world.sweep().await;
        assert!(readiness(world).await.contains("jumped ahead"));
        world.store().store_believed_time(&System::for_administration(), START + JUMP).await.unwrap();
        world.sweep().await;
        assert_eq!(readiness(world).await, "ready\n");
        // The clock goes back, but the server trusts the later time: the data is gone.
        world.clock.set(START);
        assert_eq!(key.get(&path).await.status, 404);
    }

    async fn a_server_started_with_a_clock_far_ahead_waits_for_a_correction(world: &World) {
        let acme = world.organization("Acme").await;
        let key = world.member(acme, Role::Readwrite).await;
        let path = file(world, &key, acme).await;
        world.sweep().await;
        world.clock.set(START + JUMP);
        let next = world.another_server(|_| {}).await;
        next.sweep().await;
        assert!(readiness(&next).await.contains("ahead of when a server last ran"));
        world.clock.set(START);
        next.sweep().await;
        assert_eq!(readiness(&next).await, "ready\n");
        assert_eq!(key.at_server(&next).get(&path).await.status, 307);
        // A server that was really off this long continues a quarter of an hour later.
        world.clock.set(START + JUMP);
        let next = world.another_server(|_| {}).await;
        next.sweep().await;
        next.advance(Span::minutes(15));
        next.sweep().await;
        assert_eq!(readiness(&next).await, "ready\n");
        world.clock.set(START);
        assert_eq!(key.at_server(&next).get(&path).await.status, 404);
    }

    async fn a_clock_that_goes_back_an_hour_signs_nobody_out(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Readwrite, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        world.clock.set(Micros(START.0 - Span::minutes(60).0));
        assert_eq!(ana.get(SESSIONS).await.status, 200);
        world.sweep().await;
        assert_eq!(ana.get(SESSIONS).await.status, 200);
    }

    async fn sessions_do_not_follow_a_clock_that_was_wrong(world: &World) {
        let acme = world.organization("Acme").await;
        let key = world.member(acme, Role::Readwrite).await;
        world.clock.set(START + JUMP);
        key.session().await;
        world.clock.set(START);
        world.advance(Span::seconds(7));
        let made = key.session().await;
        let session: Value = key.get(&format!("/api/v1/sessions/{made}")).await.json();
        assert!(session["createdAt"].as_str().unwrap().starts_with("2026-03-01T12:00:07"), "{session}");
    }
}
