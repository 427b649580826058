//! What happened in a session, of each kind.

use super::{path, refused};
use crate::everruns::Worker;
use crate::world::Actor;
use axum::body::Body;
use domain::agent::TurnEnding;
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};

async fn page(actor: &Actor<'_>, id: &str, query: &str) -> (Vec<Value>, Option<String>) {
    let response = actor.get(&format!("{}/timeline?{query}", path(id))).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let page = response.json();
    (page["data"].as_array().unwrap().clone(), page["next"].as_str().map(str::to_owned))
}

/// All moments, read in pages of one size.
async fn timeline(actor: &Actor<'_>, id: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut next) = page(actor, id, &format!("limit={limit}")).await;
    while let Some(cursor) = next {
        let (more, after) = page(actor, id, &format!("limit={limit}&cursor={cursor}")).await;
        assert!(!more.is_empty() && more.len() <= limit);
        all.extend(more);
        next = after;
    }
    for size in [1, 2, 500].into_iter().filter(|size| limit == 3 && *size != limit) {
        assert_eq!(Box::pin(timeline(actor, id, size)).await, all, "in pages of {size}");
    }
    all
}

/// The type, the actor's id and the text of each moment.
fn told(moments: &[Value]) -> Vec<(&str, Option<&str>, &str)> {
    moments
        .iter()
        .map(|one| {
            (one["type"].as_str().unwrap(), one["actor"]["id"].as_str(), one["text"].as_str().unwrap())
        })
        .collect()
}

both! {
    async fn an_agent_session_tells_its_events_and_its_end(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.agent_session(Some("Hello")).await.id.to_string();
        let mut worker = Worker::claim(&admin).await;
        worker.stream("Well, hi").await;
        worker.finish(TurnEnding::WaitingForUser).await;
        world.advance(Span::seconds(1));
        assert_eq!(ana.act(&id, "archive", json!({})).await.status, 200);
        world.advance(Span::seconds(1));
        assert_eq!(admin.act(&id, "end", json!({ "reason": "enough" })).await.status, 200);
        let all = timeline(&ana, &id, 3).await;
        let (by_ana, by_admin) = (ana.principal.to_string(), admin.principal.to_string());
        let told = told(&all);
        assert_eq!(told[..2], [
            ("session.started", Some(by_ana.as_str()), "the session began"),
            ("input.message", Some(by_ana.as_str()), "Hello"),
        ]);
        assert!(told.contains(&("turn.started", None, "a worker began to answer")), "{told:?}");
        assert!(told.contains(&("output.message.completed", None, "Well, hi")), "{told:?}");
        assert_eq!(told[told.len() - 2..], [
            ("session.archived", None, "the session was archived"),
            ("session.ended", Some(by_admin.as_str()), "ended by its user: enough"),
        ]);
        assert!(!told.iter().any(|(kind, ..)| kind.ends_with(".delta")), "{told:?}");
        assert_eq!(all.last().unwrap()["details"], json!({ "reason": "released", "evidence": "ended by its user: enough" }));
        let completed = all.iter().find(|one| one["type"] == "turn.completed").unwrap();
        assert!(completed["details"]["usage"].is_object(), "{completed}");
    }

    async fn a_device_session_tells_its_requests_and_holds(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let _host = world.host(&admin, "rack", &[("one", "android")]).await;
        let id = ana.session().await;
        let held = ana.ask(&id, "android").await.json();
        world.advance(Span::seconds(1));
        assert_eq!(ana.ask(&id, "android").await.status, 202);
        world.advance(Span::seconds(1));
        assert_eq!(ana.release(&id, "one").await.status, 202);
        world.advance(Span::seconds(1));
        assert_eq!(admin.act(&id, "end", json!({})).await.status, 200);
        let all = timeline(&ana, &id, 3).await;
        let (by_ana, by_admin) = (ana.principal.to_string(), admin.principal.to_string());
        let told = told(&all);
        let asked = ("device.requested", Some(by_ana.as_str()), "a device was requested: android");
        assert_eq!(told[..5], [
            ("session.started", Some(by_ana.as_str()), "the session began"),
            asked,
            ("device.granted", None, "one was granted"),
            asked,
            ("device.released", Some(by_ana.as_str()), "released by its user"),
        ]);
        assert_eq!(told.last().unwrap(), &("session.ended", Some(by_admin.as_str()), "ended by its user"));
        let granted = &all[2]["details"];
        assert_eq!(granted["allocation"], held["allocationId"]);
        assert_eq!((&granted["device"]["id"], &granted["device"]["fence"]), (&json!("one"), &json!("1")));
        let reason = |kind: &str| all.iter().filter(|one| one["type"] == kind).map(|one| one["details"]["reason"].clone()).collect::<Vec<_>>();
        assert_eq!(reason("device.released").first(), Some(&json!("released")));
    }

    async fn a_login_session_tells_how_it_began_and_ended(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Readonly, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        let account = world.account_member(AccountRole::Admin).await;
        let id = ana.session_id().await;
        world.advance(Span::seconds(1));
        assert_eq!(ana.post("/tenure/v1/me/authenticate", json!({ "password": crate::probe::PASSWORD })).await.status, 200);
        assert_eq!(account.act(&id, "end", json!({ "reason": "stolen" })).await.status, 200);
        let all = timeline(&account, &id, 3).await;
        let kinds = told(&all).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>();
        assert_eq!(kinds, ["session.started", "login.authenticated", "session.ended"]);
        assert_eq!(all[1]["details"], json!({ "methods": ["pwd"] }));
        assert_eq!(told(&all)[2].2, "revoked by an administrator: stolen");
        assert_eq!(all[0]["actor"]["email"], "ana@example.com");
    }

    async fn a_timeline_is_for_those_who_see_the_session(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, foreign) = (world.member(acme, Role::Readwrite).await, world.member(globex, Role::Admin).await);
        let readonly = world.member(acme, Role::Readonly).await;
        let (id, other) = (ana.agent_session(Some("Hello")).await.id.to_string(), ana.session().await);
        let of = |id: &str, query: &str| format!("{}/timeline{query}", path(id));
        let hidden = foreign.get(&of(&id, "")).await;
        refused(&hidden, 404, "not_found");
        assert_eq!(foreign.get(&of("x", "")).await.body, hidden.body);
        let (_, cursor) = page(&ana, &id, "limit=1").await;
        let cursor = cursor.unwrap();
        assert_eq!(page(&ana, &id, &format!("cursor={cursor}")).await.0.len() + 1, timeline(&readonly, &id, 3).await.len());
        for (actor, path) in [(&readonly, of(&id, &format!("?cursor={cursor}"))), (&ana, of(&other, &format!("?cursor={cursor}"))), (&ana, of(&id, "?cursor=x"))] {
            assert_eq!(refused(&actor.get(&path).await, 400, "invalid")["field"], "cursor");
        }
        for query in ["?limit=0", "?limit=501", "?limit=x", "?order=at"] {
            refused(&ana.get(&of(&id, query)).await, 400, "invalid");
        }
        let response = ana.call("POST", &of(&id, ""), Body::empty()).await;
        assert_eq!(response.status, 405);
    }
}
