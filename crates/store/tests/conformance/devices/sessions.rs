//! Device sessions, their holds and the change feed in the store.

use crate::world::{
    NOW, bytes, change, create, device, grant, host, organization, pool, release, request, system, user,
    viewer,
};
use domain::device::{DeviceCommand, HoldState};
use domain::ids::SessionId;
use domain::refusal::{Refusal, Thing};
use domain::session::{EndReason, SessionKind};
use domain::time::{Micros, Span};
use futures_util::future::join_all;
use store::{Error, Store};

both! {
    async fn sessions_are_written_and_read_back(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (link, devices) = pool(&store, 1).await;
        let mut session = create(&store, acme, owner, NOW).await;
        let (hold, ask) = request();
        let steps = [
            ask,
            grant(hold, devices[0], 1),
            release(hold),
            DeviceCommand::End { reason: EndReason::Idle, evidence: "idle 15 min".into() },
        ];
        for (number, step) in (1..).zip(steps) {
            session = change(&store, session, step, NOW + Span::seconds(number)).await.unwrap();
            assert_eq!(store.load_device_session(&viewer(acme), session.id).await.unwrap(), session);
            let loaded = store.load_device_sessions(&viewer(acme), &[session.id]).await.unwrap();
            assert_eq!(loaded.items, [session.clone()]);
        }
        assert_eq!(session.revision, 5);
        store.record_device_cleaned(&link, "device-0", 1).await.unwrap();
        assert!(store.list_all_devices(&system()).await.unwrap()[0].is_free());
    }

    async fn a_change_of_an_outdated_session_is_stale(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let old = create(&store, acme, owner, NOW).await;
        change(&store, old.clone(), request().1, NOW).await.unwrap();
        assert!(matches!(change(&store, old, request().1, NOW).await, Err(Error::Stale)));
        assert_eq!(store.list_open_holds(&viewer(acme)).await.unwrap().len(), 1, "the second left nothing behind");
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
        let open = store.list_open_holds(&viewer(acme)).await.unwrap();
        assert_eq!(open.iter().filter(|(_, hold)| hold.state() == HoldState::InUse).count(), 1);
    }

    async fn a_clock_that_stands_still_or_goes_back_gives_each_session_its_own_time(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let mut times = Vec::new();
        for at in [NOW, NOW, NOW - Span::seconds(1), NOW] {
            times.push(create(&store, acme, owner, at).await.id.creation_time().0 - NOW.0);
        }
        assert_eq!(times, [0, 1, 2, 3]);
        // A restart: the memory is empty, and the clock is where it was.
        let again = Store::new(db.open_again().await);
        let restarted = create(&again, acme, owner, NOW).await.id.creation_time().0 - NOW.0;
        assert_eq!(restarted, 4);
        // Another server on the same database.
        let made = join_all((0..20).map(|number| {
            create(if number % 2 == 0 { &store } else { &again }, acme, owner, NOW)
        })).await;
        let mut times = made.iter().map(|session| session.id.creation_time()).collect::<Vec<_>>();
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
        assert!(not_found(store.load_device_session(&viewer(globex), session.id).await.unwrap_err()));
        let other_tail = SessionId::new(session.id.creation_time(), session.id.tail() ^ 1);
        assert!(not_found(store.load_device_session(&viewer(acme), other_tail).await.unwrap_err()));
        assert!(store.load_device_sessions(&viewer(globex), &[session.id]).await.unwrap().items.is_empty());
        assert!(store.list_open_holds(&viewer(globex)).await.unwrap().is_empty());
        assert!(store.list_changes(&viewer(globex), 0, 10).await.unwrap().entries.is_empty());
        assert_eq!(store.count_used_bytes(&user(globex)).await.unwrap(), 0);
        assert!(store.list_session_revisions(&viewer(globex), SessionKind::Device, 10).await.unwrap().is_empty());
        // Each organization sees its own devices and the pool's.
        let (link, _) = host(&store, Some(acme), "rack").await;
        store.report_devices(&link, &[device("private")], NOW).await.unwrap();
        pool(&store, 1).await;
        let seen = async |organization| {
            let devices = store.list_devices(&viewer(organization)).await.unwrap();
            devices.into_iter().map(|device| device.serial).collect::<Vec<_>>()
        };
        assert_eq!(seen(acme).await.len(), 2);
        assert_eq!(seen(globex).await, ["device-0"]);
        // The same id in the other organization is another session.
        let twin = domain::device::DeviceSession::new(globex, session.id, owner);
        store.import_device_session(&system(), twin.clone()).await.unwrap();
        assert_eq!(store.load_device_session(&viewer(globex), session.id).await.unwrap(), twin);
        assert_eq!(store.load_device_session(&viewer(acme), session.id).await.unwrap(), session);
        let loaded = store.load_device_sessions(&viewer(globex), &[session.id]).await.unwrap();
        assert_eq!(loaded.items, [twin], "and has none of its holds");
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
        let queue = store.load_queue(&system()).await.unwrap().queue;
        assert_eq!(queue.into_iter().map(|queued| queued.request.hold).collect::<Vec<_>>(), asked);
    }

    async fn an_import_keeps_its_time_or_takes_the_next_free_one(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let id = SessionId::new(Micros(NOW.0 - 5), domain::ids::random_tail(bytes()));
        let past = domain::device::DeviceSession::new(acme, id, owner);
        assert_eq!(store.import_device_session(&system(), past.clone()).await.unwrap(), past);
        let next = store.import_device_session(&system(), past.clone()).await.unwrap();
        assert_eq!(next.id.creation_time().0, id.creation_time().0 + 1);
        for kept in [past, next] {
            assert_eq!(store.load_device_session(&viewer(acme), kept.id).await.unwrap(), kept);
        }
    }

    async fn the_limit_holds_also_under_concurrent_requests(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let other = Store::new(db.open_again().await);
        let (acme, owner) = organization(&store).await;
        let (globex, outsider) = organization(&store).await;
        store.set_max_devices(&system(), acme, Some(3), NOW).await.unwrap();
        let mut sessions = Vec::new();
        for _ in 0..16 {
            sessions.push(create(&store, acme, owner, NOW).await);
        }
        let asks = sessions.into_iter().enumerate().map(|(number, session)| {
            let store = if number % 2 == 0 { &store } else { &other };
            async move { change(store, session, request().1, NOW).await }
        });
        let outcomes = join_all(asks).await;
        let limited = |outcome: &Result<_, Error>| {
            matches!(outcome, Err(Error::Refused(Refusal::DeviceLimit { max: 3 })))
        };
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
        assert_eq!(outcomes.iter().filter(|outcome| limited(outcome)).count(), 13);
        assert_eq!(store.list_open_holds(&viewer(acme)).await.unwrap().len(), 3);
        // Other organizations are not limited, and a released hold makes room.
        let session = create(&store, globex, outsider, NOW).await;
        change(&store, session, request().1, NOW).await.unwrap();
        let won = outcomes.into_iter().flatten().next().unwrap();
        let hold = won.holds[0].id;
        let won = change(&store, won, release(hold), NOW).await.unwrap();
        change(&store, won, request().1, NOW).await.unwrap();
        store.set_max_devices(&system(), acme, None, NOW).await.unwrap();
        let session = create(&store, acme, owner, NOW).await;
        change(&store, session, request().1, NOW).await.unwrap();
    }

    async fn sessions_are_loaded_by_their_ids(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, outsider) = organization(&store).await;
        let mut made = Vec::new();
        for number in 0..3 {
            let session = create(&store, acme, owner, NOW + Span(number)).await;
            made.insert(0, change(&store, session, request().1, NOW).await.unwrap());
            create(&store, globex, outsider, NOW + Span(number)).await;
        }
        // The oldest has had many devices: only the newest 50 and the open ones are loaded.
        let mut many = made.pop().unwrap();
        for _ in 0..52 {
            let (hold, ask) = request();
            many = change(&store, many, ask, NOW).await.unwrap();
            many = change(&store, many, release(hold), NOW).await.unwrap();
        }
        assert_eq!(store.load_device_session(&viewer(acme), many.id).await.unwrap(), many);
        many.holds.drain(1..3);
        made.push(many);
        let load = async |ids: &[SessionId]| {
            let loaded = store.load_device_sessions(&viewer(acme), ids).await.unwrap();
            assert_eq!(loaded.found, loaded.items.len());
            loaded.items
        };
        let ids = made.iter().map(|session| session.id).collect::<Vec<_>>();
        assert_eq!(load(&ids).await, made);
        assert_eq!(load(&[ids[2], ids[0]]).await, [made[0].clone(), made[2].clone()]);
        assert_eq!(load(&[SessionId::new(NOW - Span(1), 1)]).await, []);
        assert_eq!(load(&[]).await, []);
    }

    async fn nothing_begins_in_an_organization_that_was_deleted(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let session = create(&store, acme, owner, NOW).await;
        store.delete_organization(&system(), acme, NOW).await.unwrap();
        let tail = domain::ids::random_tail(bytes());
        let created = store.create_device_session(&user(acme), owner, NOW, tail).await;
        assert!(matches!(created, Err(Error::Refused(Refusal::NotAMember))), "{created:?}");
        let asked = change(&store, session.clone(), request().1, NOW).await;
        assert!(matches!(asked, Err(Error::Refused(Refusal::NotAMember))), "{asked:?}");
        let end = DeviceCommand::End { reason: EndReason::OrganizationDeleted, evidence: String::new() };
        change(&store, session, end, NOW).await.unwrap();
    }

    async fn a_restart_in_a_long_run_of_taken_times_goes_on_after_it(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        join_all((0..200).map(|_| create(&store, acme, owner, NOW))).await;
        // A later time, after a free microsecond, is not part of the run.
        create(&store, acme, owner, NOW + Span(201)).await;
        let again = Store::new(db.open_again().await);
        let back = create(&again, acme, owner, NOW + Span(50)).await.id.creation_time().0 - NOW.0;
        assert_eq!(back, 200);
        let next = create(&again, acme, owner, NOW).await.id.creation_time().0 - NOW.0;
        assert_eq!(next, 202);
    }
}
