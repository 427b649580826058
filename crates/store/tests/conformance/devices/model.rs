//! Random orders of commands against a simple model: the store must match the model after each step.

use crate::world::{
    NOW, change, create, device, grant, host, organization, release, request, system, viewer,
};
use domain::device::{DeviceCommand, DeviceSession, HoldState};
use domain::ids::{DeviceId, HoldId, OrganizationId, PrincipalId, SessionId};
use domain::refusal::Refusal;
use domain::session::EndReason;
use domain::time::Span;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use store::testing::TestDatabase;
use store::{Error, HostLink, Store};

const DEVICES: usize = 3;
const ORGANIZATIONS: usize = 2;
/// Of the first organization; the second has no limit.
const LIMIT: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Request(Index),
    Grant(Index, usize),
    Release(Index),
    End(Index),
    Clean(usize),
    /// A request that was decided on an older state of the session.
    Late(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<Index>;
    prop_oneof![
        2 => (0..ORGANIZATIONS).prop_map(Step::Create),
        4 => any().prop_map(Step::Request),
        5 => (any(), 0..DEVICES).prop_map(|(hold, device)| Step::Grant(hold, device)),
        3 => any().prop_map(Step::Release),
        1 => any().prop_map(Step::End),
        4 => (0..DEVICES).prop_map(Step::Clean),
        1 => any().prop_map(Step::Late),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct ModelHold {
    id: HoldId,
    state: HoldState,
    /// The device, and the fencing number of the hold.
    held: Option<(usize, i64)>,
}

#[derive(Debug, Clone)]
struct ModelSession {
    id: SessionId,
    organization: usize,
    revision: i64,
    ended: bool,
    holds: Vec<ModelHold>,
    /// As the store returned it at its creation.
    first: DeviceSession,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct ModelDevice {
    fence: i64,
    holder: Option<HoldId>,
    cleaning: bool,
}

/// The model and the part of the store that is compared with it.
struct Run<'a> {
    store: &'a Store,
    organizations: Vec<(OrganizationId, PrincipalId)>,
    link: HostLink,
    ids: Vec<DeviceId>,
    devices: Vec<ModelDevice>,
    sessions: Vec<ModelSession>,
    /// All requests of all sessions in the order of their commits.
    asked: Vec<(usize, HoldId)>,
    steps: i64,
}

impl<'a> Run<'a> {
    async fn begin(store: &'a Store) -> Run<'a> {
        let mut organizations = Vec::new();
        for _ in 0..ORGANIZATIONS {
            organizations.push(organization(store).await);
        }
        store.set_max_devices(&system(), organizations[0].0, Some(LIMIT), NOW).await.unwrap();
        let (link, _) = host(store, Some(organizations[0].0), "rack").await;
        let updates = (0..DEVICES).map(|number| device(&number.to_string())).collect::<Vec<_>>();
        store.report_devices(&link, &updates, NOW).await.unwrap();
        let ids = updates.iter().map(|update| update.new).collect();
        let devices = vec![ModelDevice::default(); DEVICES];
        Run { store, organizations, link, ids, devices, sessions: vec![], asked: vec![], steps: 0 }
    }

    async fn load(&self, session: usize) -> DeviceSession {
        let ModelSession { id, organization, .. } = self.sessions[session];
        let granted = viewer(self.organizations[organization].0);
        self.store.load_device_session(&granted, id).await.unwrap()
    }

    /// Loads, decides and applies.
    async fn command(&self, session: usize, command: DeviceCommand) -> Result<DeviceSession, Error> {
        change(self.store, self.load(session).await, command, NOW + Span(self.steps)).await
    }

    async fn step(&mut self, step: Step) {
        self.steps += 1;
        match step {
            Step::Create(organization) => self.create(organization).await,
            Step::Clean(number) => self.clean(number).await,
            _ if self.sessions.is_empty() => {}
            Step::Request(at) => self.request(at.index(self.sessions.len())).await,
            Step::End(at) => self.end(at.index(self.sessions.len())).await,
            Step::Late(at) => self.late(at.index(self.sessions.len())).await,
            _ if self.asked.is_empty() => {}
            Step::Grant(at, device) => self.grant(*at.get(&self.asked), device).await,
            Step::Release(at) => self.release(*at.get(&self.asked)).await,
        }
    }

    async fn create(&mut self, organization: usize) {
        let (id, owner) = self.organizations[organization];
        // The clock stands still every second time.
        let first = create(self.store, id, owner, NOW + Span(self.steps / 2)).await;
        let new =
            ModelSession { id: first.id, organization, revision: 1, ended: false, holds: vec![], first };
        self.sessions.push(new);
    }

    fn open(&self, organization: usize) -> usize {
        let sessions = self.sessions.iter().filter(|session| session.organization == organization);
        sessions.flat_map(|session| &session.holds).filter(|hold| hold.state != HoldState::Released).count()
    }

    async fn request(&mut self, session: usize) {
        let (hold, ask) = request();
        let outcome = self.command(session, ask).await;
        let organization = self.sessions[session].organization;
        let full = organization == 0 && self.open(organization) >= LIMIT as usize;
        let model = &mut self.sessions[session];
        match outcome {
            Err(Error::Refused(Refusal::SessionEnded)) => assert!(model.ended),
            Err(Error::Refused(Refusal::DeviceLimit { max: LIMIT })) => assert!(!model.ended && full),
            outcome => {
                assert!(!model.ended && !full);
                outcome.unwrap();
                model.revision += 1;
                model.holds.push(ModelHold { id: hold, state: HoldState::Pending, held: None });
                self.asked.push((session, hold));
            }
        }
    }

    async fn grant(&mut self, (session, hold): (usize, HoldId), number: usize) {
        let fence = self.devices[number].fence + 1;
        let outcome = self.command(session, grant(hold, self.ids[number], fence)).await;
        let device = &mut self.devices[number];
        let model = &mut self.sessions[session];
        let known = model.holds.iter_mut().find(|known| known.id == hold).unwrap();
        if known.state != HoldState::Pending {
            outcome.unwrap();
        } else if device.holder.is_some() || device.cleaning {
            assert!(matches!(outcome, Err(Error::Stale)), "{outcome:?}");
        } else {
            outcome.unwrap();
            (known.state, known.held) = (HoldState::InUse, Some((number, fence)));
            *device = ModelDevice { fence, holder: Some(hold), cleaning: false };
            model.revision += 1;
        }
    }

    fn let_go(&mut self, session: usize, hold: HoldId) {
        let known = self.sessions[session].holds.iter_mut().find(|known| known.id == hold).unwrap();
        known.state = HoldState::Released;
        if let Some((number, _)) = known.held {
            self.devices[number].holder = None;
            self.devices[number].cleaning = true;
        }
    }

    async fn release(&mut self, (session, hold): (usize, HoldId)) {
        self.command(session, release(hold)).await.unwrap();
        let known = self.sessions[session].holds.iter().find(|known| known.id == hold).unwrap();
        if known.state != HoldState::Released {
            self.sessions[session].revision += 1;
            self.let_go(session, hold);
        }
    }

    async fn end(&mut self, session: usize) {
        let end = DeviceCommand::End { reason: EndReason::Released, evidence: "test".into() };
        self.command(session, end).await.unwrap();
        if self.sessions[session].ended {
            return;
        }
        self.sessions[session].revision += 1;
        self.sessions[session].ended = true;
        let holds = self.sessions[session].holds.clone();
        for hold in holds.iter().filter(|hold| hold.state != HoldState::Released) {
            self.let_go(session, hold.id);
        }
    }

    async fn clean(&mut self, number: usize) {
        let fence = self.devices[number].fence;
        self.store.record_device_cleaned(&self.link, &number.to_string(), fence).await.unwrap();
        self.devices[number].cleaning = false;
    }

    /// Nothing may be written to a session that has changed since.
    async fn late(&mut self, session: usize) {
        let first = self.sessions[session].first.clone();
        if self.sessions[session].revision == first.revision {
            return;
        }
        let outcome = change(self.store, first, request().1, NOW).await;
        assert!(matches!(outcome, Err(Error::Stale)), "{outcome:?}");
    }

    async fn compare(&self) {
        for organization in 0..ORGANIZATIONS {
            self.compare_organization(organization).await;
        }
        let known = self.store.list_host_devices(&system(), self.link.host()).await.unwrap();
        for ((device, model), number) in known.iter().zip(&self.devices).zip(0..) {
            assert_eq!(device.serial, number.to_string());
            let found = ModelDevice { fence: device.fence, holder: device.holder, cleaning: device.cleaning };
            assert_eq!(&found, model);
        }
        let state = self.store.load_queue(&system()).await.unwrap();
        let ours = |id| self.organizations.iter().any(|(known, _)| *known == id);
        let queue = state.queue.iter().filter(|queued| ours(queued.session.organization));
        let waiting = queue.map(|queued| queued.request.hold).collect::<Vec<_>>();
        assert_eq!(waiting, self.holds_in_order(|_, hold| hold.state == HoldState::Pending));
    }

    /// The requests for which `keep` is true, in the order of their commits.
    fn holds_in_order(&self, keep: impl Fn(&ModelSession, &ModelHold) -> bool) -> Vec<HoldId> {
        let found = self.asked.iter().filter(|(session, id)| {
            let session = &self.sessions[*session];
            session.holds.iter().any(|hold| hold.id == *id && keep(session, hold))
        });
        found.map(|(_, id)| *id).collect()
    }

    async fn compare_organization(&self, organization: usize) {
        let granted = viewer(self.organizations[organization].0);
        let mut models =
            self.sessions.iter().filter(|model| model.organization == organization).collect::<Vec<_>>();
        let ids = models.iter().map(|model| model.id).collect::<Vec<_>>();
        let listed = self.store.load_device_sessions(&granted, &ids).await.unwrap().items;
        models.sort_by_key(|model| std::cmp::Reverse(model.id.creation_time()));
        assert_eq!(listed.len(), models.len());
        for (session, model) in listed.iter().zip(&models) {
            self.compare_session(session, model);
        }
        let open = self.store.list_open_holds(&granted).await.unwrap();
        let open = open.iter().map(|(_, hold)| hold.id).collect::<Vec<_>>();
        let expected = self.holds_in_order(|session, hold| {
            session.organization == organization && hold.state != HoldState::Released
        });
        assert_eq!(open, expected);
        let feed = self.store.list_changes(&granted, 0, 1_000).await.unwrap();
        assert_eq!(
            feed.latest,
            models.iter().map(|model| model.revision).sum::<i64>(),
            "a line for each revision"
        );
        assert_eq!(feed.entries.len() as i64, feed.latest);
    }

    fn compare_session(&self, session: &DeviceSession, model: &ModelSession) {
        assert_eq!((session.id, session.revision), (model.id, model.revision));
        assert_eq!(session.ended.is_some(), model.ended);
        let over = |hold: &ModelHold| hold.state == HoldState::Released;
        assert_eq!(session.released.is_some(), !model.holds.is_empty() && model.holds.iter().all(over));
        let number = |id| self.ids.iter().position(|known| *known == id).unwrap();
        let holds = session.holds.iter().map(|hold| ModelHold {
            id: hold.id,
            state: hold.state(),
            held: hold.held.as_ref().map(|held| (number(held.device), held.fence)),
        });
        assert_eq!(holds.collect::<Vec<_>>(), model.holds);
    }
}

async fn check(db: &TestDatabase, cases: u32) {
    let store = Store::new(db.database.clone());
    let runtime = tokio::runtime::Handle::current();
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let run = |steps: Vec<Step>| {
        runtime.block_on(async {
            let mut run = Run::begin(&store).await;
            for step in steps {
                run.step(step).await;
                run.compare().await;
            }
        });
        Ok(())
    };
    tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&proptest::collection::vec(step(), 1..60), run).unwrap();
    });
}

both! {
    async fn any_order_of_commands_matches_the_model(db: &TestDatabase) {
        check(db, if db.kind() == "sqlite" { 64 } else { 12 }).await;
    }
}
