//! Requests for devices: granted, queued, refused, released.

use crate::world::{Host, wait_until};
use domain::permission::Role;
use serde_json::json;
use std::sync::atomic::Ordering;

both! {
    async fn a_free_device_is_handed_over_at_once_and_a_busy_pool_queues(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let (of_ana, of_ben) = (ana.session().await, ben.session().await);
        assert_eq!(ana.ask(&of_ana, "android").await.status, 201);
        let waiting = ben.ask(&of_ben, "android").await;
        assert_eq!((waiting.status.as_u16(), &waiting.json()["state"]), (202, &json!("allocating")));
        let listed = ben.devices_of(&of_ben).await;
        assert_eq!((&listed[0]["status"], listed[0]["info"].get("serial")), (&json!("provisioning"), None));

        ana.release(&of_ana, "one").await;
        wait_until("the waiter gets the device that was cleaned", || async {
            ben.devices_of(&of_ben).await[0]["info"]["serial"] == "one"
        }).await;
        assert_eq!(ben.devices_of(&of_ben).await[0]["status"], "in_use");
        host.leave().await;
    }

    async fn a_device_is_cleaned_before_the_next_hold(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        host.mute.store(true, Ordering::SeqCst);
        ana.release(&session, "one").await;
        assert_eq!(ana.ask(&session, "android").await.status, 202);
        world.app().queue.run().await;
        assert_eq!(ana.devices_of(&session).await[1]["status"], "provisioning");
        // The host reconnects and gets the order again.
        host.leave().await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        wait_until("the device is cleaned and handed over", || async {
            ana.devices_of(&session).await[1]["status"] == "in_use"
        }).await;
        host.leave().await;
    }

    async fn waiting_requests_are_served_in_order(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android"), ("two", "ios")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        let mut order = Vec::new();
        for _ in 0..3 {
            order.push(ana.ask(&session, "android").await.json()["allocationId"].clone());
        }
        // A request for another platform is not delayed.
        assert_eq!(ana.ask(&session, "ios").await.status, 201);
        for expected in order {
            let held = ana.devices_of(&session).await;
            let serial = held.as_array().unwrap().iter().find(|hold| {
                hold["status"] == "in_use" && hold["info"]["platform"] == "android"
            });
            let id = serial.unwrap()["id"].as_str().unwrap().to_owned();
            ana.release(&session, &id).await;
            wait_until("the next one holds it", || async {
                let held = ana.devices_of(&session).await;
                held.as_array().unwrap().iter().any(|hold| hold["id"] == expected && hold["status"] == "in_use")
            }).await;
        }
        host.leave().await;
    }

    async fn a_filter_that_matches_no_device_fails_at_once_and_lists_the_devices(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let session = ana.session().await;
        let none = ana.ask(&session, "ios").await;
        assert_eq!((none.status.as_u16(), &none.json()["error"]["code"]), (409, &json!("no_matching_device")));
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let sentence = ana.ask(&session, "ios").await.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(sentence, "no device matches platform ios; known devices: Pixel 9 (android 16, emulator)");
        // An offline device still counts as known, because it may come back.
        host.report(&[]).await;
        assert_eq!(ana.ask(&session, "android").await.status, 202);
        host.leave().await;
        // Devices of other organizations do not count.
        let globex = world.organization("Globex").await;
        let dora = world.member(globex, Role::Readwrite).await;
        let of_dora = dora.session().await;
        let refused = dora.ask(&of_dora, "android").await;
        assert!(refused.text().contains("no device has ever been connected here"), "{}", refused.text());
    }

    async fn the_device_limit_counts_holds_and_waiting_requests(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        world.store().set_max_devices(&store::System::for_administration(), acme, Some(2), crate::world::START).await.unwrap();
        let session = ana.session().await;
        let statuses = [
            ana.ask(&session, "android").await.status.as_u16(),
            ana.ask(&session, "android").await.status.as_u16(),
        ];
        assert_eq!(statuses, [201, 202]);
        let refused = ana.ask(&session, "android").await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (429, &json!("concurrency_limit")));
        assert!(refused.text().contains("2 devices"), "{}", refused.text());
        ana.release(&session, "one").await;
        assert_eq!(ana.ask(&session, "android").await.status, 202);
        host.leave().await;
    }

    async fn sixteen_concurrent_requests_cannot_exceed_the_limit(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        world.store().set_max_devices(&store::System::for_administration(), acme, Some(3), crate::world::START).await.unwrap();
        let mut sessions = Vec::new();
        for _ in 0..16 {
            sessions.push(ana.session().await);
        }
        let asked = futures_util::future::join_all(sessions.iter().map(|session| ana.ask(session, "android"))).await;
        let taken = asked.iter().filter(|response| response.status.is_success()).count();
        let refused = asked.iter().filter(|response| response.status.as_u16() == 429).count();
        assert_eq!((taken, refused), (3, 13));
        host.leave().await;
    }

    async fn a_request_is_cancelled_by_its_allocation(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        let waiting = ana.ask(&session, "android").await.json()["allocationId"].as_str().unwrap().to_owned();
        for _ in 0..2 {
            let released = ana.release(&session, &waiting).await;
            assert_eq!((released.status.as_u16(), &released.json()["status"]), (202, &json!("released")));
        }
        ana.release(&session, "one").await;
        world.app().queue.run().await;
        assert_eq!(ana.devices_of(&session).await[1]["status"], "released");
        host.leave().await;
    }

    async fn only_the_holder_and_admins_release(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        let refused = ben.release(&session, "one").await;
        assert_eq!(refused.status, 403);
        assert!(refused.text().contains("belongs to another member"), "{}", refused.text());
        assert_eq!(admin.release(&session, "one").await.status, 202);
        assert_eq!(ana.release(&session, "two").await.status, 404);
        host.leave().await;
    }

    async fn the_end_of_a_session_releases_its_devices_and_refuses_requests(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        ana.ask(&session, "android").await;
        for _ in 0..2 {
            assert_eq!(ana.delete(&format!("/api/v1/sessions/{session}")).await.status, 204);
        }
        let holds = ana.devices_of(&session).await;
        for hold in holds.as_array().unwrap() {
            assert_eq!((&hold["status"], &hold["releaseReason"]), (&json!("released"), &json!("session_ended")));
        }
        let refused = ana.ask(&session, "android").await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (409, &json!("session_ended")));
        host.leave().await;
    }

    async fn own_devices_are_preferred_to_the_pool(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let ana = world.member(acme, Role::Readwrite).await;
        let dora = world.member(globex, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let account = world.account_member(domain::permission::AccountRole::Admin).await;
        let pool: Host = world.host(&account, "pool", &[("shared", "android")]).await;
        let own = world.host(&admin, "rack", &[("own", "android")]).await;
        let (of_ana, of_dora) = (ana.session().await, dora.session().await);
        assert_eq!(ana.ask(&of_ana, "android").await.json()["device"]["id"], "own");
        assert_eq!(dora.ask(&of_dora, "android").await.json()["device"]["id"], "shared");
        assert_eq!(ana.ask(&of_ana, "android").await.status, 202);
        pool.leave().await;
        own.leave().await;
    }

    async fn equal_serials_of_two_hosts_have_two_names(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let first = world.host(&admin, "first", &[("emulator-5554", "android")]).await;
        let second = world.host(&admin, "second", &[("emulator-5554", "android")]).await;
        let session = ana.session().await;
        let mut names = Vec::new();
        for _ in 0..2 {
            names.push(ana.ask(&session, "android").await.json()["device"]["id"].as_str().unwrap().to_owned());
        }
        names.sort();
        assert_eq!(names, ["emulator-5554", "emulator-5554.second"]);
        first.leave().await;
        second.leave().await;
    }

    async fn filters_choose_the_device_and_a_simulated_one_is_never_real(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "ios"), ("two-real", "ios"), ("three", "ios")]).await;
        let session = ana.session().await;
        let ios = ("platform", "EQUALS", "ios");
        let real = [ios, ("type", "EQUALS", "real"), ("name", "STARTS_WITH", "iPhone"),
                    ("version", "GREATER_THAN_OR_EQUALS", "18"), ("version", "LESS_THAN", "20")];
        assert_eq!(ana.ask_with(&session, &real).await.json()["device"]["id"], "two-real");
        let second = ana.ask_with(&session, &real).await;
        assert_eq!(second.status, 202, "it waits, though simulated ones are free: {}", second.text());
        for (filters, sentence) in [
            ([ios, ("version", "LESS_THAN", "18")], "no device matches platform ios, version < 18; known devices: \
              iPhone 16 (ios 18.2, emulator), iPhone 16 (ios 18.2, real)"),
            ([ios, ("type", "EQUALS", "simulator")], "no device matches platform ios, type simulator; known devices: \
              iPhone 16 (ios 18.2, emulator), iPhone 16 (ios 18.2, real)"),
        ] {
            let refused = ana.ask_with(&session, &filters).await;
            assert_eq!((refused.status.as_u16(), &refused.json()["error"]["message"]), (409, &json!(sentence)));
        }
        host.leave().await;
    }

    async fn a_refused_request_changes_nothing(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        let before = ana.get(&format!("/api/v1/sessions/{session}")).await.body;
        assert_eq!(ana.ask(&session, "ios").await.status, 409);
        assert_eq!(ben.ask(&session, "android").await.status, 403);
        world.store().set_max_devices(&store::System::for_administration(), acme, Some(0), crate::world::START).await.unwrap();
        let refused = ana.ask(&session, "android").await;
        assert_eq!((refused.status.as_u16(), refused.headers.get("retry-after").is_some()), (429, true));
        assert_eq!(ana.get(&format!("/api/v1/sessions/{session}")).await.body, before);
        assert_eq!(ana.get("/tenure/v1/changes").await.json()["latest"], 1, "the feed has only its creation");
        host.leave().await;
    }

    async fn a_repeated_release_never_ends_a_later_hold(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let (of_ana, of_ben) = (ana.session().await, ben.session().await);
        ana.ask(&of_ana, "android").await;
        ben.ask(&of_ben, "android").await;
        let first = ana.release(&of_ana, "one").await;
        wait_until("it is handed on", || async { ben.devices_of(&of_ben).await[0]["status"] == "in_use" }).await;
        assert_eq!(ana.release(&of_ana, "one").await.body, first.body);
        assert_eq!(ben.devices_of(&of_ben).await[0]["status"], "in_use");
        assert_eq!(ana.release(&of_ben, "one").await.status, 403, "and not through the other's session");
        host.leave().await;
    }

    async fn a_cancelled_request_lets_the_next_one_pass(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        let mut asked = Vec::new();
        for _ in 0..3 {
            asked.push(ana.ask(&session, "android").await.json()["allocationId"].as_str().unwrap().to_owned());
        }
        ana.release(&session, &asked[1]).await;
        ana.release(&session, &asked[0]).await;
        wait_until("the last one has it", || async { ana.devices_of(&session).await[2]["status"] == "in_use" }).await;
        assert_eq!(ana.devices_of(&session).await[1]["status"], "released");
        host.leave().await;
    }

    async fn a_device_that_comes_online_goes_to_a_waiting_request(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        host.report(&[]).await;
        let session = ana.session().await;
        assert_eq!(ana.ask(&session, "android").await.status, 202);
        host.report(&[("one", "android")]).await;
        wait_until("it has it", || async { ana.devices_of(&session).await[0]["status"] == "in_use" }).await;
        host.leave().await;
    }

    async fn a_request_to_one_server_is_served_by_the_host_of_another(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let other = world.another_server(|_| {}).await;
        let host = other.host(&admin.at_server(&other), "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        assert!(ana.ask(&session, "android").await.status.is_success());
        wait_until("the other server hands it over", || async {
            ana.devices_of(&session).await[0]["status"] == "in_use"
        }).await;
        ana.release(&session, "one").await;
        wait_until("and has it cleaned", || async {
            world.store().list_all_devices(&store::System::for_administration()).await.unwrap()[0].is_free()
        }).await;
        host.leave().await;
    }
}
