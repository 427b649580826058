//! The follower of the change feed.

use crate::world::World;
use domain::ids::OrganizationId;
use domain::permission::Role;
use domain::session::{FeedChange, SessionKind};
use domain::time::Span;
use futures_util::FutureExt;
use server::operations::feed::{FeedBatch, Follower};
use std::time::Duration;
use store::System;
use store::access::ViewSessions;

const MANY: usize = 1_100;

fn follow(world: &World, organization: OrganizationId, after: i64) -> Follower {
    Follower::follow_organization(
        world.app(),
        System::for_background_jobs().grant::<ViewSessions>(organization),
        after,
    )
}

/// Follows all feeds from now on.
async fn follow_everything(world: &World) -> Follower {
    let positions = world.store().load_feed_positions(&System::for_background_jobs()).await.unwrap();
    Follower::follow_everything(world.app(), positions)
}

async fn next(follower: &mut Follower) -> FeedBatch {
    let next = tokio::time::timeout(Duration::from_secs(20), follower.next()).await;
    next.expect("a batch in time").unwrap().expect("the server runs")
}

/// Each entry's organization and sequence.
fn places(batch: &FeedBatch) -> Vec<(OrganizationId, i64)> {
    batch.entries.iter().map(|entry| (entry.session.organization, entry.sequence)).collect()
}

/// Checks that no entry is waiting.
async fn is_up_to_date(follower: &mut Follower) {
    let waited = tokio::time::timeout(Duration::from_millis(50), follower.next()).await;
    assert!(waited.is_err(), "{:?}", waited.unwrap().unwrap());
}

both! {
    async fn a_follower_sees_only_its_scope(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, dora) = (world.member(acme, Role::Admin).await, world.member(globex, Role::Admin).await);
        ana.session().await;
        let (mut all, mut one) = (follow_everything(world).await, follow(world, acme, 0));
        assert_eq!(places(&next(&mut one).await), [(acme, 1)]);
        dora.session().await;
        is_up_to_date(&mut one).await;
        ana.agent_session(None).await;
        let initech = world.organization("Initech").await;
        world.member(initech, Role::Admin).await.session().await;
        world.user(acme, Role::Readwrite, "eve@example.com").await;
        world.sign_in("eve@example.com").await;
        let told = next(&mut one).await;
        assert_eq!((places(&told), told.entries[0].session.kind), (vec![(acme, 2)], SessionKind::Agent));
        // Those after the position, also of an organization that is new since, and login sessions.
        let mut expected = vec![(acme, 2), (globex, 1), (initech, 1), (OrganizationId::PEOPLE, 1)];
        expected.sort();
        assert_eq!(places(&next(&mut all).await), expected);
        is_up_to_date(&mut all).await;
        assert_eq!(all.positions().get(&acme), Some(&2));
    }

    async fn a_commit_of_another_server_wakes_a_follower(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Admin).await;
        let second = world.another_server(|_| {}).await;
        let mut followers = [follow(world, acme, 0), follow_everything(world).await];
        for (place, here) in [(1, &second), (2, world)] {
            let waiting = followers.map(|mut follower| {
                assert!(follower.next().now_or_never().is_none(), "nothing has changed");
                tokio::spawn(async move { (next(&mut follower).await, follower) })
            });
            ana.at_server(here).session().await;
            let [one, all] = waiting;
            let ((one, first), (all, last)) = (one.await.unwrap(), all.await.unwrap());
            assert_eq!((places(&one), places(&all)), (vec![(acme, place)], vec![(acme, place)]));
            followers = [first, last];
        }
        world.stop.cancel();
        for mut follower in followers {
            assert_eq!(follower.next().await.unwrap(), None, "the server stops");
        }
    }

    async fn a_follower_behind_the_stored_entries_must_resync(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Admin).await;
        let (mut all, mut one, mut ahead) =
            (follow_everything(world).await, follow(world, acme, 0), follow(world, acme, 99));
        ana.session().await;
        world.advance(Span::minutes(8 * 24 * 60));
        world.sweep().await;
        let lost = FeedBatch { resync: vec![acme], ..FeedBatch::default() };
        for follower in [&mut all, &mut one, &mut ahead] {
            assert_eq!(next(follower).await, lost);
            assert_eq!(follower.positions().get(&acme), Some(&2), "the session was created, and ended as unused");
        }
        ana.session().await;
        for follower in [&mut all, &mut one, &mut ahead] {
            assert_eq!(places(&next(follower).await), [(acme, 3)], "it continues from the newest entry");
        }
    }

    async fn a_follower_sees_that_an_organization_was_deleted(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        world.member(acme, Role::Admin).await.session().await;
        let mut followers = [follow_everything(world).await, follow(world, acme, 1)];
        let mut other = follow(world, globex, 0);
        world.store().delete_organization(&System::for_administration(), acme, world.app().now()).await.unwrap();
        for follower in &mut followers {
            assert_eq!(next(follower).await, FeedBatch { deleted: vec![acme], ..FeedBatch::default() });
        }
        // The sweep ends its device sessions.
        world.advance(Span::minutes(60));
        world.sweep().await;
        for follower in &mut followers {
            let told = next(follower).await;
            assert_eq!((places(&told), told.entries[0].change), (vec![(acme, 3)], FeedChange::Ended));
        }
        is_up_to_date(&mut other).await;
    }

    async fn a_batch_is_bounded_and_none_is_lost_by_cancelling(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let mut all = follow_everything(world).await;
        let granted = System::for_background_jobs().grant(acme);
        let owner = world.principal(None, Some((acme, Role::Admin))).await;
        let now = world.app().now();
        let made = (0..MANY).map(|tail| world.store().create_device_session(&granted, owner, now, tail as u64));
        for session in futures_util::future::join_all(made).await {
            session.unwrap();
        }
        world.member(globex, Role::Admin).await.session().await;
        let mut batches = Vec::new();
        while batches.iter().map(Vec::len).sum::<usize>() <= MANY {
            // Mostly cancelled before it is done.
            match all.next().now_or_never() {
                Some(batch) => batches.push(places(&batch.unwrap().unwrap())),
                None => batches.push(places(&next(&mut all).await)),
            }
        }
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, MANY + 1 - 1_000]);
        let mut told = batches.concat();
        told.sort();
        let mut expected = (1..).take(MANY).map(|place| (acme, place)).chain([(globex, 1)]).collect::<Vec<_>>();
        expected.sort();
        assert_eq!(told, expected);
    }
}
