//! The principal of a key, the organization that it acts in, and when it is refused.

use crate::world::{NOW, key, organization, principal, system};
use domain::Refusal;
use domain::credential::KeySecret;
use domain::ids::OrganizationId;
use domain::organization::Organization;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::time::Span;
use store::access::{ConnectHosts, ManageMembers, UseSessions, ViewSessions};
use store::{Caller, Error, OrganizationChoice, Store};

fn named(organization: OrganizationId) -> OrganizationChoice {
    OrganizationChoice::Named(Some(organization))
}

async fn ask(store: &Store, secret: &KeySecret, chosen: OrganizationChoice) -> store::Result<Caller> {
    store.authenticate_key(&secret.hash(), chosen, NOW).await
}

fn nobody(outcome: &store::Result<Caller>) -> bool {
    matches!(outcome, Err(Error::Unauthenticated))
}

fn not_a_member(outcome: &store::Result<Caller>) -> bool {
    matches!(outcome, Err(Error::Refused(Refusal::NotAMember)))
}

both! {
    async fn unknown_expired_and_revoked_keys_are_refused(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let unknown = KeySecret::new(domain::credential::Wire::Tenure, [1; 28]);
        assert!(nobody(&ask(&store, &unknown, OrganizationChoice::ByDefault).await));

        let (_, secret) = key(&store, owner, None, Some(NOW + Span(1))).await;
        assert!(ask(&store, &secret, OrganizationChoice::ByDefault).await.is_ok());
        assert!(nobody(&store.authenticate_key(&secret.hash(), OrganizationChoice::ByDefault, NOW + Span(1)).await));

        let (id, secret) = key(&store, owner, None, None).await;
        assert_eq!(ask(&store, &secret, OrganizationChoice::ByDefault).await.unwrap().credential(), id);
        store.revoke_credential(&system(), id, NOW).await.unwrap();
        // A deleted principal does not learn which organizations it could once name.
        for chosen in [OrganizationChoice::ByDefault, named(acme), OrganizationChoice::Named(None)] {
            assert!(nobody(&ask(&store, &secret, chosen).await));
        }
        store.revoke_credential(&system(), id, NOW + Span::seconds(9)).await.unwrap();
        let keys = store.list_credentials(&system()).await.unwrap();
        let revoked = keys.iter().find(|key| key.id == id).unwrap().revoked;
        assert_eq!(revoked, Some(NOW), "revoked once, and for ever");
    }

    async fn keys_of_principals_who_may_not_act_are_refused(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, owner) = organization(&store).await;
        let (_, secret) = key(&store, owner, None, None).await;
        let set = async |state| store.set_principal_state(&system(), owner, state, NOW).await;
        set(PrincipalState::Suspended).await.unwrap();
        assert!(nobody(&ask(&store, &secret, OrganizationChoice::ByDefault).await));
        set(PrincipalState::Active).await.unwrap();
        assert!(ask(&store, &secret, OrganizationChoice::ByDefault).await.is_ok());
        set(PrincipalState::Deleted).await.unwrap();
        assert!(nobody(&ask(&store, &secret, OrganizationChoice::ByDefault).await));
        assert!(set(PrincipalState::Active).await.is_err(), "deleted is final");
        assert!(nobody(&ask(&store, &secret, OrganizationChoice::ByDefault).await));
    }

    async fn a_caller_acts_in_the_organization_it_names_or_in_its_first(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let (initech, _) = organization(&store).await;
        let later = NOW + Span::seconds(1);
        store.set_member(&system().grant(globex), owner, Role::Readonly, later).await.unwrap();
        let (_, secret) = key(&store, owner, None, None).await;
        let chosen = async |chosen| ask(&store, &secret, chosen).await.map(|caller| caller.organization());
        assert_eq!(chosen(OrganizationChoice::ByDefault).await.unwrap(), Some(acme));
        assert_eq!(chosen(named(acme)).await.unwrap(), Some(acme));
        assert_eq!(chosen(named(globex)).await.unwrap(), Some(globex));
        // Foreign, unknown and malformed organizations look the same.
        let unknown = OrganizationId::new(NOW, [7; 10]);
        for other in [named(initech), named(unknown), named(OrganizationId::ACCOUNT), OrganizationChoice::Named(None)] {
            assert!(not_a_member(&ask(&store, &secret, other).await));
        }
        // The role is the one in the chosen organization.
        let caller = ask(&store, &secret, named(globex)).await.unwrap();
        assert!(caller.authorize::<ViewSessions>().is_ok() && caller.authorize::<UseSessions>().is_err());
        assert!(caller.authorize_in_account::<ViewSessions>().is_err());
        store.remove_member(&system().grant(acme), owner, NOW).await.unwrap();
        assert_eq!(chosen(OrganizationChoice::ByDefault).await.unwrap(), Some(globex));
        store.remove_member(&system().grant(globex), owner, NOW).await.unwrap();
        assert_eq!(chosen(OrganizationChoice::ByDefault).await.unwrap(), None);
        let nowhere = ask(&store, &secret, OrganizationChoice::ByDefault).await.unwrap().authorize::<ViewSessions>();
        assert_eq!(nowhere.unwrap_err(), Refusal::NoOrganization);
    }

    async fn a_key_that_is_bound_to_an_organization_acts_in_no_other(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        store.set_member(&system().grant(globex), owner, Role::Admin, NOW).await.unwrap();
        let (_, secret) = key(&store, owner, Some(globex), None).await;
        let caller = ask(&store, &secret, OrganizationChoice::ByDefault).await.unwrap();
        assert_eq!(caller.organization(), Some(globex));
        assert!(caller.authorize::<ManageMembers>().is_ok());
        assert!(not_a_member(&ask(&store, &secret, named(acme)).await));
        let (_, other) = organization(&store).await;
        store.set_member(&system().grant(globex), other, Role::Admin, NOW).await.unwrap();
        store.remove_member(&system().grant(globex), owner, NOW).await.unwrap();
        // The key was bound to that organization and ended with the membership.
        assert!(matches!(ask(&store, &secret, OrganizationChoice::ByDefault).await, Err(Error::Unauthenticated)));

        let admin = principal(&store, Some(AccountRole::Admin)).await;
        let (_, secret) = key(&store, admin.id, Some(acme), None).await;
        let caller = ask(&store, &secret, OrganizationChoice::ByDefault).await.unwrap();
        assert!(caller.authorize::<ConnectHosts>().is_ok());
        assert!(caller.authorize_in_account::<ConnectHosts>().is_err(), "the binding holds for the account's roles too");
        assert!(not_a_member(&ask(&store, &secret, named(globex)).await));
    }

    async fn a_role_in_the_account_opens_every_organization_that_exists(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let viewer = principal(&store, Some(AccountRole::Viewer)).await;
        let (_, secret) = key(&store, viewer.id, None, None).await;
        let caller = ask(&store, &secret, named(acme)).await.unwrap();
        assert!(caller.authorize::<ViewSessions>().is_ok() && caller.authorize::<UseSessions>().is_err());
        assert_eq!(ask(&store, &secret, OrganizationChoice::ByDefault).await.unwrap().organization(), None);
        assert!(not_a_member(&ask(&store, &secret, named(OrganizationId::ACCOUNT)).await));
        store.delete_organization(&system(), acme, NOW).await.unwrap();
        assert!(not_a_member(&ask(&store, &secret, named(acme)).await));
    }

    async fn no_key_acts_in_a_deleted_organization(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (_, secret) = key(&store, owner, None, None).await;
        let (_, bound) = key(&store, owner, Some(acme), None).await;
        store.delete_organization(&system(), acme, NOW).await.unwrap();
        assert_eq!(ask(&store, &secret, OrganizationChoice::ByDefault).await.unwrap().organization(), None);
        assert!(not_a_member(&ask(&store, &secret, named(acme)).await));
        assert!(not_a_member(&ask(&store, &bound, OrganizationChoice::ByDefault).await));
        let tombstone = store.list_organizations(&system()).await.unwrap();
        assert_eq!(tombstone.iter().find(|known| known.id == acme).unwrap().deleted, Some(NOW));
        // The name is free again.
        let again = Organization {
            id: OrganizationId::new(NOW, crate::world::bytes()),
            name: acme.to_string(),
            created: NOW,
            deleted: None,
            max_devices: None,
        };
        store.create_organization(&system(), &again).await.unwrap();
        assert!(matches!(store.create_organization(&system(), &again).await, Err(Error::Refused(Refusal::Exists(_)))));
    }
}
