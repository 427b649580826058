//! Agents and their sessions in the store.

use crate::agents::world::{act, claim, create, finish, given, message, moment, report, texts};
use crate::world::{NOW, bytes, organization, system, user, viewer};
use domain::agent::{
    Agent, AgentCommand, AgentSession, Attachment, EventKind, EventQuery, MessageSource, TurnItem, decide,
};
use domain::ids::{AgentId, FileId, OrganizationId, SessionId, random_tail};
use domain::page::ListSlice;
use domain::refusal::{Refusal, Thing};
use domain::session::{FeedChange, SessionKind};
use domain::time::{Micros, Span};
use futures_util::future::join_all;
use serde_json::json;
use store::access::ViewSessions;
use store::{Error, FileKind, LoadedAgentSession, NewAgentSession, NewFile, SealedSecret, Store, Topic};

fn agent(organization: OrganizationId, name: &str, at: Micros) -> Agent {
    Agent {
        organization,
        id: AgentId::new(at, bytes()),
        name: name.into(),
        display_name: Some(format!("The {name}")),
        description: Some("Writes 100% of TESTS".into()),
        system_prompt: "be brief".into(),
        model: Some("large".into()),
        tags: vec!["a".into()],
        capabilities: json!([{ "ref": "x", "config": { "deep": [1, null] } }]).into(),
        created: at,
        updated: at,
    }
}

fn not_found<T: std::fmt::Debug>(outcome: Result<T, Error>, thing: Thing) {
    assert!(
        matches!(&outcome, Err(Error::Refused(Refusal::NotFound(what))) if *what == thing),
        "{outcome:?}"
    );
}

fn exists<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(&outcome, Err(Error::Refused(Refusal::Exists(_)))), "{outcome:?}");
}

