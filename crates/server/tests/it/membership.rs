//! Keys, members, invitations and organizations on Mobile Next's wire, with login sessions.

use crate::probe::PASSWORD;
use crate::world::{Actor, START, World};
use axum::body::Body;
use domain::ids::{InvitationId, OrganizationId, PrincipalId};
use domain::invitation::Invitation;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::{Value, json};
use store::System;

const KEYS: &str = "/api/v1/keys";
const MEMBERS: &str = "/api/v1/members";
const INVITATIONS: &str = "/api/v1/members/invitations";
const OWN: &str = "/api/v1/invitations";

impl World {
    /// An open invitation, created by a new admin.
    pub async fn invite(&self, organization: OrganizationId, email: &str, role: Role) -> Invitation {
        let inviter = self.principal(None, Some((organization, Role::Admin))).await;
        let now = self.app().now();
        let new = Invitation {
            id: InvitationId::new(now, self.bytes()),
            organization,
            email: email.into(),
            role,
            inviter,
            created: now,
            expires: now + Span::minutes(7 * 24 * 60),
        };
        self.store()
            .create_invitation(&System::for_administration().grant(organization), &new)
            .await
            .unwrap();
        new
    }

    /// A signed-in user with a password and without memberships.
    pub async fn lone(&self, email: &str) -> Actor<'_> {
        let away = self.organization(&format!("Away of {email}")).await;
        let id = self.user(away, Role::Readonly, email).await;
        let granted = System::for_administration().grant(away);
        self.store().remove_member(&granted, id, START).await.unwrap();
        self.sign_in(email).await
    }

    /// A member with a password, signed in.
    pub async fn person(&self, organization: OrganizationId, role: Role, email: &str) -> Actor<'_> {
        self.user(organization, role, email).await;
        self.sign_in(email).await
    }
}

impl Actor<'_> {
    async fn empty(&self, method: &str, path: &str) -> u16 {
        self.call(method, path, Body::empty()).await.status.as_u16()
    }

    /// The roles of the organization's members by their addresses.
    async fn roles(&self) -> Vec<(String, String)> {
        let all = self.get(MEMBERS).await.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let members = all["members"].as_array().unwrap().iter();
        members.map(|member| (text(&member["email"]), text(&member["role"]))).collect()
    }

    async fn user_id(&self, email: &str) -> String {
        let all = self.get(MEMBERS).await.json();
        let found = all["members"].as_array().unwrap().iter().find(|one| one["email"] == email);
        found.unwrap()["userId"].as_str().unwrap().to_owned()
    }
}

