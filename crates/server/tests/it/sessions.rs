//! List and get, as the vendor's page has them.

use axum::body::Body;
use domain::ids::OrganizationId;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

both! {
    async fn an_empty_list_has_no_cursor(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let answer = ana.get("/api/v1/sessions").await;
        assert_eq!(answer.json(), json!({ "object": "list", "data": [] }));
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["content-type"], "application/json");
    }

    async fn a_session_is_shown_as_on_the_page_at_each_moment(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "ios")]).await;
        let id = ana.session().await;
        let path = format!("/api/v1/sessions/{id}");
        let empty = json!({ "id": "", "platform": "", "type": "", "name": "", "osVersion": "" });
        let expected = |device: &Value, devices: Value, released: Value| json!({
            "id": id, "organization": acme.to_string(), "user": ana.principal.to_string(), "device": device,
            "devices": devices, "createdAt": "2026-03-01T12:00:00.000000Z", "releasedAt": released,
        });
        assert_eq!(ana.get(&path).await.json(), expected(&empty, json!([]), Value::Null));

        let allocated = ana.ask(&id, "ios").await;
        assert_eq!(allocated.status, 201);
        let allocation = allocated.json()["allocationId"].clone();
        assert_eq!(allocated.json()["device"]["state"], "online");
        let device = json!({ "id": "one", "platform": "ios", "type": "emulator", "name": "iPhone 16", "osVersion": "18.2" });
        let info = json!({ "serial": "one", "platform": "ios", "type": "emulator", "name": "iPhone 16", "osVersion": "18.2" });
        let held = json!({ "id": allocation, "status": "in_use", "info": info, "createdAt": "2026-03-01T12:00:00.000000Z",
                           "releasedAt": null });
        assert_eq!(ana.get(&path).await.json(), expected(&device, json!([held]), Value::Null));

        world.advance(Span::seconds(90));
        assert_eq!(ana.release(&id, "one").await.status, 202);
        let mut over = held.clone();
        over["status"] = json!("released");
        over["releasedAt"] = json!("2026-03-01T12:01:30.000000Z");
        over["releaseReason"] = json!("released");
        over["releaseEvidence"] = json!("released by its user");
        assert_eq!(ana.get(&path).await.json(), expected(&device, json!([over]), json!("2026-03-01T12:01:30.000000Z")));
        let list = ana.get("/api/v1/sessions").await.json();
        assert_eq!(list["data"][0], ana.get(&path).await.json());
        host.leave().await;
    }

    async fn pages_are_walked_by_time_without_a_loss_while_the_clock_stands_still(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let mut made = Vec::new();
        for _ in 0..7 {
            made.push(ana.session().await);
        }
        made.reverse();
        let mut seen = Vec::new();
        let mut path = "/api/v1/sessions?limit=3".to_owned();
        let mut pages = Vec::new();
        loop {
            let page = ana.get(&path).await.json();
            let ids = page["data"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned());
            seen.extend(ids);
            pages.push(page["data"].as_array().unwrap().len());
            let Some(cursor) = page.get("nextCursor") else { break };
            path = format!("/api/v1/sessions?limit=3&before={}", cursor.as_str().unwrap());
        }
        assert_eq!((seen, pages), (made, vec![3, 3, 1]));
    }

    async fn the_last_page_has_no_cursor_when_it_is_full(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        for _ in 0..4 {
            ana.session().await;
        }
        assert!(ana.get("/api/v1/sessions?limit=4").await.json().get("nextCursor").is_none());
        assert!(ana.get("/api/v1/sessions?limit=3").await.json().get("nextCursor").is_some());
    }

    async fn the_organization_is_the_headers_the_keys_or_the_default(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let both = world.principal(None, Some((acme, Role::Readwrite))).await;
        let granted = store::System::for_administration().within(globex);
        let now = server::clock::Clock::now(&*world.clock);
        world.store().set_member(&granted, both, Role::Readwrite, now).await.unwrap();
        let free = world.actor(both, None, None).await;
        let bound = world.actor(both, Some(globex), None).await;
        let of = |answer: crate::world::Answer| answer.json()["organization"].as_str().map(str::to_owned);
        let made = |organization: OrganizationId| Some(organization.to_string());
        let post = async |actor: &crate::world::Actor<'_>| of(actor.call("POST", "/api/v1/sessions", Body::empty()).await);
        assert_eq!(post(&free).await, made(acme), "the first membership");
        assert_eq!(post(&bound).await, made(globex), "the key's");
        assert_eq!(post(&free.naming(globex)).await, made(globex), "the header's");
        let hex = globex.0.simple();
        assert_eq!(post(&free.naming(format!("org_{hex}"))).await, made(globex));
        assert_eq!(post(&free.naming(format!("org-{hex}"))).await, made(globex));
        assert_eq!(bound.naming(acme).get("/api/v1/sessions").await.status, 403, "a bound key stays where it is bound");
    }

    async fn the_callers_organizations_are_listed(world: &World) {
        let acme = world.organization("Acme").await;
        world.organization("Globex").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let entry = json!({ "id": acme.to_string(), "name": "Acme", "type": "starter", "role": "readwrite",
                            "createdAt": "2026-03-01T12:00:00.000000Z" });
        assert_eq!(ana.get("/api/v1/organizations").await.json(), json!({ "object": "list", "data": [entry] }));
    }

    async fn changes_are_told_in_order_and_old_ones_are_not_kept(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.session().await;
        ana.delete(&format!("/api/v1/sessions/{id}")).await;
        let feed = ana.get("/tenure/v1/changes").await.json();
        let told = feed["changes"].as_array().unwrap().iter();
        let told = told.map(|line| (line["sequence"].clone(), line["what"].clone(), line["session"].clone(), line["revision"].clone()));
        let expected = [(json!(1), json!("created"), json!(id), json!(1)), (json!(2), json!("ended"), json!(id), json!(2))];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert_eq!(feed["latest"], 2);
        assert_eq!(ana.get("/tenure/v1/changes?after=2").await.json()["changes"], json!([]));
        assert_eq!(ana.get("/tenure/v1/changes?after=3").await.status, 410, "a position of another past");
        world.advance(Span::minutes(7 * 24 * 60 + 1));
        world.sweep().await;
        let answer = ana.get("/tenure/v1/changes").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (410, &json!("resync")));
        assert_eq!(ana.get("/tenure/v1/changes?after=2").await.status, 200);
    }
}
