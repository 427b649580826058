//! Walks and feeds beside writers. These tests are long: `.config/nextest.toml` gives this module more time.

use crate::world::{NOW, change, create, grant, organization, pool, release, request, system, viewer};
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::session::{FeedChange, SessionKind};
use domain::time::Span;
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use store::Store;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

const SESSIONS: u32 = 20_000;
/// Created while the clock stands still.
const AT_ONCE: u32 = 5_000;
const WRITERS: u32 = 8;
const WALKS: u64 = 200;
const WALKERS: u64 = 4;
/// Entries of the feed that a reader sees while they are written.
const LINES: i64 = 6_000;
/// Pages read for each session that is written: the list must not grow faster than the walks read it.
const PAGES: usize = 4;

/// All created sessions, in the order in which their creation was acknowledged.
type Known = Arc<Mutex<Vec<SessionId>>>;

/// Creates sessions, several at a time. The clock stands still in the middle.
async fn fill(store: &Store, organization: OrganizationId, owner: PrincipalId, known: &Known) {
    let before = (SESSIONS - AT_ONCE) / 2;
    let made = stream::iter(0..SESSIONS).map(|number| async move {
        let tick = if number < before { number } else { number.saturating_sub(AT_ONCE).max(before) };
        create(store, organization, owner, NOW + Span(i64::from(tick) * 1_000)).await.id
    });
    *known.lock().unwrap() = made.buffer_unordered(256).collect().await;
}

/// Creates sessions that request and release devices: one for each permit, until there are none left. Every second
/// creator's clock is an hour behind.
fn writers(
    store: &Store,
    organization: OrganizationId,
    owner: PrincipalId,
    permits: &Arc<Semaphore>,
    known: &Known,
) -> Vec<JoinHandle<()>> {
    let write = |number: u32| {
        let (store, permits, known) = (store.clone(), permits.clone(), known.clone());
        tokio::spawn(async move {
            let mut at = NOW - Span::minutes(60 * i64::from(number % 2));
            while let Ok(permit) = permits.acquire().await {
                permit.forget();
                at = at + Span::seconds(1);
                let session = create(&store, organization, owner, at).await;
                known.lock().unwrap().push(session.id);
                let (hold, ask) = request();
                let session = change(&store, session, ask, at).await.unwrap();
                change(&store, session, release(hold), at).await.unwrap();
            }
        })
    };
    (0..WRITERS).map(write).collect()
}

/// Walks over the whole list with pages of random sizes.
async fn walk(
    store: &Store,
    organization: OrganizationId,
    permits: &Semaphore,
    mut random: u64,
) -> Vec<SessionId> {
    let mut seen = Vec::new();
    let mut after = None;
    for number in 1.. {
        // A fixed generator (Knuth's constants), so that a walk can be repeated.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let limit = [100, 499, 500][(random >> 33) as usize % 3];
        let page = store.list_summaries(&system(), SessionKind::Device, after, limit).await.unwrap();
        if number % PAGES == 0 {
            permits.add_permits(1);
        }
        let own = page.iter().filter(|summary| summary.key.organization == organization);
        seen.extend(own.map(|summary| summary.key.id));
        match page.last() {
            Some(last) => after = Some(last.key),
            None => break,
        }
    }
    seen
}

async fn walk_and_check(
    store: &Store,
    organization: OrganizationId,
    permits: &Semaphore,
    known: &Known,
    walks: std::ops::Range<u64>,
) {
    for number in walks {
        let there = known.lock().unwrap().clone();
        let seen = walk(store, organization, permits, number).await;
        assert!(seen.is_sorted_by(|a, b| a.creation_time() < b.creation_time()), "oldest first, none twice");
        let seen = seen.into_iter().collect::<HashSet<_>>();
        let missing = there.iter().filter(|id| !seen.contains(id)).count();
        assert_eq!(missing, 0, "walk {number} of {} sessions", there.len());
    }
}

async fn all(store: &Store, organization: OrganizationId) -> Vec<(SessionId, i64)> {
    store.list_session_revisions(&viewer(organization), SessionKind::Device, 10_000_000).await.unwrap()
}