both! {
    async fn keys_are_managed_by_signed_in_users(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let made = ana.post(KEYS, json!({ "name": "CI pipeline" })).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let (made, secret) = (made.json(), made.json()["apiKey"].as_str().unwrap().to_owned());
        assert_eq!((&made["name"], &made["createdAt"]), (&json!("CI pipeline"), &json!("2026-03-01T12:00:00.000000Z")));
        world.advance(Span::seconds(1));
        let unnamed = ana.post(KEYS, json!({})).await.json();
        assert_eq!(unnamed["name"], Value::Null);
        let listed = ana.get(KEYS).await;
        assert!(!listed.text().contains(&secret));
        let listed = listed.json()["data"].clone();
        let ids = listed.as_array().unwrap().iter().map(|key| key["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids, [made["id"].clone(), unnamed["id"].clone()]);
        assert!(secret.ends_with(listed[0]["apiKeySuffix"].as_str().unwrap()));
        // It works, for its organization. Neither the key nor its sessions can manage keys.
        let key = world.caller(Some(&secret));
        assert_eq!(key.empty("POST", "/api/v1/sessions").await, 201);
        let jwt = key.post("/frontend/api/v1/auth/jwt", json!({})).await.json();
        let session = world.caller(jwt["token"].as_str());
        let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
        for actor in [&key, &session] {
            for (method, path) in [("GET", KEYS), ("POST", KEYS), ("DELETE", &path), ("GET", OWN)] {
                let response = actor.send(method, path, &[], Body::from("{}")).await;
                assert_eq!(response.status, 403, "{method} {path}");
                assert!(response.text().contains("a login session"), "{}", response.text());
            }
        }
        // Somebody else's does not exist.
        let bob = world.person(acme, Role::Admin, "bob@example.com").await;
        let foreign = bob.delete(&path).await;
        let unknown = bob.delete(&format!("{KEYS}/{}", InvitationId::new(START, world.bytes()))).await;
        let malformed = bob.delete(&format!("{KEYS}/%00")).await;
        assert_eq!((foreign.status.as_u16(), &foreign.body), (404, &unknown.body));
        assert_eq!((malformed.status.as_u16(), &malformed.body), (404, &unknown.body));
        assert!(key.is_good().await);
        assert_eq!(ana.empty("DELETE", &path).await, 204);
        assert!(!key.is_good().await && !session.is_good().await);
        assert_eq!(ana.empty("DELETE", &path).await, 404);
        assert_eq!(ana.get(KEYS).await.json()["data"].as_array().unwrap().len(), 1);
    }

    async fn a_role_without_keys_gets_none_and_a_key_acts_in_one_organization(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let system = System::for_administration();
        let id = PrincipalId(ana.user_id("ana@example.com").await.parse().unwrap());
        world.store().set_member(&system.grant(globex), id, Role::Readonly, START).await.unwrap();
        let key = ana.post(KEYS, json!({ "name": "x" })).await.json();
        let key = world.caller(key["apiKey"].as_str());
        assert_eq!(key.get("/api/v1/sessions").await.status, 200);
        assert_eq!(key.naming(globex).get("/api/v1/sessions").await.status, 403);
        let refused = ana.naming(globex).post(KEYS, json!({ "name": "x" })).await;
        assert_eq!((refused.status.as_u16(), refused.json()["error"]["code"].clone()), (403, json!("forbidden")));
        for name in ["a\u{7}b".to_owned(), "x".repeat(257)] {
            let response = ana.post(KEYS, json!({ "name": name })).await;
            assert!(response.status == 400 && response.text().contains("name: expected"), "{}", response.text());
        }
        // A repetition with its idempotency key returns the same key, without the secret.
        let repeat = async || {
            let headers = [("idempotency-key", "once-and-again")];
            ana.send("POST", KEYS, &headers, Body::from(r#"{"name":"twice"}"#)).await.json()
        };
        let (first, again) = (repeat().await, repeat().await);
        assert!(first["apiKey"].is_string() && again["apiKey"].is_null());
        assert_eq!(first["id"], again["id"]);
        // A narrowed session cannot make a key with more permissions.
        let narrow = json!({ "permissions": ["read:user", "write:user", "read:media"] });
        let jwt = ana.post("/frontend/api/v1/auth/jwt", narrow).await.json();
        let narrow = world.caller(jwt["token"].as_str());
        let key = narrow.post(KEYS, json!({})).await.json();
        let key = world.caller(key["apiKey"].as_str());
        assert_eq!(key.get("/api/v1/sessions").await.status, 200);
        assert_eq!(key.empty("POST", "/api/v1/sessions").await, 403);
    }

    async fn a_user_is_invited_and_accepts(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let eve = world.lone("eve@example.com").await;
        assert_eq!(eve.get("/api/v1/sessions").await.status, 403);
        let invited = ana.post(INVITATIONS, json!({ "email": " Eve@Example.com ", "role": "readwrite" })).await;
        assert_eq!(invited.status, 201, "{}", invited.text());
        let invited = invited.json();
        assert_eq!((&invited["email"], &invited["role"]), (&json!("eve@example.com"), &json!("readwrite")));
        assert_eq!(invited["expiresAt"], "2026-03-08T12:00:00.000000Z");
        assert!(world.mail(1).await.contains("You were invited"));
        assert_eq!(ana.get(MEMBERS).await.json()["invitations"], json!([invited]));
        let mine = eve.get(OWN).await.json()["invitations"].clone();
        assert_eq!(mine.as_array().unwrap().len(), 1);
        assert_eq!(mine[0]["organizationName"], "Acme");
        assert_eq!(mine[0]["invitedByEmail"], "ana@example.com");
        let path = format!("{OWN}/{}/accept", invited["id"].as_str().unwrap());
        // Nobody else can accept it, and for others it does not exist.
        for other in [&ana, &world.lone("mal@example.com").await] {
            let (real, none) = (other.call("POST", &path, Body::empty()).await, OWN.to_owned() + "/x/accept");
            let none = other.call("POST", &none, Body::empty()).await;
            assert_eq!((real.status.as_u16(), real.body), (404, none.body));
        }
        assert_eq!(eve.empty("POST", &path).await, 204);
        assert_eq!(eve.empty("POST", &path).await, 404, "once");
        assert_eq!(eve.get("/api/v1/sessions").await.status, 200);
        assert_eq!(eve.empty("POST", "/api/v1/sessions").await, 201);
        assert!(ana.roles().await.contains(&("eve@example.com".into(), "readwrite".into())));
        assert_eq!(eve.get(OWN).await.json()["invitations"], json!([]));
        // Members who are not admins see the members, but not the invitations.
        let second = json!({ "email": "new@example.com", "role": "readonly" });
        assert_eq!(ana.post(INVITATIONS, second).await.status, 201);
        let seen = eve.get(MEMBERS).await.json();
        assert_eq!((seen["members"].as_array().unwrap().len(), &seen["invitations"]), (2, &json!([])));
    }

    async fn inviting_repeatedly_sends_one_mail_and_creates_no_user(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let invite = async |actor: &Actor<'_>, email: &str| {
            let response = actor.post(INVITATIONS, json!({ "email": email, "role": "readonly" })).await;
            (response.status.as_u16(), response.json()["id"].as_str().unwrap_or_default().to_owned())
        };
        for _ in 0..40 {
            let (status, id) = invite(&ana, "new@example.com").await;
            assert_eq!(status, 201);
            assert_eq!(ana.empty("DELETE", &format!("{INVITATIONS}/{id}")).await, 204);
        }
        world.mail(1).await;
        let nobody = async || world.store().find_person_by_email(&System::for_sign_in(), "new@example.com").await.unwrap().is_none();
        assert!(nobody().await);
        // Three organizations may send mail to one address in a day, each once an hour.
        for number in 0..4 {
            let other = world.organization(&format!("Other {number}")).await;
            let admin = world.person(other, Role::Admin, &format!("admin-{number}@example.com")).await;
            assert_eq!(invite(&admin, "new@example.com").await.0, 201);
            world.mail((number + 2).min(3)).await;
        }
        // Too many invitations have to wait.
        let statuses = futures_util::future::join_all((0..80).map(|number| {
            let (ana, invite) = (&ana, &invite);
            async move { invite(ana, &format!("person-{number}@example.com")).await.0 }
        }));
        let statuses = statuses.await;
        let (made, waits) = (statuses.iter().filter(|one| **one == 201).count(), statuses.iter().filter(|one| **one == 429).count());
        assert_eq!((made, waits), (60, 20), "after forty");
        world.mail(63).await;
        assert_eq!(world.mails().len(), 63);
        assert!(nobody().await);
        world.advance(Span::minutes(15));
        assert_eq!(invite(&ana, "late@example.com").await.0, 201);
    }

    async fn a_new_user_gets_in_only_by_the_mail(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let body = json!({ "email": "new@example.com", "role": "readonly" });
        assert_eq!(ana.post(INVITATIONS, body).await.status, 201);
        world.mail(1).await;
        assert_eq!(world.try_sign_in("new@example.com", PASSWORD).await.status, 401);
        let ask = json!({ "email": "new@example.com" }).to_string();
        let anonymous = world.caller(None);
        let forgot = "/frontend/api/v1/auth/password-restore";
        assert_eq!(anonymous.call_with("POST", forgot, &ask).await.status, 200);
        let token = crate::probe::token_in(&world.mail(2).await);
        let set = json!({ "verify-token": token, "new-password": PASSWORD }).to_string();
        assert_eq!(anonymous.call_with("POST", &format!("{forgot}-verify"), &set).await.status, 200);
        let new = world.sign_in("new@example.com").await;
        let id = new.get(OWN).await.json()["invitations"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(new.empty("POST", &format!("{OWN}/{id}/reject")).await, 204);
        assert_eq!(new.empty("POST", &format!("{OWN}/{id}/accept")).await, 404);
        assert_eq!(new.get("/api/v1/sessions").await.status, 403);
    }

    async fn invitations_end(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let eve = world.lone("eve@example.com").await;
        let invite = async || {
            let response = ana.post(INVITATIONS, json!({ "email": "eve@example.com", "role": "readonly" })).await;
            (response.status.as_u16(), response.json()["id"].as_str().unwrap_or_default().to_owned())
        };
        let open = async || eve.get(OWN).await.json()["invitations"].as_array().unwrap().len();
        let (_, first) = invite().await;
        assert_eq!(invite().await.0, 409, "one for each address and organization");
        // Revoked.
        assert_eq!(ana.empty("DELETE", &format!("{INVITATIONS}/{first}")).await, 204);
        assert_eq!(ana.empty("DELETE", &format!("{INVITATIONS}/{first}")).await, 404);
        assert_eq!((open().await, eve.empty("POST", &format!("{OWN}/{first}/accept")).await), (0, 404));
        // Expired, to the second.
        let (_, second) = invite().await;
        world.advance(Span::seconds(7 * 86_400 - 1));
        let (ana, eve) = (world.sign_in("ana@example.com").await, world.sign_in("eve@example.com").await);
        assert_eq!(eve.get(OWN).await.json()["invitations"].as_array().unwrap().len(), 1);
        world.advance(Span::seconds(1));
        assert_eq!(eve.get(OWN).await.json()["invitations"], json!([]));
        assert_eq!(eve.empty("POST", &format!("{OWN}/{second}/accept")).await, 404);
        assert_eq!(ana.get(MEMBERS).await.json()["invitations"], json!([]));
        // Another invitation replaces it. It is invalid once its creator is no longer allowed to invite.
        let body = json!({ "email": "eve@example.com", "role": "admin" });
        let third = ana.post(INVITATIONS, body).await.json()["id"].as_str().unwrap().to_owned();
        let bob = world.person(acme, Role::Admin, "bob@example.com").await;
        let demoted = json!({ "userId": bob.user_id("ana@example.com").await, "role": "readwrite" });
        assert_eq!(bob.post(MEMBERS, demoted).await.status, 200);
        assert_eq!(eve.get(OWN).await.json()["invitations"], json!([]));
        assert_eq!(eve.empty("POST", &format!("{OWN}/{third}/accept")).await, 404);
        assert_eq!(eve.get("/api/v1/sessions").await.status, 403);
    }

    async fn invalid_invitations_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        world.user(acme, Role::Readonly, "rob@example.com").await;
        let outside = world.organization("Globex").await;
        world.user(outside, Role::Readonly, "out@example.com").await;
        for (body, place) in [
            (json!({ "email": "x", "role": "readonly" }), "email: expected an e-mail address"),
            (json!({ "email": "a b@example.com", "role": "readonly" }), "email: expected"),
            (json!({ "email": "a@example.com\r\nBcc: b@example.com", "role": "readonly" }), "email: expected"),
            (json!({ "email": "a@example.com", "role": "owner" }), "role: expected one of readonly, readwrite, admin, auditor"),
            (json!({ "email": "a@example.com" }), "role"),
            (json!({ "email": 7, "role": "readonly" }), "email: "),
            (json!(["a@example.com", "readonly"]), "expected a JSON object, got a list"),
        ] {
            let response = ana.post(INVITATIONS, body.clone()).await;
            assert_eq!(response.status, 400, "{body}: {}", response.text());
            assert!(response.text().contains(place), "{body}: {}", response.text());
        }
        let status = async |email: &str| {
            ana.post(INVITATIONS, json!({ "email": email, "role": "readonly" })).await.status.as_u16()
        };
        assert_eq!(status("rob@example.com").await, 409, "a member");
        // It makes no difference whether the address is known elsewhere.
        let shape = async |email: &str| {
            let response = ana.post(INVITATIONS, json!({ "email": email, "role": "readonly" })).await;
            (response.status.as_u16(), response.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(shape("out@example.com").await, shape("nobody@example.com").await);
        for at in 2..100 {
            assert_eq!(status(&format!("n{at}@example.com")).await, 201);
        }
        // Her limit of invitations per time is reached. The number of open invitations is another limit.
        world.advance(Span::minutes(15));
        let ana = world.sign_in("ana@example.com").await;
        let more = ana.post(INVITATIONS, json!({ "email": "more@example.com", "role": "readonly" })).await;
        assert_eq!((more.status.as_u16(), &more.json()["error"]["code"]), (409, &json!("conflict")));
        assert!(more.text().contains("100 invitations"), "{}", more.text());
    }

    async fn the_last_admin_stays(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let bob = world.person(acme, Role::Readwrite, "bob@example.com").await;
        // Service users and suspended users do not count as admins.
        world.member(acme, Role::Readonly).await;
        let sue = world.user(acme, Role::Admin, "sue@example.com").await;
        let system = System::for_administration();
        world.store().set_principal_state(&system, sue, PrincipalState::Suspended, START).await.unwrap();
        let (own, other) = (ana.user_id("ana@example.com").await, ana.user_id("bob@example.com").await);
        let set = async |actor: &Actor<'_>, user: &str, role: &str| {
            actor.post(MEMBERS, json!({ "userId": user, "role": role })).await.status.as_u16()
        };
        assert_eq!(set(&ana, &own, "readwrite").await, 409);
        let refused = ana.delete(&format!("{MEMBERS}/{own}")).await;
        assert_eq!((refused.status.as_u16(), refused.json()["error"]["code"].clone()), (409, json!("conflict")));
        assert!(refused.text().contains("last admin"), "{}", refused.text());
        // Nobody can raise their own role.
        assert_eq!(set(&bob, &other, "admin").await, 403);
        assert_eq!(bob.empty("DELETE", &format!("{MEMBERS}/{own}")).await, 403);
        assert_eq!(set(&ana, &other, "admin").await, 200);
        assert_eq!(set(&bob, &own, "readonly").await, 200);
        assert_eq!(set(&bob, &other, "readonly").await, 409);
        // A member who is not an admin can leave and stays signed in, because other memberships are not affected.
        assert_eq!(ana.empty("DELETE", &format!("{MEMBERS}/{own}")).await, 204);
        assert!(ana.is_good().await && bob.is_good().await);
        assert_eq!(bob.empty("DELETE", &format!("{MEMBERS}/{own}")).await, 404);
        for (user, role) in [(own.as_str(), "admin"), ("x", "admin"), (other.to_uppercase().as_str(), "owner")] {
            assert!([400, 404].contains(&set(&bob, user, role).await), "{user} {role}");
        }
        assert_eq!(bob.roles().await.iter().filter(|(_, role)| role == "admin").count(), 2);
    }

    async fn when_all_admins_leave_at_once_one_stays(world: &World) {
        let acme = world.organization("Acme").await;
        let mut admins = Vec::new();
        for number in 0..8 {
            admins.push(world.person(acme, Role::Admin, &format!("a{number}@example.com")).await);
        }
        let mut paths = Vec::new();
        for (number, admin) in admins.iter().enumerate() {
            let id = admin.user_id(&format!("a{number}@example.com")).await;
            paths.push(format!("{MEMBERS}/{id}"));
        }
        let leaving = admins.iter().zip(&paths).map(|(admin, path)| admin.empty("DELETE", path));
        let mut left = futures_util::future::join_all(leaving).await;
        left.sort_unstable();
        assert_eq!(left, [204, 204, 204, 204, 204, 204, 204, 409]);
    }

    async fn organizations_are_created_by_users_whom_the_settings_allow(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let refused = ana.post("/api/v1/organizations", json!({ "name": "Mine" })).await;
        assert_eq!(refused.status, 403);
        let account = world.account_member(AccountRole::Admin).await;
        assert_eq!(account.post("/api/v1/organizations", json!({ "name": "Theirs" })).await.status, 201);
        let open = world.another_server(|settings| settings.users_make_organizations = true).await;
        let ana = ana.at_server(&open);
        let made = ana.post("/api/v1/organizations", json!({ "name": "Mine", "role": "x", "id": "y" })).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        assert_eq!((&made["role"], &made["name"]), (&json!("admin"), &json!("Mine")));
        let within = ana.naming(made["id"].as_str().unwrap());
        assert_eq!(within.roles().await, [("ana@example.com".to_owned(), "admin".to_owned())]);
        let listed = ana.get("/api/v1/organizations").await.json();
        assert_eq!(listed["data"].as_array().unwrap().len(), 2);
        for (name, status) in [
            (json!("Mine"), 409), (json!("Personal"), 400), (json!(" pERSONAL "), 400), (json!(""), 400),
            (json!("  "), 400), (json!("a\nb"), 400), (json!("x".repeat(257)), 400), (json!(7), 400), (json!(null), 400),
        ] {
            let response = ana.post("/api/v1/organizations", json!({ "name": name })).await;
            assert_eq!(response.status, status, "{name}: {}", response.text());
        }
        // A key of one organization cannot create another.
        let key = ana.post(KEYS, json!({})).await.json();
        let key = open.caller(key["apiKey"].as_str());
        assert_eq!(key.post("/api/v1/organizations", json!({ "name": "More" })).await.status, 403);
    }
}
