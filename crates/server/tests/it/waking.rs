//! Which readers a commit wakes: counted in reads of the database, never in time.

use crate::socket::Socket;
use crate::world::{Actor, World, wait_until};
use domain::permission::{AccountRole, Role};
use serde_json::{Value, json};
use server::services::metrics::WokenReader;
use server::settings::Quota;
use store::System;

const SUBSCRIBERS: u64 = 40;

/// Subscribers to the devices of a caller.
async fn subscribers(actor: &Actor<'_>) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut socket = Socket::open(actor).await;
        assert_eq!(socket.call("devices.subscribe", json!({})).await["result"], json!({ "status": "ok" }));
        sockets.push(socket);
    }
    sockets
}

async fn wait_for_reads(world: &World, who: WokenReader, times: u64) {
    wait_until(&format!("{who:?} read {times} times"), || async {
        world.app().metrics.woken_reads(who) >= times
    })
    .await;
    assert_eq!(world.app().metrics.woken_reads(who), times);
}

/// A commit that concerns all members of an organization.
async fn rename(world: &World, organization: domain::ids::OrganizationId) {
    let system = System::for_administration();
    world.store().rename_organization(&system, organization, "Renamed", world.app().now()).await.unwrap();
}

both! {
    async fn subscribers_do_not_read_after_commits_of_other_organizations(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let ana = world.member(acme, Role::Readonly).await;
        let dora = world.member(globex, Role::Admin).await;
        let _sockets = subscribers(&ana).await;
        let host = world.host(&dora, "rack", &[("one", "android")]).await;
        for _ in 0..10 {
            let session = dora.session().await;
            assert!(dora.ask(&session, "android").await.status.is_success());
            dora.agent_session(Some("hello")).await;
        }
        // Nor after commits about agent sessions of their own organization.
        world.member(acme, Role::Readwrite).await.agent_session(Some("hello")).await;
        rename(world, acme).await;
        wait_for_reads(world, WokenReader::Subscriber, SUBSCRIBERS).await;
        host.leave().await;
    }

    async fn subscribers_are_checked_at_once_when_their_key_is_revoked(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readonly).await, world.member(acme, Role::Readonly).await);
        let (_anas, _bens) = (subscribers(&ana).await, subscribers(&ben).await);
        let system = System::for_administration();
        world.store().revoke_credential(&system, ana.credential, world.app().now()).await.unwrap();
        wait_for_reads(world, WokenReader::Subscriber, SUBSCRIBERS).await;
        // Subscribers with the revoked key are no longer subscribed.
        rename(world, acme).await;
        wait_for_reads(world, WokenReader::Subscriber, 2 * SUBSCRIBERS).await;
    }

    async fn each_turn_wakes_one_of_the_workers_that_may_take_it(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, own) = (world.member(acme, Role::Readwrite).await, world.member(globex, Role::Admin).await);
        let account = world.account_member(AccountRole::Admin).await;
        let claim = json!({ "worker": "w", "wait_seconds": 30 });
        let others = || async { own.post("/tenure/v1/work/claim", claim.clone()).await };
        let shared = || async { account.post("/tenure/v1/work/claim", claim.clone()).await };
        let talk = async {
            let waiting = || async { world.store().database().waiting_workers() == 40 };
            wait_until("all workers wait", waiting).await;
            for number in 1..=5 {
                ana.agent_session(Some("hello")).await;
                wait_for_reads(world, WokenReader::Worker, number).await;
            }
            wait_until("five turns are taken", || async { world.store().database().waiting_workers() == 35 }).await;
            world.stop.cancel();
        };
        let idle = futures_util::future::join_all((0..20).map(|_| others()));
        let busy = futures_util::future::join_all((0..20).map(|_| shared()));
        let ((), idle, busy) = tokio::join!(talk, idle, busy);
        assert!(idle.iter().all(|response| response.status == 204));
        assert_eq!(busy.iter().filter(|response| response.status == 200).count(), 5);
        wait_for_reads(world, WokenReader::Worker, 5).await;
    }

    async fn subscribing_counts_as_a_request(world: &World) {
        let few = Some(Quota { requests: 2, seconds: 60 });
        let world = world.another_server(|settings| settings.rate_per_credential = few).await;
        let acme = world.organization("Acme").await;
        let mut socket = Socket::open(&world.member(acme, Role::Readonly).await).await;
        for method in ["devices.subscribe", "devices.unsubscribe"] {
            assert_eq!(socket.call(method, json!({})).await["result"], json!({ "status": "ok" }));
        }
        for method in ["devices.subscribe", "devices.unsubscribe", "devices.list"] {
            let refused = socket.call(method, Value::Null).await["error"].clone();
            assert!(refused["data"].as_str().unwrap().contains("too many requests"), "{method}: {refused}");
        }
    }
}
