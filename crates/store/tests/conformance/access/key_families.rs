//! Families of keys, and the age, idle time and networks of keys.

use crate::world::{NOW, bytes, organization, system};
use domain::credential::{Credential, KeyLimits, KeySecret, SecretHash, Wire};
use domain::ids::{CredentialId, PrincipalId, SessionId};
use domain::login::{Login, Method, Origin};
use domain::network::Networks;
use domain::time::{Micros, Span};
use store::{Attribution, LoginExpectations, OrganizationChoice, Store, System};

/// The caller of a key.
fn with(key: CredentialId) -> System {
    system().attribute_to(Attribution { credential: Some(key), ..Attribution::TENURE })
}

async fn keep(store: &Store, by: &System, owner: PrincipalId, networks: &str) -> (CredentialId, SecretHash) {
    let mut random = [0; 28];
    random[..10].copy_from_slice(&bytes());
    let secret = KeySecret::new(Wire::Tenure, random);
    let networks = Networks::parse(networks).unwrap();
    let key = Credential { networks, ..Credential::new(&secret, Wire::Tenure, owner, NOW, bytes()) };
    store.create_credential(by, &key, &secret.hash()).await.unwrap();
    (key.id, secret.hash())
}

/// A login session that a key opens. Returns its id and the hash of its secret.
async fn opened(store: &Store, owner: PrincipalId, key: CredentialId) -> SessionId {
    let login = Login {
        id: SessionId::new(NOW, u64::from_be_bytes(bytes()[2..].try_into().unwrap())),
        owner,
        revision: 1,
        seen: NOW,
        idle: Span::minutes(60),
        expires: NOW + Span::minutes(60),
        authenticated: NOW,
        methods: vec![Method::Key],
        origin: Origin::default(),
        credential: Some(key),
        scopes: None,
        ended: None,
    };
    let open = store.list_open_logins(&system(), owner).await.unwrap().len();
    let opening = LoginExpectations { open, ..LoginExpectations::default() };
    store.open_login(&system(), login, &SecretHash([9; 32]), &opening).await.unwrap().id
}

async fn good(store: &Store, secret: &SecretHash) -> bool {
    store.authenticate_key(secret, OrganizationChoice::ByDefault, NOW).await.is_ok()
}

async fn session_good(store: &Store, id: SessionId, now: Micros) -> bool {
    store.authenticate_login(id, &SecretHash([9; 32]), OrganizationChoice::ByDefault, now).await.is_ok()
}

