//! A request that is repeated with its idempotency key is checked like a new one before its stored response is returned.

use crate::coverage::story::{self, Story};
use crate::devin::coverage::{self as devin, Story as DevinStory};
use crate::lost_responses::repeatable_posts;
use crate::probe::AUTH;
use crate::world::{Actor, START, TestResponse, World};
use axum::body::Body;
use domain::credential::{Credential, KeySecret, Wire};
use domain::ids::OrganizationId;
use domain::permission::{AccountRole, Role};
use domain::principal::{PrincipalState, Scopes};
use serde_json::{Value, json};
use server::settings::{Quota, Settings};
use store::{ApiKey, System};

/// What happens between a request and its repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Revoked,
    Suspended,
    Narrowed,
    Lowered,
    Ended,
}

/// Routes that require a login session instead of a key.
fn is_interactive(pattern: &str) -> bool {
    pattern.starts_with("/tenure/v1/me/")
        || pattern.starts_with("/api/v1/invitations/")
        || ["/api/v1/keys", "/frontend/api/v1/auth/api-token"].contains(&pattern)
}

/// Routes of the account's administrators.
fn is_of_account(pattern: &str) -> bool {
    pattern.starts_with("/enterprise/")
        || ["/api/v1/organizations", "/tenure/v1/login-sessions/revoke"].contains(&pattern)
}

/// Routes that need more than a caller: a claimed turn or a second factor. Their own tests repeat them.
fn needs_more(pattern: &str) -> bool {
    pattern.starts_with("/tenure/v1/work/")
        || pattern.ends_with("/totp/confirm")
        || pattern.ends_with("/totp/remove")
        || pattern.ends_with("/recovery-codes")
        || pattern.ends_with("/me/authenticate")
}

struct Scene<'w> {
    world: &'w World,
    acme: OrganizationId,
    story: Story<'w>,
    devin: DevinStory<'w>,
}

/// A request that can be sent again.
struct Repeated {
    path: String,
    /// The body, if it is not that of the story.
    body: Option<Value>,
}

