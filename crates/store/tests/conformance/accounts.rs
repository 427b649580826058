//! People and those below them, their keys, what is sent to them, and how often a sign-in was tried.

use crate::world::{NOW, bytes, key, organization, principal, system};
use domain::Refusal;
use domain::credential::{Credential, Secret, SecretHash, Wire};
use domain::ids::{CredentialId, OrganizationId, PrincipalId, SigningKeyId};
use domain::permission::{AccountRole, Role};
use domain::principal::{Person, Principal, PrincipalKind, PrincipalState, Scopes};
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};
use store::access::{ManageMembers, UseSessions, ViewSessions};
use store::{ApiToken, Caller, Chosen, Error, PublicKey, Store, TokenName};

fn hash(byte: u8) -> SecretHash {
    SecretHash([byte; 32])
}

fn ending() -> Ending {
    Ending { reason: EndReason::PasswordChanged, actor: None, evidence: "test".into() }
}

fn not_found<T: std::fmt::Debug>(outcome: store::Result<T>) -> bool {
    matches!(outcome, Err(Error::Refused(Refusal::NotFound(_))))
}

fn nobody<T: std::fmt::Debug>(outcome: store::Result<T>) -> bool {
    matches!(outcome, Err(Error::Unauthenticated))
}

async fn caller(store: &Store, who: PrincipalId) -> Caller {
    let (_, secret) = key(store, who, None, None).await;
    store.caller(&secret.hash(), Chosen::ByDefault, NOW).await.unwrap()
}

/// A new sub user; gives its id and number.
async fn sub(
    store: &Store,
    organization: OrganizationId,
    parent: PrincipalId,
    state: PrincipalState,
) -> (PrincipalId, i64) {
    let id = PrincipalId::new(NOW, bytes());
    let person = Person {
        principal: Principal {
            id,
            number: 0,
            kind: PrincipalKind::User,
            email: Some(format!("{id}@example.com")),
            name: "Sub".into(),
            state,
            created: NOW,
            account_role: None,
            default_organization: Some(organization),
        },
        parent: Some(parent),
        first_name: "Su".into(),
        last_name: "B".into(),
        updated: NOW,
    };
    let granted = system().within::<ManageMembers>(organization);
    let number =
        store.create_sub_user(&granted, parent, &person, Some("hash"), Role::Readwrite).await.unwrap();
    (id, number)
}

fn token(owner: PrincipalId, scopes: Option<Scopes>) -> (ApiToken, Secret) {
    let mut random = [0; 28];
    random[..10].copy_from_slice(&bytes());
    let secret = Secret::new(Wire::Probe, random);
    let credential = Credential {
        id: CredentialId::new(NOW, bytes()),
        principal: owner,
        organization: None,
        wire: Wire::Probe,
        name: String::new(),
        suffix: secret.suffix().into(),
        created: NOW,
        expires: None,
        last_used: None,
        revoked: None,
    };
    (ApiToken { credential, scopes, updated: NOW, recoverable: None }, secret)
}

