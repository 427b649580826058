//! The sweep: idle holds, expired requests, empty sessions, lost hosts, owners without access.

use crate::world::{START, World};
use domain::permission::Role;
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::{Map, Value, json};
use server::operations::access::authenticate;
use server::operations::devices::driving;
use server::operations::devices::hosts;
use store::{OrganizationChoice, System};

/// Sends a command to a device, as the WebSocket does.
async fn tap(world: &World, key: Option<&str>, device: &str) -> Result<Value, server::failure::Failure> {
    let caller = authenticate::authenticate(world.app(), key, OrganizationChoice::ByDefault).await?;
    let granted = caller.authorize::<store::access::UseSessions>()?;
    driving::start_command(world.app(), &granted, device, "device.io.tap", Map::new()).await?.finish().await
}

both! {
    async fn a_hold_without_a_command_for_ten_minutes_is_released(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android"), ("two", "ios")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        ana.ask(&session, "ios").await;
        world.advance(Span::minutes(6));
        let response = tap(world, ana.key.as_deref(), "one").await.unwrap();
        assert_eq!((&response["serial"], &response["method"]), (&json!("one"), &json!("device.io.tap")));
        hosts::renew_host_links(world.app()).await.unwrap();
        crate::world::wait_until("the use is noted", || async {
            let open = world.store().list_open_holds(&System::for_administration().grant(acme)).await.unwrap();
            open.iter().any(|(_, hold)| hold.activity > hold.requested)
        }).await;
        world.advance(Span::minutes(5));
        hosts::renew_host_links(world.app()).await.unwrap();
        world.sweep().await;
        let holds = ana.devices_of(&session).await;
        assert_eq!(holds[0]["status"], "in_use", "it was used 5 minutes ago");
        assert_eq!((&holds[1]["status"], &holds[1]["releaseReason"]), (&json!("released"), &json!("idle")));
        assert_eq!(holds[1]["releaseEvidence"], "idle 11 min, last command 12:00");
        host.leave().await;
    }

    async fn a_request_that_is_not_served_expires(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        host.report(&[]).await;
        let session = ana.session().await;
        assert_eq!(ana.ask(&session, "android").await.status, 202);
        world.advance(Span::minutes(14));
        world.sweep().await;
        assert_eq!(ana.devices_of(&session).await[0]["status"], "provisioning");
        world.advance(Span::minutes(2));
        world.sweep().await;
        let hold = ana.devices_of(&session).await[0].clone();
        assert_eq!((&hold["status"], &hold["releaseReason"]), (&json!("released"), &json!("expired")));
        host.leave().await;
    }

    async fn a_session_without_holds_is_closed(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let session = ana.session().await;
        world.advance(Span::minutes(14));
        world.sweep().await;
        let path = format!("/api/v1/sessions/{session}");
        assert_eq!(ana.get(&path).await.json()["releasedAt"], Value::Null);
        world.advance(Span::minutes(2));
        world.sweep().await;
        assert_eq!(ana.get(&path).await.json()["releasedAt"], "2026-03-01T12:16:00.000000Z");
        let ended = world.store().load_device_session(
            &System::for_administration().grant(acme), domain::ids::SessionId::parse(&session).unwrap()).await.unwrap();
        assert_eq!(ended.ended.unwrap().1.evidence, "nothing held for 16 min, since 12:00");
    }

    async fn a_host_that_stays_away_loses_its_holds_and_one_that_returns_keeps_them(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        host.leave().await;
        world.advance(Span::seconds(30));
        world.sweep().await;
        assert!(tap(world, ana.key.as_deref(), "one").await.is_err(), "nobody drives a device whose host is away");
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        assert_eq!(ana.devices_of(&session).await[0]["status"], "in_use");
        tap(world, ana.key.as_deref(), "one").await.unwrap();
        assert_eq!(host.calls.lock().unwrap()[0].1, 1, "the same hold, the same number");
        host.leave().await;

        world.advance(Span::seconds(61));
        world.sweep().await;
        let hold = ana.devices_of(&session).await[0].clone();
        assert_eq!((&hold["status"], &hold["releaseReason"]), (&json!("released"), &json!("host_lost")));
        assert_eq!(hold["releaseEvidence"], "host rack away for more than 60 s");
        assert_eq!(ana.ask(&session, "android").await.status, 202, "its device is offline, but known");
    }

    async fn after_a_long_downtime_hosts_have_time_to_reconnect(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        host.leave().await;
        world.advance(Span::minutes(5));
        let restarted = world.another_server(|_| {}).await;
        restarted.sweep().await;
        assert_eq!(ana.devices_of(&session).await[0]["status"], "in_use");
        world.advance(Span::seconds(61));
        restarted.sweep().await;
        assert_eq!(ana.devices_of(&session).await[0]["releaseReason"], "host_lost");
    }

    async fn each_hold_of_a_device_has_a_larger_number(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        for _ in 0..3 {
            ana.ask(&session, "android").await;
            crate::world::wait_until("the device is held", || async {
                tap(world, ana.key.as_deref(), "one").await.is_ok()
            }).await;
            ana.release(&session, "one").await;
        }
        let numbers = host.calls.lock().unwrap().iter().map(|(_, fence, _)| *fence).collect::<Vec<_>>();
        assert_eq!(numbers, [1, 2, 3]);
        host.leave().await;
    }

    async fn owners_who_may_not_act_lose_their_holds(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android"), ("two", "android")]).await;
        let (suspended, removed) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let system = System::for_administration();
        let mut sessions = Vec::new();
        for actor in [&suspended, &removed] {
            let session = actor.session().await;
            assert_eq!(actor.ask(&session, "android").await.status, 201);
            sessions.push(session);
        }
        world.store().set_principal_state(&system, suspended.principal, PrincipalState::Suspended, START).await.unwrap();
        world.store().remove_member(&system.grant(acme), removed.principal, START).await.unwrap();
        assert!(tap(world, suspended.key.as_deref(), "one").await.is_err());
        world.sweep().await;
        for session in sessions {
            let hold = admin.devices_of(&session).await[0].clone();
            assert_eq!((&hold["status"], &hold["releaseReason"]), (&json!("released"), &json!("session_ended")));
        }
        host.leave().await;
    }

    async fn a_deleted_organization_gives_its_devices_back(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let account = world.account_member(domain::permission::AccountRole::Admin).await;
        let host = world.host(&account, "pool", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        let system = System::for_administration();
        world.store().delete_organization(&system, acme, crate::world::START).await.unwrap();
        world.sweep().await;
        crate::world::wait_until("the device is free again", || async {
            world.store().list_all_devices(&system).await.unwrap()[0].is_free()
        }).await;
        host.leave().await;
    }

    async fn an_upload_renews_the_senders_holds(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android"), ("two", "ios")]).await;
        let (of_ana, of_ben) = (ana.session().await, ben.session().await);
        ana.ask(&of_ana, "android").await;
        ben.ask(&of_ben, "ios").await;
        world.advance(Span::minutes(8));
        let caller = authenticate::authenticate(world.app(), ana.key.as_deref(), OrganizationChoice::ByDefault).await.unwrap();
        let granted = caller.authorize::<store::access::UseSessions>().unwrap();
        let upload = server::operations::devices::files::announce_upload(world.app(), &granted, "a.apk", 3).await.unwrap();
        let path = upload.url.strip_prefix(world.server.base_url()).unwrap();
        assert_eq!(world.caller(None).call("PUT", path, "abc".into()).await.status, 200);
        crate::world::wait_until("the use is noted", || async {
            let open = world.store().list_open_holds(&System::for_administration().grant(acme)).await.unwrap();
            open.iter().any(|(_, hold)| hold.activity > hold.requested)
        }).await;
        world.advance(Span::minutes(3));
        hosts::renew_host_links(world.app()).await.unwrap();
        world.sweep().await;
        assert_eq!(ana.devices_of(&of_ana).await[0]["status"], "in_use", "its owner sent bytes 3 minutes ago");
        assert_eq!(ben.devices_of(&of_ben).await[0]["releaseReason"], "idle", "who sent none");
        host.leave().await;
    }

    async fn a_session_is_closed_15_minutes_after_its_last_hold_and_not_while_it_has_one(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        for _ in 0..5 {
            world.advance(Span::minutes(5));
            tap(world, ana.key.as_deref(), "one").await.unwrap();
            hosts::renew_host_links(world.app()).await.unwrap();
            let used = server::clock::Clock::now(&*world.clock);
            crate::world::wait_until("the use is noted", || async {
                let open = world.store().list_open_holds(&System::for_administration().grant(acme)).await.unwrap();
                open[0].1.activity == used
            }).await;
            world.sweep().await;
        }
        assert_eq!(ana.devices_of(&session).await[0]["status"], "in_use", "after 25 minutes of use");
        ana.release(&session, "one").await;
        let ended = async || {
            hosts::renew_host_links(world.app()).await.unwrap();
            world.sweep().await;
            let id = domain::ids::SessionId::parse(&session).unwrap();
            let kept = world.store().load_device_session(&System::for_administration().grant(acme), id).await.unwrap();
            kept.ended.map(|(_, ending)| ending.reason)
        };
        world.advance(Span::minutes(14));
        assert_eq!(ended().await, None);
        world.advance(Span::minutes(2));
        assert_eq!(ended().await, Some(domain::session::EndReason::Idle));
        host.leave().await;
    }

    async fn a_clock_that_goes_back_ends_nothing(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        world.clock.set(crate::world::START - Span::minutes(60));
        world.sweep().await;
        assert_eq!(ana.devices_of(&session).await[0]["status"], "in_use");
        // A session created now is still the newest: its time is after that of the last one.
        let later = ana.session().await;
        assert_eq!(ana.get("/api/v1/sessions").await.json()["data"][0]["id"], json!(later));
        assert_eq!(ana.release(&session, "one").await.status, 202);
        host.leave().await;
    }

    async fn holds_survive_a_restart(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        let waiting = ana.ask(&session, "android").await.json()["allocationId"].clone();
        drop(host);
        world.stop.cancel();
        let again = world.another_server(|_| {}).await;
        let (ana, admin) = (ana.at_server(&again), admin.at_server(&again));
        assert_eq!(ana.devices_of(&session).await[0]["status"], "in_use");
        let host = again.host(&admin, "rack", &[("one", "android")]).await;
        tap(&again, ana.key.as_deref(), "one").await.unwrap();
        assert_eq!(host.calls.lock().unwrap()[0].1, 1, "the same hold, the same number");
        ana.release(&session, "one").await;
        crate::world::wait_until("who waited before the restart is served after it", || async {
            let holds = ana.devices_of(&session).await;
            holds[1]["id"] == waiting && holds[1]["status"] == "in_use"
        }).await;
        host.leave().await;
    }

    async fn the_reason_of_an_ending_is_readable(world: &World) {
        use domain::session::EndReason;
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, dora) = (world.member(acme, Role::Readwrite).await, world.member(globex, Role::Readwrite).await);
        let account = world.account_member(domain::permission::AccountRole::Admin).await;
        let host = world.host(&account, "pool", &[("one", "android"), ("two", "android")]).await;
        let system = System::for_administration();
        let mut sessions = Vec::new();
        for (actor, organization) in [(&ana, acme), (&dora, globex)] {
            let session = actor.session().await;
            assert_eq!(actor.ask(&session, "android").await.status, 201);
            sessions.push((organization, domain::ids::SessionId::parse(&session).unwrap()));
        }
        world.store().set_principal_state(&system, ana.principal, PrincipalState::Suspended, START).await.unwrap();
        world.store().delete_organization(&system, globex, crate::world::START).await.unwrap();
        world.sweep().await;
        let expected = [
            (EndReason::OwnerGone, "its owner was suspended or deleted, or left the organization"),
            (EndReason::OrganizationDeleted, "the organization was deleted"),
        ];
        for ((organization, id), (reason, evidence)) in sessions.into_iter().zip(expected) {
            let session = world.store().load_device_session(&system.grant(organization), id).await.unwrap();
            let ending = session.ended.unwrap().1;
            assert_eq!((ending.reason, ending.actor, ending.evidence.as_str()), (reason, None, evidence));
            let hold = session.holds[0].ended.clone().unwrap().1;
            assert_eq!((hold.reason, hold.actor, hold.evidence.as_str()), (EndReason::SessionEnded, None, evidence));
        }
        host.leave().await;
    }

    async fn a_waiting_request_of_a_removed_member_is_skipped(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let (first, of_ben) = (admin.session().await, ben.session().await);
        admin.ask(&first, "android").await;
        ben.ask(&of_ben, "android").await;
        let of_ana = ana.session().await;
        ana.ask(&of_ana, "android").await;
        world.store().remove_member(&System::for_administration().grant(acme), ben.principal, START).await.unwrap();
        world.sweep().await;
        admin.release(&first, "one").await;
        crate::world::wait_until("the next one has it", || async {
            ana.devices_of(&of_ana).await[0]["status"] == "in_use"
        }).await;
        assert_eq!(admin.devices_of(&of_ben).await[0]["status"], "released");
        host.leave().await;
    }
}
