//! The change feed says all: whenever a session's revision differs between two reads, the feed has an entry with that
//! revision between the two positions.

use crate::access::remembered::{Attempt, Remembered};
use crate::agents::world::{claim, finish, given, message, moment, report};
use crate::logins::sessions::{HASH, ending, login};
use crate::summaries::mirror::Mirror;
use crate::world::{NOW, bytes, grant, key, organization, pool, release, request, system, user, viewer};
use domain::agent::{self, AgentCommand, AgentSession, TurnItem};
use domain::device::{self, DeviceCommand, DeviceSession};
use domain::ids::{OrganizationId, PrincipalId, SessionId, random_tail};
use domain::login::{Login, Method};
use domain::principal::PrincipalState;
use domain::session::{EndReason, FeedChange, SessionKind};
use domain::time::{Micros, Span};
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use store::database::Batch;
use store::testing::TestDatabase;
use store::{HostLink, LoginExpectations, NewAgentSession, NewPassword, OrganizationChoice, Store, restore};

macro_rules! steps {
    ($($step:ident)*) => {
        /// Everything that changes the revision of a session or the lists of the account.
        #[derive(Debug, Clone, Copy, PartialEq)]
        enum Step { $($step),* }
        use Step::*;
        /// In an order in which each changes something.
        const STEPS: &[Step] = &[$($step),*];
    };
}

steps! {
    CreateDevice
    ImportDevice
    RequestDevice
    GrantDevice
    ReleaseDevice
    EndDevice
    CreateAgent
    ImportAgent
    CreateChild
    Claim
    Stream
    StreamMore
    LoseLease
    ClaimAgain
    Finish
    Post
    Tag
    EndAgent
    DeleteAgent
    SignIn
    Reauthenticate
    SignInAndDisplace
    SignOut
    SignInAgain
    SignOutEverywhere
    SignInByKey
    RevokeKey
    SignInOnceMore
    ChangePassword
    SignInForSuspension
    Suspend
    SignInForExpiry
    Expire
    Prune
    SignInBound
    RemoveMember
    SignInForRestore
    Restore
    DeleteOrganization
}

/// Why a step did nothing: a rule refused it, or there is nothing that it could change.
type Outcome = Result<(), store::Error>;

/// The sessions' revisions, and the organizations that were not deleted.
#[derive(PartialEq)]
struct State {
    revisions: BTreeMap<(OrganizationId, &'static str, SessionId), i64>,
    organizations: Vec<OrganizationId>,
    positions: BTreeMap<OrganizationId, i64>,
}

struct Run<'a> {
    db: &'a TestDatabase,
    store: Store,
    link: HostLink,
    acme: OrganizationId,
    owner: PrincipalId,
    now: Micros,
    mirror: Mirror,
    callers: Remembered,
}

