//! Walks and feeds under writers. Long: `.config/nextest.toml` gives tests of this module more time.

use crate::world::{NOW, change, create, grant, organization, pool, release, request, viewer};
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::page::PageRequest;
use domain::session::{Kind, What};
use domain::time::Span;
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::Store;
use tokio::task::JoinHandle;

const SESSIONS: u32 = 20_000;
const WRITERS: u32 = 8;
const WALKS: usize = 200;

/// Sessions made with several in flight, a quarter of them while the clock stands still.
async fn fill(store: &Store, organization: OrganizationId, owner: PrincipalId) {
    let made = stream::iter(0..SESSIONS).map(|number| async move {
        let at = if number % 4 == 0 { NOW } else { NOW + Span(i64::from(number) * 1_000) };
        create(store, organization, owner, at).await
    });
    made.buffer_unordered(128).for_each(|_| async {}).await;
}

/// Creates sessions and lets them ask and release, until told to stop.
fn writers(
    store: &Store,
    organization: OrganizationId,
    owner: PrincipalId,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<u32>> {
    let write = |number: u32| {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                let at = NOW + Span::seconds(i64::from(made) * 8 + i64::from(number));
                let session = create(&store, organization, owner, at).await;
                let (hold, ask) = request();
                let session = change(&store, session, ask, at).await.unwrap();
                change(&store, session, release(hold), at).await.unwrap();
                made += 1;
                // Let the walks have a turn, also on one core.
                tokio::task::yield_now().await;
            }
            made
        })
    };
    (0..WRITERS).map(write).collect()
}

async fn walk(store: &Store, organization: OrganizationId, limit: u32) -> Vec<SessionId> {
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.device_sessions(&viewer(organization), PageRequest { limit, before }).await.unwrap();
        seen.extend(page.items.iter().map(|session| session.id));
        match page.items.last() {
            Some(last) if page.more => before = Some(last.id.created()),
            _ => return seen,
        }
    }
}

async fn all(store: &Store, organization: OrganizationId) -> Vec<(SessionId, i64)> {
    store.session_revisions(&viewer(organization), Kind::Device, 10_000_000).await.unwrap()
}

both! {
    async fn walks_return_what_was_there_exactly_once(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        fill(&store, acme, owner).await;
        let there = all(&store, acme).await.into_iter().map(|(id, _)| id).collect::<HashSet<_>>();
        assert_eq!(there.len(), SESSIONS as usize);
        let times = there.iter().map(|id| id.created()).collect::<HashSet<_>>();
        assert_eq!(times.len(), there.len(), "no two sessions share a time");
        let stop = Arc::new(AtomicBool::new(false));
        let writers = writers(&store, acme, owner, &stop);
        for number in 0..WALKS {
            let seen = walk(&store, acme, [100, 499, 500][number % 3]).await;
            assert!(seen.is_sorted_by(|a, b| a.created() > b.created()), "newest first, none twice");
            let found = seen.iter().filter(|id| there.contains(id)).count();
            assert_eq!(found, there.len(), "walk {number}");
        }
        stop.store(true, Ordering::Relaxed);
        let mut made = 0;
        for writer in writers {
            made += writer.await.unwrap();
        }
        assert!(made > 0, "the writers wrote while the walks went on");
    }

    async fn the_feed_is_gapless_and_its_replay_is_the_list(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        // A second server on the same database (on SQLite a second process would be one).
        let other = Store::new(db.open_again().await);
        let (acme, owner) = organization(&store).await;
        let (globex, stranger) = organization(&store).await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = writers(&store, acme, owner, &stop);
        tasks.extend(writers(&other, acme, owner, &stop));
        tasks.extend(writers(&store, globex, stranger, &stop));
        // A reader beside the writers: whatever it sees is in order and without a gap at any moment.
        let mut position = 0;
        let mut replay = BTreeMap::new();
        while position < 2_000 {
            let feed = store.changes(&viewer(acme), position, 97).await.unwrap();
            for line in feed.lines {
                assert_eq!(line.sequence, position + 1);
                position = line.sequence;
                let before = replay.insert(line.session.id, line.revision);
                assert_eq!((before.is_none(), before.unwrap_or(0) + 1), (line.what == What::Created, line.revision));
            }
            tokio::task::yield_now().await;
        }
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        loop {
            let feed = store.changes(&viewer(acme), position, 1_000).await.unwrap();
            for line in &feed.lines {
                assert_eq!(line.sequence, position + 1);
                position = line.sequence;
                replay.insert(line.session.id, line.revision);
            }
            if position == feed.latest {
                break;
            }
        }
        let list = all(&store, acme).await.into_iter().collect::<BTreeMap<_, _>>();
        assert_eq!(replay, list);
    }

    async fn sixty_four_waiters_are_served_in_order_and_nothing_is_held_twice(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (link, _) = pool(&store, 8).await;
        let (acme, owner) = organization(&store).await;
        let mut asked = Vec::new();
        for _ in 0..64 {
            let session = create(&store, acme, owner, NOW).await;
            let (hold, ask) = request();
            change(&store, session, ask, NOW).await.unwrap();
            asked.push(hold);
        }
        let mut served = Vec::new();
        while served.len() < asked.len() {
            let state = store.queue(&crate::world::system()).await.unwrap();
            let waiting = state.queue.iter().map(|queued| queued.waiting.clone()).collect::<Vec<_>>();
            for assignment in domain::device::assign(&waiting, &state.devices) {
                let queued = &state.queue[assignment.waiting];
                let device = state.devices.iter().find(|device| device.id == assignment.device).unwrap();
                let session = store.device_session(&viewer(acme), queued.session.id).await.unwrap();
                let hold = queued.waiting.hold;
                change(&store, session, grant(hold, device.id, device.fence + 1), NOW).await.unwrap();
                served.push(hold);
            }
            let devices = store.all_devices(&crate::world::system()).await.unwrap();
            let holders = devices.iter().filter_map(|device| device.holder).collect::<HashSet<_>>();
            assert_eq!(holders.len(), devices.iter().filter(|device| device.holder.is_some()).count());
            for (session, hold) in store.open_holds(&viewer(acme)).await.unwrap() {
                if hold.held.is_some() {
                    let session = store.device_session(&viewer(acme), session.id).await.unwrap();
                    change(&store, session, release(hold.id), NOW).await.unwrap();
                }
            }
            for device in store.devices_to_clean(&crate::world::system()).await.unwrap() {
                store.device_cleaned(&link, &device.serial, device.fence).await.unwrap();
            }
        }
        assert_eq!(served, asked);
        assert!(store.all_devices(&crate::world::system()).await.unwrap().iter().all(|device| device.free()));
        let fences = store.all_devices(&crate::world::system()).await.unwrap().iter().map(|device| device.fence).sum::<i64>();
        assert_eq!(fences, 64, "each hold had a number of its own");
    }
}
