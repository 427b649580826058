//! Administrators of the account suspend and resume users.

use crate::probe::USER_CURRENT;
use crate::world::Actor;
use axum::body::Body;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::time::Span;
use store::{AuditEntry, RoleSource, System};

async fn suspension(actor: &Actor<'_>, method: &str, user: &str) -> u16 {
    actor.call(method, &format!("/tenure/v1/users/{user}/suspension"), Body::empty()).await.status.as_u16()
}

both! {
    async fn a_suspended_user_can_do_nothing_until_resumed(world: &World) {
        let acme = world.organization("Acme").await;
        let id = world.user(acme, Role::Readwrite, "bob@example.com").await;
        let key = world.actor(id, Some(acme), None).await;
        let root = world.account_member(AccountRole::Admin).await;
        let number = world.sign_in("bob@example.com").await.get(USER_CURRENT).await.json()["id"].to_string();
        for named in ["Bob@Example.com", number.as_str(), &id.to_string()] {
            let login = world.sign_in("bob@example.com").await;
            assert_eq!((key.is_good().await, login.is_good().await), (true, true));
            assert_eq!(suspension(&root, "PUT", named).await, 204);
            assert_eq!(suspension(&root, "PUT", named).await, 204, "already");
            assert_eq!((key.is_good().await, login.is_good().await), (false, false), "{named}");
            assert_eq!(world.try_sign_in("bob@example.com", crate::probe::PASSWORD).await.status, 401);
            assert_eq!(suspension(&root, "DELETE", named).await, 204);
            assert_eq!(suspension(&root, "DELETE", named).await, 204, "already");
            assert_eq!((key.is_good().await, login.is_good().await), (true, false), "{named}: they sign in again");
        }
        let account = System::for_administration().grant_account();
        let audit = world.store().list_account_audit_entries(&account, None, 100).await.unwrap().items;
        let own = |line: &&AuditEntry| line.content.attribution.principal == Some(root.principal);
        let by = |action: &str| audit.iter().filter(own).filter(|line| line.content.action == action).count();
        assert_eq!((by("user.suspend"), by("user.restore")), (3, 3));
    }

    async fn some_users_cannot_be_suspended(world: &World) {
        let acme = world.organization("Acme").await;
        let (system, now) = (System::for_administration(), world.app().now());
        let ana = world.user(acme, Role::Admin, "ana@example.com").await;
        world.store().set_account_role(&system, ana, Some(AccountRole::Admin), RoleSource::Hand, now).await.unwrap();
        let ana = world.sign_in("ana@example.com").await;
        let pending = world.user(acme, Role::Admin, "new@example.com").await;
        world.store().set_principal_state(&system, pending, PrincipalState::Pending, now).await.unwrap();
        assert_eq!(suspension(&ana, "PUT", "ana@example.com").await, 409);
        assert_eq!(suspension(&ana, "PUT", "new@example.com").await, 409);
        assert_eq!(suspension(&ana, "DELETE", "new@example.com").await, 204, "and stays pending");
        assert_eq!(world.try_sign_in("new@example.com", crate::probe::PASSWORD).await.status, 401);
        for unknown in ["nobody@example.com", "999999", "-1", "%00", "%ff", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(suspension(&ana, "PUT", unknown).await, 404, "{unknown}");
        }
        world.user(acme, Role::Readwrite, "bob@example.com").await;
        let bob = world.sign_in("bob@example.com").await;
        world.advance(Span::minutes(11));
        let stale = ana.call("PUT", "/tenure/v1/users/bob@example.com/suspension", Body::empty()).await;
        assert_eq!((stale.status.as_u16(), &stale.json()["code"]), (403, &"stale_authentication".into()));
        assert!(bob.is_good().await);
    }
}