impl<'a> Run<'a> {
    async fn begin(db: &'a TestDatabase) -> Run<'a> {
        let store = Store::new(db.database.clone());
        let (link, _) = pool(&store, 1).await;
        let (acme, owner) = organization(&store).await;
        let mirror = Mirror::start(&store).await;
        let callers = Remembered::new(&store);
        Run { db, store, link, acme, owner, now: NOW, mirror, callers }
    }

    async fn state(&self) -> State {
        let positions = self.store.load_feed_positions(&system()).await.unwrap();
        let mut revisions = BTreeMap::new();
        for organization in positions.keys() {
            for kind in [SessionKind::Device, SessionKind::Agent, SessionKind::Login] {
                let all =
                    self.store.list_session_revisions(&viewer(*organization), kind, 10_000).await.unwrap();
                revisions.extend(
                    all.into_iter().map(|(id, revision)| ((*organization, kind.name(), id), revision)),
                );
            }
        }
        let all = self.store.list_organizations(&system()).await.unwrap();
        let organizations = all.iter().filter(|one| one.deleted.is_none()).map(|one| one.id).collect();
        State { revisions, organizations, positions }
    }

    /// Takes a step and compares what has changed with what the feed says. Returns whether anything has changed.
    async fn take(&mut self, step: Step) -> bool {
        self.remember_callers().await;
        let before = self.state().await;
        self.now = self.now + Span::seconds(1);
        match self.attempt(step).await {
            Ok(()) | Err(store::Error::Refused(_) | store::Error::Stale) => {}
            Err(error) => panic!("{step:?}: {error}"),
        }
        let after = self.state().await;
        let mut told = BTreeMap::new();
        let mut deleted = Vec::new();
        for (organization, latest) in &after.positions {
            let position = before.positions.get(organization).copied().unwrap_or(0);
            let page = self.store.list_changes(&viewer(*organization), position, 10_000).await.unwrap();
            assert_eq!((page.last, page.latest), (*latest, *latest));
            deleted.extend(page.organization_deleted.then_some(*organization));
            let places = page.entries.iter().map(|entry| entry.sequence);
            assert!(
                page.organization_deleted || places.eq(position + 1..=*latest),
                "{step:?}: the feed has no gap"
            );
            for entry in page.entries {
                let key = (*organization, entry.session.kind.name(), entry.session.id);
                told.insert(key, (entry.change != FeedChange::Deleted).then_some(entry.revision));
            }
        }
        let keys = before.revisions.keys().chain(after.revisions.keys());
        for key in keys.filter(|key| before.revisions.get(key) != after.revisions.get(key)) {
            let revision = after.revisions.get(key).copied();
            assert_eq!(told.get(key), Some(&revision), "{step:?}: an entry for the revision of {key:?}");
        }
        let gone = before.organizations.iter().filter(|id| !after.organizations.contains(id));
        assert_eq!(deleted, gone.copied().collect::<Vec<_>>(), "{step:?}");
        self.mirror.check().await;
        self.callers.check(&format!("{step:?}"), self.now).await;
        assert!(deleted.iter().all(|id| self.mirror.deleted().contains(id)), "{step:?}");
        before.revisions != after.revisions || before.organizations != after.organizations
    }

    /// Remembers the owner as a server would, by each session and by a new key.
    async fn remember_callers(&mut self) {
        let (_, secret) = key(&self.store, self.owner, None, None).await;
        let chosen = [OrganizationChoice::ByDefault, OrganizationChoice::Named(Some(self.acme))];
        let logins = self.logins().await;
        self.callers.attempts = chosen
            .into_iter()
            .flat_map(|chosen| {
                let by_login = logins.iter().map(move |login| Attempt::Login(login.id, HASH, chosen));
                by_login.chain([Attempt::Key(secret.hash(), chosen)])
            })
            .collect();
        self.callers.remember(self.now).await;
    }

    async fn attempt(&self, step: Step) -> Outcome {
        match step {
            CreateDevice | ImportDevice | RequestDevice | GrantDevice | ReleaseDevice | EndDevice => {
                self.device(step).await
            }
            CreateAgent | ImportAgent | CreateChild => self.create_agent(step).await,
            Claim | ClaimAgain | Stream | StreamMore | LoseLease | Finish | Post | Tag | EndAgent
            | DeleteAgent => self.agent(step).await,
            SignIn | SignInAgain | SignInOnceMore | SignInForSuspension | SignInForExpiry
            | SignInForRestore => self.sign_in(|_, _| {}).await,
            SignInAndDisplace => {
                let displaced =
                    self.logins().await.first().map(|login| (login.id, ending(EndReason::Displaced)));
                self.sign_in(|_, opening| opening.ending = displaced.into_iter().collect()).await
            }
            SignInByKey => {
                let (credential, _) = key(&self.store, self.owner, None, None).await;
                self.sign_in(|login, _| login.credential = Some(credential)).await
            }
            SignInBound => self.sign_in(|_, opening| opening.bound = Some(self.acme)).await,
            RemoveMember => self.store.remove_member(&system().grant(self.acme), self.owner, self.now).await,
            DeleteOrganization => self.store.delete_organization(&system(), self.acme, self.now).await,
            Restore => {
                let statements = restore::statements(self.now, false, self.now)?;
                Ok(self.db.apply(Batch { statements, ..Batch::default() }).await?)
            }
            _ => self.end_logins(step).await,
        }
    }

    async fn device(&self, step: Step) -> Outcome {
        let tail = random_tail(bytes());
        match step {
            CreateDevice => {
                self.store.create_device_session(&user(self.acme), self.owner, self.now, tail).await?;
                return Ok(());
            }
            ImportDevice => {
                let id = SessionId::new(self.now - Span::minutes(1_000), tail);
                self.store
                    .import_device_session(&system(), DeviceSession::new(self.acme, id, self.owner))
                    .await?;
                return Ok(());
            }
            _ => {}
        }
        let Some(id) = self.newest(SessionKind::Device).await else { return Ok(()) };
        let session = self.store.load_device_session(&viewer(self.acme), id).await?;
        let open = session.holds.iter().find(|hold| hold.ended.is_none());
        let command = match (step, open) {
            (RequestDevice, _) => request().1,
            (GrantDevice, Some(hold)) => {
                let devices = self.store.list_all_devices(&system()).await?;
                grant(hold.id, devices[0].id, devices[0].fence + 1)
            }
            (ReleaseDevice, Some(hold)) => release(hold.id),
            (EndDevice, _) => DeviceCommand::End { reason: EndReason::Idle, evidence: "test".into() },
            _ => return Ok(()),
        };
        let changes = device::decide(&session, user(self.acme).actor(), command, self.now)?;
        self.store.change_device_session(&user(self.acme), session, &changes, self.now).await?;
        for device in self.store.list_devices_to_clean(&system()).await? {
            self.store.record_device_cleaned(&self.link, &device.serial, device.fence).await?;
        }
        Ok(())
    }

    async fn create_agent(&self, step: Step) -> Outcome {
        let (granted, tail) = (user(self.acme), random_tail(bytes()));
        let parent = match step {
            CreateChild => self.load_agent().await?,
            _ => None,
        };
        let build = |id| {
            let session = AgentSession::new(self.acme, id, given(self.owner));
            let moment = moment(self.now);
            let changes = agent::decide(
                &session,
                granted.actor(),
                AgentCommand::Post(message(self.owner, "go")),
                &moment,
            )?;
            let adopt = |parent: store::LoadedAgentSession| {
                let changes = agent::decide(&parent, granted.actor(), AgentCommand::AddChild(id), &moment)?;
                Ok::<_, domain::Refusal>((parent, changes))
            };
            Ok(NewAgentSession {
                session,
                changes,
                parent: parent.clone().map(adopt).transpose()?,
                secrets: vec![],
            })
        };
        if step == ImportAgent {
            let new = build(SessionId::new(self.now - Span::minutes(1_000), tail))?;
            self.store.import_agent_session(&system(), &new, self.now).await?;
        } else {
            self.store.create_agent_session(&granted, self.now, tail, build).await?;
        }
        Ok(())
    }

    async fn agent(&self, step: Step) -> Outcome {
        let Some(session) = self.load_agent().await? else { return Ok(()) };
        let granted = user(self.acme);
        if step == DeleteAgent {
            self.store.delete_agent_session(&granted, &session, self.now).await?;
            self.store.purge_agents(&system(), 1_000, self.now).await?;
            return Ok(());
        }
        let command = match step {
            Claim | ClaimAgain => claim(),
            Post => AgentCommand::Post(message(self.owner, "more")),
            Tag => AgentCommand::SetTags(vec![format!("t{}", session.revision)]),
            EndAgent => AgentCommand::End { reason: EndReason::Released, evidence: "test".into() },
            _ if session.turn.is_none() => return Ok(()),
            Finish => finish(&session, "done"),
            LoseLease => {
                AgentCommand::LoseLease { fence: session.turn.as_ref().map_or(0, |turn| turn.fence) }
            }
            _ => report(&session, vec![TurnItem::Output("streamed".into())]),
        };
        // A lease of 60 s has run out by then.
        let now = if step == LoseLease { self.now + Span::minutes(5) } else { self.now };
        let changes = agent::decide(&session, granted.actor(), command, &moment(now))?;
        self.store.change_agent_session(&granted, session, &changes, now, None).await?;
        Ok(())
    }

    async fn sign_in(&self, set: impl FnOnce(&mut Login, &mut LoginExpectations)) -> Outcome {
        let mut new = login(self.owner, self.now);
        let mut opening =
            LoginExpectations { open: self.logins().await.len(), ..LoginExpectations::default() };
        set(&mut new, &mut opening);
        self.store.open_login(&system(), new, &HASH, &opening).await?;
        Ok(())
    }

    async fn end_logins(&self, step: Step) -> Outcome {
        let (own, system, now) = (system().grant_person(self.owner), system(), self.now);
        let Some(login) = self.logins().await.into_iter().next() else {
            return match step {
                Prune => self.store.prune_logins(&system, now, now).await,
                _ => Ok(()),
            };
        };
        match step {
            Reauthenticate => {
                self.store.record_reauthentication(&own, &login, vec![Method::Password], now).await
            }
            SignOut => self.store.end_login(&own, login.id, &ending(EndReason::SignedOut), now).await,
            SignOutEverywhere => self.store.end_logins(&own, None, &ending(EndReason::SignedOut), now).await,
            RevokeKey => self.store.revoke_all_api_keys(&own, now).await,
            ChangePassword => {
                let seen = self.store.load_password_hash(&own).await?;
                let new = NewPassword { decided_on: seen.as_deref(), hash: "new", revokes_keys: false };
                self.store.set_password(&own, &new, None, &ending(EndReason::PasswordChanged), now).await
            }
            Suspend => {
                self.store.set_principal_state(&system, self.owner, PrincipalState::Suspended, now).await?;
                self.store.set_principal_state(&system, self.owner, PrincipalState::Active, now).await
            }
            Expire => self.store.expire_login(&system, &login, &ending(EndReason::Expired), now).await,
            _ => self.store.prune_logins(&system, now, now).await,
        }
    }

    async fn logins(&self) -> Vec<Login> {
        self.store.list_open_logins(&system(), self.owner).await.unwrap()
    }

    async fn newest(&self, kind: SessionKind) -> Option<SessionId> {
        let all = self.store.list_session_revisions(&viewer(self.acme), kind, 10_000).await.unwrap();
        all.last().map(|(id, _)| *id)
    }

    async fn load_agent(&self) -> Result<Option<store::LoadedAgentSession>, store::Error> {
        match self.newest(SessionKind::Agent).await {
            Some(id) => Ok(Some(self.store.load_agent_session(&viewer(self.acme), id).await?)),
            None => Ok(None),
        }
    }
}

both! {
    async fn each_kind_of_change_has_an_entry(db: &TestDatabase) {
        let mut run = Run::begin(db).await;
        for step in STEPS.iter().copied() {
            assert!(run.take(step).await, "{step:?} changes something");
        }
    }

    async fn any_order_of_changes_has_all_its_entries(db: &TestDatabase) {
        let runtime = tokio::runtime::Handle::current();
        let cases = if db.kind() == "sqlite" { 24 } else { 6 };
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        let orders = proptest::collection::vec(proptest::sample::select(STEPS.to_vec()), 1..50);
        let take_all = |steps: Vec<Step>| {
            runtime.block_on(async {
                let mut run = Run::begin(db).await;
                for step in steps {
                    run.take(step).await;
                }
            });
            Ok(())
        };
        tokio::task::block_in_place(|| TestRunner::new(config).run(&orders, take_all).unwrap());
    }

    async fn pages_end_where_the_next_one_begins(db: &TestDatabase) {
        let mut run = Run::begin(db).await;
        for step in [CreateDevice, RequestDevice, EndDevice, DeleteOrganization] {
            run.take(step).await;
        }
        let mut pages = Vec::new();
        let mut position = 0;
        while position < 4 {
            let page = run.store.list_changes(&viewer(run.acme), position, 1).await.unwrap();
            position = page.last;
            pages.push((page.entries.len(), page.organization_deleted, page.last, page.latest));
        }
        let sessions = (1..4).map(|place| (1, false, place, 4));
        assert_eq!(pages, sessions.chain([(0, true, 4, 4)]).collect::<Vec<_>>());
        let positions = run.store.load_feed_positions(&system()).await.unwrap();
        assert_eq!(positions.get(&run.acme), Some(&4));
        assert!(positions.contains_key(&OrganizationId::PEOPLE), "login sessions have a feed");
        for counter in [OrganizationId::ACCOUNT, OrganizationId::AUDIT] {
            assert!(!positions.contains_key(&counter), "it counts other things");
        }
    }
}
