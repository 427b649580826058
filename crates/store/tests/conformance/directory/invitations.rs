//! Invitations: who can accept them, and when they stop working.

use crate::world::{NOW, bytes, organization, system};
use domain::Refusal;
use domain::ids::{InvitationId, OrganizationId, PrincipalId};
use domain::invitation::Invitation;
use domain::permission::Role;
use domain::principal::PrincipalState;
use domain::refusal::Thing;
use domain::time::{Micros, Span};
use store::access::ManageMembers;
use store::{Error, Granted, Store};

fn manages(organization: OrganizationId) -> Granted<ManageMembers> {
    system().grant(organization)
}

fn new(organization: OrganizationId, whom: PrincipalId, inviter: PrincipalId, at: Micros) -> Invitation {
    Invitation {
        id: InvitationId::new(at, bytes()),
        organization,
        email: format!("{whom}@example.com"),
        role: Role::Readonly,
        inviter,
        created: at,
        expires: at + Span::minutes(1),
    }
}

fn missing<T: std::fmt::Debug>(outcome: store::Result<T>) -> bool {
    matches!(outcome, Err(Error::Refused(Refusal::NotFound(Thing::Invitation))))
}

fn exists(outcome: &store::Result<()>) -> bool {
    matches!(outcome, Err(Error::Refused(Refusal::Exists(_))))
}

both! {
    async fn an_invitation_is_for_one_person_and_accepted_once(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((acme, admin), (_, eve)) = (organization(&store).await, organization(&store).await);
        store.set_member(&manages(acme), admin, Role::Admin, NOW).await.unwrap();
        let first = new(acme, eve, admin, NOW);
        store.create_invitation(&manages(acme), &first).await.unwrap();
        assert!(exists(&store.create_invitation(&manages(acme), &new(acme, eve, admin, NOW)).await));
        assert!(exists(&store.create_invitation(&manages(acme), &new(acme, admin, admin, NOW)).await), "a member");
        assert_eq!(store.list_invitations(&manages(acme), NOW).await.unwrap(), std::slice::from_ref(&first));
        let (own, other) = (system().grant_person(eve), system().grant_person(admin));
        assert!(missing(store.accept_invitation(&other, first.id, NOW).await));
        assert!(missing(store.accept_invitation(&own, first.id, first.expires).await), "to the microsecond");
        store.accept_invitation(&own, first.id, first.expires - Span(1)).await.unwrap();
        assert!(missing(store.accept_invitation(&own, first.id, NOW).await));
        let members = store.list_people_in_organization(&manages(acme)).await.unwrap();
        let found = members.iter().find(|member| member.principal.id == eve).unwrap();
        assert_eq!((found.role, found.joined), (Role::Readonly, first.expires - Span(1)));
    }

    async fn an_invitation_ends_with_the_rights_of_its_sender(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((acme, admin), (_, eve)) = (organization(&store).await, organization(&store).await);
        let own = system().grant_person(eve);
        store.set_member(&manages(acme), admin, Role::Admin, NOW).await.unwrap();
        let first = new(acme, eve, admin, NOW);
        store.create_invitation(&manages(acme), &first).await.unwrap();
        let seen = async || store.list_received_invitations(&own, NOW).await.unwrap().len();
        assert_eq!(seen().await, 1);
        // The inviter loses the role admin, is suspended, and is an admin again.
        let (_, other) = organization(&store).await;
        store.set_member(&manages(acme), other, Role::Admin, NOW).await.unwrap();
        store.set_member(&manages(acme), admin, Role::Readwrite, NOW).await.unwrap();
        assert!(seen().await == 0 && missing(store.accept_invitation(&own, first.id, NOW).await));
        store.set_member(&manages(acme), admin, Role::Admin, NOW).await.unwrap();
        store.set_principal_state(&system(), admin, PrincipalState::Suspended, NOW).await.unwrap();
        assert!(seen().await == 0 && missing(store.accept_invitation(&own, first.id, NOW).await));
        store.set_principal_state(&system(), admin, PrincipalState::Active, NOW).await.unwrap();
        assert_eq!(seen().await, 1);
        // An expired invitation makes room for another; so do cancelled and rejected ones.
        let second = new(acme, eve, admin, first.expires);
        store.create_invitation(&manages(acme), &second).await.unwrap();
        store.cancel_invitation(&manages(acme), second.id, second.created).await.unwrap();
        assert!(missing(store.cancel_invitation(&manages(acme), second.id, second.created).await));
        let third = new(acme, eve, admin, first.expires);
        store.create_invitation(&manages(acme), &third).await.unwrap();
        store.reject_invitation(&own, third.id, third.created).await.unwrap();
        assert!(missing(store.accept_invitation(&own, third.id, third.created).await));
        let fourth = new(acme, eve, admin, first.expires);
        store.create_invitation(&manages(acme), &fourth).await.unwrap();
        store.delete_organization(&system(), acme, fourth.created).await.unwrap();
        assert!(missing(store.accept_invitation(&own, fourth.id, fourth.created).await));
    }

    async fn another_organization_takes_nothing_back(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((acme, admin), (globex, eve)) = (organization(&store).await, organization(&store).await);
        store.set_member(&manages(acme), admin, Role::Admin, NOW).await.unwrap();
        let first = new(acme, eve, admin, NOW);
        store.create_invitation(&manages(acme), &first).await.unwrap();
        assert!(missing(store.cancel_invitation(&manages(globex), first.id, NOW).await));
        assert_eq!(store.list_invitations(&manages(globex), NOW).await.unwrap(), []);
        assert_eq!(store.list_received_invitations(&system().grant_person(eve), NOW).await.unwrap().len(), 1);
    }
}
