//! Effects of time: due holds, requests and sessions, and old entries of the feed.

use crate::world::{
    NOW, bytes, change, create, grant, organization, pool, principal, release, request, system, viewer,
};
use domain::device::{DeviceCommand, DeviceSession};
use domain::ids::{HoldId, SessionId};
use domain::principal::PrincipalState;
use domain::refusal::Refusal;
use domain::session::EndReason;
use domain::time::{Micros, Span};
use store::{DueHold, Error, Store, SweepWork};

const LATER: Micros = Micros(NOW.0 + 1_000_000);

fn due_hold(session: &DeviceSession, hold: HoldId, last: Micros) -> DueHold {
    DueHold { session: crate::world::key_of(session), hold, last }
}

both! {
    async fn only_holds_last_used_before_the_cutoff_are_due(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (_, devices) = pool(&store, 1).await;
        let (held, ask) = request();
        let session = create(&store, acme, owner, NOW).await;
        let using = change(&store, session, ask, NOW).await.unwrap();
        let using = change(&store, using, grant(held, devices[0], 1), NOW).await.unwrap();
        let (asked, ask) = request();
        let session = create(&store, acme, owner, NOW).await;
        let waiting = change(&store, session, ask, NOW).await.unwrap();
        let empty = create(&store, acme, owner, NOW).await;

        let due = async |cutoff| store.list_due(&system(), cutoff, cutoff, cutoff).await.unwrap();
        assert_eq!(due(NOW).await, SweepWork::default(), "what was used at the cutoff itself is not due");
        let all = SweepWork {
            idle: vec![due_hold(&using, held, NOW)],
            expired: vec![due_hold(&waiting, asked, NOW)],
            empty: vec![(crate::world::key_of(&empty), empty.activity)],
            ..SweepWork::default()
        };
        assert_eq!(due(LATER).await, all);

        // A use extends it, does not change the revision, and does not go back.
        store.record_hold_use(&system(), crate::world::key_of(&using), held, LATER).await.unwrap();
        store.record_hold_use(&system(), crate::world::key_of(&using), held, NOW).await.unwrap();
        assert_eq!(due(LATER).await.idle, []);
        let known = store.load_device_session(&viewer(acme), using.id).await.unwrap();
        assert_eq!((known.revision, known.holds[0].activity), (using.revision, LATER));

        change(&store, known, release(held), LATER).await.unwrap();
        change(&store, waiting, release(asked), LATER).await.unwrap();
        let end = DeviceCommand::End { reason: EndReason::Idle, evidence: String::new() };
        change(&store, empty, end, LATER).await.unwrap();
        assert_eq!(due(LATER).await, SweepWork::default(), "what is over is not due");
        assert_eq!(due(LATER + Span(1)).await.empty.len(), 2, "sessions that hold nothing any more are");
    }

    async fn sessions_of_owners_who_may_not_act_are_due_at_once(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let due = async || store.list_due(&system(), Micros(0), Micros(0), Micros(0)).await.unwrap();
        let (acme, left) = organization(&store).await;
        let (globex, suspended) = organization(&store).await;
        let (initech, member) = organization(&store).await;
        let account = principal(&store, Some(domain::permission::AccountRole::Admin)).await;
        let mut keys = Vec::new();
        for (organization, owner) in [(acme, left), (globex, suspended), (initech, member), (acme, account.id)] {
            keys.push(crate::world::key_of(&create(&store, organization, owner, NOW).await));
        }
        assert_eq!(due().await, SweepWork::default());
        store.remove_member(&system().grant(acme), left, NOW).await.unwrap();
        store.set_principal_state(&system(), suspended, PrincipalState::Suspended, NOW).await.unwrap();
        let mut ownerless = due().await.ownerless;
        ownerless.sort_by_key(|session| session.organization);
        assert_eq!(ownerless, keys[..2]);
        store.delete_organization(&system(), initech, NOW).await.unwrap();
        assert_eq!(due().await.orphaned, keys[2..3]);
    }

    async fn a_reader_behind_the_pruned_entries_must_begin_again(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        for second in 0..10 {
            create(&store, acme, owner, NOW + Span::seconds(second)).await;
        }
        let sequences = async |after| {
            let feed = store.list_changes(&viewer(acme), after, 100).await;
            feed.map(|feed| feed.entries.iter().map(|line| line.sequence).collect::<Vec<_>>())
        };
        store.prune_changes(&system(), NOW).await.unwrap();
        assert_eq!(sequences(0).await.unwrap().len(), 10, "nothing is old yet");
        store.prune_changes(&system(), NOW + Span::seconds(4)).await.unwrap();
        assert_eq!(sequences(4).await.unwrap(), [5, 6, 7, 8, 9, 10]);
        let resync = |outcome: Result<_, Error>| match outcome {
            Err(Error::Refused(Refusal::Resync { pruned, latest })) => (pruned, latest),
            other => panic!("{other:?}"),
        };
        assert_eq!(resync(sequences(3).await), (4, 10));
        assert_eq!(resync(sequences(11).await), (4, 10), "a position of another database");
        store.prune_changes(&system(), NOW + Span::minutes(60)).await.unwrap();
        assert_eq!(sequences(10).await.unwrap(), [0_i64; 0]);
        assert_eq!(resync(sequences(9).await), (10, 10));
        create(&store, acme, owner, NOW + Span::minutes(60)).await;
        assert_eq!(sequences(10).await.unwrap(), [11], "the sequence goes on");
        assert_eq!(store.list_changes(&viewer(globex), 0, 10).await.unwrap().latest, 0);
    }

    async fn an_import_of_old_entries_does_not_prune_young_ones(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let old = NOW - Span::minutes(60 * 24 * 30);
        create(&store, acme, owner, NOW - Span::seconds(20)).await;
        create(&store, acme, owner, NOW).await;
        let past = DeviceSession::new(acme, SessionId::new(old, domain::ids::random_tail(bytes())), owner);
        store.import_device_session(&system(), past).await.unwrap();
        store.prune_changes(&system(), NOW - Span::seconds(10)).await.unwrap();
        let feed = store.list_changes(&viewer(acme), 1, 10).await.unwrap();
        let sequences = feed.entries.iter().map(|line| line.sequence).collect::<Vec<_>>();
        assert_eq!(sequences, [2, 3]);
    }
}
