//! Changes that others overtake each time end with a conflict, instead of being tried for ever.

use crate::world::{NOW, organization, system};
use domain::agent::Acus;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use std::time::Duration;
use store::access::ManageMembers;
use store::testing::{TestDatabase, raw};
use store::{Error, IdempotencyScope, RoleSource, Store};

/// What happens to each row that a trigger sees.
#[derive(Clone, Copy)]
enum Effect {
    /// The row is not written, as if somebody else had changed it.
    Skip,
    /// The roles of all members change.
    ChangeRoles,
}

/// Lets something happen at writes like `BEFORE UPDATE ON principals`, until [`end_contention`].
async fn start_contention(db: &TestDatabase, write: &str, effect: Effect) {
    const ROLES: &str = "UPDATE members SET role = 'auditor'";
    let sql = if db.kind() == "sqlite" {
        let body = match effect {
            Effect::Skip => "SELECT RAISE(IGNORE)",
            Effect::ChangeRoles => ROLES,
        };
        format!("CREATE TRIGGER contention {write} BEGIN {body}; END")
    } else {
        let body = match effect {
            Effect::Skip => "NULL",
            Effect::ChangeRoles => ROLES,
        };
        format!(
            "CREATE FUNCTION contention() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$;
             CREATE TRIGGER contention {write} FOR EACH ROW EXECUTE FUNCTION contention()"
        )
    };
    raw(&db.url, &sql).await.unwrap();
}

async fn end_contention(db: &TestDatabase) {
    let sql = match db.kind() {
        "sqlite" => "DROP TRIGGER contention",
        _ => "DROP FUNCTION contention() CASCADE",
    };
    raw(&db.url, sql).await.unwrap();
}

/// Whether a change ends with a conflict, and in time.
async fn is_stale<T>(change: impl Future<Output = store::Result<T>>) -> bool {
    let outcome = tokio::time::timeout(Duration::from_secs(30), change).await;
    matches!(outcome.expect("it ends"), Err(Error::Stale))
}

both! {
    async fn changes_of_members_end(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (id, member) = organization(&store).await;
        let granted = system().grant::<ManageMembers>(id);
        start_contention(db, "AFTER UPDATE ON principals", Effect::ChangeRoles).await;
        assert!(is_stale(store.set_member(&granted, member, Role::Readonly, NOW)).await);
        assert!(is_stale(store.change_role(&granted, member, Role::Readonly, NOW)).await);
        end_contention(db).await;
        start_contention(db, "BEFORE DELETE ON members", Effect::Skip).await;
        assert!(is_stale(store.remove_member(&granted, member, NOW)).await);
        assert!(is_stale(store.leave_organization(&system().grant_person(member), id, NOW)).await);
        end_contention(db).await;
        store.change_role(&granted, member, Role::Readonly, NOW).await.unwrap();
        store.remove_member(&granted, member, NOW).await.unwrap();
    }

    async fn changes_of_principals_end(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (_, person) = organization(&store).await;
        let role = Some(AccountRole::Auditor);
        start_contention(db, "BEFORE UPDATE ON principals", Effect::Skip).await;
        assert!(is_stale(store.set_account_role(&system(), person, role, RoleSource::Hand, NOW)).await);
        assert!(is_stale(store.set_principal_state(&system(), person, PrincipalState::Suspended, NOW)).await);
        end_contention(db).await;
        store.set_account_role(&system(), person, role, RoleSource::Hand, NOW).await.unwrap();
        store.set_principal_state(&system(), person, PrincipalState::Suspended, NOW).await.unwrap();
    }

    async fn changes_of_organizations_end(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (id, _) = organization(&store).await;
        let limit = Some(Some(Acus::whole(1)));
        start_contention(db, "BEFORE UPDATE ON organizations", Effect::Skip).await;
        assert!(is_stale(store.set_max_devices(&system(), id, Some(1), NOW)).await);
        assert!(is_stale(store.rename_organization(&system(), id, "Acme", NOW)).await);
        assert!(is_stale(store.set_organization_limits(&system(), id, limit, limit, NOW)).await);
        end_contention(db).await;
        store.set_max_devices(&system(), id, Some(1), NOW).await.unwrap();
        store.rename_organization(&system(), id, "Acme", NOW).await.unwrap();
        store.set_organization_limits(&system(), id, limit, limit, NOW).await.unwrap();
    }

    async fn requests_with_a_key_end(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (id, _) = organization(&store).await;
        let scope = IdempotencyScope::new(&system().grant::<ManageMembers>(id), "tenure", "/", "key");
        start_contention(db, "BEFORE INSERT ON idempotency", Effect::Skip).await;
        assert!(is_stale(store.begin_idempotent_request(&scope, [0; 32], NOW, NOW)).await);
        end_contention(db).await;
        store.begin_idempotent_request(&scope, [0; 32], NOW, NOW).await.unwrap();
    }

    async fn an_organization_is_found_by_id_or_name_until_it_is_deleted(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (id, _) = organization(&store).await;
        let found = store.load_organization(&system(), id).await.unwrap();
        assert_eq!(store.find_organization(&system(), &found.name).await.unwrap(), found);
        assert!(store.find_organization(&system(), &found.name.to_uppercase()).await.is_err());
        store.delete_organization(&system(), id, NOW).await.unwrap();
        assert!(store.load_organization(&system(), id).await.is_err());
        assert!(store.find_organization(&system(), &found.name).await.is_err());
    }
}
