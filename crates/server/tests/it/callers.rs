//! A remembered caller is as good as one that is read: whatever another server changes counts at the next request, and
//! time counts to the microsecond.

use crate::probe::{AUTH, PASSWORD};
use crate::world::{Actor, START, World, wait_until};
use axum::body::Body;
use domain::ids::OrganizationId;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::session::{EndReason, Ending};
use domain::time::Span;
use serde_json::json;
use server::operations::access::authenticate;
use server::settings::FactorRoles;
use std::time::Duration;
use store::testing::raw;
use store::{OrganizationChoice, RoleSource, System};

const SESSIONS: &str = "/api/v1/sessions";

fn system() -> System {
    System::for_administration()
}

/// The status of a request, which is the same when the caller is remembered.
async fn look(actor: &Actor<'_>) -> u16 {
    let first = actor.get(SESSIONS).await.status.as_u16();
    let (_, read) = actor.world.app().callers.counts();
    assert_eq!(actor.get(SESSIONS).await.status.as_u16(), first);
    let is_read = actor.world.app().callers.counts().1 > read;
    assert_eq!(is_read, first == 401, "who is let in is remembered: {first}");
    first
}

fn ended() -> Ending {
    Ending { reason: EndReason::Revoked, actor: None, evidence: "test".into() }
}

/// Somebody with a role in an organization, by a key and by a session.
async fn both_ways<'w>(world: &'w World, home: OrganizationId, name: &str) -> [Actor<'w>; 2] {
    let email = format!("{name}@example.com");
    let person = world.user(home, Role::Readwrite, &email).await;
    let key = world.actor(person, None, None).await;
    let login = Actor { principal: person, ..world.sign_in(&email).await };
    for actor in [&key, &login] {
        assert_eq!(look(actor).await, 200);
    }
    [key, login]
}

