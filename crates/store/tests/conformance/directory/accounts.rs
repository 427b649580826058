//! People and their sub users, keys, one-time tokens, and budgets of sign-in attempts.

use crate::world::{NOW, bytes, key, organization, principal, system};
use domain::Refusal;
use domain::credential::{Credential, KeySecret, SecretHash, Wire};
use domain::ids::{OrganizationId, PrincipalId, SigningKeyId};
use domain::login::{PersonAccess, PersonRelation};
use domain::permission::{AccountRole, Permission, Role};
use domain::principal::{Person, Principal, PrincipalKind, PrincipalState, Scopes};
use domain::refusal::Thing;
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};
use std::collections::BTreeSet;
use store::access::{ManageMembers, UseSessions, ViewSessions};
use store::{ApiKey, ApiKeyName, Caller, Error, NewPassword, OrganizationChoice, PublicKey, Store};

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
    store.authenticate_key(&secret.hash(), OrganizationChoice::ByDefault, NOW).await.unwrap()
}

/// A new sub user. Returns the id and the number.
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
    let granted = system().grant::<ManageMembers>(organization);
    let number =
        store.create_sub_user(&granted, parent, &person, Some("hash"), Role::Readwrite).await.unwrap();
    (id, number)
}

fn token(owner: PrincipalId, scopes: Option<Scopes>) -> (ApiKey, KeySecret) {
    let mut random = [0; 28];
    random[..10].copy_from_slice(&bytes());
    let secret = KeySecret::new(Wire::Probe, random);
    let credential = Credential::new(&secret, Wire::Probe, owner, NOW, bytes());
    (ApiKey { credential, scopes, updated: NOW, recoverable: None }, secret)
}

