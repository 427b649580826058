//! The settings `passwords` and `second_factor_for`.

use super::{ANA, Browser, Door, ana};
use crate::door::enroll;
use crate::probe::{AUTH, PASSWORD, token_in};
use crate::trust::callers::machine;
use crate::world::{Actor, World};
use axum::body::Body;
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};
use server::settings::{FactorRoles, PasswordPolicy};

const BOB: &str = "bob@example.com";
/// A route that a member may read, and the place of a refusal's code, on each wire.
const LOOKS: [(&str, &str); 4] = [
    ("/tenure/v1/changes", "/code"),
    ("/api/v1/sessions", "/error/code"),
    ("/v1/agents", "/code"),
    ("/v3/organizations/sessions", "/detail"),
];

async fn tries(world: &World, email: &str, password: &str) -> (u16, Value) {
    let body = json!({ "email": email, "password": password });
    let response = world.caller(None).post("/tenure/v1/sign-in", body).await;
    (response.status.as_u16(), response.json()["code"].clone())
}

async fn forgets(world: &World, email: &str) -> u16 {
    world
        .caller(None)
        .post(&format!("{AUTH}/password-restore"), json!({ "email": email }))
        .await
        .status
        .as_u16()
}

async fn sets(world: &World, mail: &str) -> u16 {
    let body = json!({ "verify-token": token_in(mail), "new-password": "another horse" });
    world.caller(None).post(&format!("{AUTH}/password-restore-verify"), body).await.status.as_u16()
}

async fn changes(actor: &Actor<'_>) -> u16 {
    let body = Body::from(json!({ "old": PASSWORD, "new": "another horse" }).to_string());
    let kind = [("content-type", "application/json")];
    actor.send("PUT", "/tenure/v1/me/password", &kind, body).await.status.as_u16()
}

fn admins(settings: &mut server::settings::Settings) {
    settings.second_factor_for = FactorRoles { account: true, roles: vec![Role::Admin] };
}

/// Whether a caller can read on all wires, or on none. A refusal says what to do.
async fn may_look(actor: &Actor<'_>) -> bool {
    let mut all = Vec::new();
    for (path, place) in LOOKS {
        let response = actor.get(path).await;
        all.push(response.status.is_success());
        if !response.status.is_success() {
            assert!(
                response.status == 403 && response.text().contains("/account"),
                "{path}: {}",
                response.text()
            );
            let code = response.json().pointer(place).and_then(Value::as_str).unwrap().to_owned();
            assert!(code == "second_factor_required" || code.contains("second factor"), "{path}: {code}");
        }
    }
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    all[0]
}

