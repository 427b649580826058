//! Login sessions, and everything that ends them.

use crate::world::{NOW, bytes, key, organization, principal, system};
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::{CredentialId, OrganizationId, PrincipalId, SessionId, random_tail};
use domain::login::{Login, Method, Origin};
use domain::permission::AccountRole;
use domain::principal::{PrincipalState, Scopes};
use domain::session::{EndReason, Ending, FeedChange, SessionKind};
use domain::time::{Micros, Span};
use store::access::{UseSessions, ViewSessions};
use store::{Authentication, Error, LoginExpectations, NewPassword, OrganizationChoice, Store};

pub const HASH: SecretHash = SecretHash([7; 32]);

pub fn login(owner: PrincipalId, at: Micros) -> Login {
    Login {
        id: SessionId::new(at, random_tail(bytes())),
        owner,
        revision: 1,
        seen: at,
        idle: Span::minutes(60),
        expires: at + Span::minutes(180),
        authenticated: at,
        methods: vec![Method::Password, Method::OneTime],
        origin: Origin {
            remote_ip: Some("::1".parse().unwrap()),
            agent: "curl/8".into(),
            agent_type: "misc".into(),
        },
        credential: None,
        scopes: None,
        ended: None,
    }
}

pub fn ending(reason: EndReason) -> Ending {
    Ending { reason, actor: None, evidence: "test".into() }
}

async fn open(store: &Store, login: Login) -> store::Result<Login> {
    let open = store.list_open_logins(&system(), login.owner).await?.len();
    store
        .open_login(&system(), login, &HASH, &LoginExpectations { open, ..LoginExpectations::default() })
        .await
}

/// A session of a person.
pub async fn opened(store: &Store, owner: PrincipalId) -> SessionId {
    open(store, login(owner, NOW)).await.unwrap().id
}

async fn good(store: &Store, id: SessionId, at: Micros) -> bool {
    match store.authenticate_login(id, &HASH, OrganizationChoice::ByDefault, at).await {
        Ok((caller, _)) => caller.authentication() == Authentication::Login(id),
        Err(Error::Unauthenticated) => false,
        Err(error) => panic!("{error}"),
    }
}

/// How a session ended, if it has.
async fn ended(store: &Store, login: &Login) -> Option<EndReason> {
    let (caller, _) =
        store.authenticate_login(login.id, &HASH, OrganizationChoice::ByDefault, NOW).await.ok()?;
    let own = caller.authorize_self("read:user").unwrap();
    store.load_login(&own, login.id).await.unwrap().ended.map(|(_, ending)| ending.reason)
}

/// The change feed of login sessions; checks that it matches the sessions.
async fn feed(store: &Store) -> Vec<(SessionId, i64, FeedChange)> {
    let view = system().grant::<ViewSessions>(OrganizationId::PEOPLE);
    let feed = store.list_changes(&view, 0, 1000).await.unwrap();
    let sequences = feed.entries.iter().map(|line| line.sequence).collect::<Vec<_>>();
    assert_eq!(sequences, (1..=feed.latest).collect::<Vec<_>>(), "the feed has no gap");
    let mut last = std::collections::BTreeMap::new();
    for line in &feed.entries {
        assert_eq!(line.session.kind, SessionKind::Login);
        last.insert(line.session.id, line.revision);
    }
    let kept = store.list_session_revisions(&view, SessionKind::Login, 1000).await.unwrap();
    assert_eq!(last.into_iter().collect::<Vec<_>>(), kept, "a line for each revision");
    feed.entries.into_iter().map(|line| (line.session.id, line.revision, line.change)).collect()
}

/// The first password of a person.
fn password(hash: &str) -> NewPassword<'_> {
    NewPassword { decided_on: None, hash, revokes_keys: false }
}