both! {
    async fn a_revoked_key_takes_its_family_along(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, ana) = organization(&store).await;
        let (_, bob) = organization(&store).await;
        let (root, root_secret) = keep(&store, &system(), ana, "").await;
        let (child, child_secret) = keep(&store, &with(root), bob, "").await;
        // Made in a session that the child opened.
        let session = opened(&store, bob, child).await;
        let in_session = system().attribute_to(Attribution { login: Some(session), ..Attribution::TENURE });
        let (grandchild, grandchild_secret) = keep(&store, &in_session, bob, "").await;
        let (_, other) = keep(&store, &system(), bob, "").await;
        let made_by = |id| {
            let store = store.clone();
            async move {
                let keys = store.list_credentials(&system()).await.unwrap();
                keys.iter().find(|key| key.id == id).unwrap().made_by
            }
        };
        assert_eq!((made_by(child).await, made_by(grandchild).await), (Some(root), Some(child)));
        assert!(session_good(&store, session, NOW).await);
        store.revoke_credential(&system(), root, NOW).await.unwrap();
        for secret in [root_secret, child_secret, grandchild_secret] {
            assert!(!good(&store, &secret).await);
        }
        assert!(!session_good(&store, session, NOW).await);
        assert!(good(&store, &other).await, "it was not made with any of them");
    }

    async fn all_keys_of_a_person_are_revoked_with_the_keys_they_created(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, ana) = organization(&store).await;
        let (_, bob) = organization(&store).await;
        let (one, first) = keep(&store, &system(), ana, "").await;
        let (_, second) = keep(&store, &system(), ana, "").await;
        let (_, of_bob) = keep(&store, &with(one), bob, "").await;
        let (_, bobs) = keep(&store, &system(), bob, "").await;
        store.revoke_all_api_keys(&system().grant_person(ana), NOW).await.unwrap();
        for (secret, stays) in [(first, false), (second, false), (of_bob, false), (bobs, true)] {
            assert_eq!(good(&store, &secret).await, stays);
        }
    }

    async fn a_successor_takes_the_place_of_a_key(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, ana) = organization(&store).await;
        let (root, _) = keep(&store, &system(), ana, "").await;
        let (old, old_secret) = keep(&store, &with(root), ana, "").await;
        let (_, child) = keep(&store, &with(old), ana, "").await;
        // The key renews itself; the keys it made stay.
        let (new, new_secret) = keep(&store, &with(old), ana, "").await;
        for _ in 0..2 {
            store.replace_credential(&system(), old, new, NOW).await.unwrap();
        }
        assert!(!good(&store, &old_secret).await);
        assert!(good(&store, &new_secret).await && good(&store, &child).await);
        // A key that it made renews it, so each is in the other's family. The recursion ends.
        store.replace_credential(&system(), new, root, NOW).await.unwrap();
        let (ring, ring_secret) = keep(&store, &with(root), ana, "").await;
        store.replace_credential(&system(), root, ring, NOW).await.unwrap();
        store.revoke_credential(&system(), ring, NOW).await.unwrap();
        for secret in [new_secret, child, ring_secret] {
            assert!(!good(&store, &secret).await);
        }
    }

    async fn keys_end_by_age_and_without_use(db: &TestDatabase) {
        let plain = Store::new(db.database.clone());
        let (_, ana) = organization(&plain).await;
        let (key, secret) = keep(&plain, &system(), ana, "").await;
        let session = opened(&plain, ana, key).await;
        let minute = Span::minutes(1);
        let aging = plain.clone().limiting_keys(KeyLimits { age: Some(minute), idle: None });
        let idling = plain.clone().limiting_keys(KeyLimits { age: None, idle: Some(minute) });
        let until = aging.authenticate_key(&secret, OrganizationChoice::ByDefault, NOW).await.unwrap().expires();
        assert_eq!(until, Some(NOW + minute));
        let just_before = Micros(NOW.0 + minute.0 - 1);
        for (store, uses, at, expected) in [
            (&plain, false, NOW + minute, true),
            (&aging, false, just_before, true),
            (&aging, false, NOW + minute, false),
            (&idling, false, just_before, true),
            (&idling, false, NOW + minute, false),
            (&idling, true, NOW + minute, true),
            (&aging, false, NOW + minute, false),
        ] {
            if uses {
                store.record_credential_use(&system(), key, NOW + Span(1)).await.unwrap();
            }
            assert_eq!(store.authenticate_key(&secret, OrganizationChoice::ByDefault, at).await.is_ok(), expected);
        }
        assert!(session_good(&plain, session, NOW + minute).await);
        assert!(!session_good(&aging, session, NOW + minute).await, "nor does what it opened last");
    }

    async fn networks_are_passed_on(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, ana) = organization(&store).await;
        let (office, secret) = keep(&store, &system(), ana, "192.0.2.0/24").await;
        let (_, child) = keep(&store, &with(office), ana, "").await;
        let session = opened(&store, ana, office).await;
        let (_, anywhere) = keep(&store, &system(), ana, "").await;
        let (there, elsewhere) = (Some("192.0.2.7".parse().unwrap()), Some("203.0.113.1".parse().unwrap()));
        let mut callers = Vec::new();
        for secret in [secret, child] {
            callers.push(store.authenticate_key(&secret, OrganizationChoice::ByDefault, NOW).await.unwrap());
        }
        let hash = SecretHash([9; 32]);
        callers.push(store.authenticate_login(session, &hash, OrganizationChoice::ByDefault, NOW).await.unwrap().0);
        for caller in callers {
            assert!(caller.accepts_address(there) && !caller.accepts_address(elsewhere) && !caller.accepts_address(None));
        }
        let caller = store.authenticate_key(&anywhere, OrganizationChoice::ByDefault, NOW).await.unwrap();
        assert!(caller.accepts_address(elsewhere) && caller.accepts_address(None));
    }
}
