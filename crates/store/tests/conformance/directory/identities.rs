//! Identities at an issuer, and memberships from groups.

use crate::world::{NOW, bytes, organization, system};
use domain::federation::MembershipChange;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::Role;
use domain::principal::{Membership, Person, Principal, PrincipalKind, PrincipalState};
use domain::time::Span;
use store::access::{ManageMembers, ViewAudit, ViewSessions};
use store::{Error, Granted, Identity, Store};

const ISSUER: &str = "https://issuer.example";

fn identity(subject: &str) -> Identity<'_> {
    Identity { issuer: ISSUER, subject }
}

fn manages(organization: OrganizationId) -> Granted<ManageMembers> {
    system().grant(organization)
}

fn person(email: Option<&str>, state: PrincipalState) -> Person {
    Person {
        principal: Principal {
            id: PrincipalId::new(NOW, bytes()),
            number: 0,
            kind: PrincipalKind::User,
            email: email.map(str::to_owned),
            name: "Ana".into(),
            state,
            created: NOW,
            account_role: None,
            default_organization: None,
        },
        parent: None,
        first_name: "Ana".into(),
        last_name: String::new(),
        updated: NOW,
    }
}

fn stale(outcome: &store::Result<()>) -> bool {
    matches!(outcome, Err(Error::Stale))
}

fn member(organization: OrganizationId, role: Role) -> Membership {
    Membership { organization, role }
}

/// The role in an organization, and whether it came from groups.
async fn role(store: &Store, person: PrincipalId, organization: OrganizationId) -> Option<(Role, bool)> {
    let held = store.list_memberships(&system(), person).await.unwrap();
    let found = held.iter().find(|one| one.membership.organization == organization);
    found.map(|one| (one.membership.role, one.by_groups))
}

