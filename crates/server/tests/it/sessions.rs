//! Lists and reads of sessions, as on the vendor's page.

use axum::body::Body;
use domain::ids::OrganizationId;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

both! {
    async fn an_empty_list_has_no_cursor(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let response = ana.get("/api/v1/sessions").await;
        assert_eq!(response.json(), json!({ "object": "list", "data": [] }));
        assert_eq!(response.headers["cache-control"], "no-store");
        assert_eq!(response.headers["content-type"], "application/json");
    }

    async fn a_session_matches_the_vendors_page_in_each_state(world: &World) {
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

    async fn the_organization_comes_from_the_header_the_key_or_the_default(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let both = world.principal(None, Some((acme, Role::Readwrite))).await;
        let granted = store::System::for_administration().grant(globex);
        let now = server::clock::Clock::now(&*world.clock);
        world.store().set_member(&granted, both, Role::Readwrite, now).await.unwrap();
        let free = world.actor(both, None, None).await;
        let bound = world.actor(both, Some(globex), None).await;
        let of = |response: crate::world::TestResponse| response.json()["organization"].as_str().map(str::to_owned);
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

    async fn changes_are_listed_in_order_and_old_ones_are_deleted(world: &World) {
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
        let response = ana.get("/tenure/v1/changes").await;
        assert_eq!((response.status.as_u16(), &response.json()["code"]), (410, &json!("resync")));
        assert_eq!(ana.get("/tenure/v1/changes?after=2").await.status, 200);
    }

    async fn a_page_has_a_hundred_sessions_unless_asked_for_up_to_five_hundred(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let mut made = futures_util::future::join_all((0..501).map(|_| ana.session())).await;
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 501);
        for (query, length) in [("", 100), ("?limit=1", 1), ("?limit=499", 499), ("?limit=500", 500)] {
            let page = ana.get(&format!("/api/v1/sessions{query}")).await.json();
            let ids = page["data"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned());
            let newest = made.iter().rev().take(length).cloned().collect::<Vec<_>>();
            assert_eq!(ids.collect::<Vec<_>>(), newest, "{query}");
            assert_eq!(page["nextCursor"], page["data"][length - 1]["createdAt"], "{query}");
        }
    }

    async fn a_cursor_is_read_in_every_spelling_of_its_time(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let first = ana.session().await;
        world.advance(Span(1));
        ana.session().await;
        let second = "2026-03-01T12:00:00.000001";
        for cursor in [
            format!("{second}Z"), format!("{second}000Z"), format!("{second}%2B00:00"), format!("{second}+00:00"),
            "2026-03-01T14:00:00.000001+02:00".into(), "2026-03-01T07:00:00.000001-05:00".into(),
            // Finer than a microsecond: this position is before the second session.
            "2026-03-01T12:00:00.0000005Z".into(),
        ] {
            let page = ana.get(&format!("/api/v1/sessions?before={cursor}")).await.json();
            assert_eq!(page["data"].as_array().unwrap().len(), 1, "{cursor}");
            assert_eq!(page["data"][0]["id"], json!(first), "{cursor}");
        }
        for cursor in ["1969-01-01T00:00:00Z", "2026-03-01T12:00:00Z"] {
            let page = ana.get(&format!("/api/v1/sessions?before={cursor}")).await.json();
            assert_eq!(page, json!({ "object": "list", "data": [] }), "{cursor}");
        }
    }

    async fn sessions_are_visible_to_all_members_and_to_no_other_organization(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readonly).await);
        let dora = world.member(globex, Role::Admin).await;
        let id = ana.session().await;
        let path = format!("/api/v1/sessions/{id}");
        assert_eq!(ben.get(&path).await.json()["user"], ana.principal.to_string());
        assert_eq!(ben.get("/api/v1/sessions").await.body, ana.get("/api/v1/sessions").await.body);
        assert_eq!(dora.get("/api/v1/sessions").await.json()["data"], json!([]));
        assert_eq!(dora.get(&format!("/api/v1/sessions?before={}", "2027-01-01T00:00:00Z")).await.json()["data"], json!([]));
    }

    async fn released_at_is_set_once_nothing_is_held(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android"), ("two", "ios")]).await;
        let id = ana.session().await;
        let path = format!("/api/v1/sessions/{id}");
        let released = async |what: &str, expected: Option<&str>| {
            let shown = ana.get(&path).await.json()["releasedAt"].clone();
            assert_eq!(shown, json!(expected.map(|time| format!("2026-03-01T12:{time}.000000Z"))), "{what}");
            world.advance(Span::minutes(1));
        };
        released("nothing was ever held", None).await;
        ana.ask(&id, "android").await;
        ana.ask(&id, "ios").await;
        released("two devices are held", None).await;
        ana.release(&id, "one").await;
        released("one is still held", None).await;
        ana.release(&id, "two").await;
        released("nothing is held", Some("03:00")).await;
        ana.release(&id, "two").await;
        released("releasing again changes nothing", Some("03:00")).await;
        let waiting = ana.ask_with(&id, &[("platform", "EQUALS", "ios"), ("version", "EQUALS", "18.2")]).await;
        assert!(waiting.status.is_success());
        released("it is used again", None).await;
        ana.release(&id, waiting.json()["allocationId"].as_str().unwrap()).await;
        released("and no more", Some("06:00")).await;
        assert_eq!(ana.delete(&path).await.status, 204);
        released("ending it does not move that", Some("06:00")).await;
        let never = ana.session().await;
        ana.delete(&format!("/api/v1/sessions/{never}")).await;
        let shown = ana.get(&format!("/api/v1/sessions/{never}")).await.json();
        assert_eq!(shown["releasedAt"], "2026-03-01T12:08:00.000000Z", "one that held nothing: since its end");
        host.leave().await;
    }

    async fn the_list_has_exactly_this_json(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android"), ("two-real", "ios")]).await;
        let ended = ana.session().await;
        ana.ask(&ended, "ios").await;
        world.advance(Span::seconds(30));
        ana.delete(&format!("/api/v1/sessions/{ended}")).await;
        for platforms in [&[][..], &["android"], &["android"]] {
            let session = ana.session().await;
            for platform in platforms {
                ana.ask(&session, platform).await;
            }
            world.advance(Span::seconds(1));
        }
        let two = ana.session().await;
        crate::world::wait_until("the phone is clean", || async {
            world.store().list_all_devices(&store::System::for_administration()).await.unwrap().iter().any(|device| device.is_free())
        }).await;
        ana.ask(&two, "ios").await;
        world.advance(Span::seconds(5));
        ana.release(&two, "two-real").await;
        let response = ana.get("/api/v1/sessions?limit=4").await;
        insta::assert_snapshot!("list_of_sessions", plain(&response.text(), &acme.to_string(), &ana.principal.to_string()));
        let response = ana.get(&format!("/api/v1/sessions/{ended}")).await;
        insta::assert_snapshot!("ended_session", plain(&response.text(), &acme.to_string(), &ana.principal.to_string()));
        host.leave().await;
    }
}

/// A response for people to read: each id replaced by a name, one line per field.
fn plain(body: &str, organization: &str, user: &str) -> String {
    let mut ids: Vec<String> = Vec::new();
    let named = body.replace(organization, "<organization>").replace(user, "<user>");
    let parts = named.split('"').map(|part| {
        if domain::ids::parse_uuid(part).is_none() {
            return part.to_owned();
        }
        let at = ids.iter().position(|id| id == part).unwrap_or_else(|| {
            ids.push(part.to_owned());
            ids.len() - 1
        });
        format!("<id {}>", at + 1)
    });
    parts
        .collect::<Vec<_>>()
        .join("\"")
        .replace("},{", "},\n{")
        .replace(":[{", ":[\n{")
        .replace("\",\"", "\",\n  \"")
}