impl<'w> Scene<'w> {
    async fn create(world: &'w World) -> Scene<'w> {
        let story = Story::create(world).await;
        let acme = story.organization;
        Scene { world, acme, devin: DevinStory::create_in(world, acme).await, story }
    }

    async fn caller(&self, pattern: &str, number: usize) -> (Actor<'w>, String) {
        let email = format!("caller{number}@example.com");
        let actor = match (is_of_account(pattern), is_interactive(pattern)) {
            (true, _) => self.world.account_member(AccountRole::Admin).await,
            (_, true) => {
                let principal = self.world.user(self.acme, Role::Admin, &email).await;
                Actor { principal, ..self.world.sign_in(&email).await }
            }
            _ => self.world.member(self.acme, Role::Admin).await,
        };
        (actor, email)
    }

    async fn request(&self, pattern: &'static str, email: &str) -> Repeated {
        let fresh = format!("new{}", u32::from_be_bytes(self.world.bytes()));
        let devin = pattern.replace("[/{org}]", "/{org}");
        let path = match pattern {
            "/api/v1/invitations/{invitation}/accept" | "/api/v1/invitations/{invitation}/reject" => {
                let away = self.world.organization(&fresh).await;
                let invited = self.world.invite(away, email, Role::Readwrite).await;
                pattern.replace("{invitation}", &invited.id.to_string())
            }
            _ if pattern.starts_with("/organizations") || pattern.starts_with("/enterprise") => {
                self.devin.path(&format!("/v3{devin}")).await
            }
            _ => self.story.path(pattern).await,
        };
        let body = match pattern {
            "/api/v1/organizations" | "/enterprise/organizations" => json!({ "name": fresh }),
            "/api/v1/members/invitations" => {
                json!({ "email": format!("{fresh}@example.com"), "role": "readonly" })
            }
            "/v1/agents" => json!({ "name": fresh, "system_prompt": "" }),
            "/tenure/v1/views" => json!({ "name": fresh, "shared": true }),
            "/frontend/api/v1/user/current" => json!({ "email": format!("{fresh}@example.com") }),
            "/frontend/api/v1/auth/api-token" => json!({ "ttl": 3600 }),
            "/frontend/api/v1/auth/password-restore" => json!({ "email": format!("{fresh}@example.com") }),
            "/api/v1/keys" => json!({ "name": "CI" }),
            _ => return Repeated { path, body: None },
        };
        Repeated { path, body: Some(body) }
    }

    async fn send(&self, request: &Repeated, actor: &Actor<'w>, key: &str) -> TestResponse {
        let actor = Actor { header: Some(("idempotency-key", key.to_owned())), ..actor.clone() };
        match &request.body {
            Some(body) => actor.call_with("POST", &request.path, &body.to_string()).await,
            None if request.path.starts_with("/v3/") => {
                devin::call(&self.devin, &actor, "POST", &request.path).await
            }
            None => story::send(&self.story, &actor, "POST", &request.path).await,
        }
    }

    /// Changes a caller. Returns the caller's credential from then on.
    async fn happens(&self, then: Then, pattern: &str, actor: &Actor<'w>) -> Actor<'w> {
        let (store, system) = (self.world.store(), System::for_administration());
        let place = system.grant(self.acme);
        let interactive = is_interactive(pattern);
        match then {
            Then::Revoked if interactive => {
                assert_eq!(actor.delete(&format!("{AUTH}/sign-out")).await.status, 200);
            }
            Then::Revoked => store.revoke_credential(&system, actor.credential, START).await.unwrap(),
            Then::Suspended => {
                let state = PrincipalState::Suspended;
                store.set_principal_state(&system, actor.principal, state, START).await.unwrap();
            }
            Then::Narrowed if interactive => {
                let response =
                    actor.post(&format!("{AUTH}/jwt"), json!({ "permissions": ["read:profile"] })).await;
                return Actor { key: response.json()["token"].as_str().map(str::to_owned), ..actor.clone() };
            }
            Then::Narrowed => {
                let secret = KeySecret::new(Wire::Probe, self.world.bytes());
                let bound = (!is_of_account(pattern)).then_some(self.acme);
                let (random, owner) = (self.world.bytes(), actor.principal);
                let credential = Credential {
                    organization: bound,
                    ..Credential::new(&secret, Wire::Probe, owner, START, random)
                };
                let scopes = Scopes::parse(["read:profile"]);
                let token = ApiKey { credential, scopes, updated: START, recoverable: None };
                store.create_api_key(&system.grant_person(owner), &token, &secret.hash()).await.unwrap();
                return Actor { key: Some(secret.reveal().to_owned()), ..actor.clone() };
            }
            Then::Lowered => store.set_member(&place, actor.principal, Role::Readonly, START).await.unwrap(),
            Then::Ended => store.remove_member(&place, actor.principal, START).await.unwrap(),
        }
        actor.clone()
    }
}

both! {
    async fn a_repeated_request_is_checked_like_a_new_one(world: &World) {
        let scene = Scene::create(world).await;
        let (mut number, mut refused) = (0, 0);
        for pattern in repeatable_posts().into_iter().filter(|pattern| !needs_more(pattern)) {
            for then in [Then::Revoked, Then::Suspended, Then::Narrowed, Then::Lowered, Then::Ended] {
                if is_of_account(pattern) && [Then::Lowered, Then::Ended].contains(&then) {
                    continue;
                }
                number += 1;
                let (actor, email) = scene.caller(pattern, number).await;
                let request = scene.request(pattern, &email).await;
                let what = format!("{} {then:?}", request.path);
                let first = scene.send(&request, &actor, "k").await;
                assert!(first.status.is_success(), "{what}: {} {}", first.status, first.text());
                let kept = scene.send(&request, &actor, "k").await;
                assert!(kept.status.is_success(), "{what}: {}", kept.text());
                let again = scene.happens(then, pattern, &actor).await;
                let replay = scene.send(&request, &again, "k").await;
                let new = scene.send(&request, &again, "another").await;
                // Who may not see a session any more is told that it does not exist.
                let hides = new.status == 404 && pattern.starts_with("/tenure/v1/sessions/");
                let judged = hides || [401, 403].contains(&new.status.as_u16());
                if judged {
                    refused += 1;
                    assert_eq!((replay.status, replay.text()), (new.status, new.text()), "{what}");
                    assert!(!replay.headers.contains_key("idempotent-replayed"), "{what}");
                } else {
                    assert!(replay.status.is_success(), "{what}: {}", replay.text());
                }
                // Without a valid credential every route refuses, and with few permissions nearly every route.
                assert!(judged || ![Then::Revoked, Then::Suspended].contains(&then) || is_open(pattern), "{what}");
            }
        }
        assert!(refused > 100, "{refused} of {number}");
    }

    async fn repetitions_count_in_the_rates(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let slow = world.another_server(|settings: &mut Settings| {
            settings.rate_per_credential = Some(Quota { requests: 5, seconds: 60 });
        }).await;
        let ana = Actor { header: Some(("idempotency-key", "k".into())), ..ana.at_server(&slow) };
        let mut statuses = Vec::new();
        for _ in 0..7 {
            let response = ana.call("POST", "/api/v1/sessions", Body::empty()).await;
            statuses.push((response.status.as_u16(), response.headers.contains_key("idempotent-replayed")));
        }
        let (made, replayed, refused) = ((201, false), (201, true), (429, false));
        assert_eq!(statuses, [made, replayed, replayed, replayed, replayed, refused, refused]);
    }

    async fn a_caller_who_still_has_the_permission_gets_the_stored_response(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, _) = (world.member(acme, Role::Admin).await, world.member(acme, Role::Admin).await);
        let keyed = Actor { header: Some(("idempotency-key", "k".into())), ..ana.clone() };
        let create = async || keyed.call("POST", "/api/v1/sessions", Body::empty()).await;
        let first = create().await;
        world.store().set_member(&System::for_administration().grant(acme), ana.principal, Role::Readwrite, START).await.unwrap();
        let again = create().await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(ana.get("/api/v1/sessions").await.json()["data"].as_array().unwrap().len(), 1);
    }

    async fn a_former_admin_repeats_nothing_in_sessions_of_others(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, bob) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        world.member(acme, Role::Admin).await;
        let session = ana.talk(json!({})).await;
        let path = format!("/v1/sessions/{session}/messages");
        let body = json!({ "message": { "content": [{ "type": "text", "text": "hi" }] } });
        let keyed = Actor { header: Some(("idempotency-key", "k".into())), ..bob.clone() };
        assert_eq!(keyed.post(&path, body.clone()).await.status, 201);
        world.store().set_member(&System::for_administration().grant(acme), bob.principal, Role::Readwrite, START).await.unwrap();
        let (replay, new) = (keyed.post(&path, body.clone()).await, bob.post(&path, body).await);
        assert_eq!((replay.status.as_u16(), replay.body), (403, new.body));
    }
}

/// Routes for anonymous callers.
fn is_open(pattern: &str) -> bool {
    pattern.ends_with("/password-restore")
}