both! {
    async fn an_identity_belongs_to_one_person(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (ana, eve) = (person(Some("ana@x"), PrincipalState::Active), person(Some("eve@x"), PrincipalState::Active));
        for one in [&ana, &eve] {
            store.create_principal(&system(), &one.principal, Some("hash"), None).await.unwrap();
        }
        let link = async |one: &Person, subject| store.link_identity(&system(), one, identity(subject), NOW).await;
        link(&ana, "1").await.unwrap();
        assert_eq!(store.find_person_by_identity(&system(), identity("1")).await.unwrap(), Some(ana.principal.id));
        let other = Identity { issuer: "https://other.example", subject: "1" };
        assert_eq!(store.find_person_by_identity(&system(), other).await.unwrap(), None, "another issuer's 1 is another");
        assert!(stale(&link(&eve, "1").await), "one subject is one person");
        assert!(stale(&link(&ana, "2").await), "one person is one subject");
        assert!(store.has_identity(&system(), ana.principal.id, ISSUER).await.unwrap());
        assert!(!store.has_identity(&system(), eve.principal.id, ISSUER).await.unwrap());
        let granted = system().grant_person(ana.principal.id);
        assert_eq!(store.load_password_hash(&granted).await.unwrap().as_deref(), Some("hash"));

        let state = PrincipalState::Deleted;
        store.set_principal_state(&system(), ana.principal.id, state, NOW).await.unwrap();
        assert_eq!(store.find_person_by_identity(&system(), identity("1")).await.unwrap(), None, "it goes with the person");
        assert!(stale(&link(&ana, "1").await), "who was deleted comes as nobody");
        link(&eve, "1").await.unwrap();
    }

    async fn a_pending_user_is_visible_and_loses_the_password_of_its_maker(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ana = person(Some("ana@x"), PrincipalState::Pending);
        store.create_principal(&system(), &ana.principal, Some("hash"), None).await.unwrap();
        let elsewhere = person(Some("other@x"), PrincipalState::Pending);
        let moved = Person { principal: Principal { id: ana.principal.id, ..elsewhere.principal }, ..elsewhere };
        assert!(stale(&store.link_identity(&system(), &moved, identity("1"), NOW).await), "another address");
        store.link_identity(&system(), &ana, identity("1"), NOW).await.unwrap();
        let granted = system().grant_person(ana.principal.id);
        assert_eq!(store.load_person(&granted).await.unwrap().principal.state, PrincipalState::Active);
        assert_eq!(store.load_password_hash(&granted).await.unwrap(), None);
    }

    async fn a_new_user_comes_with_its_identity(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ana = person(None, PrincipalState::Active);
        store.create_person_with_identity(&system(), &ana, identity("1")).await.unwrap();
        let found = store.load_person(&system().grant_person(ana.principal.id)).await.unwrap();
        assert_eq!((found.first_name.as_str(), found.principal.email), ("Ana", None));
        let eve = person(None, PrincipalState::Active);
        assert!(store.create_person_with_identity(&system(), &eve, identity("1")).await.is_err());
        assert_eq!(store.find_person_by_identity(&system(), identity("1")).await.unwrap(), Some(ana.principal.id));
        assert_eq!(store.list_principals(&system()).await.unwrap().len(), 1, "nothing of the other is kept");
        store.record_identity_use(&system(), identity("1"), NOW + Span::seconds(1)).await.unwrap();
        let lines = store.list_account_audit_entries(&system().grant_account::<ViewAudit>(), None, 9).await.unwrap().items;
        let actions = lines.iter().map(|line| line.content.action.as_str()).collect::<Vec<_>>();
        assert_eq!(actions, ["identity.link", "user.create"]);
    }

    async fn groups_give_and_remove_their_own_roles(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((acme, ana), (other, eve)) = (organization(&store).await, organization(&store).await);
        let apply = async |changes: &[MembershipChange]| store.apply_groups(&system(), ana, changes, NOW).await;
        assert_eq!(role(&store, ana, acme).await, Some((Role::Readwrite, false)));
        let add = MembershipChange::Add(member(other, Role::Admin));
        apply(&[add]).await.unwrap();
        assert_eq!(role(&store, ana, other).await, Some((Role::Admin, true)));
        assert!(stale(&apply(&[add]).await), "a member already");
        let by_hand = MembershipChange::Remove(member(acme, Role::Readwrite));
        assert!(stale(&apply(&[by_hand]).await), "groups take nothing that they did not give");

        // Ana is the only admin.
        let less = MembershipChange::Set { membership: member(other, Role::Readonly), was: Role::Admin };
        let end = MembershipChange::Remove(member(other, Role::Admin));
        assert!(store.list_memberships(&system(), ana).await.unwrap().iter().any(|one| one.last_admin));
        assert!(stale(&apply(&[less]).await) && stale(&apply(&[end]).await));
        store.set_member(&manages(other), eve, Role::Admin, NOW).await.unwrap();
        assert!(store.list_memberships(&system(), ana).await.unwrap().iter().all(|one| !one.last_admin));
        apply(&[less]).await.unwrap();
        assert_eq!(role(&store, ana, other).await, Some((Role::Readonly, true)));

        let lines = store.list_audit_entries(&system().grant::<ViewAudit>(other), None, 9).await.unwrap().items;
        let was = lines[0].content.was.clone().unwrap();
        assert_eq!((lines[0].content.action.as_str(), &was["role"]), ("member.set", &"admin".into()));
        assert_eq!(lines[0].content.details["by"], "groups");

        // All or none: in the second organization they are no member.
        let two = [MembershipChange::Remove(member(other, Role::Readonly)), MembershipChange::Remove(member(acme, Role::Admin))];
        assert!(stale(&apply(&two).await));
        assert_eq!(role(&store, ana, other).await, Some((Role::Readonly, true)));
        apply(&two[..1]).await.unwrap();
        assert_eq!(role(&store, ana, other).await, None);
    }

    async fn memberships_changed_by_hand_stay(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((acme, eve), (_, ana)) = (organization(&store).await, organization(&store).await);
        let add = MembershipChange::Add(member(acme, Role::Readonly));
        for by_command in [true, false] {
            store.apply_groups(&system(), ana, &[add], NOW).await.unwrap();
            if by_command {
                store.set_member(&manages(acme), ana, Role::Readwrite, NOW).await.unwrap();
            } else {
                store.change_role(&manages(acme), ana, Role::Readwrite, NOW).await.unwrap_or_else(|error| {
                    // There is no admin here except a new one.
                    panic!("{error}")
                });
            }
            assert_eq!(role(&store, ana, acme).await, Some((Role::Readwrite, false)));
            store.remove_member(&manages(acme), ana, NOW).await.unwrap();
        }
        let here = store.list_people_in_organization(&system().grant::<ViewSessions>(acme)).await.unwrap();
        assert_eq!(here.iter().map(|member| member.principal.id).collect::<Vec<_>>(), [eve]);
    }

    async fn organizations_are_called_by_id_or_name(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let called = async |text: &str| store.find_organization_by_name(&system(), text).await.unwrap();
        // Its name is its id with hyphens; after renaming, it is found by both.
        assert_eq!(called(&acme.to_string()).await, Some(acme));
        store.rename_organization(&system(), acme, "Acme & Söhne", NOW).await.unwrap();
        assert_eq!(called("Acme & Söhne").await, Some(acme));
        assert_eq!(called("acme & söhne").await, None);
        store.delete_organization(&system(), acme, NOW).await.unwrap();
        assert_eq!((called("Acme & Söhne").await, called(&acme.to_string()).await), (None, None));
    }
}
