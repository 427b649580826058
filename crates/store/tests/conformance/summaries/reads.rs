//! Reading summaries. `feed.rs` compares them with the sessions after every kind of change.

use super::world::{KINDS, check_all, list_all};
use crate::agents::world::{act, claim, create as create_agent, finish, given, report, spent};
use crate::logins::sessions::opened;
use crate::world::{NOW, change, create, grant, organization, pool, release, request, system, user};
use domain::agent::{AgentCommand, AgentState};
use domain::device::DeviceCommand;
use domain::ids::{OrganizationId, SessionId};
use domain::session::{
    DeviceState, EndReason, KindSummary, LoginState, SessionKey, SessionKind, SessionState, Summary,
};
use domain::time::Span;
use store::Store;
use store::testing::raw;

async fn load_one(store: &Store, key: SessionKey) -> Summary {
    store.load_summaries(&system(), &[key]).await.unwrap().remove(0).unwrap()
}

both! {
    async fn every_property_of_an_agent_session_is_in_its_summary(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (organization, owner) = organization(&store).await;
        let parent = create_agent(&store, organization, given(owner), None, NOW).await;
        let mut properties = given(owner);
        properties.title = Some("A title".into());
        properties.tags = vec!["a \"b\"".into(), "ü".into()];
        properties.model = Some("large\0".into());
        properties.category = Some("other".into());
        properties.playbook = Some("playbook".into());
        properties.schedule = Some("schedule".into());
        properties.automation = Some("automation".into());
        properties.repos = vec!["owner/repo".into()];
        properties.parent = Some(parent.id);
        let mut session = create_agent(&store, organization, properties, Some("go"), NOW).await;
        let key = session.summary().key;
        assert_eq!(load_one(&store, key).await, session.summary());
        let commands: [fn(&domain::agent::AgentSession) -> AgentCommand; 8] = [
            |_| AgentCommand::SetTitle(None),
            |_| AgentCommand::SetTags(vec!["c".into()]),
            |_| claim(),
            |session| report(session, vec![spent(3)]),
            |session| finish(session, "done"),
            |_| AgentCommand::Archive,
            |_| AgentCommand::Unarchive,
            |_| AgentCommand::End { reason: EndReason::Released, evidence: "test".into() },
        ];
        for (number, command) in commands.into_iter().enumerate() {
            let now = NOW + Span::seconds(1 + number as i64);
            session = act(&store, &session, command(&session), now).await.unwrap();
            assert_eq!(load_one(&store, key).await, session.summary(), "command {number}");
        }
        let summary = load_one(&store, key).await;
        assert_eq!(summary.state, SessionState::Agent(AgentState::Exit));
        assert_eq!(summary.ended, Some((NOW + Span::seconds(8), EndReason::Released)));
        let KindSummary::Agent(agent) = summary.of_kind else { panic!("an agent session") };
        assert_eq!((agent.usage.acus.0, agent.usage.input_tokens, agent.usage.output_tokens), (3_000_000, 10, 5));
        assert_eq!((agent.parent, agent.tags, agent.titled), (Some(parent.id), vec!["c".into()], false));
        check_all(&store).await;
    }

    async fn an_older_server_that_writes_no_labels_changes_the_summary(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (organization, owner) = organization(&store).await;
        let session = create_agent(&store, organization, given(owner), None, NOW).await;
        let tagged = act(&store, &session, AgentCommand::SetTags(vec!["new".into()]), NOW).await.unwrap();
        let old_labels = r#"UPDATE agent_sessions SET labels = '{"version":1,"revision":1,"tags":["old"]}'"#;
        for labels in [old_labels, "UPDATE agent_sessions SET labels = '{}'"] {
            raw(&db.url, labels).await.unwrap();
            assert_eq!(load_one(&store, tagged.summary().key).await, tagged.summary());
            assert_eq!(list_all(&store, SessionKind::Agent, 10).await, [tagged.summary()]);
        }
    }

    async fn the_state_of_a_device_session_follows_its_holds(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, devices) = pool(&store, 1).await;
        let (organization, owner) = organization(&store).await;
        let session = create(&store, organization, owner, NOW).await;
        let key = session.summary(None).key;
        let check = async |expected: DeviceState, device, platform: Option<&str>| {
            let summary = load_one(&store, key).await;
            assert_eq!(summary.state, SessionState::Device(expected));
            let KindSummary::Device(held) = summary.of_kind else { panic!("a device session") };
            assert_eq!((held.device, held.platform.as_deref()), (device, platform));
            check_all(&store).await;
        };
        check(DeviceState::Empty, None, None).await;
        let (first, ask) = request();
        let session = change(&store, session, ask, NOW).await.unwrap();
        check(DeviceState::Queued, None, Some("android")).await;
        let session = change(&store, session, grant(first, devices[0], 1), NOW).await.unwrap();
        check(DeviceState::Holding, Some(devices[0]), Some("android")).await;
        let (second, ask) = request();
        let session = change(&store, session, ask, NOW).await.unwrap();
        // The newest hold waits, an older one has its device still.
        check(DeviceState::Holding, None, Some("android")).await;
        let session = change(&store, session, release(second), NOW).await.unwrap();
        check(DeviceState::Holding, None, Some("android")).await;
        let session = change(&store, session, release(first), NOW).await.unwrap();
        check(DeviceState::Empty, None, Some("android")).await;
        let end = DeviceCommand::End { reason: EndReason::Idle, evidence: "test".into() };
        change(&store, session, end, NOW + Span::minutes(1)).await.unwrap();
        check(DeviceState::Ended, None, Some("android")).await;
        assert_eq!(load_one(&store, key).await.updated, NOW + Span::minutes(1));
    }

    async fn pages_follow_one_another(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let organizations = [organization(&store).await, organization(&store).await];
        let (link, _) = pool(&store, 1).await;
        let mut waiting = Vec::new();
        for (organization, owner) in organizations {
            for number in 0..3 {
                let at = NOW + Span::seconds(number % 2);
                let session = create(&store, organization, owner, at).await;
                // Two open holds are two rows.
                let session = change(&store, session, request().1, at).await.unwrap();
                waiting.push(change(&store, session, request().1, at).await.unwrap());
                create_agent(&store, organization, given(owner), None, at).await;
            }
            opened(&store, owner).await;
        }
        // A session that is imported into two organizations has the same id in both.
        for (organization, owner) in organizations {
            let id = SessionId::new(NOW - Span::minutes(9), 5);
            let session = domain::device::DeviceSession::new(organization, id, owner);
            store.import_device_session(&system(), session).await.unwrap();
        }
        assert_eq!(check_all(&store).await.len(), 6 + 6 + 2 + 2);
        for kind in KINDS {
            let whole = list_all(&store, kind, 100).await;
            assert!(whole.is_sorted_by_key(|summary| (summary.key.id, summary.key.organization)));
            for limit in [1, 2, 3, 5] {
                assert_eq!(list_all(&store, kind, limit).await, whole, "{kind:?} by {limit}");
            }
        }
        drop(link);
    }

    async fn a_session_that_does_not_exist_has_no_summary(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (organization, owner) = organization(&store).await;
        let session = create_agent(&store, organization, given(owner), None, NOW).await;
        let login = opened(&store, owner).await;
        let key = session.summary().key;
        let others = [
            SessionKey { id: SessionId::new(NOW, key.id.tail() + 1), ..key },
            SessionKey { organization: OrganizationId::PEOPLE, ..key },
            SessionKey { kind: SessionKind::Device, ..key },
            SessionKey { kind: SessionKind::Login, ..key },
            SessionKey { organization, kind: SessionKind::Login, id: login },
        ];
        let loaded = store.load_summaries(&system(), &others).await.unwrap();
        assert_eq!(loaded, [None, None, None, None, None]);
        let login = SessionKey { organization: OrganizationId::PEOPLE, kind: SessionKind::Login, id: login };
        let mut many = vec![others[0]; 2_500];
        many[1_234] = key;
        many[2_345] = login;
        let loaded = store.load_summaries(&system(), &many).await.unwrap();
        let found = loaded.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref()?.state)));
        let expected = [
            (1_234, SessionState::Agent(session.state)),
            (2_345, SessionState::Login(LoginState::Open)),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(store.load_summaries(&system(), &[]).await.unwrap(), []);
        let again = create_agent(&store, organization, given(owner), None, NOW).await;
        store.delete_agent_session(&user(organization), &again, NOW).await.unwrap();
        assert_eq!(store.load_summaries(&system(), &[again.summary().key]).await.unwrap(), [None]);
    }
}