both! {
    async fn one_acts_on_oneself_and_those_below(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, root) = organization(&store).await;
        let (_, foreign) = organization(&store).await;
        let (child, child_number) = sub(&store, acme, root, PrincipalState::Active).await;
        let (grandchild, number) = sub(&store, acme, child, PrincipalState::Active).await;
        let (sibling, _) = sub(&store, acme, root, PrincipalState::Active).await;
        let admin = principal(&store, Some(AccountRole::Admin)).await.id;
        for (who, may) in [(root, true), (child, true), (grandchild, true), (admin, true), (sibling, false), (foreign, false)] {
            let caller = caller(&store, who).await;
            let outcome = store.over(&caller, number, "read:user", "read:sub-user").await;
            assert_eq!(outcome.is_ok(), may, "{who}");
            match outcome {
                Ok(granted) => {
                    let found = store.person(&granted).await.unwrap();
                    assert_eq!((found.principal.id, found.parent, found.first_name.as_str()), (grandchild, Some(child), "Su"));
                    assert_eq!(granted.actor(), Some(who));
                    let parent = store.parent(&granted, &found).await.unwrap().unwrap();
                    assert_eq!(parent.principal.id, child);
                }
                Err(error) => assert!(not_found::<()>(Err(error))),
            }
        }
        let people = async |who| {
            let mut ids = Vec::new();
            for person in store.people(&caller(&store, who).await).await.unwrap() {
                ids.push(person.principal.id);
            }
            ids.sort();
            ids
        };
        let sorted = |mut ids: Vec<PrincipalId>| { ids.sort(); ids };
        assert_eq!(people(root).await, sorted(vec![root, child, grandchild, sibling]));
        assert_eq!(people(child).await, sorted(vec![child, grandchild]));
        assert_eq!(people(admin).await, sorted(vec![root, foreign, child, grandchild, sibling]));
        // Who was deleted is nobody's any more; those below are still below those above.
        store.set_principal_state(&system(), child, PrincipalState::Deleted, NOW).await.unwrap();
        let caller = caller(&store, root).await;
        assert!(not_found(store.over(&caller, child_number, "read:user", "read:sub-user").await));
        assert!(store.over(&caller, number, "read:user", "read:sub-user").await.is_ok());
        assert_eq!(people(root).await, sorted(vec![root, grandchild, sibling]));
        assert!(not_found(store.over(&caller, 999, "read:user", "read:sub-user").await));
    }

    async fn an_address_is_one_persons(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, root) = organization(&store).await;
        let (child, _) = sub(&store, acme, root, PrincipalState::Pending).await;
        let known = store.known(&system(), &format!("{child}@example.com")).await.unwrap().unwrap();
        assert_eq!((known.person.principal.id, known.password_hash.as_deref()), (child, Some("hash")));
        assert!(store.known(&system(), "nobody@example.com").await.unwrap().is_none());
        let granted = system().within::<ManageMembers>(acme);
        let again = store.create_sub_user(&granted, root, &known.person, None, Role::Readonly).await;
        assert!(matches!(again, Err(Error::Refused(Refusal::Exists(_)))));
        store.set_principal_state(&system(), child, PrincipalState::Deleted, NOW).await.unwrap();
        assert!(store.known(&system(), &format!("{child}@example.com")).await.unwrap().is_none());
    }

    async fn a_token_is_used_once_and_in_time(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, root) = organization(&store).await;
        let (child, _) = sub(&store, acme, root, PrincipalState::Pending).await;
        let until = NOW + Span::minutes(60);
        store.keep_token(&system(), child, "verify", &hash(1), until).await.unwrap();
        store.keep_token(&system(), child, "verify", &hash(2), until).await.unwrap();
        assert!(nobody(store.verify_address(&system(), &hash(1), NOW).await), "the newer one counts");
        assert!(nobody(store.verify_address(&system(), &hash(2), until).await), "too late");
        assert!(nobody(store.restore_password(&system(), &hash(2), "new", &ending(), NOW).await), "for something else");
        let tries = (0..16).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.verify_address(&system(), &hash(2), NOW).await })
        });
        let mut verified = 0;
        for attempt in tries.collect::<Vec<_>>() {
            verified += u32::from(attempt.await.unwrap().is_ok());
        }
        assert_eq!(verified, 1);
        let own = system().over(child);
        assert_eq!(store.person(&own).await.unwrap().principal.state, PrincipalState::Active);
        // One for a password that was remembered, and changed, is no good any more.
        store.keep_token(&system(), child, "restore", &hash(3), until).await.unwrap();
        store.set_password(&own, Some("hash"), "other", None, &ending(), NOW).await.unwrap();
        assert!(nobody(store.restore_password(&system(), &hash(3), "new", &ending(), NOW).await));
        store.keep_token(&system(), child, "restore", &hash(4), until).await.unwrap();
        assert_eq!(store.restore_password(&system(), &hash(4), "new", &ending(), NOW).await.unwrap(), child);
        assert_eq!(store.password_hash(&own).await.unwrap().as_deref(), Some("new"));
        store.rehash(&system(), child, "older", "x").await.unwrap();
        assert_eq!(store.password_hash(&own).await.unwrap().as_deref(), Some("new"));
        // Nor is one of somebody who may not act.
        store.keep_token(&system(), child, "restore", &hash(5), until).await.unwrap();
        store.set_principal_state(&system(), child, PrincipalState::Suspended, NOW).await.unwrap();
        assert!(nobody(store.restore_password(&system(), &hash(5), "new", &ending(), NOW).await));
    }

    async fn tries_are_counted_also_when_they_come_at_once(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let window = Span::minutes(15);
        let tries = (0..16).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.count_attempt(&system(), &hash(1), window, NOW).await.unwrap() })
        });
        for attempt in tries.collect::<Vec<_>>() {
            attempt.await.unwrap();
        }
        let next = async |at: Micros| store.count_attempt(&system(), &hash(1), window, at).await.unwrap();
        assert_eq!(next(NOW + Span(1)).await.failed, 17, "none was lost");
        assert_eq!(next(NOW + window).await.failed, 1, "the window is over");
        assert_eq!(store.count_attempt(&system(), &hash(2), window, NOW).await.unwrap().failed, 1, "somebody else");
        store.forget_attempts(&system(), &hash(1)).await.unwrap();
        assert_eq!(next(NOW + window).await.failed, 1);
        store.forget_expired(&system(), window, NOW + window + window).await.unwrap();
        assert_eq!(next(NOW + window).await.failed, 1);
    }

    async fn public_keys_are_kept_until_they_retire(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let id = SigningKeyId::new(NOW, bytes());
        let key = PublicKey { id, bytes: vec![7; 32], created: NOW, retires: NOW + Span::minutes(1) };
        store.keep_public_key(&system(), &key).await.unwrap();
        // The same id never becomes another key.
        let other = PublicKey { bytes: vec![8; 32], ..key.clone() };
        store.keep_public_key(&system(), &other).await.unwrap();
        assert_eq!(store.public_key(&system(), id).await.unwrap(), Some(key));
        store.forget_expired(&system(), Span(0), NOW + Span::minutes(1)).await.unwrap();
        assert_eq!(store.public_key(&system(), id).await.unwrap(), None);
    }

    async fn ones_keys_are_ones_own(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, owner) = organization(&store).await;
        let (_, other) = organization(&store).await;
        let (own, foreign) = (system().over(owner), system().over(other));
        let (kept, secret) = token(owner, Scopes::parse(["read:media"]));
        store.create_token(&own, &kept, &secret.hash()).await.unwrap();
        for name in [TokenName::Id(kept.credential.id), TokenName::Secret(secret.hash())] {
            assert_eq!(store.token(&own, name).await.unwrap(), kept);
            assert!(not_found(store.token(&foreign, name).await));
        }
        assert_eq!(store.tokens(&own).await.unwrap(), vec![kept.clone()]);
        assert_eq!(store.tokens(&foreign).await.unwrap(), []);
        let caller = store.caller(&secret.hash(), Chosen::ByDefault, NOW).await.unwrap();
        assert!(caller.may::<ViewSessions>().is_ok() && caller.may::<UseSessions>().is_err());
        assert_eq!(caller.scopes(), kept.scopes);
        // A change expects what it was decided on, and is its owner's.
        let after = ApiToken { scopes: None, updated: NOW + Span(1), ..kept.clone() };
        assert!(matches!(store.change_token(&foreign, &kept, &after, None).await, Err(Error::Stale)));
        store.change_token(&own, &kept, &after, None).await.unwrap();
        assert!(matches!(store.change_token(&own, &kept, &after, None).await, Err(Error::Stale)));
        let (_, new) = token(owner, None);
        let renewed = ApiToken { updated: NOW + Span(2), ..after.clone() };
        store.change_token(&own, &after, &renewed, Some((&new.hash(), new.suffix()))).await.unwrap();
        assert!(nobody(store.caller(&secret.hash(), Chosen::ByDefault, NOW).await));
        let caller = store.caller(&new.hash(), Chosen::ByDefault, NOW).await.unwrap();
        assert!(caller.may::<UseSessions>().is_ok());
        assert!(not_found(store.revoke_token(&foreign, kept.credential.id, NOW).await));
        store.revoke_token(&own, kept.credential.id, NOW).await.unwrap();
        assert!(not_found(store.revoke_token(&own, kept.credential.id, NOW).await), "once");
        assert!(nobody(store.caller(&new.hash(), Chosen::ByDefault, NOW).await));
        assert_eq!(store.tokens(&own).await.unwrap(), []);
    }
}
