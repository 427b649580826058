//! Second factors, recent sign-ins, and sessions that are ended together.

use crate::lost_responses::Keyed;
use crate::probe::PASSWORD;
use crate::world::{Actor, START, TestResponse, World};
use base64::Engine;
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};
use server::operations::agents::secrets;
use server::operations::agents::secrets::SecretCounts;
use server::services::master_key::MasterKey;
use std::sync::atomic::{AtomicU64, Ordering};
use store::System;
use totp_rs::{Builder, Secret};

const SIGN_IN: &str = "/tenure/v1/sign-in";
const ME: &str = "/tenure/v1/me";
const ANA: &str = "ana@example.com";

/// An authenticator app.
pub struct Phone(String);

impl Phone {
    /// The code of the current time plus `seconds`.
    pub fn code(&self, world: &World, seconds: i64) -> String {
        let secret = Secret::try_from_base32(&self.0).unwrap();
        let now = world.app().now().0 / 1_000_000 + seconds;
        Builder::new().with_secret(secret).build().unwrap().generate(now as u64).to_string()
    }
}

async fn sign_in(world: &World, more: Value) -> TestResponse {
    let mut body = json!({ "email": ANA, "password": PASSWORD });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.caller(None).post(SIGN_IN, body).await
}

fn actor<'w>(world: &'w World, response: &TestResponse) -> Actor<'w> {
    assert_eq!(response.status, 200, "{}", response.text());
    world.caller(Some(response.json()["token"].as_str().unwrap()))
}

async fn post(actor: &Actor<'_>, path: &str, body: Value) -> TestResponse {
    actor.post(&format!("{ME}/{path}"), body).await
}

/// Ana, signed in, with a second factor on her phone and her recovery codes.
pub async fn sign_in_enrolled(world: &World) -> (Actor<'_>, Phone, Vec<String>) {
    let acme = world.organization("Acme").await;
    world.user(acme, Role::Readwrite, ANA).await;
    let ana = actor(world, &sign_in(world, json!({})).await);
    let (phone, codes) = enroll(world, &ana).await;
    (ana, phone, codes)
}

