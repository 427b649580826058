//! The devices, hosts and waiting requests that callers see.

use crate::world::{Actor, START, World, wait_until};
use domain::ids::OrganizationId;
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};
use store::System;

/// The items of a list.
async fn list(actor: &Actor<'_>, path: &str) -> Vec<Value> {
    let response = actor.get(&format!("/tenure/v1/{path}")).await;
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.json()["data"].as_array().unwrap().clone()
}

/// The values of a field.
fn each(items: &[Value], field: &str) -> Vec<Value> {
    items.iter().map(|item| item[field].clone()).collect()
}

/// An organization with an admin and a host with two devices, one of them held, and the shared pool with two.
struct Fleet<'w> {
    acme: OrganizationId,
    admin: Actor<'w>,
    member: Actor<'w>,
    outsider: Actor<'w>,
    account: Actor<'w>,
    session: String,
    hosts: Vec<crate::world::Host>,
}

impl<'w> Fleet<'w> {
    async fn create(world: &'w World) -> Fleet<'w> {
        let acme = world.organization("Acme").await;
        let globex = world.organization("Globex").await;
        let admin = world.member(acme, Role::Admin).await;
        let member = world.member(acme, Role::Readwrite).await;
        let outsider = world.member(globex, Role::Readwrite).await;
        let account = world.account_member(AccountRole::Admin).await;
        let own = world.host(&admin, "rack", &[("own-1", "android"), ("own-2", "android")]).await;
        let pool = world.host(&account, "pool", &[("pool-1", "ios"), ("pool-2", "android")]).await;
        let session = member.session().await;
        assert_eq!(member.ask(&session, "ios").await.status, 201);
        Fleet { acme, admin, member, outsider, account, session, hosts: vec![own, pool] }
    }
}

both! {
    async fn devices_of_the_organization_and_the_pool_are_listed(world: &World) {
        let fleet = Fleet::create(world).await;
        assert_eq!(fleet.member.ask(&fleet.session, "android").await.status, 201);
        let devices = list(&fleet.admin, "devices").await;
        assert_eq!(each(&devices, "id"), ["own-1", "own-2", "pool-2", "pool-1"]);
        assert_eq!(each(&devices, "state"), ["held", "free", "free", "held"]);
        assert_eq!(each(&devices, "host"), ["rack", "rack", "pool", "pool"]);
        let acme = json!({ "id": fleet.acme.0, "name": "Acme" });
        assert_eq!(each(&devices, "organization"), [acme.clone(), acme, Value::Null, Value::Null]);
        let owner = json!({ "id": fleet.member.principal.0, "kind": "user", "name": "Somebody",
                            "email": format!("{}@example.com", fleet.member.principal) });
        let hold = json!({ "owner": owner, "session": fleet.session, "since": "2026-03-01T12:00:00.000000Z" });
        assert_eq!(devices[0]["hold"], hold);
        assert_eq!(devices[1]["hold"], Value::Null);
        let phone = &devices[3];
        assert_eq!(
            (&phone["platform"], &phone["type"], &phone["name"], &phone["model"], &phone["version"]),
            (&json!("ios"), &json!("emulator"), &json!("iPhone 16"), &json!("Model"), &json!("18.2"))
        );
        // Somebody else only learns that the pool's device is held, and nothing of Acme's devices.
        let seen = list(&fleet.outsider, "devices").await;
        assert_eq!(each(&seen, "id"), ["pool-2", "pool-1"]);
        assert_eq!((&seen[1]["state"], &seen[1]["hold"]), (&json!("held"), &Value::Null));
        assert_eq!(list(&fleet.account, "devices").await, devices);
        let scoped = list(&fleet.account, &format!("devices?scope={}", fleet.acme)).await;
        assert_eq!(scoped, devices);
    }

    async fn a_device_is_cleaned_after_its_hold_and_can_be_offline(world: &World) {
        let fleet = Fleet::create(world).await;
        fleet.hosts[1].mute.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(fleet.member.release(&fleet.session, "pool-1").await.status, 202);
        let devices = list(&fleet.admin, "devices").await;
        assert_eq!((&devices[3]["state"], &devices[3]["hold"]), (&json!("cleaning"), &Value::Null));
        fleet.hosts[0].report(&[("own-1", "android")]).await;
        assert_eq!(each(&list(&fleet.admin, "devices").await, "state"), ["free", "offline", "free", "cleaning"]);
        let hosts = list(&fleet.admin, "hosts").await;
        assert_eq!(each(&hosts, "devices"), [
            json!({ "free": 1, "held": 0, "cleaning": 1, "offline": 0 }),
            json!({ "free": 1, "held": 0, "cleaning": 0, "offline": 1 }),
        ]);
    }

    async fn hosts_are_online_while_they_are_connected(world: &World) {
        let mut fleet = Fleet::create(world).await;
        let hosts = list(&fleet.admin, "hosts").await;
        assert_eq!(each(&hosts, "name"), ["pool", "rack"]);
        assert_eq!(each(&hosts, "online"), [true, true]);
        assert_eq!(each(&hosts, "version"), ["test", "test"]);
        assert_eq!(each(&hosts, "seen"), ["2026-03-01T12:00:00.000000Z"; 2]);
        assert_eq!((&hosts[0]["organization"], &hosts[1]["organization"]["name"]), (&Value::Null, &json!("Acme")));
        assert_eq!(each(&list(&fleet.outsider, "hosts").await, "name"), ["pool"]);
        // Another server only knows it by its link, which gets old.
        let other = world.another_server(|_| {}).await;
        let there = fleet.admin.at_server(&other);
        assert_eq!(each(&list(&there, "hosts").await, "online"), [true, true]);
        world.advance(Span::minutes(5));
        assert_eq!(each(&list(&there, "hosts").await, "online"), [false, false]);
        assert_eq!(each(&list(&fleet.admin, "hosts").await, "online"), [true, true]);
        fleet.hosts.remove(0).leave().await;
        let hosts = list(&fleet.admin, "hosts").await;
        assert_eq!(each(&hosts, "online"), [true, false]);
        assert_eq!(hosts[1]["seen"], "2026-03-01T12:00:00.000000Z");
    }

    async fn the_queue_has_the_waiting_requests_in_their_order(world: &World) {
        let fleet = Fleet::create(world).await;
        let theirs = fleet.outsider.session().await;
        assert_eq!(fleet.outsider.ask(&theirs, "ios").await.status, 202);
        world.advance(Span::seconds(30));
        let filters = [("platform", "EQUALS", "ios"), ("version", "GREATER_THAN", "17")];
        assert_eq!(fleet.member.ask_with(&fleet.session, &filters).await.status, 202);
        world.advance(Span::seconds(10));
        let queue = list(&fleet.admin, "queue").await;
        assert_eq!(queue.len(), 1, "requests of other organizations are not listed: {queue:?}");
        let waiting = &queue[0];
        // They compete for the pool's device.
        assert_eq!(waiting["place"], 2);
        assert_eq!(waiting["session"], *fleet.session);
        assert_eq!(waiting["organization"], json!({ "id": fleet.acme.0, "name": "Acme" }));
        assert_eq!(waiting["owner"]["id"], json!(fleet.member.principal.0));
        assert_eq!(waiting["since"], "2026-03-01T12:00:30.000000Z");
        assert_eq!(waiting["filters"], json!([
            { "attribute": "platform", "operator": "EQUALS", "value": "ios" },
            { "attribute": "version", "operator": "GREATER_THAN", "value": "17" },
        ]));
        assert_eq!(waiting["estimated_wait"], Value::Null, "nobody has waited as long");
        assert_eq!(each(&list(&fleet.outsider, "queue").await, "place"), [1]);
        assert_eq!(each(&list(&fleet.account, "queue").await, "session"), [theirs.clone(), fleet.session.clone()]);
    }

    async fn waits_are_estimated_by_the_grants_of_seven_days(world: &World) {
        let fleet = Fleet::create(world).await;
        let next = fleet.member.session().await;
        assert_eq!(fleet.member.ask(&next, "ios").await.status, 202);
        world.advance(Span::seconds(90));
        assert_eq!(fleet.member.release(&fleet.session, "pool-1").await.status, 202);
        wait_until("the device is granted", || async { list(&fleet.admin, "queue").await.is_empty() }).await;
        // One grant after 90 s; the request that follows has waited for 20 s.
        let last = fleet.member.session().await;
        assert_eq!(fleet.member.ask(&last, "ios").await.status, 202);
        world.advance(Span::seconds(20));
        assert_eq!(each(&list(&fleet.admin, "queue").await, "estimated_wait"), [70]);
        let theirs = fleet.outsider.session().await;
        assert_eq!(fleet.outsider.ask(&theirs, "ios").await.status, 202);
        assert_eq!(each(&list(&fleet.outsider, "queue").await, "estimated_wait"), [Value::Null]);
        // Of a grant before that time, nothing is left.
        world.advance(Span::minutes(7 * 24 * 60));
        assert_eq!(each(&list(&fleet.admin, "queue").await, "estimated_wait"), [Value::Null]);
    }

    async fn pages_of_devices_go_on_behind_the_last_one(world: &World) {
        let fleet = Fleet::create(world).await;
        let (mut path, mut ids) = ("/tenure/v1/devices?limit=1".to_owned(), Vec::new());
        loop {
            let page = fleet.admin.get(&path).await.json();
            assert_eq!(page["total"], 4);
            ids.extend(each(page["data"].as_array().unwrap(), "id"));
            let Some(next) = page["next"].as_str() else { break };
            let elsewhere = fleet.outsider.get(&format!("/tenure/v1/devices?cursor={next}")).await;
            assert_eq!((elsewhere.status.as_u16(), &elsewhere.json()["field"]), (400, &json!("cursor")));
            path = format!("/tenure/v1/devices?limit=1&cursor={next}");
        }
        assert_eq!(ids, each(&list(&fleet.admin, "devices").await, "id"));
    }

    async fn wrong_parameters_are_refused_by_name(world: &World) {
        let fleet = Fleet::create(world).await;
        for list in ["devices", "hosts", "queue"] {
            for (query, field) in [("limit=0", "limit"), ("limit=501", "limit"), ("cursor=x", "cursor"), ("stat=free", "stat")] {
                let response = fleet.admin.get(&format!("/tenure/v1/{list}?{query}")).await;
                assert_eq!((response.status.as_u16(), &response.json()["field"]), (400, &json!(field)), "{list} {query}");
            }
        }
    }

    async fn machines_of_deleted_organizations_are_not_listed(world: &World) {
        let fleet = Fleet::create(world).await;
        world.store().delete_organization(&System::for_administration(), fleet.acme, START).await.unwrap();
        let devices = list(&fleet.account, "devices").await;
        assert_eq!(each(&devices, "id"), ["pool-2", "pool-1"]);
        assert_eq!(devices[1]["hold"], Value::Null);
        assert_eq!(each(&list(&fleet.account, "hosts").await, "name"), ["pool"]);
    }
}