both! {
    async fn walks_return_every_session_exactly_once(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        // A second server, which does not know the times that the first has given out.
        let other = Store::new(db.open_again().await);
        let (acme, owner) = organization(&store).await;
        let known = Known::default();
        fill(&store, acme, owner, &known).await;
        let times = known.lock().unwrap().iter().map(|id| id.creation_time()).collect::<HashSet<_>>();
        assert_eq!(times.len(), SESSIONS as usize, "no two sessions share a time");
        let permits = Arc::new(Semaphore::new(WRITERS as usize));
        let writers = writers(&other, acme, owner, &permits, &known);
        let walks = (0..WALKERS).map(|walker| {
            let (store, permits, known) = (store.clone(), permits.clone(), known.clone());
            let walks = WALKS * walker / WALKERS..WALKS * (walker + 1) / WALKERS;
            tokio::spawn(async move { walk_and_check(&store, acme, &permits, &known, walks).await })
        });
        for walk in walks.collect::<Vec<_>>() {
            walk.await.unwrap();
        }
        permits.close();
        for writer in writers {
            writer.await.unwrap();
        }
        let made = known.lock().unwrap().len() - SESSIONS as usize;
        assert!(made > 1_000, "the writers wrote while the walks went on: {made}");
        assert_eq!(all(&store, acme).await.len(), SESSIONS as usize + made);
    }

    async fn the_feed_is_gapless_and_its_replay_is_the_list(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        // A second server on the same database (on SQLite it would be a second process).
        let other = Store::new(db.open_again().await);
        let (acme, owner) = organization(&store).await;
        let (globex, outsider) = organization(&store).await;
        let permits = Arc::new(Semaphore::new(1_000_000));
        let mut tasks = Vec::new();
        for (store, organization, owner) in [(&store, acme, owner), (&other, acme, owner), (&store, globex, outsider)] {
            tasks.extend(writers(store, organization, owner, &permits, &Known::default()));
        }
        // A reader beside the writers: it sees the feed in order and without a gap at any moment.
        let mut position = 0;
        let mut replay = BTreeMap::new();
        while position < LINES {
            let feed = store.list_changes(&viewer(acme), position, 97).await.unwrap();
            for line in feed.entries {
                assert_eq!(line.sequence, position + 1);
                position = line.sequence;
                let before = replay.insert(line.session.id, line.revision);
                assert_eq!((before.is_none(), before.unwrap_or(0) + 1), (line.change == FeedChange::Created, line.revision));
            }
            tokio::task::yield_now().await;
        }
        permits.close();
        for task in tasks {
            task.await.unwrap();
        }
        loop {
            let feed = store.list_changes(&viewer(acme), position, 1_000).await.unwrap();
            for line in &feed.entries {
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
            let state = store.load_queue(&crate::world::system()).await.unwrap();
            let waiting = state.queue.iter().map(|queued| queued.request.clone()).collect::<Vec<_>>();
            for assignment in domain::device::assign_devices(&waiting, &state.devices) {
                let queued = &state.queue[assignment.entry];
                let device = state.devices.iter().find(|device| device.id == assignment.device).unwrap();
                let session = store.load_device_session(&viewer(acme), queued.session.id).await.unwrap();
                let hold = queued.request.hold;
                change(&store, session, grant(hold, device.id, device.fence + 1), NOW).await.unwrap();
                served.push(hold);
            }
            let devices = store.list_all_devices(&crate::world::system()).await.unwrap();
            let holders = devices.iter().filter_map(|device| device.holder).collect::<HashSet<_>>();
            assert_eq!(holders.len(), devices.iter().filter(|device| device.holder.is_some()).count());
            for (session, hold) in store.list_open_holds(&viewer(acme)).await.unwrap() {
                if hold.held.is_some() {
                    let session = store.load_device_session(&viewer(acme), session.id).await.unwrap();
                    change(&store, session, release(hold.id), NOW).await.unwrap();
                }
            }
            for device in store.list_devices_to_clean(&crate::world::system()).await.unwrap() {
                store.record_device_cleaned(&link, &device.serial, device.fence).await.unwrap();
            }
        }
        assert_eq!(served, asked);
        assert!(store.list_all_devices(&crate::world::system()).await.unwrap().iter().all(|device| device.is_free()));
        let fences = store.list_all_devices(&crate::world::system()).await.unwrap().iter().map(|device| device.fence).sum::<i64>();
        assert_eq!(fences, 64, "each hold had a number of its own");
    }
}