/// Enrolls a user with a recent sign-in in a second factor.
pub async fn enroll(world: &World, person: &Actor<'_>) -> (Phone, Vec<String>) {
    let proposal = post(person, "totp", json!({})).await.json();
    let phone = Phone(proposal["secret"].as_str().unwrap().to_owned());
    let confirmed = post(person, "totp/confirm", json!({ "code": phone.code(world, 0) })).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
    let codes = confirmed.json()["recovery_codes"].as_array().unwrap().clone();
    (phone, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

/// Fills this many random texts. Then its user ends like a killed process.
#[derive(Debug)]
struct Dying(AtomicU64);

impl server::clock::Random for Dying {
    fn fill(&self, bytes: &mut [u8]) {
        let left = self.0.fetch_sub(1, Ordering::SeqCst);
        assert!(left > 0, "killed");
        bytes.fill(u8::try_from(left).unwrap());
    }
}

/// Checks that each user can sign in with the code of their phone.
async fn good_with(world: &World, phones: &[(&str, Actor<'_>, Phone)]) {
    world.advance(Span::minutes(1));
    for (email, _, phone) in phones {
        let body = json!({ "email": email, "password": PASSWORD, "code": phone.code(world, 0) });
        let response = world.caller(None).post(SIGN_IN, body).await;
        assert_eq!(response.status, 200, "{email}: {}", response.text());
    }
}

/// The claims of a token.
fn claims(actor: &Actor<'_>) -> Value {
    let part = actor.key.as_deref().unwrap().split('.').nth(1).unwrap().to_owned();
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

both! {
    async fn a_second_factor_is_proposed_confirmed_and_then_required(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Readwrite, ANA).await;
        let ana = actor(world, &sign_in(world, json!({})).await);
        assert_eq!(claims(&ana)["amr"], json!(["pwd"]));
        assert_eq!(claims(&ana)["auth_time"], START.0 / 1_000_000);
        let proposal = post(&ana, "totp", json!({})).await.json();
        let uri = proposal["uri"].as_str().unwrap();
        let secret = proposal["secret"].as_str().unwrap();
        assert!(uri.starts_with("otpauth://totp/Tenure:ana%40example.com?"), "{uri}");
        assert!(uri.contains(secret) && uri.contains("issuer=Tenure"), "{uri}");
        // An unconfirmed factor is not required, and can be proposed again.
        assert_eq!(sign_in(world, json!({})).await.status, 200);
        let again = post(&ana, "totp", json!({})).await.json();
        assert_ne!(again["secret"], proposal["secret"]);
        let old = Phone(secret.to_owned());
        let phone = Phone(again["secret"].as_str().unwrap().to_owned());
        for code in [old.code(world, 0), phone.code(world, 120), "x".into(), "aaaa-aaaa-aaaa-aaaa".into()] {
            let response = post(&ana, "totp/confirm", json!({ "code": code })).await;
            assert_eq!((response.status.as_u16(), &response.json()["code"]), (401, &json!("wrong_code")));
        }
        let confirmed = post(&ana, "totp/confirm", json!({ "code": phone.code(world, 0) })).await.json();
        assert_eq!(confirmed["recovery_codes"].as_array().unwrap().len(), 10);
        assert_eq!(post(&ana, "totp/confirm", json!({ "code": phone.code(world, 30) })).await.status, 404);
        assert_eq!(post(&ana, "totp", json!({})).await.status, 409);
        let me = ana.get(ME).await.json();
        assert_eq!(me["second_factor"], json!({ "since_us": START.0, "recovery_codes": 10 }));
        let own = ana.get(&format!("{ME}/sessions")).await.json();
        let own = own["sessions"].as_array().unwrap().iter().find(|session| session["current"] == true).unwrap().clone();
        assert_eq!(own["amr"], json!(["pwd", "otp", "mfa"]), "the session has used both");

        let half = sign_in(world, json!({})).await;
        assert_eq!(half.status, 202);
        let challenge = half.json()["challenge"].as_str().unwrap().to_owned();
        assert_eq!(world.caller(Some(&challenge)).get(ME).await.status, 401, "it gives no access");
        let enter_code = async |code: String| {
            let body = json!({ "challenge": challenge, "code": code });
            world.caller(None).post(&format!("{SIGN_IN}/code"), body).await
        };
        assert_eq!(enter_code(phone.code(world, 0)).await.status, 401, "used when it was confirmed");
        assert_eq!(enter_code(phone.code(world, 60)).await.status, 401, "too early");
        let whole = enter_code(phone.code(world, 30)).await;
        let claims = claims(&actor(world, &whole));
        assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
        assert_eq!(enter_code(phone.code(world, 30)).await.status, 401, "the challenge is used");
    }

    async fn second_factors_outlive_a_change_of_the_master_key(world: &World) {
        let acme = world.organization("Acme").await;
        let mut phones = Vec::new();
        for email in ["a@example.com", "b@example.com", "c@example.com"] {
            world.user(acme, Role::Readwrite, email).await;
            let signed = world.sign_in(email).await;
            let proposal = post(&signed, "totp", json!({})).await.json();
            let phone = Phone(proposal["secret"].as_str().unwrap().to_owned());
            // A factor that waits for its first code still waits.
            if email != "c@example.com" {
                let confirmed = post(&signed, "totp/confirm", json!({ "code": phone.code(world, 0) })).await;
                assert_eq!(confirmed.status, 200, "{}", confirmed.text());
            }
            phones.push((email, signed, phone));
        }
        let app = world.app();
        let newest = async || {
            let all = app.store.list_second_factors(&System::for_background_jobs(), None, 100).await.unwrap();
            all.iter().filter(|(_, sealed)| app.keys.is_newest(sealed)).count()
        };
        let rotated = async |random: Dying| {
            let app = app.clone();
            let rotating = async move { secrets::rotate_master_key(&app.store, &app.keys, &random, app.now()).await };
            tokio::spawn(rotating).await
        };
        assert_eq!(newest().await, 3);
        for (fills, sealed) in [(1, 0), (2, 1), (3, 2)] {
            // Killed during the change: random bytes are taken for the key, then a nonce for each secret.
            assert!(rotated(Dying(AtomicU64::new(fills))).await.is_err());
            assert_eq!(newest().await, sealed);
            good_with(world, &phones[..2]).await;
        }
        assert_eq!(rotated(Dying(AtomicU64::new(99))).await.unwrap().unwrap(), 3);
        assert_eq!(newest().await, 3);
        good_with(world, &phones[..2]).await;
        let other = tempfile::tempdir().unwrap();
        let other = MasterKey::open_or_make(&other.path().join("master.key"), [7; 32]).unwrap();
        for (keys, opened) in [(Some(&app.keys), 3), (Some(&other), 0), (None, 0)] {
            let found = secrets::count_secrets(&app.store, &System::for_background_jobs(), keys).await.unwrap();
            assert_eq!(found, SecretCounts { all: 3, opened });
        }
        let (email, signed, phone) = &phones[2];
        assert_eq!(post(signed, "totp/confirm", json!({ "code": phone.code(world, 0) })).await.status, 200, "{email}");
        good_with(world, &phones).await;
    }

    async fn a_code_is_used_once_in_a_race(world: &World) {
        let (_, phone, recovery) = sign_in_enrolled(world).await;
        world.advance(Span::seconds(60));
        for code in [phone.code(world, 0), recovery[3].clone()] {
            let tries = (0..4).map(|_| sign_in(world, json!({ "code": code })));
            let responses = futures_util::future::join_all(tries).await;
            let good = responses.iter().filter(|response| response.status == 200).count();
            assert_eq!(good, 1, "{code}");
        }
        // An older time step is refused after a newer one was used.
        assert_eq!(sign_in(world, json!({ "code": phone.code(world, -30) })).await.status, 401);
        let typed = recovery[4].to_uppercase().replace('-', " ");
        let ana = actor(world, &sign_in(world, json!({ "code": typed })).await);
        assert_eq!(ana.get(ME).await.json()["second_factor"]["recovery_codes"], 8);
    }

    async fn a_second_factor_is_not_revealed_before_the_password(world: &World) {
        let (_, phone, _) = sign_in_enrolled(world).await;
        world.advance(Span::seconds(60));
        let acme = world.organization("Globex").await;
        world.user(acme, Role::Readwrite, "bob@example.com").await;
        let mut responses = Vec::new();
        for (email, code) in [
            (ANA, None),
            (ANA, Some(phone.code(world, 0))),
            ("bob@example.com", None),
            ("bob@example.com", Some("123456".to_owned())),
            ("nobody@example.com", None),
        ] {
            let body = json!({ "email": email, "password": "wrong horse", "code": code });
            let response = world.caller(None).post(SIGN_IN, body).await;
            responses.push((response.status, response.text()));
        }
        responses.dedup();
        assert_eq!(responses.len(), 1, "{responses:?}");
        assert_eq!(responses[0].0, 401);
        // A code that was sent with a wrong password can still be used.
        assert_eq!(sign_in(world, json!({ "code": phone.code(world, 0) })).await.status, 200);
    }

    async fn wrong_codes_are_counted_from_every_address(world: &World) {
        let (_, phone, _) = sign_in_enrolled(world).await;
        world.advance(Span::seconds(60));
        let half = sign_in(world, json!({})).await.json();
        let enter_code = async |code: &str| {
            let body = json!({ "challenge": half["challenge"], "code": code });
            world.caller(None).post(&format!("{SIGN_IN}/code"), body).await.status.as_u16()
        };
        for _ in 0..10 {
            assert_eq!(enter_code("000000").await, 401);
        }
        assert_eq!(enter_code(&phone.code(world, 0)).await, 429);
        assert_eq!(sign_in(world, json!({ "code": phone.code(world, 0) })).await.status, 429);
        world.advance(Span::minutes(15));
        assert_eq!(enter_code(&phone.code(world, 0)).await, 401, "the challenge is too old");
        assert_eq!(sign_in(world, json!({ "code": phone.code(world, 0) })).await.status, 200);
    }

    async fn a_new_password_ends_a_half_done_sign_in(world: &World) {
        let (ana, phone, _) = sign_in_enrolled(world).await;
        world.advance(Span::seconds(60));
        let half = sign_in(world, json!({})).await.json();
        let body = json!({ "old": PASSWORD, "new": "another horse" });
        let changed = ana.call("PUT", &format!("{ME}/password"), body.to_string().into()).await;
        assert_eq!(changed.status, 204, "{}", changed.text());
        let body = json!({ "challenge": half["challenge"], "code": phone.code(world, 0) });
        assert_eq!(world.caller(None).post(&format!("{SIGN_IN}/code"), body).await.status, 401);
    }

    async fn on_probes_wire_the_code_comes_with_the_password(world: &World) {
        let (_, phone, recovery) = sign_in_enrolled(world).await;
        world.advance(Span::seconds(60));
        let path = format!("{}/sign-in", crate::probe::AUTH);
        let response = world.try_sign_in(ANA, PASSWORD).await;
        assert_eq!(response.status, 401);
        assert!(response.text().contains("second factor") && !response.headers.contains_key("set-cookie"));
        for (code, status) in [("000000".to_owned(), 401), (phone.code(world, 0), 200), (recovery[0].clone(), 200)] {
            let body = json!({ "email": ANA, "password": PASSWORD, "totp": code });
            let response = world.caller(None).call_with("POST", &path, &body.to_string()).await;
            assert_eq!(response.status, status, "{}", response.text());
        }
    }

    async fn changing_a_factor_requires_a_recent_sign_in_and_a_code(world: &World) {
        let (ana, phone, recovery) = sign_in_enrolled(world).await;
        world.advance(Span::seconds(60));
        let again = post(&ana, "recovery-codes", json!({ "code": recovery[0] })).await;
        let again = again.json()["recovery_codes"].as_array().unwrap().clone();
        assert_eq!(again.len(), 10);
        let old = post(&ana, "totp/remove", json!({ "code": recovery[1] })).await;
        assert_eq!(old.json()["code"], "wrong_code", "the former codes are invalid");
        assert_eq!(post(&ana, "totp/remove", json!({})).await.status, 401);
        world.advance(Span::minutes(9));
        let stale = post(&ana, "totp/remove", json!({ "code": phone.code(world, 0) })).await;
        assert_eq!((stale.status.as_u16(), &stale.json()["code"]), (403, &json!("stale_authentication")));
        for (body, status, code) in [
            (json!({ "password": "wrong horse" }), 400, "invalid"),
            (json!({ "code": phone.code(world, 0) }), 400, "invalid"),
            (json!({ "password": PASSWORD }), 401, "second_factor_needed"),
            (json!({ "password": PASSWORD, "code": "000000" }), 401, "wrong_code"),
        ] {
            let response = post(&ana, "authenticate", body).await;
            assert_eq!((response.status.as_u16(), &response.json()["code"]), (status, &json!(code)));
        }
        let body = json!({ "password": PASSWORD, "code": phone.code(world, 0) });
        let shown = post(&ana, "authenticate", body).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        assert_eq!(shown.json()["authenticated_us"], world.app().now().0);
        let removed = post(&ana, "totp/remove", json!({ "code": again[1] })).await;
        assert_eq!(removed.status, 204, "{}", removed.text());
        assert_eq!(sign_in(world, json!({})).await.status, 200);
        assert_eq!(ana.get(ME).await.json()["second_factor"], json!({ "since_us": null, "recovery_codes": 0 }));
        assert_eq!(post(&ana, "recovery-codes", json!({ "code": again[2] })).await.status, 404);
    }

    async fn an_old_sign_in_creates_no_keys_for_others_on_any_wire(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, ANA).await;
        let ana = actor(world, &sign_in(world, json!({})).await);
        let key = world.member(acme, Role::Admin).await;
        let users = format!("/v3/organizations/org-{}/service-users", acme.0.simple());
        let make = async |actor: &Actor<'_>, name: &str| {
            let body = json!({ "name": name, "role_id": "org_member" });
            actor.post(&users, body).await.status.as_u16()
        };
        let fresh = make(&ana, "one").await;
        world.advance(Span::minutes(10));
        assert_eq!((make(&ana, "two").await, make(&key, "three").await), (403, fresh), "keys do not need one");
        assert_eq!(ana.get(&users).await.status, 200, "to look needs no fresh sign-in");
        let sub = json!({ "email": "sub@example.com" });
        assert_eq!(ana.post(crate::probe::USER_CURRENT, sub.clone()).await.status, 403);
        assert_eq!(post(&ana, "authenticate", json!({ "password": PASSWORD })).await.status, 200);
        assert_eq!(make(&ana, "four").await, fresh);
        assert_eq!(ana.post(crate::probe::USER_CURRENT, sub).await.status, 200);
    }

    async fn a_key_and_its_sessions_cannot_change_second_factors(world: &World) {
        let acme = world.organization("Acme").await;
        let key = world.member(acme, Role::Admin).await;
        let opened = key.post(&format!("{}/jwt", crate::probe::AUTH), json!({})).await.json();
        let opened = world.caller(Some(opened["token"].as_str().unwrap()));
        for actor in [&key, &opened] {
            let response = post(actor, "totp", json!({})).await;
            assert_eq!((response.status.as_u16(), &response.json()["code"]), (403, &json!("out_of_scope")));
        }
    }

    async fn secrets_are_sealed_and_responses_with_secrets_are_not_stored(world: &World) {
        let (ana, phone, recovery) = sign_in_enrolled(world).await;
        let person = world.store().find_person_by_email(&System::for_sign_in(), ANA).await.unwrap().unwrap().person;
        let own = System::for_sign_in().grant_person(person.principal.id);
        let factor = world.store().load_second_factor(&own).await.unwrap().unwrap();
        assert!(!factor.sealed.windows(8).any(|part| part == &phone.0.as_bytes()[..8]));
        let headers = [("idempotency-key", "one")];
        let path = format!("{ME}/recovery-codes");
        let body = json!({ "code": recovery[0] }).to_string();
        let first = ana.send("POST", &path, &headers, body.clone().into()).await.json();
        let again = ana.send("POST", &path, &headers, body.into()).await.json();
        assert_eq!((first["recovery_codes"].as_array().unwrap().len(), &again["recovery_codes"]), (10, &json!([])));
    }

    async fn a_request_with_a_code_takes_effect_once_when_its_response_is_lost(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Readwrite, ANA).await;
        let ana = actor(world, &sign_in(world, json!({})).await);
        let proposal = post(&ana, "totp", json!({})).await.json();
        let phone = Phone(proposal["secret"].as_str().unwrap().to_owned());
        let survives = async |path: &str, body: Value| {
            world.advance(Span::seconds(60));
            Keyed::new(&ana, format!("{ME}/{path}"), &body).survives().await
        };
        let codes = survives("totp/confirm", json!({ "code": phone.code(world, 60) })).await.json();
        // The codes are those of the first response.
        let codes = survives("recovery-codes", json!({ "code": codes["recovery_codes"][0] })).await.json();
        survives("authenticate", json!({ "password": PASSWORD, "code": codes["recovery_codes"][0] })).await;
        survives("totp/remove", json!({ "code": codes["recovery_codes"][1] })).await;
        assert_eq!(sign_in(world, json!({})).await.status, 200);
    }

    async fn administrators_end_sessions_only_after_a_preview(world: &World) {
        let acme = world.organization("Acme").await;
        for email in [ANA, "bob@example.com"] {
            world.user(acme, Role::Readwrite, email).await;
        }
        let root = world.account_member(AccountRole::Admin).await;
        let ana = actor(world, &sign_in(world, json!({})).await);
        world.advance(Span::seconds(10));
        let bob = world.sign_in("bob@example.com").await;
        let revoke = async |body: Value| root.post("/tenure/v1/login-sessions/revoke", body).await;
        let counts = async |query: Value| {
            let mut body = query;
            body["dry_run"] = json!(true);
            revoke(body).await.json()["count"].as_u64().unwrap()
        };
        assert_eq!(counts(json!({})).await, 2);
        assert_eq!(counts(json!({ "user": ANA })).await, 1);
        assert_eq!(counts(json!({ "opened_before_us": START.0 + 5_000_000 })).await, 1);
        assert_eq!(counts(json!({ "amr": "otp" })).await, 0);
        assert_eq!(counts(json!({ "user_agent_type": "unknown" })).await, 2);
        assert_eq!(counts(json!({ "remote_ip": "192.0.2.1" })).await, 0);
        for (body, status) in [
            (json!({ "user": ANA }), 400),
            (json!({ "dry_run": true, "user": "nobody@example.com" }), 404),
            (json!({ "dry_run": true, "amr": "x" }), 400),
            (json!({ "dry_run": true, "remote_ip": "x" }), 400),
            (json!({ "dry_run": true, "usr": "x" }), 400),
        ] {
            assert_eq!(revoke(body.clone()).await.status, status, "{body}");
        }
        let preview = revoke(json!({ "dry_run": true, "user": ANA })).await.json();
        let token = preview["token"].clone();
        let later = actor(world, &sign_in(world, json!({})).await);
        // Another query, another user's preview, and an old preview end no session.
        assert_eq!(revoke(json!({ "token": token })).await.status, 409);
        let other = world.account_member(AccountRole::Admin).await;
        let response = other.post("/tenure/v1/login-sessions/revoke", json!({ "user": ANA, "token": token })).await;
        assert_eq!(response.status, 409);
        assert_eq!(revoke(json!({ "user": ANA, "token": "x" })).await.status, 409);
        world.advance(Span::seconds(1));
        let ended = revoke(json!({ "user": ANA, "token": token })).await.json();
        assert_eq!((&ended["count"], &ended["token"]), (&json!(1), &json!(null)));
        assert_eq!(ana.get(ME).await.status, 401);
        assert_eq!((bob.get(ME).await.status, later.get(ME).await.status), (200.try_into().unwrap(), 200.try_into().unwrap()));
        let token = revoke(json!({ "dry_run": true })).await.json()["token"].clone();
        world.advance(Span::minutes(10));
        assert_eq!(revoke(json!({ "token": token })).await.status, 409);
    }
}
