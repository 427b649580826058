//! Every method of the store that changes what authentication says of somebody counts at the next look.

use super::remembered::{ISSUER, Remembered};
use super::watch::{House, build};
use crate::logins::sessions::{HASH, ending, login};
use crate::world::{NOW, bytes, key, system};
use domain::federation::MembershipChange;
use domain::ids::InvitationId;
use domain::invitation::Invitation;
use domain::login::Method;
use domain::permission::{AccountRole, Role};
use domain::principal::{Membership, PrincipalState, Scopes};
use domain::session::EndReason;
use domain::time::Span;
use std::future::Future;
use store::{ApiKeyName, LoginExpectations, NewPassword, RoleSource, Store};

/// Takes a step that changes an answer, and checks that no answer is remembered wrongly.
async fn step(remembered: &mut Remembered, what: &str, change: impl Future<Output = store::Result<()>>) {
    assert!(remembered.remember(NOW).await > 0);
    change.await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let (changed, _) = remembered.check(what, NOW).await;
    assert!(changed > 0, "{what} changes an answer");
}

async fn change_memberships(store: &Store, house: &House, seen: &mut Remembered) {
    let House { acme, other, person, .. } = *house;
    let (own, system) = (system().grant_person(person), system());
    let (here, there) = (system.grant(acme), system.grant(other));
    step(seen, "change_role", store.change_role(&here, person, Role::Readonly, NOW)).await;
    step(seen, "set_member", store.set_member(&here, person, Role::Readwrite, NOW)).await;
    step(seen, "remove_member", store.remove_member(&there, person, NOW)).await;
    let groups = [MembershipChange::Add(Membership { organization: other, role: Role::Readonly })];
    step(seen, "apply_groups", store.apply_groups(&system, person, &groups, NOW)).await;
    step(seen, "leave_organization", store.leave_organization(&own, other, NOW)).await;
    let new = domain::organization::Organization {
        id: domain::ids::OrganizationId::new(NOW, bytes()),
        name: "own".into(),
        created: NOW,
        deleted: None,
        max_devices: None,
    };
    step(seen, "create_own_organization", store.create_own_organization(&own, &new)).await;
    let (place, inviter) = crate::world::organization(store).await;
    store.set_member(&system.grant(place), inviter, Role::Admin, NOW).await.unwrap();
    let invitation = Invitation {
        id: InvitationId::new(NOW, bytes()),
        organization: place,
        email: format!("{person}@example.com"),
        role: Role::Readonly,
        inviter,
        created: NOW,
        expires: NOW + Span::minutes(1),
    };
    store.create_invitation(&system.grant(place), &invitation).await.unwrap();
    step(seen, "accept_invitation", store.accept_invitation(&own, invitation.id, NOW)).await;
    let role = |role| store.set_account_role(&system, person, role, RoleSource::Hand, NOW);
    step(seen, "set_account_role", role(Some(AccountRole::Admin))).await;
    step(seen, "set_account_role", role(None)).await;
    step(seen, "delete_organization", store.delete_organization(&system, place, NOW)).await;
}

async fn change_factors(store: &Store, house: &House, seen: &mut Remembered) {
    let own = system().grant_person(house.person);
    step(seen, "remove_second_factor", store.remove_second_factor(&own)).await;
    store.propose_second_factor(&own, b"another", NOW).await.unwrap();
    let factor = store.load_second_factor(&own).await.unwrap().unwrap();
    let confirm = store.confirm_second_factor(&own, &factor, 1, &[], None, NOW);
    step(seen, "confirm_second_factor", confirm).await;
    let session = store.load_login(&own, house.logins[0]).await.unwrap();
    let methods = vec![Method::Password];
    let again = store.record_reauthentication(&own, &session, methods, NOW + Span::seconds(1));
    step(seen, "record_reauthentication", again).await;
}

async fn change_keys(store: &Store, house: &House, seen: &mut Remembered) {
    let own = system().grant_person(house.person);
    let [free, bound, of_root] = house.keys;
    let before = store.load_api_key(&own, ApiKeyName::Id(bound)).await.unwrap();
    let mut after = before.clone();
    after.scopes = Scopes::parse(["read:media"]);
    after.updated = NOW + Span::seconds(1);
    step(seen, "change_api_key", store.change_api_key(&own, &before, &after, None)).await;
    let mut renewed = after.clone();
    renewed.updated = NOW + Span::seconds(2);
    let secret = domain::credential::SecretHash([3; 32]);
    step(seen, "change_api_key", store.change_api_key(&own, &after, &renewed, Some((&secret, "abcd")))).await;
    let (successor, _) = key(store, house.person, None, None).await;
    step(seen, "replace_credential", store.replace_credential(&system(), free, successor, NOW)).await;
    step(seen, "revoke_credential", store.revoke_credential(&system(), of_root, NOW)).await;
}

/// Opens sessions, and ends them in every way.
async fn end_sessions(store: &Store, house: &House, seen: &mut Remembered) {
    let (own, system) = (system().grant_person(house.person), system());
    let ended = ending(EndReason::Revoked);
    for way in 0..8 {
        let mut opening = LoginExpectations {
            open: store.list_open_logins(&system, house.person).await.unwrap().len(),
            ..LoginExpectations::default()
        };
        let (opener, secret) = key(store, house.person, None, None).await;
        let mut new = login(house.person, NOW);
        new.credential = Some(opener).filter(|_| way == 5);
        let session = store.open_login(&system, new.clone(), &HASH, &opening).await.unwrap();
        let by_default = store::OrganizationChoice::ByDefault;
        seen.attempts = vec![
            super::remembered::Attempt::Login(session.id, HASH, by_default),
            super::remembered::Attempt::Key(secret.hash(), by_default),
        ];
        match way {
            0 => step(seen, "end_login", store.end_login(&own, session.id, &ended, NOW)).await,
            1 => step(seen, "end_logins", store.end_logins(&own, None, &ended, NOW)).await,
            2 => {
                let found = [session.clone()];
                let all = system.grant_account();
                step(seen, "end_selected_logins", store.end_selected_logins(&all, &found, &ended, NOW)).await;
            }
            3 => step(seen, "expire_login", store.expire_login(&system, &session, &ended, NOW)).await,
            4 => {
                opening.open += 1;
                opening.ending = vec![(session.id, ended.clone())];
                let open = async { store.open_login(&system, new, &HASH, &opening).await.map(drop) };
                step(seen, "open_login", open).await;
            }
            5 => step(seen, "revoke_all_api_keys", store.revoke_all_api_keys(&own, NOW)).await,
            6 => {
                let hash = store.load_password_hash(&own).await.unwrap();
                let new = NewPassword { decided_on: hash.as_deref(), hash: "new", revokes_keys: true };
                step(seen, "set_password", store.set_password(&own, &new, None, &ended, NOW)).await;
            }
            _ => {
                let suspend = |state| store.set_principal_state(&system, house.person, state, NOW);
                step(seen, "set_principal_state", suspend(PrincipalState::Suspended)).await;
            }
        }
    }
}

both! {
    async fn every_kind_of_change_counts(db: &TestDatabase) {
        let (mut seen, house) = build(db).await;
        let store = seen.store.clone();
        change_memberships(&store, &house, &mut seen).await;
        change_factors(&store, &house, &mut seen).await;
        change_keys(&store, &house, &mut seen).await;
        end_sessions(&store, &house, &mut seen).await;
        assert!(store.has_identity(&system(), house.person, ISSUER).await.unwrap());
    }
}
