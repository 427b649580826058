//! A service user has one home, which alone manages it.

use crate::world::{NOW, bytes, host, key, organization, principal, system};
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{AccountRole, Role};
use domain::principal::{Home, Principal, PrincipalKind, PrincipalState};
use store::access::{ManageMembers, ManageOrganizations, ViewSessions};
use store::{Caller, Error, OrganizationChoice, RoleSource, Store};

/// A service user of an organization.
async fn service_user(store: &Store, home: OrganizationId, role: Role) -> PrincipalId {
    let new = Principal {
        id: PrincipalId::new(NOW, bytes()),
        number: 0,
        kind: PrincipalKind::ServiceUser,
        email: None,
        name: "ci".into(),
        state: PrincipalState::Active,
        created: NOW,
        account_role: None,
        default_organization: None,
    };
    store.create_principal(&system(), &new, None, Some((home, role))).await.unwrap();
    new.id
}

async fn caller(store: &Store, who: PrincipalId) -> Caller {
    let (_, secret) = key(store, who, None, None).await;
    store.authenticate_key(&secret.hash(), OrganizationChoice::ByDefault, NOW).await.unwrap()
}

fn not_found<T>(outcome: &store::Result<T>) -> bool {
    matches!(outcome, Err(Error::Refused(Refusal::NotFound(_))))
}

both! {
    async fn a_service_user_is_a_member_of_its_home_only(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let ci = service_user(&store, acme, Role::Readonly).await;
        let robot = principal(&store, Some(AccountRole::Admin)).await;
        for id in [ci, robot.id] {
            for place in [acme, globex] {
                assert!(not_found(&store.set_member(&system().grant(place), id, Role::Admin, NOW).await));
                assert!(not_found(&store.change_role(&system().grant(place), id, Role::Admin, NOW).await));
                assert!(not_found(&store.remove_member(&system().grant(place), id, NOW).await));
            }
        }
        let here = async |place, id| store.list_service_users(&system().grant(place), Some(id)).await.unwrap();
        let found = here(acme, ci).await;
        assert_eq!(found.iter().map(|(one, role)| (one.id, one.home(), *role)).collect::<Vec<_>>(),
            [(ci, Some(Home::Organization(acme)), Role::Readonly)]);
        assert!(here(globex, ci).await.is_empty() && here(acme, robot.id).await.is_empty());
        let all = store.list_account_service_users(&system().grant_account(), None).await.unwrap();
        assert_eq!(all.iter().map(|one| (one.id, one.home())).collect::<Vec<_>>(), [(robot.id, Some(Home::Account))]);
        assert!(store.list_account_service_users(&system().grant_account(), Some(ci)).await.unwrap().is_empty());
    }

    async fn host_keys_with_too_many_permissions_are_found(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let rack = service_user(&store, acme, Role::Admin).await;
        let (with_key, _) = key(&store, rack, Some(acme), None).await;
        for (place, role) in [(acme, Role::Host), (acme, Role::Readwrite), (globex, Role::Admin)] {
            let other = service_user(&store, place, role).await;
            key(&store, other, Some(place), None).await;
        }
        let found = async || {
            let all = store.list_overprivileged_service_users(&system(), NOW).await.unwrap().into_iter();
            all.map(|one| (one.id, one.organization, one.hosts, one.workers)).collect::<Vec<_>>()
        };
        assert_eq!(found().await, [], "nothing connects there");
        host(&store, Some(acme), "rack").await;
        assert_eq!(found().await, [(rack, Some(acme), true, false)]);
        store.revoke_credential(&system(), with_key, NOW).await.unwrap();
        assert_eq!(found().await, [], "its keys are invalid");
    }

    async fn people_have_roles_in_the_account_and_machines_get_none_that_way(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, ana) = organization(&store).await;
        let ci = service_user(&store, acme, Role::Admin).await;
        let set = async |who, role, given| store.set_account_role(&system(), who, role, given, NOW).await;
        assert!(not_found(&set(ci, Some(AccountRole::Admin), RoleSource::Hand).await));
        let refused = set(ana, Some(AccountRole::Worker), RoleSource::Hand).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::Invalid { .. }))));
        let role = async || store.load_person(&system().grant_person(ana)).await.unwrap().principal.account_role;
        for (wanted, given, expected) in [
            (Some(AccountRole::Admin), RoleSource::Groups, Some(AccountRole::Admin)),
            (None, RoleSource::Groups, None),
            (Some(AccountRole::Viewer), RoleSource::Hand, Some(AccountRole::Viewer)),
            // Groups create and change only memberships that came from groups.
            (None, RoleSource::Groups, Some(AccountRole::Viewer)),
            (Some(AccountRole::Admin), RoleSource::Groups, Some(AccountRole::Viewer)),
            (None, RoleSource::Hand, None),
        ] {
            set(ana, wanted, given).await.unwrap();
            assert_eq!(role().await, expected, "{wanted:?} {given:?}");
        }
        // In her default organization her membership decides; her role in the account counts where a request names
        // the organization.
        set(ana, Some(AccountRole::Admin), RoleSource::Hand).await.unwrap();
        let (_, secret) = key(&store, ana, None, None).await;
        let by_default = store.authenticate_key(&secret.hash(), OrganizationChoice::ByDefault, NOW).await.unwrap();
        assert!(by_default.authorize::<ManageMembers>().is_err() && by_default.authorize_in_account::<ManageMembers>().is_ok());
        let named = store.authenticate_key(&secret.hash(), OrganizationChoice::Named(Some(acme)), NOW).await.unwrap();
        assert!(named.authorize::<ManageMembers>().is_ok());
        let people = store.list_account_people(&system().grant_account(), Some(ana)).await.unwrap();
        assert_eq!(people[0].1.iter().map(|one| (one.organization, one.role)).collect::<Vec<_>>(), [(acme, Role::Readwrite)]);
        assert!(store.list_account_people(&system().grant_account(), Some(ci)).await.unwrap().is_empty());
        assert_eq!(store.list_account_people(&system().grant_account(), None).await.unwrap(), people);
    }

    async fn a_service_user_acts_at_home_unless_the_request_says_otherwise(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let ci = service_user(&store, acme, Role::Readonly).await;
        assert_eq!(caller(&store, ci).await.organization(), Some(acme));
        let robot = principal(&store, Some(AccountRole::Admin)).await.id;
        let account = caller(&store, robot).await;
        assert_eq!(account.organization(), None);
        assert_eq!(account.authorize::<ViewSessions>().unwrap_err(), Refusal::NoOrganization);
        assert!(account.authorize_in_account::<ManageOrganizations>().is_ok());
        // A row that was added by hand, or by an older program, gives no default organization.
        let place = acme.0.simple();
        let (place, who) = match db.url.starts_with("sqlite:") {
            true => (format!("X'{place}'"), format!("X'{}'", robot.0.simple())),
            false => (format!("'{place}'"), format!("'{}'", robot.0)),
        };
        let row = format!("INSERT INTO members (organization, principal, role, created_us) VALUES ({place}, {who}, 'admin', 1)");
        store::testing::raw(&db.url, &row).await.unwrap();
        assert_eq!(caller(&store, robot).await.organization(), None);
        assert!(store.list_service_users(&system().grant(acme), Some(robot)).await.unwrap().is_empty());
    }
}
