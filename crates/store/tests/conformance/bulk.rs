//! Rows that are written in bulk are those of imports.

use crate::world::{NOW, bytes, organization, system, viewer};
use domain::agent::{AgentSession, NewSession};
use domain::credential::SecretHash;
use domain::device::{DeviceProfile, DeviceSession, HeldDevice, Hold};
use domain::ids::{AgentId, DeviceId, HoldId, OrganizationId, PrincipalId, SessionId};
use domain::json::Json;
use domain::login::{Login, Method, Origin};
use domain::principal::PrincipalKind;
use domain::session::{EndReason, Ending, SessionKind};
use domain::time::{Micros, Span};
use store::testing::bulk::{Bulk, PastSession};
use store::{NewAgentSession, Store};

fn at(second: i64) -> Micros {
    NOW + Span::seconds(second)
}

fn id(second: i64) -> SessionId {
    SessionId::new(at(second), 77 + second as u64)
}

fn ending(reason: EndReason) -> Ending {
    Ending { reason, actor: None, evidence: "some evidence".into() }
}

fn device_session(organization: OrganizationId, owner: PrincipalId, second: i64) -> DeviceSession {
    let mut session = DeviceSession::new(organization, id(second), owner);
    let profile = DeviceProfile {
        platform: "ios".into(),
        kind: "real".into(),
        name: "A phone".into(),
        version: "26".into(),
    };
    session.holds.push(Hold {
        id: HoldId::new(at(second), bytes()),
        principal: owner,
        platform: "ios".into(),
        requested: at(second),
        held: Some(HeldDevice {
            device: DeviceId::new(NOW, bytes()),
            fence: 1,
            handle: "serial".into(),
            profile,
            model: "A15".into(),
        }),
        granted: Some(at(second + 1)),
        activity: at(second + 2),
        ended: Some((at(second + 3), ending(EndReason::Released))),
    });
    session.revision = 4;
    session.ended = Some((at(second + 9), ending(EndReason::Idle)));
    session
}

fn agent_session(organization: OrganizationId, owner: PrincipalId, second: i64) -> NewAgentSession {
    let given = NewSession {
        owner,
        owner_kind: PrincipalKind::User,
        created_by: owner,
        agent: AgentId::new(NOW, [3; 10]),
        agent_name: "default".into(),
        title: Some("A title".into()),
        tags: vec!["one".into(), "two".into()],
        model: Some("large".into()),
        capabilities: Json::encode(&[(); 0]),
        origin: "api".into(),
        category: None,
        subcategory: None,
        playbook: Some("playbook-1".into()),
        schedule: None,
        automation: None,
        repos: vec!["a/b".into()],
        parent: None,
        output_schema: None,
        max_acus: None,
        extra: Json::default(),
    };
    let session = AgentSession::new(organization, id(second), given);
    NewAgentSession { session, changes: Vec::new(), parent: None, secrets: Vec::new() }
}

fn login(owner: PrincipalId, second: i64, ended: bool) -> Login {
    Login {
        id: id(second),
        owner,
        revision: if ended { 2 } else { 1 },
        seen: at(second),
        idle: Span::minutes(60),
        expires: at(second) + Span::minutes(600),
        authenticated: at(second),
        methods: vec![Method::Password, Method::OneTime],
        origin: Origin { remote_ip: None, agent: "a browser".into(), agent_type: "pc".into() },
        credential: None,
        scopes: None,
        ended: ended.then(|| (at(second + 5), ending(EndReason::SignedOut))),
    }
}

both! {
    async fn bulk_rows_are_those_of_imports(database: &TestDatabase) {
        let store = Store::new(database.database.clone());
        let (imported, owner) = organization(&store).await;
        let (bulk, _) = organization(&store).await;
        let devices = [10, 30].map(|second| device_session(imported, owner, second));
        let agents = [20, 40].map(|second| agent_session(imported, owner, second));
        for (device, agent) in devices.iter().zip(&agents) {
            store.import_device_session(&system(), device.clone()).await.unwrap();
            let created = agent.session.id.creation_time();
            store.import_agent_session(&system(), agent, created).await.unwrap();
        }
        store.database().close().await;
        let mut writing = Bulk::begin(&database.url, Micros(0)).await.unwrap();
        for (device, agent) in devices.into_iter().zip(agents) {
            let device = DeviceSession { organization: bulk, ..device };
            let mut agent = agent;
            agent.session.organization = bulk;
            writing.write(&[PastSession::Device(device), PastSession::Agent(Box::new(agent))]).await.unwrap();
        }
        writing.finish().await.unwrap();

        let store = Store::new(database.open_again().await);
        for (kind, seconds) in [(SessionKind::Device, [10, 30]), (SessionKind::Agent, [20, 40])] {
            let all = store.list_summaries(&system(), kind, None, 100).await.unwrap();
            let of = |organization| {
                let found = all.iter().filter(move |summary| summary.key.organization == organization);
                found.cloned().map(|mut summary| { summary.key.organization = bulk; summary }).collect::<Vec<_>>()
            };
            assert_eq!(of(imported), of(bulk));
            assert_eq!(of(bulk).len(), seconds.len());
        }
        for second in [10, 30] {
            let [one, other] = [imported, bulk].map(viewer);
            let one = store.load_device_session(&one, id(second)).await.unwrap();
            let other = store.load_device_session(&other, id(second)).await.unwrap();
            assert_eq!(DeviceSession { organization: bulk, ..one }, other);
        }
        for second in [20, 40] {
            let one = store.load_agent_session(&viewer(imported), id(second)).await.unwrap().into_session();
            let other = store.load_agent_session(&viewer(bulk), id(second)).await.unwrap().into_session();
            assert_eq!(AgentSession { organization: bulk, ..one }, other);
        }
        let feed = async |organization| store.list_changes(&viewer(organization), 0, 100).await.unwrap();
        let (one, other) = (feed(imported).await, feed(bulk).await);
        assert_eq!((one.latest, one.last, one.entries.len()), (4, 4, 4));
        let shown = |page: &store::FeedPage| {
            let entries = page.entries.iter();
            entries.map(|entry| (entry.sequence, entry.session.id, entry.revision, entry.at)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&one), shown(&other));
    }

    async fn bulk_logins_are_open_or_ended_and_old_entries_are_pruned(database: &TestDatabase) {
        let store = Store::new(database.database.clone());
        let (_, owner) = organization(&store).await;
        store.database().close().await;
        let mut writing = Bulk::begin(&database.url, at(15)).await.unwrap();
        let sessions = [login(owner, 1, true), login(owner, 20, false)];
        let hash = SecretHash([9; 32]);
        let sessions = sessions.map(|login| PastSession::Login(Box::new(login), hash));
        writing.write(&sessions).await.unwrap();
        writing.finish().await.unwrap();

        let store = Store::new(database.open_again().await);
        assert_eq!(store.list_open_logins(&system(), owner).await.unwrap(), [login(owner, 20, false)]);
        let granted = system().grant_person(owner);
        assert_eq!(store.load_login(&granted, id(1)).await.unwrap(), login(owner, 1, true));
        assert!(store.is_login_secret(&system(), id(1), &hash).await.unwrap());
        let people = viewer(OrganizationId::PEOPLE);
        let page = store.list_changes(&people, 2, 100).await.unwrap();
        assert_eq!(page.entries.iter().map(|entry| (entry.sequence, entry.session.id)).collect::<Vec<_>>(), [(3, id(20))]);
        assert!(store.list_changes(&people, 1, 100).await.is_err(), "the first two entries are pruned");
    }
}