both! {
    async fn agents_are_kept_found_and_deleted(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let old = agent(acme, "writer", NOW);
        let new = agent(acme, "tester", NOW + Span(1));
        store.create_agent(&user(acme), &old).await.unwrap();
        store.create_agent(&user(acme), &new).await.unwrap();
        store.create_agent(&user(globex), &agent(globex, "writer", NOW)).await.unwrap();
        exists(store.create_agent(&user(acme), &agent(acme, "writer", NOW)).await);
        assert_eq!(store.load_agent(&viewer(acme), old.id).await.unwrap(), old);
        assert_eq!(store.load_agent_by_name(&viewer(acme), "tester").await.unwrap(), new);
        not_found(store.load_agent(&viewer(globex), old.id).await, Thing::Agent);
        let all = store.list_agents(&viewer(acme), None, 0, 1).await.unwrap();
        assert_eq!(all, ListSlice { items: vec![new.clone()], total: 2, more: true });
        for (search, count) in [("WRITER", 1), ("the ", 2), ("100% of tests", 2), ("1%0", 0), ("_", 0), ("\\", 0)] {
            let found = store.list_agents(&viewer(acme), Some(search), 0, 10).await.unwrap();
            assert_eq!((found.total, found.items.len()), (count, count as usize), "{search}");
        }
        // A change of an outdated session is refused, even when the clock stands still.
        let renamed = Agent { name: "author".into(), ..old.clone() };
        let kept = store.update_agent(&user(acme), &old, &renamed).await.unwrap();
        assert_eq!(store.load_agent(&viewer(acme), old.id).await.unwrap(), kept);
        assert!(matches!(store.update_agent(&user(acme), &old, &renamed).await, Err(Error::Stale)));
        let taken = Agent { name: "tester".into(), ..kept.clone() };
        exists(store.update_agent(&user(acme), &kept, &taken).await);
        store.delete_agent(&user(acme), new.id, NOW).await.unwrap();
        not_found(store.delete_agent(&user(acme), new.id, NOW).await, Thing::Agent);
        store.update_agent(&user(acme), &kept, &taken).await.unwrap();
    }

    async fn fields_that_a_newer_server_stored_survive_a_change_of_an_agent(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let old = agent(acme, "writer", NOW);
        store.create_agent(&user(acme), &old).await.unwrap();
        let newer = "UPDATE agents SET body = '{\"x\":[1.50,1e400],' || SUBSTR(body, 2)";
        store::testing::raw(&db.url, newer).await.unwrap();
        let renamed = Agent { name: "author".into(), tags: vec!["new".into()], ..old.clone() };
        let changed = store.update_agent(&user(acme), &old, &renamed).await.unwrap();
        assert_eq!(store.load_agent(&viewer(acme), old.id).await.unwrap(), changed);
        let kept = "DELETE FROM agents WHERE body LIKE '{%\"x\":[1.50,1e400]%' AND body LIKE '%\"tags\":[\"new\"]%'";
        store::testing::raw(&db.url, kept).await.unwrap();
        not_found(store.load_agent(&viewer(acme), old.id).await, Thing::Agent);
    }

    async fn every_organization_gets_one_default_agent(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let made = join_all((0..8).map(|_| async {
            let granted = user(acme);
            store.ensure_default_agent(&granted, AgentId::new(NOW, bytes()), NOW).await.unwrap()
        })).await;
        assert!(made.iter().all(|agent| agent == &made[0]));
        assert_eq!(store.list_agents(&viewer(acme), None, 0, 10).await.unwrap().total, 1);
    }

    async fn an_agent_session_is_written_and_read_back(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let mut new = given(owner);
        new.tags = vec!["a".into(), "b".into()];
        new.repos = vec!["o/r".into(), "o/r".into()];
        let mut session = create(&store, acme, new, Some("do it"), NOW).await;
        assert_eq!((session.revision, session.messages()), (1, 1));
        let steps: [&dyn Fn(&AgentSession) -> AgentCommand; 7] = [
            &|_| claim(),
            &|session| report(session, vec![TurnItem::Output("ye".into()), TurnItem::Output("s\0".into())]),
            &|_| AgentCommand::Post(message(owner, "and more")),
            &|session| finish(session, "yes\0"),
            &|_| AgentCommand::SetTags(vec!["b".into(), "c".into()]),
            &|_| AgentCommand::SetTitle(Some("Done".into())),
            &|_| AgentCommand::Archive,
        ];
        for (number, step) in (1..).zip(steps) {
            session = act(&store, &session, step(&session), NOW + Span::seconds(number)).await.unwrap();
            assert_eq!(store.load_agent_session(&viewer(acme), session.id).await.unwrap(), session, "step {number}");
            let account = store.find_agent_session(&system().grant_account(), session.id).await.unwrap();
            assert_eq!(account, session);
        }
        assert_eq!(session.revision, 8);
        let said = store.list_messages(&viewer(acme), session.id, 0, 2).await.unwrap();
        assert_eq!((texts(&said.items), said.total, said.more), (vec!["do it", "and more"], 3, true));
        let said = store.list_messages(&viewer(acme), session.id, 2, 9).await.unwrap();
        assert_eq!((texts(&said.items), said.total, said.more), (vec!["yes\0"], 3, false));
        assert_eq!(said.items[0].source, MessageSource::Agent);
        assert_eq!(store.load_message(&user(acme), session.id, 3).await.unwrap(), said.items[0]);
        // Another organization does not find it, and a wrong tail is another session.
        let other = SessionId::new(session.id.creation_time(), session.id.tail() ^ 1);
        for (organization, id) in [(globex, session.id), (acme, other)] {
            let viewer = viewer(organization);
            not_found(store.load_agent_session(&viewer, id).await, Thing::Session);
            not_found(store.list_messages(&viewer, id, 0, 9).await, Thing::Session);
            not_found(store.load_message(&viewer, id, 1).await, Thing::Session);
            not_found(store.list_events(&viewer, id, &EventQuery::new(0, 9)).await, Thing::Session);
            not_found(store.load_streamed_output(&viewer, id, 0, 9).await, Thing::Session);
            not_found(store.list_session_attachments(&viewer, id).await, Thing::Session);
            not_found(store.pin_session(&viewer, id).await, Thing::Session);
            assert_eq!(store.load_event(&viewer, id, 1).await.unwrap(), None);
            assert!(store.list_session_secrets(&viewer, id).await.unwrap().is_empty());
        }
        not_found(store.find_agent_session(&system().grant_account(), other).await, Thing::Session);
    }

    async fn a_change_of_an_outdated_session_is_stale_and_writes_nothing(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let old = create(&store, acme, given(owner), Some("one"), NOW).await;
        let new = act(&store, &old, AgentCommand::Post(message(owner, "two")), NOW).await.unwrap();
        let late = act(&store, &old, AgentCommand::Post(message(owner, "lost")), NOW).await;
        assert!(matches!(late, Err(Error::Stale)), "{late:?}");
        assert!(matches!(store.delete_agent_session(&user(acme), &old, NOW).await, Err(Error::Stale)));
        assert_eq!(store.load_agent_session(&viewer(acme), old.id).await.unwrap(), new);
        assert_eq!(texts(&store.list_messages(&viewer(acme), old.id, 0, 9).await.unwrap().items), ["one", "two"]);
        // Sixteen changes of one session race: all are applied, one after the other.
        let id = old.id;
        let posts = (0..16).map(|number| {
            let store = &store;
            async move {
                loop {
                    let session = store.load_agent_session(&viewer(acme), id).await.unwrap();
                    let post = AgentCommand::Post(message(owner, &number.to_string()));
                    match act(store, &session, post, NOW).await {
                        Err(Error::Stale) => {}
                        outcome => break drop(outcome.unwrap()),
                    }
                }
            }
        });
        join_all(posts).await;
        let said = store.list_messages(&viewer(acme), old.id, 0, 99).await.unwrap();
        assert_eq!((said.items.len(), said.total), (18, 18));
        assert!((1..).zip(&said.items).all(|(place, message)| message.sequence == place));
    }

    async fn events_come_by_place_kind_and_turn(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let session = create(&store, acme, given(owner), Some("go"), NOW).await;
        let session = act(&store, &session, claim(), NOW).await.unwrap();
        let items = ["a", "b", "c"].map(|text| TurnItem::Output(text.into())).to_vec();
        let session = act(&store, &session, report(&session, items), NOW).await.unwrap();
        let session = act(&store, &session, finish(&session, "abc"), NOW).await.unwrap();
        let all = EventQuery::new(0, 1_000);
        let events = store.list_events(&viewer(acme), session.id, &all).await.unwrap();
        assert_eq!((events.total, events.more), (session.events as u64, false));
        let events = events.items;
        assert!((1..).zip(&events).all(|(place, event)| event.sequence == place && event.session == session.id));
        assert_eq!(events.len() as i64, session.events);
        let turn = session.turn.as_ref().unwrap().id;
        let deltas = vec![EventKind::OutputDelta, EventKind::TurnCompleted];
        for query in [
            EventQuery { after: 2, limit: 2, ..all.clone() },
            EventQuery { before: Some(4), newest_first: true, limit: 2, ..all.clone() },
            EventQuery { kinds: Some(deltas.clone()), ..all.clone() },
            EventQuery { kinds: Some(vec![]), ..all.clone() },
            EventQuery { exclude: deltas.clone(), newest_first: true, limit: 3, ..all.clone() },
            EventQuery { turn: Some(turn), limit: 1, ..all.clone() },
            EventQuery { kinds: Some(deltas.clone()), exclude: deltas, turn: Some(turn), ..all.clone() },
        ] {
            let mut expected = events.iter().filter(|event| query.matches(event)).cloned().collect::<Vec<_>>();
            if query.newest_first {
                expected.reverse();
            }
            let anywhere = EventQuery { after: 0, before: None, ..query.clone() };
            let total = events.iter().filter(|event| anywhere.matches(event)).count() as u64;
            let more = expected.len() > query.limit as usize;
            expected.truncate(query.limit as usize);
            let found = store.list_events(&viewer(acme), session.id, &query).await.unwrap();
            assert_eq!(found, ListSlice { items: expected, total, more }, "{query:?}");
        }
        let streamed = store.load_streamed_output(&user(acme), session.id, 1, session.events).await.unwrap();
        let streams = |event: &&domain::agent::Event| event.kind == EventKind::OutputDelta;
        assert_eq!(streamed, events.iter().filter(streams).cloned().collect::<Vec<_>>());
        assert!(!streamed.is_empty());
        assert_eq!(store.load_event(&viewer(acme), session.id, 2).await.unwrap(), Some(events[1].id));
        assert_eq!(store.load_event(&viewer(acme), session.id, 999).await.unwrap(), None);
    }

    async fn fields_that_a_newer_server_stored_survive_a_change(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let session = create(&store, acme, given(owner), Some("go"), NOW).await;
        let session = act(&store, &session, claim(), NOW).await.unwrap();
        let newer = "UPDATE agent_bodies SET body = REPLACE(REPLACE(REPLACE(body,
            '{\"version\":1,', '{\"version\":9,\"x\":[1.50,1e400],'), '\"given\":{', '\"given\":{\"y\":null,'),
            '\"turn\":{', '\"turn\":{\"z\":{},')";
        store::testing::raw(&db.url, newer).await.unwrap();
        let loaded = store.load_agent_session(&viewer(acme), session.id).await.unwrap();
        assert_eq!(*loaded, *session);
        let renamed = act(&store, &loaded, AgentCommand::SetTitle(Some("t".into())), NOW).await.unwrap();
        act(&store, &renamed, AgentCommand::Post(message(owner, "more")), NOW).await.unwrap();
        let changed = store.load_agent_session(&viewer(acme), session.id).await.unwrap();
        assert_eq!((changed.given.title.as_deref(), changed.messages()), (Some("t"), 2));
        let kept = "DELETE FROM agent_bodies WHERE body LIKE '%\"version\":9%' AND body LIKE '%\"x\":[1.50,1e400]%'
            AND body LIKE '%\"y\":null%' AND body LIKE '%\"z\":{}%'";
        store::testing::raw(&db.url, kept).await.unwrap();
        not_found(store.load_agent_session(&viewer(acme), session.id).await, Thing::Session);
    }

    async fn a_child_and_its_parent_change_together(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let parent = create(&store, acme, given(owner), None, NOW).await;
        let granted = user(acme);
        let birth = |parent: LoadedAgentSession| {
            let granted = &granted;
            move |id: SessionId| {
                let mut new = given(owner);
                new.parent = Some(parent.id);
                let session = AgentSession::new(acme, id, new);
                let changes = decide(&session, granted.actor(), AgentCommand::Start, &moment(NOW))?;
                let of_parent = decide(&parent, granted.actor(), AgentCommand::AddChild(id), &moment(NOW))?;
                let secret = SealedSecret { key: "TOKEN".into(), ciphertext: vec![0, 1, 255], sensitive: true };
                Ok(NewAgentSession { session, changes, parent: Some((parent.clone(), of_parent)), secrets: vec![secret] })
            }
        };
        let tail = || random_tail(bytes());
        let child = store.create_agent_session(&granted, NOW, tail(), birth(parent.clone())).await.unwrap();
        let known = store.load_agent_session(&viewer(acme), parent.id).await.unwrap();
        assert_eq!((known.children.clone(), known.revision), (vec![child.id], 2));
        let stale = store.create_agent_session(&granted, NOW, tail(), birth(parent)).await;
        assert!(matches!(stale, Err(Error::Stale)), "{stale:?}");
        let all = store.list_session_revisions(&viewer(acme), SessionKind::Agent, 10).await.unwrap();
        assert_eq!(all, [(known.id, 2), (child.id, child.revision)], "the second left nothing behind");
        let secrets = store.list_session_secrets(&user(acme), child.id).await.unwrap();
        assert_eq!(secrets, [SealedSecret { key: "TOKEN".into(), ciphertext: vec![0, 1, 255], sensitive: true }]);
        let (place, sealed) = store.list_all_secrets(&system(), None, 9).await.unwrap().remove(0);
        assert_eq!(sealed, secrets[0]);
        assert!(store.list_all_secrets(&system(), Some(&place), 9).await.unwrap().is_empty());
        store.replace_secret(&system(), &place, &[0, 1, 255], &[7]).await.unwrap();
        let again = store.replace_secret(&system(), &place, &[0, 1, 255], &[8]).await;
        assert!(matches!(again, Err(Error::Stale)), "{again:?}");
        assert_eq!(store.list_session_secrets(&user(acme), child.id).await.unwrap()[0].ciphertext, [7]);
    }

    async fn no_two_agent_sessions_share_a_time(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let again = Store::new(db.open_again().await);
        let made = join_all((0..40).map(|number| {
            create(if number % 2 == 0 { &store } else { &again }, acme, given(owner), Some("x"), NOW)
        })).await;
        let mut times = made.iter().map(|session| session.id.creation_time()).collect::<Vec<_>>();
        times.sort();
        times.dedup();
        assert_eq!(times.len(), 40);
    }

    async fn nothing_is_created_in_a_deleted_organization(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        store.delete_organization(&system(), acme, NOW).await.unwrap();
        let refused = |outcome: Error| matches!(outcome, Error::Refused(Refusal::NotAMember));
        assert!(refused(store.create_agent(&user(acme), &agent(acme, "x", NOW)).await.unwrap_err()));
        let birth = |id| {
            let session = AgentSession::new(acme, id, given(owner));
            Ok(NewAgentSession { session, changes: vec![], parent: None, secrets: vec![] })
        };
        assert!(refused(store.create_agent_session(&user(acme), NOW, 1, birth).await.unwrap_err()));
    }

    async fn the_feed_has_agent_sessions_and_their_streamed_output(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let session = create(&store, acme, given(owner), Some("go"), NOW).await;
        let session = act(&store, &session, claim(), NOW).await.unwrap();
        let session = act(&store, &session, report(&session, vec![TurnItem::Output("a".into())]), NOW).await.unwrap();
        let before = store.list_changes(&viewer(acme), 0, 99).await.unwrap().latest;
        let topic = |session: &AgentSession| Topic::Agent { organization: acme.0, created_us: session.id.creation_time().0 };
        let mut news = db.watch([topic(&session)]);
        let session = act(&store, &session, report(&session, vec![TurnItem::Output("b".into())]), NOW).await.unwrap();
        assert!(news.wait_for_commit().await, "who follows the session is woken");
        assert_eq!(store.list_changes(&viewer(acme), 0, 99).await.unwrap().latest, before + 1);
        let session = act(&store, &session, finish(&session, "ab"), NOW).await.unwrap();
        store.delete_agent_session(&user(acme), &session, NOW).await.unwrap();
        let lines = store.list_changes(&viewer(acme), 0, 99).await.unwrap().entries;
        assert!((1..).zip(&lines).all(|(place, line)| line.sequence == place));
        assert!(lines.iter().all(|line| line.session.kind == SessionKind::Agent && line.session.id == session.id));
        assert_eq!(lines[0].change, FeedChange::Created);
        assert_eq!(lines.last().map(|line| (line.change, line.revision)), Some((FeedChange::Deleted, session.revision + 1)));
        assert!(lines.is_sorted_by_key(|line| line.revision));
        assert!(store.list_session_revisions(&viewer(acme), SessionKind::Agent, 9).await.unwrap().is_empty());
    }

    async fn a_deleted_session_disappears_and_its_rows_are_removed_in_steps(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let file = FileId::new(NOW, bytes());
        let new = NewFile {
            id: file,
            principal: owner,
            kind: FileKind::Attachment,
            name: "a.txt".into(),
            size: 3,
            token_hash: [7; 32],
            created: NOW,
            expires: Micros::MAX,
        };
        store.announce_file(&user(acme), &new, 1 << 20).await.unwrap();
        let mut wanted = given(owner);
        wanted.tags = vec!["t".into()];
        let session = create(&store, acme, wanted, Some("one"), NOW).await;
        let mut second = message(owner, "two");
        let name = "a.txt".to_owned();
        second.attachments =
            vec![Attachment { id: Some(file), name, url: "https://x/a.txt".into(), content_type: None, size: None }];
        let mut session = act(&store, &session, AgentCommand::Post(second.clone()), NOW).await.unwrap();
        for number in 0..5 {
            session = act(&store, &session, AgentCommand::Post(message(owner, &number.to_string())), NOW).await.unwrap();
        }
        let attached = store.list_session_attachments(&viewer(acme), session.id).await.unwrap();
        assert_eq!(attached, [(MessageSource::User, second.attachments[0].clone(), NOW)]);
        store.pin_session(&viewer(acme), session.id).await.unwrap();
        store.delete_agent_session(&user(acme), &session, NOW).await.unwrap();
        not_found(store.load_agent_session(&viewer(acme), session.id).await, Thing::Session);
        not_found(store.list_messages(&viewer(acme), session.id, 0, 9).await, Thing::Session);
        assert!(store.list_pinned_sessions(&viewer(acme)).await.unwrap().is_empty());
        assert_eq!(store.list_session_revisions(&viewer(acme), SessionKind::Agent, 9).await.unwrap(), []);
        // No session takes its time while some of its rows are left.
        let other = Store::new(db.open_again().await);
        assert_eq!(create(&other, acme, given(owner), None, NOW).await.id.creation_time(), NOW + Span(1));
        let mut rounds = 0;
        while store.purge_agents(&system(), 2, NOW).await.unwrap() {
            rounds += 1;
            assert!(rounds < 50, "it ends");
        }
        assert!(rounds > 3, "bit by bit: {rounds}");
        assert_eq!(store.list_expired_files(&system(), NOW).await.unwrap()[0].id, file);
        let left = "SELECT (SELECT COUNT(*) FROM messages WHERE session_us = $1)
                         + (SELECT COUNT(*) FROM pins WHERE session_us = $1)";
        assert_eq!(db.read(left, vec![NOW.0.into()]).await.unwrap().read_one(store::database::Columns::int).unwrap(), 0);
    }

    async fn pins_belong_to_one_caller(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (_, secret) = crate::world::key(&store, owner, Some(acme), None).await;
        let caller = store.authenticate_key(&secret.hash(), store::OrganizationChoice::ByDefault, NOW).await.unwrap();
        let mine = caller.authorize::<ViewSessions>().unwrap();
        create(&store, acme, given(owner), None, NOW).await;
        let two = create(&store, acme, given(owner), None, NOW).await.id;
        for _ in 0..2 {
            store.pin_session(&mine, two).await.unwrap();
        }
        assert_eq!(store.list_pinned_sessions(&mine).await.unwrap(), [two].into());
        assert!(store.list_pinned_sessions(&viewer(acme)).await.unwrap().is_empty());
        for _ in 0..2 {
            store.unpin_session(&mine, two).await.unwrap();
        }
        assert!(store.list_pinned_sessions(&mine).await.unwrap().is_empty());
    }
}