both! {
    async fn users_of_the_issuer_have_no_password(world: &World) {
        let acme = world.organization("Acme").await;
        for email in [ANA, BOB] {
            world.user(acme, Role::Admin, email).await;
        }
        let door = Door::new(world, |settings| settings.passwords = PasswordPolicy::LocalOnly).await;
        let here = &door.world;
        // Before her first sign-in by the issuer, she uses her password.
        let before = here.sign_in(ANA).await;
        assert_eq!(forgets(here, ANA).await, 200);
        let mail = here.mail(1).await;
        let (mut browser, led) = door.sign_in(ana()).await;
        assert_eq!(led, "/account");
        assert!(!browser.page("/account").await.contains("ask for it by mail"));
        // Her old password and the mail are no longer valid.
        assert_eq!(tries(here, ANA, PASSWORD).await, (403, json!("passwords_off")));
        assert_eq!(tries(here, ANA, "wrong horse").await, (401, json!("unauthenticated")), "that is all that is told");
        assert_eq!(sets(here, &mail).await, 403);
        assert_eq!(changes(&before).await, 403);
        let again = json!({ "password": PASSWORD });
        assert_eq!(before.post("/tenure/v1/me/authenticate", again).await.status, 400, "it shows nothing");
        here.advance(Span::minutes(20));
        assert_eq!(forgets(here, ANA).await, 200, "nothing is told");
        // Others are not affected, nor is she with another setting.
        assert_eq!(forgets(here, BOB).await, 200);
        assert!(here.mail(2).await.contains("To: bob@example.com"));
        assert_eq!(tries(here, BOB, PASSWORD).await.0, 200);
        assert_eq!(tries(world, ANA, PASSWORD).await.0, 200);
    }

    async fn with_passwords_off_nobody_has_one(world: &World) {
        let acme = world.organization("Acme").await;
        let bob = world.person(acme, Role::Admin, BOB).await;
        assert_eq!(forgets(world, BOB).await, 200);
        let mail = world.mail(1).await;
        let door = Door::new(world, |settings| settings.passwords = PasswordPolicy::Off).await;
        let here = &door.world;
        for (email, password) in [(BOB, PASSWORD), (BOB, "wrong horse"), ("nobody@example.com", "x")] {
            assert_eq!(tries(here, email, password).await, (403, json!("passwords_off")));
            assert_eq!(forgets(here, email).await, 403);
        }
        assert_eq!(sets(here, &mail).await, 403);
        assert_eq!(changes(&bob.at_server(here)).await, 403);
        let user = json!({ "email": "sub@example.com", "password": PASSWORD });
        assert_eq!(bob.at_server(here).post("/frontend/api/v1/user/current", user).await.status, 403);
        let page = door.browser().page("/sign-in").await;
        assert!(page.contains("Sign in with Example") && !page.contains("type=\"password\""), "{page}");
        let said = door.browser().send("POST", "/sign-in", &[("email", BOB), ("password", PASSWORD)]).await;
        assert!(said.status == 403 && said.text().contains("You cannot sign in with a password here."));
        // The access that is left without the issuer: a key that is created on the machine.
        let key = world.account_member(AccountRole::Admin).await;
        assert_eq!(key.at_server(here).get("/v3/enterprise/organizations").await.status, 200);
    }

    async fn without_a_required_second_factor_a_user_can_only_set_one_up(world: &World) {
        let acme = world.organization("Acme").await;
        let id = world.user(acme, Role::Admin, BOB).await;
        let (bob, key) = (world.sign_in(BOB).await, world.actor(id, Some(acme), None).await);
        let carl = world.person(acme, Role::Admin, "carl@example.com").await;
        enroll(world, &carl).await;
        let reader = world.person(acme, Role::Readwrite, "rob@example.com").await;
        let service = machine(world, acme, Role::Admin).await;
        let here = &world.another_server(admins).await;
        for weak in [&bob, &key] {
            assert!(may_look(&weak.at_server(world)).await && !may_look(&weak.at_server(here)).await);
        }
        for good in [&reader, &service, &carl] {
            assert!(may_look(&good.at_server(here)).await);
        }
        // They cannot change anything, nor create a key that could.
        let bob = &bob.at_server(here);
        assert_eq!(bob.post("/api/v1/keys", json!({})).await.status, 403);
        assert_eq!(bob.call("POST", "/api/v1/sessions", Body::empty()).await.status, 403);
        let user = bob.post("/frontend/api/v1/user/current", json!({ "email": "sub@example.com" })).await;
        assert!(user.status == 403 && user.text().contains("second factor"), "{}", user.text());
        // The page offers the setup.
        let mut browser = Browser { world: here, cookies: Default::default() };
        browser.cookies.insert("tenure-session".into(), bob.key.clone().unwrap());
        assert!(browser.page("/account").await.contains("Set one up below to continue."));
        assert_eq!(bob.get("/tenure/v1/me").await.status, 200);
        let old = here.sign_in(BOB).await;
        enroll(here, bob).await;
        assert!(may_look(bob).await);
        assert!(may_look(&key.at_server(here)).await, "its owner has one");
        assert!(!browser.page("/account").await.contains("needs a second factor"));
        // An older session must send a code first.
        assert!(!may_look(&old).await);
        browser.cookies.insert("tenure-session".into(), old.key.clone().unwrap());
        let page = browser.page("/account").await;
        assert!(page.contains("Enter a code to continue.") && page.contains("again-code"), "{page}");
    }

    async fn a_second_factor_of_the_issuer_counts(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, ANA).await;
        let door = Door::new(world, admins).await;
        for (amr, expected) in [
            (json!(["pwd", "mfa"]), true),
            (json!(["pwd"]), false),
            (json!([]), false),
            (Value::Null, false),
        ] {
            let mut claims = ana();
            claims["amr"] = amr.clone();
            let (browser, led) = door.sign_in(claims).await;
            assert_eq!(led, "/account");
            let token = browser.cookies["tenure-session"].clone();
            let actor = door.world.caller(Some(&token));
            assert_eq!(may_look(&actor).await, expected, "{amr}");
        }
    }
}