both! {
    async fn a_maker_reaches_sub_users_until_they_are_their_own(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, root) = organization(&store).await;
        store.set_member(&system().grant(acme), root, Role::Admin, NOW).await.unwrap();
        let (globex, foreign) = organization(&store).await;
        let (child, number) = sub(&store, acme, root, PrincipalState::Pending).await;
        let (sibling, _) = sub(&store, acme, root, PrincipalState::Active).await;
        let admin = principal(&store, Some(AccountRole::Admin)).await.id;
        let over = async |who, reach| {
            let caller = caller(&store, who).await;
            match store.authorize_over_person(&caller, number, reach, "read:user", "read:sub-user").await {
                Ok(granted) => {
                    assert_eq!((granted.person(), granted.actor()), (child, Some(who)));
                    let found = store.load_person(&granted).await.unwrap();
                    assert_eq!((found.parent, found.first_name.as_str()), (Some(root), "Su"));
                    Ok(granted.relation())
                }
                Err(Error::Refused(refusal)) => Err(refusal),
                Err(error) => panic!("{error}"),
            }
        };
        let not_found = || Err(Refusal::NotFound(Thing::Principal));
        let expect = async |who, sees: Result<PersonRelation, Refusal>, changes: Result<PersonRelation, Refusal>| {
            assert_eq!((over(who, PersonAccess::See).await, over(who, PersonAccess::Change).await), (sees, changes));
        };
        let people = async |who| {
            let people = store.list_people(&caller(&store, who).await).await.unwrap().into_iter();
            people.map(|person| person.principal.id).collect::<BTreeSet<_>>()
        };
        let set = |ids: &[PrincipalId]| ids.iter().copied().collect::<BTreeSet<_>>();
        // Not verified yet.
        expect(root, Ok(PersonRelation::Maker), Ok(PersonRelation::Maker)).await;
        expect(admin, Ok(PersonRelation::Administrator), Ok(PersonRelation::Administrator)).await;
        for outsider in [sibling, foreign] {
            expect(outsider, not_found(), not_found()).await;
        }
        assert_eq!(people(root).await, set(&[root, child, sibling]));
        assert_eq!(people(admin).await, set(&[root, foreign, child, sibling]));
        // Verified: the maker sees them but cannot change them.
        store.set_principal_state(&system(), child, PrincipalState::Active, NOW).await.unwrap();
        expect(child, Ok(PersonRelation::Same), Ok(PersonRelation::Same)).await;
        expect(root, Ok(PersonRelation::Maker), Err(Refusal::Forbidden(Permission::ManageMembers))).await;
        // A member elsewhere, in any state: nobody is their maker any more.
        store.set_member(&system().grant(globex), child, Role::Readwrite, NOW).await.unwrap();
        for state in [PrincipalState::Active, PrincipalState::Suspended] {
            store.set_principal_state(&system(), child, state, NOW).await.unwrap();
            expect(root, not_found(), not_found()).await;
        }
        assert_eq!(people(root).await, set(&[root, sibling]));
        store.remove_member(&system().grant(globex), child, NOW).await.unwrap();
        expect(root, Ok(PersonRelation::Maker), Err(Refusal::Forbidden(Permission::ManageMembers))).await;
        // A maker who no longer manages members sees none of them.
        store.set_member(&system().grant(acme), foreign, Role::Admin, NOW).await.unwrap();
        store.set_member(&system().grant(acme), root, Role::Readonly, NOW).await.unwrap();
        expect(root, not_found(), not_found()).await;
        assert_eq!(people(root).await, set(&[root]));
        store.set_principal_state(&system(), child, PrincipalState::Deleted, NOW).await.unwrap();
        expect(admin, not_found(), not_found()).await;
    }

    async fn a_password_of_a_maker_opens_nothing_elsewhere(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, root) = organization(&store).await;
        store.set_member(&system().grant(acme), root, Role::Admin, NOW).await.unwrap();
        let (globex, _) = organization(&store).await;
        let (child, number) = sub(&store, acme, root, PrincipalState::Pending).await;
        let known = async || {
            let known = store.find_person_by_email(&system(), &format!("{child}@example.com")).await.unwrap();
            known.unwrap().password_hash
        };
        assert_eq!(known().await.as_deref(), Some("hash"), "at home");
        store.set_member(&system().grant(globex), child, Role::Readwrite, NOW).await.unwrap();
        assert_eq!(known().await, None, "elsewhere");
        // A password that they chose themselves works everywhere.
        let own = caller(&store, root).await;
        store.remove_member(&system().grant(globex), child, NOW).await.unwrap();
        let maker = store.authorize_over_person(&own, number, PersonAccess::Change, "write:user", "write:sub-user").await.unwrap();
        let given = NewPassword { decided_on: Some("hash"), hash: "given", revokes_keys: false };
        store.set_password(&maker, &given, None, &ending(), NOW).await.unwrap();
        store.set_member(&system().grant(globex), child, Role::Readwrite, NOW).await.unwrap();
        assert_eq!(known().await, None);
        store.store_one_time_token(&system(), child, "restore", &hash(1), NOW + Span::minutes(1)).await.unwrap();
        store.restore_password(&system(), &hash(1), "own", &ending(), NOW).await.unwrap();
        assert_eq!(known().await.as_deref(), Some("own"));
    }

    async fn an_address_belongs_to_one_person(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, root) = organization(&store).await;
        let (child, _) = sub(&store, acme, root, PrincipalState::Pending).await;
        let known = store.find_person_by_email(&system(), &format!("{child}@example.com")).await.unwrap().unwrap();
        assert_eq!((known.person.principal.id, known.password_hash.as_deref()), (child, Some("hash")));
        assert!(store.find_person_by_email(&system(), "nobody@example.com").await.unwrap().is_none());
        let granted = system().grant::<ManageMembers>(acme);
        let again = store.create_sub_user(&granted, root, &known.person, None, Role::Readonly).await;
        assert!(matches!(again, Err(Error::Refused(Refusal::Exists(_)))));
        store.set_principal_state(&system(), child, PrincipalState::Deleted, NOW).await.unwrap();
        assert!(store.find_person_by_email(&system(), &format!("{child}@example.com")).await.unwrap().is_none());
    }

    async fn a_token_is_used_once_and_in_time(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, root) = organization(&store).await;
        let (child, _) = sub(&store, acme, root, PrincipalState::Pending).await;
        let until = NOW + Span::minutes(60);
        store.store_one_time_token(&system(), child, "verify", &hash(1), until).await.unwrap();
        store.store_one_time_token(&system(), child, "verify", &hash(2), until).await.unwrap();
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
        let own = system().grant_person(child);
        assert_eq!(store.load_person(&own).await.unwrap().principal.state, PrincipalState::Active);
        // A token to reset a password is invalid once the password was changed.
        store.store_one_time_token(&system(), child, "restore", &hash(3), until).await.unwrap();
        store.set_password(&own, &NewPassword { decided_on: Some("hash"), hash: "other", revokes_keys: false }, None, &ending(), NOW).await.unwrap();
        assert!(nobody(store.restore_password(&system(), &hash(3), "new", &ending(), NOW).await));
        store.store_one_time_token(&system(), child, "restore", &hash(4), until).await.unwrap();
        assert_eq!(store.restore_password(&system(), &hash(4), "new", &ending(), NOW).await.unwrap(), child);
        assert_eq!(store.load_password_hash(&own).await.unwrap().as_deref(), Some("new"));
        assert!(matches!(store.replace_password_hash(&system(), child, "older", "x").await, Err(Error::Stale)));
        assert_eq!(store.load_password_hash(&own).await.unwrap().as_deref(), Some("new"));
        // So is a token of a person who may not act.
        store.store_one_time_token(&system(), child, "restore", &hash(5), until).await.unwrap();
        store.set_principal_state(&system(), child, PrincipalState::Suspended, NOW).await.unwrap();
        assert!(nobody(store.restore_password(&system(), &hash(5), "new", &ending(), NOW).await));
    }

    async fn attempts_are_taken_out_of_all_budgets_or_none(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let until = NOW + Span::minutes(15);
        let reserve = async |budgets: &[(u8, u32)], now: Micros| {
            let budgets = budgets.iter().map(|(of, limit)| (hash(*of), *limit, now + Span::minutes(15)));
            match store.reserve_attempts(&system(), &budgets.collect::<Vec<_>>(), now).await {
                Ok(()) => true,
                Err(Error::Stale) => false,
                Err(error) => panic!("{error}"),
            }
        };
        let counted = async |now: Micros| {
            let found = store.load_attempts(&system(), &[hash(1), hash(2)], now).await.unwrap();
            (found[0].count, found[1].count)
        };
        // Of many at once, as many as there is room for.
        let tries = (0..16).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                store.reserve_attempts(&system(), &[(hash(1), 10, until), (hash(2), 99, until)], NOW).await.is_ok()
            })
        });
        let mut taken = 0;
        for one in tries.collect::<Vec<_>>() {
            taken += usize::from(one.await.unwrap());
        }
        assert_eq!((taken, counted(NOW).await), (10, (10, 10)));
        // Whichever of them is written first.
        for budgets in [[(2, 99), (1, 10)], [(2, 10), (1, 99)]] {
            assert!(!reserve(&budgets, NOW + Span(1)).await, "one of them is used up");
            assert_eq!(counted(NOW).await, (10, 10), "and nothing is counted");
        }
        // Another window begins when this one is over.
        assert_eq!(counted(until).await, (0, 0));
        assert!(reserve(&[(2, 99), (1, 10)], until).await);
        assert_eq!(counted(until).await, (1, 1));
        store.settle_attempts(&system(), &[hash(1)], &[hash(2)]).await.unwrap();
        assert_eq!(counted(until).await, (0, 0));
        store.settle_attempts(&system(), &[], &[hash(1), hash(2)]).await.unwrap();
        assert_eq!(counted(until).await, (0, 0), "nothing is given back that was not taken");
        store.prune_sign_in(&system(), NOW, until + Span::minutes(15)).await.unwrap();
        assert_eq!(counted(NOW).await, (0, 0));
    }

    async fn public_keys_are_kept_until_they_retire(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let id = SigningKeyId::new(NOW, bytes());
        let key = PublicKey { id, bytes: vec![7; 32], created: NOW, retires: NOW + Span::minutes(1) };
        store.store_public_key(&system(), &key).await.unwrap();
        // The same id never becomes another key.
        let other = PublicKey { bytes: vec![8; 32], ..key.clone() };
        store.store_public_key(&system(), &other).await.unwrap();
        assert_eq!(store.load_public_key(&system(), id).await.unwrap(), Some(key));
        store.prune_sign_in(&system(), NOW, NOW + Span::minutes(1)).await.unwrap();
        assert_eq!(store.load_public_key(&system(), id).await.unwrap(), None);
    }

    async fn only_the_owner_changes_a_key(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, owner) = organization(&store).await;
        let (_, other) = organization(&store).await;
        let (own, foreign) = (system().grant_person(owner), system().grant_person(other));
        let (kept, secret) = token(owner, Scopes::parse(["read:media"]));
        store.create_api_key(&own, &kept, &secret.hash()).await.unwrap();
        for name in [ApiKeyName::Id(kept.credential.id), ApiKeyName::Secret(secret.hash())] {
            assert_eq!(store.load_api_key(&own, name).await.unwrap(), kept);
            assert!(not_found(store.load_api_key(&foreign, name).await));
        }
        assert_eq!(store.list_api_keys(&own).await.unwrap(), vec![kept.clone()]);
        assert_eq!(store.list_api_keys(&foreign).await.unwrap(), []);
        let caller = store.authenticate_key(&secret.hash(), OrganizationChoice::ByDefault, NOW).await.unwrap();
        assert!(caller.authorize::<ViewSessions>().is_ok() && caller.authorize::<UseSessions>().is_err());
        assert_eq!(caller.scopes(), kept.scopes);
        // A change expects the state that it was decided on, and the owner.
        let after = ApiKey { scopes: None, updated: NOW + Span(1), ..kept.clone() };
        assert!(matches!(store.change_api_key(&foreign, &kept, &after, None).await, Err(Error::Stale)));
        store.change_api_key(&own, &kept, &after, None).await.unwrap();
        assert!(matches!(store.change_api_key(&own, &kept, &after, None).await, Err(Error::Stale)));
        let (_, new) = token(owner, None);
        let renewed = ApiKey { updated: NOW + Span(2), ..after.clone() };
        store.change_api_key(&own, &after, &renewed, Some((&new.hash(), new.suffix()))).await.unwrap();
        assert!(nobody(store.authenticate_key(&secret.hash(), OrganizationChoice::ByDefault, NOW).await));
        let caller = store.authenticate_key(&new.hash(), OrganizationChoice::ByDefault, NOW).await.unwrap();
        assert!(caller.authorize::<UseSessions>().is_ok());
        assert!(not_found(store.revoke_api_key(&foreign, kept.credential.id, NOW).await));
        store.revoke_api_key(&own, kept.credential.id, NOW).await.unwrap();
        assert!(not_found(store.revoke_api_key(&own, kept.credential.id, NOW).await), "once");
        assert!(nobody(store.authenticate_key(&new.hash(), OrganizationChoice::ByDefault, NOW).await));
        assert_eq!(store.list_api_keys(&own).await.unwrap(), []);
    }
}
