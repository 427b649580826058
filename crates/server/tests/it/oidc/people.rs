//! Admission of the issuer's users, and roles by their groups.

use super::{ANA, Door, ana, role};
use crate::probe::PASSWORD;
use crate::world::World;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::time::Span;
use serde_json::{Value, json};
use store::access::{ManageMembers, ViewAudit};
use store::{Identity, RoleSource, System};
use totp_rs::{Builder, Secret};

fn system() -> System {
    System::for_administration()
}

fn merge_claims(mut claims: Value, more: Value) -> Value {
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

async fn find_identified(door: &Door, subject: &str) -> Option<PrincipalId> {
    let identity = Identity { issuer: &door.issuer.url, subject };
    door.world.store().find_person_by_identity(&system(), identity).await.unwrap()
}

async fn role_of(door: &Door, person: PrincipalId, organization: OrganizationId) -> Option<Role> {
    let all = door.world.store().list_members(&system()).await.unwrap();
    all.into_iter().find(|(place, who, _)| (*place, *who) == (organization, person)).map(|(.., role)| role)
}

async fn actions(world: &World) -> Vec<String> {
    let account = system().grant_account::<ViewAudit>();
    let lines = world.store().list_account_audit_entries(&account, None, 50).await.unwrap().items;
    lines.into_iter().map(|line| line.content.action).collect()
}

both! {
    async fn a_user_is_linked_by_a_verified_address_and_found_by_the_subject_afterwards(world: &World) {
        let acme = world.organization("acme").await;
        let id = world.user(acme, Role::Readwrite, ANA).await;
        let door = Door::new(world, |_| {}).await;
        let (_, led) = door.sign_in(merge_claims(ana(), json!({ "email_verified": false }))).await;
        assert_eq!(led, "/sign-in?failed=unverified");
        let (_, led) = door.sign_in(merge_claims(ana(), json!({ "email_verified": null }))).await;
        assert_eq!(led, "/sign-in?failed=unverified", "what is not said is not so");
        assert_eq!(find_identified(&door, "1").await, None);

        let (mut browser, led) = door.sign_in(merge_claims(ana(), json!({ "email": "Ana@EXAMPLE.com" }))).await;
        assert_eq!(led, "/account");
        assert!(browser.page("/account").await.contains("by your organization"));
        assert_eq!(find_identified(&door, "1").await, Some(id));
        let login = &world.store().list_open_logins(&system(), id).await.unwrap()[0];
        assert_eq!(login.methods.iter().map(|method| method.name()).collect::<Vec<_>>(), ["fed"]);
        assert_eq!(login.authenticated, world.app().now());

        // Another subject with the same address is another user: addresses are reassigned.
        let (_, led) = door.sign_in(merge_claims(ana(), json!({ "sub": "2" }))).await;
        assert_eq!(led, "/sign-in?failed=taken");
        // The same subject with another address, or without one, is the same user.
        let (_, led) = door.sign_in(json!({ "sub": "1", "email": "new@example.com", "email_verified": false })).await;
        assert_eq!(led, "/account");
        assert!(actions(world).await.contains(&"identity.link".to_owned()));

        let at = world.app().now() - Span::minutes(3);
        let (_, led) = door.sign_in(merge_claims(ana(), json!({ "auth_time": at.0 / 1_000_000 }))).await;
        assert_eq!(led, "/account");
        let login = world.store().list_open_logins(&system(), id).await.unwrap().remove(0);
        assert_eq!(login.authenticated, at, "as the issuer says");
    }

    async fn unknown_suspended_and_deleted_users_are_not_admitted(world: &World) {
        let acme = world.organization("acme").await;
        let id = world.user(acme, Role::Readwrite, ANA).await;
        let door = Door::new(world, |_| {}).await;
        let anonymous = json!({ "sub": "9", "email": "nobody@example.com", "email_verified": true });
        assert_eq!(door.sign_in(anonymous).await.1, "/sign-in?failed=unknown");
        assert_eq!(door.sign_in(json!({ "sub": "9" })).await.1, "/sign-in?failed=unknown");
        let put = async |state| world.store().set_principal_state(&system(), id, state, world.app().now()).await.unwrap();
        put(PrincipalState::Suspended).await;
        assert_eq!(door.sign_in(ana()).await.1, "/sign-in?failed=suspended", "by the address");
        put(PrincipalState::Active).await;
        assert_eq!(door.sign_in(ana()).await.1, "/account");
        put(PrincipalState::Suspended).await;
        assert_eq!(door.sign_in(ana()).await.1, "/sign-in?failed=suspended", "by the subject");
        put(PrincipalState::Deleted).await;
        assert_eq!(door.sign_in(ana()).await.1, "/sign-in?failed=unknown");
        let mut browser = door.browser();
        for (word, sentence) in [("unknown", "no account here yet"), ("suspended", "is suspended")] {
            assert!(browser.page(&format!("/sign-in?failed={word}")).await.contains(sentence));
        }
        // Each is audited once in a window, however often they try.
        let lines = world.store().list_account_audit_entries(&system().grant_account::<ViewAudit>(), None, 50).await.unwrap().items;
        let failed = lines.iter().map(|line| &line.content).filter(|line| line.action == "login.fail");
        let noted = failed.map(|line| json!([line.thing, line.details["subject"], line.details["why"]]));
        let expected = [json!(["", "1", "unknown"]), json!(["", "1", "suspended"]), json!(["", "9", "unknown"])];
        assert_eq!(noted.collect::<Vec<_>>(), expected);
    }

    async fn a_new_user_is_created_where_settings_allow_it(world: &World) {
        let acme = world.organization("acme").await;
        let id = world.user(acme, Role::Readwrite, ANA).await;
        let door = Door::new(world, |settings| settings.oidc_create_users = true).await;
        let eve = json!({
            "sub": "2", "email": "eve@example.com", "email_verified": true, "name": "Eve", "given_name": "E\nve",
        });
        let (mut browser, led) = door.sign_in(eve.clone()).await;
        assert_eq!(led, "/account");
        assert!(browser.page("/account").await.contains("You have no password here"));
        let known = world.store().find_person_by_email(&system(), "eve@example.com").await.unwrap().unwrap();
        assert_eq!((known.password_hash, known.person.first_name.as_str()), (None, "Eve"));
        assert_eq!(find_identified(&door, "2").await, Some(known.person.principal.id));

        // An unverified address gives access to no account.
        let bob = json!({ "sub": "3", "email": "bob@example.com", "preferred_username": "bob" });
        assert_eq!(door.sign_in(bob).await.1, "/sign-in?failed=unverified");
        assert_eq!(door.sign_in(json!({ "sub": "3" })).await.1, "/sign-in?failed=unverified");
        assert!(world.store().find_person_by_email(&system(), "bob@example.com").await.unwrap().is_none());
        let unverified = json!({ "sub": "4", "email": ANA, "email_verified": false });
        assert_eq!(door.sign_in(unverified).await.1, "/sign-in?failed=unverified");
        assert_ne!(find_identified(&door, "4").await, Some(id));

        // Many concurrent sign-ins create one user.
        let many = (0..4).map(|_| door.sign_in(json!({ "sub": "5", "email": "m@example.com", "email_verified": true })));
        for (_, led) in futures_util::future::join_all(many).await {
            assert_eq!(led, "/account");
        }
        let all = world.store().list_principals(&system()).await.unwrap();
        assert_eq!(all.len(), 3, "ana, eve and m");
    }

    async fn an_invited_user_loses_a_password_that_another_chose(world: &World) {
        let id = PrincipalId::new(world.app().now(), world.bytes());
        let new = Principal {
            id,
            number: 0,
            kind: PrincipalKind::User,
            email: Some(ANA.into()),
            name: ANA.into(),
            state: PrincipalState::Pending,
            created: world.app().now(),
            account_role: None,
            default_organization: None,
        };
        let hash = world.app().passwords.hash(PASSWORD, world.bytes()).await.unwrap();
        world.store().create_principal(&system(), &new, Some(&hash), None).await.unwrap();
        let door = Door::new(world, |_| {}).await;
        assert_eq!(door.sign_in(ana()).await.1, "/account");
        assert_eq!(world.try_sign_in(ANA, PASSWORD).await.status, 401);
    }

    async fn groups_make_members_at_each_sign_in(world: &World) {
        let (acme, beta) = (world.organization("acme").await, world.organization("beta").await);
        let by_hand = world.organization("by hand").await;
        let boss = world.user(acme, Role::Admin, "boss@example.com").await;
        let id = world.user(by_hand, Role::Readonly, ANA).await;
        let beta_rule = format!("leads={beta}:admin");
        let door = Door::new(world, |settings| {
            let rules = ["devs=acme:readonly", "leads=acme:readwrite", &beta_rule, "devs=by hand:admin", "x=gone:admin"];
            settings.oidc_roles = rules.map(role).to_vec();
        })
        .await;
        let now = async |groups: Value, places: [OrganizationId; 3]| {
            let (browser, led) = door.sign_in(merge_claims(ana(), json!({ "groups": groups }))).await;
            assert_eq!(led, "/account", "{groups}");
            let mut roles = Vec::new();
            for place in places {
                roles.push(role_of(&door, id, place).await.map(Role::name));
            }
            (browser, roles)
        };
        let places = [acme, beta, by_hand];
        let (mut first, roles) = now(json!(["devs", "x", "other"]), places).await;
        assert_eq!(roles, [Some("readonly"), None, Some("readonly")], "what was given by hand stays");
        let (_, roles) = now(json!(["devs", "leads"]), places).await;
        assert_eq!(roles, [Some("readwrite"), Some("admin"), Some("readonly")], "the highest counts");
        first.page("/account").await;
        // She is the last admin of beta and stays there. She leaves acme, and credentials for other organizations stay valid.
        world.advance(Span::seconds(1));
        let (_, roles) = now(json!([]), places).await;
        assert_eq!(roles, [None, Some("admin"), Some("readonly")], "the last admin stays");
        first.page("/account").await;
        world.store().set_member(&system().grant::<ManageMembers>(beta), boss, Role::Admin, world.app().now()).await.unwrap();
        let (_, roles) = now(json!(["unknown"]), places).await;
        assert_eq!(roles, [None, None, Some("readonly")]);
        // The issuer does not list all groups: no membership is removed.
        let (_, roles) = now(json!("devs"), places).await;
        assert_eq!(roles, [Some("readonly"), None, Some("readonly")]);
        let claims = merge_claims(ana(), json!({ "_claim_names": { "groups": "src1" } }));
        assert_eq!(door.sign_in(claims).await.1, "/account");
        assert_eq!(role_of(&door, id, acme).await, Some(Role::Readonly));
        assert!(actions(world).await.contains(&"member.remove".to_owned()));

        // A new user with a group that has a role is created.
        let eve = json!({ "sub": "2", "email": "eve@example.com", "email_verified": true });
        assert_eq!(door.sign_in(merge_claims(eve.clone(), json!({ "groups": ["other"] }))).await.1, "/sign-in?failed=unknown");
        assert_eq!(door.sign_in(merge_claims(eve.clone(), json!({ "groups": ["x"] }))).await.1, "/sign-in?failed=unknown");
        assert_eq!(door.sign_in(merge_claims(eve, json!({ "groups": ["devs"] }))).await.1, "/account");
        let eve = find_identified(&door, "2").await.unwrap();
        assert_eq!(role_of(&door, eve, acme).await, Some(Role::Readonly));
    }

    async fn claims_missing_from_the_token_are_fetched(world: &World) {
        let acme = world.organization("acme").await;
        let id = world.user(acme, Role::Readonly, ANA).await;
        let beta = world.organization("beta").await;
        let door = Door::new(world, |settings| settings.oidc_roles = vec![role("devs=beta:readwrite")]).await;
        let url = format!("{}/userinfo", door.issuer.url);
        door.issuer.parts.lock().unwrap().itself.insert("userinfo_endpoint".into(), json!(url));
        for (subject, expected) in [("2", "/sign-in?failed=untrusted"), ("1", "/account")] {
            let mut browser = door.browser();
            let there = browser.begin("/sign-in/oidc").await;
            let besides = merge_claims(ana(), json!({ "sub": subject, "groups": ["devs"] }));
            let back = door.issuer.grant_forged(&there, world.app().now(), json!({ "sub": "1" }), |grant| {
                grant.besides = besides;
            });
            assert_eq!(browser.finish(&back).await, expected, "of {subject}");
        }
        assert_eq!(role_of(&door, id, beta).await, Some(Role::Readwrite));
        let asked = door.issuer.request_count("userinfo");
        assert_eq!(door.sign_in(merge_claims(ana(), json!({ "groups": [] }))).await.1, "/account");
        assert_eq!(door.issuer.request_count("userinfo"), asked, "not where the token says all");
    }

    async fn groups_give_roles_in_the_account_and_take_them(world: &World) {
        let acme = world.organization("acme").await;
        let id = world.user(acme, Role::Readonly, ANA).await;
        let door = Door::new(world, |settings| {
            let rule = |text| server::settings::AccountGroupRole::parse(text).unwrap();
            settings.oidc_account_roles = ["ops=admin", "sec=auditor", "desk=viewer"].map(rule).to_vec();
        })
        .await;
        let now = async |groups: Value| {
            assert_eq!(door.sign_in(merge_claims(ana(), json!({ "groups": groups }))).await.1, "/account");
            let person = world.store().load_person(&system().grant_person(id)).await.unwrap();
            person.principal.account_role.map(AccountRole::name)
        };
        let key = world.actor(id, None, None).await;
        let reads = async |path: &str| key.get(path).await.status.as_u16();
        assert_eq!(reads("/v3/enterprise/organizations").await, 403);
        assert_eq!(now(json!(["desk", "sec", "other"])).await, Some("auditor"), "the greatest counts");
        assert_eq!((reads("/v3/enterprise/audit-logs").await, reads("/v3/enterprise/organizations").await), (200, 403));
        assert_eq!(now(json!(["ops", "sec"])).await, Some("admin"));
        assert_eq!(reads("/v3/enterprise/organizations").await, 200);
        assert_eq!(now(json!([])).await, None);
        assert_eq!(reads("/v3/enterprise/organizations").await, 403);
        // A role given by hand stays, whatever the groups are.
        world.store().set_account_role(&system(), id, Some(AccountRole::Viewer), RoleSource::Hand, world.app().now()).await.unwrap();
        assert_eq!(now(json!(["ops"])).await, Some("viewer"));
        assert!(actions(world).await.contains(&"user.account_role".to_owned()));
        // A new user with a group that has a role is created.
        let eve = json!({ "sub": "2", "email": "eve@example.com", "email_verified": true });
        assert_eq!(door.sign_in(merge_claims(eve.clone(), json!({ "groups": ["other"] }))).await.1, "/sign-in?failed=unknown");
        assert_eq!(door.sign_in(merge_claims(eve, json!({ "groups": ["ops"] }))).await.1, "/account");
    }

    async fn a_second_factor_is_required_after_the_issuer(world: &World) {
        let acme = world.organization("acme").await;
        let id = world.user(acme, Role::Readwrite, ANA).await;
        let door = Door::new(world, |_| {}).await;
        let (mut browser, _) = door.sign_in(ana()).await;
        let page = browser.send("POST", "/account/totp", &[]).await.text();
        let secret = page.split("<code id=\"secret\">").nth(1).unwrap().split('<').next().unwrap().replace(' ', "");
        let code = || {
            let secret = Secret::try_from_base32(&secret).unwrap();
            Builder::new().with_secret(secret).build().unwrap().generate((world.app().now().0 / 1_000_000) as u64).to_string()
        };
        assert_eq!(browser.send("POST", "/account/totp/confirm", &[("code", &code())]).await.status, 200);
        world.advance(Span::seconds(60));

        let mut browser = door.browser();
        let there = browser.begin("/sign-in/oidc?next=/account?done=shown").await;
        let back = door.issuer.grant(&there, world.app().now(), ana());
        let half = browser.page(&format!("/sign-in/oidc/callback?{back}")).await;
        assert!(half.contains("One more step") && !browser.is_in());
        let challenge = half.split("name=\"challenge\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let fields = [("challenge", challenge), ("code", &code()), ("back", "/account?done=shown")];
        let response = browser.send("POST", "/sign-in/code", &fields).await;
        assert_eq!(response.headers["location"], "/account?done=shown");
        let login = world.store().list_open_logins(&system(), id).await.unwrap().remove(0);
        assert_eq!(login.methods.iter().map(|method| method.name()).collect::<Vec<_>>(), ["fed", "otp", "mfa"]);
    }

    async fn a_user_without_a_password_authenticates_again_at_the_issuer(world: &World) {
        let door = Door::new(world, |settings| settings.oidc_create_users = true).await;
        let (mut browser, _) = door.sign_in(ana()).await;
        world.advance(Span::minutes(10));
        let stale = browser.send("POST", "/account/totp", &[]).await;
        assert_eq!(stale.status, 403);
        let page = stale.text();
        assert!(page.contains("Sign in again with Example") && !page.contains("again-password"), "{page}");
        let old = browser.cookies["tenure-session"].clone();
        for (minutes, expected) in [(Some(11), "/sign-in?failed=stale"), (None, "/sign-in?failed=stale"), (Some(0), "/account")] {
            let there = browser.begin("/sign-in/oidc?next=/account&again=true").await;
            let asked = super::issuer::query(&there);
            assert_eq!((asked["prompt"].as_str(), asked["max_age"].as_str()), ("login", "600"));
            let now = world.app().now();
            let at = minutes.map(|minutes| (now - Span::minutes(minutes)).0 / 1_000_000);
            let back = door.issuer.grant(&there, now, merge_claims(ana(), json!({ "auth_time": at })));
            assert_eq!(browser.finish(&back).await, expected, "{minutes:?}");
        }
        assert_eq!(browser.send("POST", "/account/totp", &[]).await.status, 200);
        browser.cookies.insert("tenure-session".into(), old);
        assert_eq!(browser.follow("/account").await, "/sign-in?back=/account", "the session before has ended");
    }
}
