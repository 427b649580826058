//! Device sessions, their holds and the feed, as the store keeps them.

use crate::world::{
    NOW, bytes, change, create, grant, organization, pool, release, request, system, user, viewer,
};
use domain::device::{Command, HoldState};
use domain::ids::SessionId;
use domain::page::PageRequest;
use domain::refusal::{Refusal, Thing};
use domain::session::EndReason;
use domain::time::{Micros, Span};
use futures_util::future::join_all;
use store::{Error, Store};

both! {
    async fn what_is_written_is_read_back(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (link, devices) = pool(&store, 1).await;
        let mut session = create(&store, acme, owner, NOW).await;
        let (hold, ask) = request();
        let steps = [
            ask,
            grant(hold, devices[0], 1),
            release(hold),
            Command::End { reason: EndReason::Idle, evidence: "idle 15 min".into() },
        ];
        for (number, step) in (1..).zip(steps) {
            session = change(&store, session, step, NOW + Span::seconds(number)).await.unwrap();
            assert_eq!(store.device_session(&viewer(acme), session.id).await.unwrap(), session);
            let page = store.device_sessions(&viewer(acme), PageRequest { limit: 10, before: None }).await.unwrap();
            assert_eq!((page.items, page.more), (vec![session.clone()], false));
        }
        assert_eq!(session.revision, 5);
        store.device_cleaned(&link, "device-0", 1).await.unwrap();
        assert!(store.all_devices(&system()).await.unwrap()[0].free());
    }

    async fn what_changed_meanwhile_is_stale(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let old = create(&store, acme, owner, NOW).await;
        change(&store, old.clone(), request().1, NOW).await.unwrap();
        assert!(matches!(change(&store, old, request().1, NOW).await, Err(Error::Stale)));
        assert_eq!(store.open_holds(&viewer(acme)).await.unwrap().len(), 1, "the second left nothing behind");
    }

    async fn one_device_is_granted_once(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (_, devices) = pool(&store, 1).await;
        let mut waiting = Vec::new();
        for _ in 0..16 {
            let (hold, ask) = request();
            let session = create(&store, acme, owner, NOW).await;
            waiting.push((change(&store, session, ask, NOW).await.unwrap(), hold));
        }
        let grants = waiting.into_iter().map(|(session, hold)| change(&store, session, grant(hold, devices[0], 1), NOW));
        let granted = join_all(grants).await;
        assert_eq!(granted.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(granted.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Stale))));
        let open = store.open_holds(&viewer(acme)).await.unwrap();
        assert_eq!(open.iter().filter(|(_, hold)| hold.state() == HoldState::InUse).count(), 1);
    }

    async fn a_clock_that_stands_still_or_goes_back_gives_each_session_its_own_time(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let mut times = Vec::new();
        for at in [NOW, NOW, NOW - Span::seconds(1), NOW] {
            times.push(create(&store, acme, owner, at).await.id.created().0 - NOW.0);
        }
        assert_eq!(times, [0, 1, 2, 3]);
        // A restart: the memory is empty, and the clock is where it was.
        let again = Store::new(db.open_again().await);
        let restarted = create(&again, acme, owner, NOW).await.id.created().0 - NOW.0;
        assert_eq!(restarted, 4);
        // Another server on the same database.
        let made = join_all((0..20).map(|number| {
            create(if number % 2 == 0 { &store } else { &again }, acme, owner, NOW)
        })).await;
        let mut times = made.iter().map(|session| session.id.created()).collect::<Vec<_>>();
        times.sort();
        times.dedup();
        assert_eq!(times.len(), 20);
    }

    async fn organizations_see_nothing_of_each_other(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let session = create(&store, acme, owner, NOW).await;
        let (_, ask) = request();
        let session = change(&store, session, ask, NOW).await.unwrap();
        let not_found = |error| matches!(error, Error::Refused(Refusal::NotFound(Thing::Session)));
        assert!(not_found(store.device_session(&viewer(globex), session.id).await.unwrap_err()));
        let other_tail = SessionId::new(session.id.created(), session.id.tail() ^ 1);
        assert!(not_found(store.device_session(&viewer(acme), other_tail).await.unwrap_err()));
        let all = PageRequest { limit: 10, before: None };
        assert!(store.device_sessions(&viewer(globex), all).await.unwrap().items.is_empty());
        assert!(store.open_holds(&viewer(globex)).await.unwrap().is_empty());
        assert!(store.changes(&viewer(globex), 0, 10).await.unwrap().lines.is_empty());
        assert_eq!(store.used_bytes(&user(globex)).await.unwrap(), 0);
    }

    async fn the_queue_is_in_the_order_of_commits_over_all_organizations(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let mut asked = Vec::new();
        for _ in 0..5 {
            let (organization, owner) = organization(&store).await;
            let session = create(&store, organization, owner, NOW).await;
            let (hold, ask) = request();
            change(&store, session, ask, NOW).await.unwrap();
            asked.push(hold);
        }
        let queue = store.queue(&system()).await.unwrap().queue;
        assert_eq!(queue.into_iter().map(|queued| queued.waiting.hold).collect::<Vec<_>>(), asked);
    }

    async fn an_import_keeps_its_time_and_a_taken_one_is_stale(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let id = SessionId::new(Micros(NOW.0 - 5), domain::ids::random_tail(bytes()));
        let past = domain::device::DeviceSession::new(acme, id, owner);
        store.import_device_session(&system(), &past).await.unwrap();
        assert!(matches!(store.import_device_session(&system(), &past).await, Err(Error::Stale)));
        assert_eq!(store.device_session(&viewer(acme), id).await.unwrap(), past);
    }
}
