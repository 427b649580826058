//! Sessions: list, read, change, archive, delete.

use super::{Worker, each, plain};
use domain::agent::{TurnEnding as Outcome, TurnItem, Usage};
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

both! {
    async fn a_session_has_exactly_this_json_in_each_state(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let agent = ana.agent("helper").await;
        let body = json!({ "agent_id": agent, "title": "Fix the login", "tags": ["bug", "web"], "model_id": "small",
                           "capabilities": [{ "ref": "web_fetch", "config": { "max": 3 } }], "locale": "uk-UA" });
        let id = ana.talk(body).await;
        let path = format!("/v1/sessions/{id}");
        let without_page = |mut session: Value| {
            let page = session.as_object_mut().unwrap().remove("view_url").unwrap();
            assert_eq!(page, format!("{}/sessions/{id}", world.app().base_url));
            session
        };
        insta::assert_snapshot!("session_started", plain(&without_page(ana.get(&path).await.json())));
        world.advance(Span::seconds(1));
        ana.say(&id, "Please fix it").await;
        let mut worker = Worker::claim(&admin).await;
        worker.stream("I am ").await;
        assert_eq!(ana.get(&path).await.json()["status"], "active");
        world.advance(Span::seconds(1));
        let usage = Usage { input_tokens: 10, output_tokens: 5, cache_read_tokens: 3, ..Usage::default() };
        worker.report(vec![TurnItem::Output("done.".into()), TurnItem::Usage(usage)]).await;
        worker.finish(Outcome::WaitingForUser).await;
        let shown = ana.get(&path).await.json();
        insta::assert_snapshot!("session_idle", plain(&without_page(shown.clone())));
        assert_eq!(ana.get("/v1/sessions").await.json()["data"][0], shown, "list and get agree");
    }

    async fn pages_are_walked_by_offset_with_an_exact_total(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        assert_eq!(ana.get("/v1/sessions").await.json(),
            json!({ "data": [], "sessions": [], "total": 0, "offset": 0, "limit": 20 }));
        let mut made = Vec::new();
        for _ in 0..25 {
            made.push(json!(ana.talk(json!({})).await));
        }
        made.reverse();
        let page = ana.get("/v1/sessions").await.json();
        assert_eq!(each(&page, "id"), made[..20], "newest first, while the clock stands still");
        assert_eq!(page["data"], page["sessions"]);
        assert_eq!((&page["total"], &page["limit"]), (&json!(25), &json!(20)));
        let rest = ana.get("/v1/sessions?offset=20&limit=3").await.json();
        assert_eq!(each(&rest, "id"), made[20..23]);
        assert_eq!((&rest["total"], &rest["offset"], &rest["limit"]), (&json!(25), &json!(20), &json!(3)));
        let past = ana.get("/v1/sessions?offset=100").await.json();
        assert_eq!((&past["data"], &past["total"]), (&json!([]), &json!(25)));
    }

    async fn old_clients_get_the_largest_page_with_a_notice(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let response = ana.get("/v1/sessions?limit=500&colour=red").await;
        assert_eq!(response.json()["limit"], 100);
        let warnings = response.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(warnings, ["299 tenure \"limit 500 is more than 100: 100 is used\"",
                              "299 tenure \"unknown parameters were ignored: colour\""]);
        assert!(ana.get("/v1/sessions?limit=100").await.headers.get("warning").is_none());
    }

    async fn lists_are_filtered(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let agent = ana.agent("helper").await;
        let login = ana.talk(json!({ "agent_id": agent, "title": "Fix the LOGIN page", "tags": ["bug"] })).await;
        world.advance(Span::seconds(10));
        let docs = ben.talk(json!({ "title": "Write docs", "tags": ["docs,web"], "source": "slack" })).await;
        ben.say(&docs, "and mention the login").await;
        Worker::answer(&admin, "Written.").await;
        let away = ana.talk(json!({ "title": "Old" })).await;
        assert_eq!(ana.put(&format!("/v1/sessions/{away}/archive")).await.status, 200);
        let unknown = format!("agent_{}", "0".repeat(32));
        for (query, expected) in [
            (String::new(), vec![&docs, &login]),
            (format!("agent_id={agent}"), vec![&login]),
            (format!("agent_id={unknown}"), vec![]),
            ("agent_id=agent_01933b5a00007000800000000000001".into(), vec![]),
            ("search=login".into(), vec![&docs, &login]),
            ("search=WRITTEN".into(), vec![&docs]),
            ("search=login%20page%20&%20x".into(), vec![&login]),
            ("search=%25".into(), vec![]),
            ("tag=bug".into(), vec![&login]),
            ("tag=bug&tag=docs,web".into(), vec![&docs, &login]),
            ("tag=docs".into(), vec![]),
            ("status=started".into(), vec![&login]),
            ("status=idle".into(), vec![&docs]),
            ("status=running,failed".into(), vec![]),
            ("source=slack".into(), vec![&docs]),
            ("mine=true".into(), vec![&login]),
            ("created_after=2026-03-01T12:00:10Z".into(), vec![&docs]),
            ("created_before=2026-03-01T12:00:10Z".into(), vec![&login]),
            ("include_archived=true".into(), vec![&away, &docs, &login]),
            ("archived_only=true".into(), vec![&away]),
        ] {
            let page = ana.get(&format!("/v1/sessions?{query}")).await.json();
            let expected = expected.into_iter().map(|id| json!(id)).collect::<Vec<_>>();
            assert_eq!((each(&page, "id"), &page["total"]), (expected.clone(), &json!(expected.len())), "{query}");
        }
    }

    async fn title_and_tags_change_and_the_rest_stays(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let path = format!("/v1/sessions/{}", ana.talk(json!({ "title": "One", "tags": ["a"] })).await);
        let before = ana.get(&path).await.json();
        assert_eq!(ana.patch(&path, json!({ "title": null })).await.json(), before, "null says nothing");
        let changed = ana.patch(&path, json!({ "title": "Two" })).await.json();
        assert_eq!((&changed["title"], &changed["tags"]), (&json!("Two"), &json!(["a"])));
        let changed = ana.patch(&path, json!({ "title": "", "tags": ["b", "b", "c"] })).await.json();
        assert_eq!((changed.get("title"), &changed["tags"]), (None, &json!(["b", "c"])));
        assert_eq!(ana.get(&path).await.json(), changed);
    }

    async fn a_pin_belongs_to_one_caller(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readonly).await);
        let path = format!("/v1/sessions/{}", ana.talk(json!({})).await);
        let pin = format!("{path}/pin");
        for _ in 0..2 {
            assert_eq!(ben.put(&pin).await.status, 204);
        }
        assert_eq!(ben.get(&path).await.json()["is_pinned"], true);
        assert_eq!(ben.get("/v1/sessions").await.json()["data"][0]["is_pinned"], true);
        assert_eq!(ana.get(&path).await.json()["is_pinned"], false);
        for _ in 0..2 {
            assert_eq!(ben.delete(&pin).await.status, 204);
        }
        assert_eq!(ben.get(&path).await.json()["is_pinned"], false);
    }

    async fn an_archived_session_can_be_brought_back(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        let path = format!("/v1/sessions/{id}");
        let away = ana.put(&format!("{path}/archive")).await.json();
        assert_eq!(away["archived_at"], "2026-03-01T12:00:00.000000Z");
        let body = json!({ "message": { "content": [{ "type": "text", "text": "hi" }] } });
        let refused = ana.post(&format!("{path}/messages"), body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("session_archived")));
        let back = ana.delete(&format!("{path}/archive")).await.json();
        assert_eq!(back.get("archived_at"), None);
        ana.say(&id, "hi").await;
    }

    async fn a_deleted_session_is_gone_with_its_messages(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        ana.say(&id, "hi").await;
        let path = format!("/v1/sessions/{id}");
        assert_eq!(ana.delete(&path).await.status, 204);
        for below in ["", "/messages", "/events", "/sse", "/export"] {
            let response = ana.get(&format!("{path}{below}")).await;
            assert_eq!((response.status.as_u16(), &response.json()["detail"]), (404, &json!("Session not found")), "{below}");
        }
        assert_eq!(ana.delete(&path).await.status, 404);
        assert_eq!(ana.get("/v1/sessions").await.json()["total"], 0);
    }

    async fn cancelling_says_whether_anything_ran(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        let path = format!("/v1/sessions/{id}/cancel");
        let status = async || ana.post(&path, json!({})).await.json()["status"].clone();
        assert_eq!(status().await, "no_op");
        ana.say(&id, "hi").await;
        let _worker = Worker::claim(&admin).await;
        assert_eq!(status().await, "cancelled");
        assert_eq!(status().await, "no_op");
        assert_eq!(ana.get(&format!("/v1/sessions/{id}")).await.json()["status"], "idle");
    }

    async fn metadata_of_a_session_is_returned(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let said = json!({ "harness_id": format!("harness_{}", "a".repeat(32)), "locale": "de", "hints": { "color": true },
            "tools": [{ "type": "client_side", "name": "ls", "description": "", "parameters": {} }], "system_prompt": "Be kind.", "max_iterations": 7,
            "parallel_tool_calls": false, "network_access": { "allowed": ["*"] }, "mcpServers": { "a": {} } });
        let shown = ana.post("/v1/sessions", said.clone()).await.json();
        for (name, value) in said.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{name}");
        }
        let plain = ana.post("/v1/sessions", json!({})).await.json();
        assert_eq!(plain["harness_id"], "harness_01933b5a000070008000000000000601");
        assert_eq!((&plain["tags"], &plain["capabilities"]), (&json!([]), &json!([])));
        for absent in ["title", "preview", "output_preview", "usage", "started_at", "finished_at", "model_id", "locale"] {
            assert_eq!(plain.get(absent), None::<&Value>, "{absent}");
        }
    }
}
