//! A caller who acts in another organization than the request has chosen.

use crate::world::{NOW, bytes, key, organization, principal, system};
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState, Scopes};
use domain::time::Span;
use store::{Caller, Error, OrganizationChoice, RequestedScope, Store};

/// What decides about a caller's access, and the refusal of one who cannot act there.
fn access(outcome: &store::Result<Caller>) -> Result<[u8; 32], String> {
    outcome.as_ref().map(Caller::authority).map_err(ToString::to_string)
}

/// A new user without memberships.
async fn person(store: &Store, account_role: Option<AccountRole>) -> PrincipalId {
    let id = PrincipalId::new(NOW, bytes());
    let new = Principal {
        id,
        number: 0,
        kind: PrincipalKind::User,
        email: Some(format!("{id}@example.com")),
        name: "Somebody".into(),
        state: PrincipalState::Active,
        created: NOW,
        account_role,
        default_organization: None,
    };
    store.create_principal(&system(), &new, None, None).await.unwrap();
    id
}

both! {
    async fn another_organization_gives_what_naming_it_gives(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((first, _), (second, _), (deleted, _)) =
            (organization(&store).await, organization(&store).await, organization(&store).await);
        let unknown = OrganizationId::new(NOW, [7; 10]);
        let mut seen = std::collections::BTreeSet::new();
        let roles = [None, Some(Role::Readonly), Some(Role::Readwrite), Some(Role::Admin)];
        let mut callers = Vec::new();
        for account in [None, Some(AccountRole::Viewer), Some(AccountRole::Admin)] {
            callers.push(principal(&store, account).await.id);
            for (in_first, in_second) in roles.into_iter().flat_map(|one| roles.map(|other| (one, other))) {
                let who = person(&store, account).await;
                let places = [(first, in_first), (second, in_second), (deleted, in_first)];
                for ((organization, role), at) in places.into_iter().zip(0..) {
                    let Some(role) = role else { continue };
                    store.set_member(&system().grant(organization), who, role, NOW + Span(at)).await.unwrap();
                }
                callers.push(who);
            }
        }
        store.delete_organization(&system(), deleted, NOW).await.unwrap();
        for who in callers {
            for bound in [None, Some(first)] {
                let (_, secret) = key(&store, who, bound, None).await;
                let ask = async |chosen| store.authenticate_key(&secret.hash(), chosen, NOW).await;
                let named = |organization| OrganizationChoice::Named(Some(organization));
                for chosen in [OrganizationChoice::ByDefault, named(first), named(second)] {
                    let Ok(caller) = ask(chosen).await else { continue };
                    for scopes in [None, Scopes::parse(["read:media"])] {
                        let narrow = |caller: Caller| match scopes {
                            Some(scopes) => caller.narrow(scopes),
                            None => caller,
                        };
                        let caller = narrow(caller.clone());
                        for other in [first, second, deleted, unknown, OrganizationId::ACCOUNT, OrganizationId::PEOPLE] {
                            let expected = ask(named(other)).await.map(narrow);
                            // With narrow scopes, a role in the account may give nothing.
                            let chosen = store.choose_organization(&caller, other, |_| true).await;
                            if scopes.is_some() && chosen.is_err() {
                                assert!(expected.is_err() || !expected.unwrap().has_account_role());
                                continue;
                            }
                            assert_eq!(access(&chosen), access(&expected), "{caller:?} in {other}");
                            seen.insert(access(&expected).is_ok());
                        }
                    }
                }
            }
        }
        assert_eq!(seen.len(), 2);
    }

    async fn a_role_that_demands_a_second_factor_gives_nothing_without_it(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((acme, owner), (globex, _)) = (organization(&store).await, organization(&store).await);
        store.set_member(&system().grant(globex), owner, Role::Admin, NOW + Span(1)).await.unwrap();
        let (_, secret) = key(&store, owner, None, None).await;
        let caller = store.authenticate_key(&secret.hash(), OrganizationChoice::ByDefault, NOW).await.unwrap();
        let is_admitted = |role| role != Role::Admin;
        let lacking = |outcome: store::Result<Caller>| {
            matches!(outcome, Err(Error::Refused(Refusal::SecondFactorRequired)))
        };
        assert!(lacking(store.choose_organization(&caller, globex, is_admitted).await));
        assert!(store.choose_organization(&caller, acme, is_admitted).await.is_ok());
        let visible = store.authorize_sessions(&caller, &RequestedScope::Everything, is_admitted).await.unwrap();
        assert_eq!(visible.organizations(), Some(&[acme].into()));
        let without = caller.require_second_factor();
        assert!(lacking(store.choose_organization(&without, acme, |_| true).await));
    }
}