both! {
    async fn a_caller_is_read_once(world: &World) {
        let acme = world.organization("Acme").await;
        let [key, login] = both_ways(world, acme, "ana").await;
        let named = key.naming(acme);
        assert_eq!(named.get(SESSIONS).await.status, 200);
        // Uses of the credentials were recorded, and another caller is changed.
        let other = world.member(acme, Role::Admin).await;
        world.store().revoke_credential(&system(), other.credential, START).await.unwrap();
        let before = world.app().callers.counts();
        for _ in 0..5 {
            for actor in [&key, &login, &named] {
                assert_eq!(actor.get(SESSIONS).await.status, 200);
            }
        }
        assert_eq!(world.app().callers.counts(), (before.0 + 15, before.1));
        let metrics = world.caller(None).get("/metrics").await.text();
        assert!(metrics.is_empty() || !metrics.contains(key.key.as_deref().unwrap()));
    }

    async fn what_another_server_changes_counts_at_the_next_request(world: &World) {
        let other = world.another_server(|_| {}).await;
        let (store, acme) = (other.store(), world.organization("Acme").await);
        let [key, login] = both_ways(world, acme, "ana").await;
        store.revoke_credential(&system(), key.credential, START).await.unwrap();
        assert_eq!((look(&key).await, look(&login).await), (401, 200), "a key is revoked");
        let own = system().grant_person(login.principal);
        store.end_logins(&own, None, &ended(), START).await.unwrap();
        assert_eq!(look(&login).await, 401, "a session is ended");

        let [key, login] = both_ways(world, acme, "bob").await;
        store.set_principal_state(&system(), key.principal, PrincipalState::Suspended, START).await.unwrap();
        assert_eq!((look(&key).await, look(&login).await), (401, 401), "a person is suspended");
        store.set_principal_state(&system(), key.principal, PrincipalState::Active, START).await.unwrap();
        assert_eq!((look(&key).await, look(&login).await), (200, 401), "and may act again");

        let [key, login] = both_ways(world, acme, "cyd").await;
        let members = system().grant(acme);
        let create = async |actor: &Actor<'_>| actor.call("POST", SESSIONS, Body::empty()).await.status.as_u16();
        assert_eq!((create(&key).await, create(&login).await), (201, 201));
        store.set_member(&members, key.principal, Role::Readonly, START).await.unwrap();
        assert_eq!((create(&key).await, create(&login).await), (403, 403), "a role is smaller");
        store.set_member(&members, key.principal, Role::Readwrite, START).await.unwrap();
        assert_eq!((create(&key).await, create(&login).await), (201, 201), "a role is larger");
        store.remove_member(&members, key.principal, START).await.unwrap();
        assert_eq!((key.get(SESSIONS).await.status, create(&login).await), (axum::http::StatusCode::FORBIDDEN, 403));
        store.set_member(&members, key.principal, Role::Readwrite, START).await.unwrap();
        let networks = "UPDATE credentials SET networks = '10.0.0.0/8' WHERE revoked_us IS NULL";
        assert_eq!(look(&key).await, 200);
        raw(other.app().settings.database.reveal(), networks).await.unwrap();
        assert_eq!((look(&key).await, look(&login).await), (401, 200), "a key is bound to networks");
    }

    async fn a_deleted_organization_is_closed_at_once(world: &World) {
        let other = world.another_server(|_| {}).await;
        let (acme, there) = (world.organization("Acme").await, world.organization("There").await);
        let root = world.account_member(AccountRole::Admin).await;
        let [key, login] = both_ways(world, acme, "ana").await;
        other.store().set_member(&system().grant(there), key.principal, Role::Readwrite, START).await.unwrap();
        let all = [root.naming(there), key.naming(there), login.naming(there)];
        for actor in &all {
            assert_eq!(look(actor).await, 200);
        }
        other.store().delete_organization(&system(), there, START).await.unwrap();
        for actor in &all {
            assert_eq!(actor.get(SESSIONS).await.status, 403);
        }
        assert_eq!((look(&key).await, look(&login).await), (200, 200));
    }

    async fn a_second_factor_that_comes_or_goes_elsewhere_counts_at_once(world: &World) {
        let strict = |settings: &mut server::settings::Settings| {
            settings.second_factor_for = FactorRoles { account: true, roles: vec![Role::Admin] };
        };
        let (here, other) = (world.another_server(strict).await, world.another_server(strict).await);
        let (store, acme) = (other.store(), world.organization("Acme").await);
        world.member(acme, Role::Admin).await;
        let person = world.user(acme, Role::Admin, "ana@example.com").await;
        let key = world.actor(person, Some(acme), None).await;
        let key = key.at_server(&here);
        let own = system().grant_person(person);
        for round in 0..2 {
            assert_eq!(look(&key).await, 403, "{round}");
            store.propose_second_factor(&own, b"sealed", START).await.unwrap();
            assert_eq!(look(&key).await, 403, "proposed");
            let factor = store.load_second_factor(&own).await.unwrap().unwrap();
            store.confirm_second_factor(&own, &factor, 1, &[], None, START).await.unwrap();
            assert_eq!(look(&key).await, 200, "confirmed");
            store.remove_second_factor(&own).await.unwrap();
        }
        assert_eq!(look(&key).await, 403, "removed");
        store.set_member(&system().grant(acme), person, Role::Readwrite, START).await.unwrap();
        assert_eq!(look(&key).await, 200, "not demanded of this role");
        store.set_account_role(&system(), person, Some(AccountRole::Admin), RoleSource::Hand, START).await.unwrap();
        let free = Actor { key: world.actor(person, None, None).await.key, ..key.clone() };
        assert_eq!(look(&free).await, 403, "demanded of a role in the account");
    }

    async fn a_remembered_caller_expires_on_time(world: &World) {
        let world = world.another_server(|settings| settings.key_idle = Some(Duration::from_secs(600))).await;
        let acme = world.organization("Acme").await;
        let ana = world.user(acme, Role::Readwrite, "ana@example.com").await;
        let key = world.actor(ana, Some(acme), Some(START + Span::seconds(60))).await;
        let idle = world.actor(ana, Some(acme), None).await;
        let short = json!({ "email": "ana@example.com", "password": PASSWORD, "long-term-token": false });
        let short = world.caller(None).call_with("POST", &format!("{AUTH}/sign-in"), &short.to_string()).await;
        let login = world.caller(Some(short.json()["jwt-token"]["token"].as_str().unwrap()));
        let expires = world.store().list_open_logins(&system(), ana).await.unwrap()[0].expires;
        assert_eq!((look(&key).await, look(&idle).await, look(&login).await), (200, 200, 200));
        world.advance(Span(59_999_999));
        assert_eq!(look(&key).await, 200);
        world.advance(Span(1));
        assert_eq!(look(&key).await, 401);
        // The clock goes back: the key is good again, as when it is read.
        world.clock.set(START + Span::seconds(30));
        assert_eq!(look(&key).await, 200);
        // Nothing uses the other key until it has been idle for too long.
        world.clock.set(START + Span::seconds(599));
        let at = async |moment| {
            world.clock.set(moment);
            login.get(SESSIONS).await.status.as_u16()
        };
        let _ = at(START + Span::seconds(600)).await;
        assert_eq!(idle.get(SESSIONS).await.status, 401);
        let mut now = START + Span::seconds(600);
        while now + Span::seconds(600) < expires {
            now = now + Span::seconds(600);
            assert_eq!(at(now).await, 200, "it is used");
        }
        assert_eq!(at(expires - Span::seconds(30)).await, 200);
        wait_until("the use is recorded", || async {
            let (_, read) = world.app().callers.counts();
            assert_eq!(login.get(SESSIONS).await.status, 200);
            world.app().callers.counts().1 == read
        })
        .await;
        assert_eq!((at(expires - Span(1)).await, at(expires).await), (200, 401));
    }

    async fn without_a_database_nobody_is_let_in(world: &World) {
        let acme = world.organization("Acme").await;
        let other = world.another_server(|_| {}).await;
        let [key, login] = both_ways(world, acme, "ana").await;
        let unused = world.actor(key.principal, None, None).await;
        let [key, login, unused] = [&key, &login, &unused].map(|actor| actor.at_server(&other));
        assert_eq!((look(&key).await, look(&login).await), (200, 200));
        other.store().database().close().await;
        for actor in [&key, &login] {
            let chosen = OrganizationChoice::ByDefault;
            assert!(authenticate::authenticate(other.app(), actor.key.as_deref(), chosen).await.is_err());
            assert_eq!(actor.get(SESSIONS).await.status, unused.get(SESSIONS).await.status);
        }
    }
}