both! {
    async fn a_session_is_kept_as_it_was_opened(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let mut wanted = login(owner, NOW);
        wanted.scopes = Scopes::parse(["read:user", "read:media"]);
        let kept = open(&store, wanted.clone()).await.unwrap();
        assert_eq!(kept, wanted);
        let (caller, seen) = store.authenticate_login(kept.id, &HASH, OrganizationChoice::ByDefault, NOW).await.unwrap();
        assert_eq!((caller.principal(), caller.organization(), seen), (owner, Some(acme), NOW));
        let own = caller.authorize_self("read:user").unwrap();
        assert_eq!(store.load_login(&own, kept.id).await.unwrap(), kept);
        assert_eq!(store.load_logins(&own, &[kept.id]).await.unwrap().items, std::slice::from_ref(&kept));
        // Its scopes limit its owner's permissions.
        assert!(caller.authorize::<ViewSessions>().is_ok() && caller.authorize::<UseSessions>().is_err());
        assert!(matches!(caller.authorize_self("write:user"), Err(Refusal::OutOfScope("write:user"))));
        // The id alone, or another session's secret, opens nothing.
        for (id, hash) in [
            (kept.id, SecretHash([8; 32])),
            (SessionId::new(NOW, kept.id.tail() ^ 1), HASH),
            (SessionId::new(NOW + Span(1), kept.id.tail()), HASH),
        ] {
            let caller = store.authenticate_login(id, &hash, OrganizationChoice::ByDefault, NOW).await;
            assert!(matches!(caller, Err(Error::Unauthenticated)));
        }
        assert_eq!(feed(&store).await, [(kept.id, 1, FeedChange::Created)]);
    }

    async fn sessions_of_one_moment_have_ids_of_their_own(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, owner) = organization(&store).await;
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..20 {
            ids.insert(open(&store, login(owner, NOW)).await.unwrap().id.creation_time());
        }
        // Another server, which does not know the times that this one gave out.
        let again = Store::new(db.open_again().await);
        ids.insert(open(&again, login(owner, NOW)).await.unwrap().id.creation_time());
        assert_eq!(ids.len(), 21);
        assert_eq!(feed(&store).await.len(), 21);
    }

    async fn time_ends_a_session_to_the_microsecond(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, owner) = organization(&store).await;
        let login = open(&store, login(owner, NOW)).await.unwrap();
        let idle = NOW + Span::minutes(60);
        assert!(good(&store, login.id, idle - Span(1)).await);
        assert!(!good(&store, login.id, idle).await);
        store.record_login_use(&system(), login.id, idle - Span(1)).await.unwrap();
        assert!(good(&store, login.id, idle).await);
        store.record_login_use(&system(), login.id, NOW).await.unwrap();
        assert!(good(&store, login.id, idle).await, "a use is never un-noted");
        let last = NOW + Span::minutes(180);
        store.record_login_use(&system(), login.id, last - Span(1)).await.unwrap();
        assert!(good(&store, login.id, last - Span(1)).await);
        assert!(!good(&store, login.id, last).await);
        assert_eq!(store.list_expired_logins(&system(), last - Span(1)).await.unwrap(), []);
        let over = store.list_expired_logins(&system(), last).await.unwrap();
        assert_eq!(over.iter().map(|login| login.id).collect::<Vec<_>>(), [login.id]);
        for _ in 0..2 {
            store.expire_login(&system(), &over[0], &ending(EndReason::Expired), last).await.unwrap();
        }
        assert_eq!(store.list_expired_logins(&system(), last).await.unwrap(), []);
        assert_eq!(feed(&store).await[1..], [(login.id, 2, FeedChange::Ended)], "ended once");
    }

    async fn each_reason_ends_only_its_sessions(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (_, other) = organization(&store).await;
        let theirs = open(&store, login(other, NOW)).await.unwrap();
        let (key_id, _) = key(&store, owner, None, None).await;
        let mut by_key = login(owner, NOW);
        by_key.credential = Some(key_id);
        let mut opened = Vec::new();
        for login in [login(owner, NOW), login(owner, NOW), login(owner, NOW), by_key] {
            opened.push(open(&store, login).await.unwrap());
        }
        let alive = async || {
            let mut alive = Vec::new();
            for login in &opened {
                alive.push(good(&store, login.id, NOW).await);
            }
            assert!(good(&store, theirs.id, NOW).await, "somebody else's");
            alive
        };
        let (caller, _) = store.authenticate_login(opened[0].id, &HASH, OrganizationChoice::ByDefault, NOW).await.unwrap();
        let own = caller.authorize_self("write:user").unwrap();
        let revoked = ending(EndReason::Revoked);
        store.end_login(&own, opened[1].id, &revoked, NOW).await.unwrap();
        assert_eq!(alive().await, [true, false, true, true]);
        for gone in [opened[1].id, theirs.id, SessionId::new(opened[0].id.creation_time(), 1), SessionId::new(NOW, 9)] {
            let outcome = store.end_login(&own, gone, &revoked, NOW).await;
            assert!(matches!(outcome, Err(Error::Refused(Refusal::NotFound(_)))), "ended, foreign or unknown");
        }
        store.revoke_credential(&system(), key_id, NOW).await.unwrap();
        assert_eq!(alive().await, [true, false, true, false]);
        store.end_logins(&own, Some(opened[0].id), &revoked, NOW).await.unwrap();
        assert_eq!(alive().await, [true, false, false, false]);
        store.set_principal_state(&system(), owner, PrincipalState::Suspended, NOW).await.unwrap();
        store.set_principal_state(&system(), owner, PrincipalState::Active, NOW).await.unwrap();
        assert_eq!(alive().await, [false; 4], "also when it may act again");
        let again = open(&store, login(owner, NOW)).await.unwrap();
        assert_eq!(ended(&store, &again).await, None);
        let opening = LoginExpectations { bound: Some(acme), open: 1, ..LoginExpectations::default() };
        let here = store.open_login(&system(), login(owner, NOW), &HASH, &opening).await.unwrap();
        store.remove_member(&system().grant(acme), owner, NOW).await.unwrap();
        assert!(!good(&store, here.id, NOW).await, "it opened that organization alone");
        assert!(good(&store, again.id, NOW).await, "it opens whatever its owner may");
        assert_eq!(feed(&store).await.len(), 1 + 4 + 4 + 3);
    }

    async fn a_password_ends_all_sessions_but_the_one_it_was_changed_in(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, owner) = organization(&store).await;
        let (one, two) = (open(&store, login(owner, NOW)).await.unwrap(), open(&store, login(owner, NOW)).await.unwrap());
        let (caller, _) = store.authenticate_login(one.id, &HASH, OrganizationChoice::ByDefault, NOW).await.unwrap();
        let own = caller.authorize_self("write:user").unwrap();
        let changed = ending(EndReason::PasswordChanged);
        store.set_password(&own, &password("first"), Some(one.id), &changed, NOW).await.unwrap();
        assert!(good(&store, one.id, NOW).await && !good(&store, two.id, NOW).await);
        // A change that was decided on another password is refused.
        let stale = store.set_password(&own, &password("second"), None, &changed, NOW).await;
        assert!(matches!(stale, Err(Error::Stale)));
        assert_eq!(store.load_password_hash(&own).await.unwrap().as_deref(), Some("first"));
        // A sign-in that checked the old password fails when it changes meanwhile.
        let opening = LoginExpectations { password_hash: Some("older".into()), open: 1, ..LoginExpectations::default() };
        let late = store.open_login(&system(), login(owner, NOW), &HASH, &opening).await;
        assert!(matches!(late, Err(Error::Stale)));
        let opening = LoginExpectations { password_hash: Some("first".into()), ..opening };
        assert!(store.open_login(&system(), login(owner, NOW), &HASH, &opening).await.is_ok());
        feed(&store).await;
    }

    async fn concurrent_sign_ins_never_exceed_the_limit(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, owner) = organization(&store).await;
        let tries = (0..16).map(|_| {
            let (store, login) = (store.clone(), login(owner, NOW));
            tokio::spawn(async move { store.open_login(&system(), login, &HASH, &LoginExpectations::default()).await })
        });
        let mut opened = 0;
        for attempt in tries.collect::<Vec<_>>() {
            match attempt.await.unwrap() {
                Ok(_) => opened += 1,
                Err(Error::Stale) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(opened, 1, "all of them had decided on nothing being open");
        // The next session ends the oldest in its own batch.
        let first = store.list_open_logins(&system(), owner).await.unwrap();
        let ending = vec![(first[0].id, ending(EndReason::Displaced))];
        let opening = LoginExpectations { open: 1, ending, ..LoginExpectations::default() };
        let second = store.open_login(&system(), login(owner, NOW), &HASH, &opening).await.unwrap();
        let left = store.list_open_logins(&system(), owner).await.unwrap();
        assert_eq!(left.iter().map(|login| login.id).collect::<Vec<_>>(), [second.id]);
        assert_eq!(feed(&store).await.len(), 3);
    }

    async fn nobody_signs_in_who_may_not_act(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, owner) = organization(&store).await;
        for state in [PrincipalState::Pending, PrincipalState::Suspended, PrincipalState::Deleted] {
            store.set_principal_state(&system(), owner, state, NOW).await.unwrap();
            assert!(matches!(open(&store, login(owner, NOW)).await, Err(Error::Stale)), "{state:?}");
        }
        let (_, other) = organization(&store).await;
        let (key_id, _) = key(&store, other, None, None).await;
        store.revoke_credential(&system(), key_id, NOW).await.unwrap();
        for key in [key_id, CredentialId::new(NOW, bytes())] {
            let mut by_key = login(other, NOW);
            by_key.credential = Some(key);
            assert!(matches!(open(&store, by_key).await, Err(Error::Stale)), "by an invalid key");
        }
        assert_eq!(feed(&store).await, []);
    }

    async fn a_session_of_a_bound_key_opens_no_other_organization(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let admin = principal(&store, Some(AccountRole::Admin)).await;
        let opening = LoginExpectations { bound: Some(acme), ..LoginExpectations::default() };
        let login = store.open_login(&system(), login(admin.id, NOW), &HASH, &opening).await.unwrap();
        let caller = async |chosen| store.authenticate_login(login.id, &HASH, chosen, NOW).await;
        let (known, _) = caller(OrganizationChoice::ByDefault).await.unwrap();
        assert_eq!((known.organization(), known.bound_organization()), (Some(acme), Some(acme)));
        assert!(known.authorize_in_account::<ViewSessions>().is_err());
        let other = caller(OrganizationChoice::Named(Some(globex))).await;
        assert!(matches!(other, Err(Error::Refused(Refusal::NotAMember))));
    }
}
