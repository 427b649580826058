//! Sub users, password restores and verification of addresses.

use super::{AUTH, PASSWORD, USER, USER_CURRENT, mask, token_in};
use crate::world::{Actor, START, World};
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::{Value, json};
use store::{RoleSource, System};

async fn ana(world: &World) -> Actor<'_> {
    let acme = world.organization("Acme").await;
    world.user(acme, Role::Admin, "ana@example.com").await;
    world.sign_in("ana@example.com").await
}

/// A signed-in sub user with a verified address.
async fn sub<'w>(parent: &Actor<'w>, email: &str, mails: usize) -> (i64, Actor<'w>) {
    let body = json!({ "email": email, "password": PASSWORD, "username": "Sub", "role": "root", "status": "active" });
    let response = parent.post(&format!("{USER}/current"), body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let world = parent.world;
    assert_eq!(world.try_sign_in(email, PASSWORD).await.status, 401, "not before it showed its address");
    let token = token_in(&world.mail(mails).await);
    let verify = json!({ "verify-token": token }).to_string();
    let verified = world.caller(None).call_with("POST", &format!("{AUTH}/verify"), &verify).await;
    assert_eq!(
        verified.json(),
        json!({ "email": email, "status": "active", "success": true }),
        "{}",
        verified.text()
    );
    let again = world.caller(None).call_with("POST", &format!("{AUTH}/verify"), &verify).await;
    assert_eq!(again.status, 401, "once");
    (response.json()["id"].as_i64().unwrap(), world.sign_in(email).await)
}

/// The value without ids.
fn without_ids(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            fields.retain(|name, _| !matches!(name.as_str(), "id" | "userId"));
            fields.into_iter().map(|(name, value)| (name, without_ids(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_ids).collect(),
        other => other,
    }
}

both! {
    async fn users_see_themselves_and_their_sub_users(world: &World) {
        let ana = ana(world).await;
        let globex = world.organization("Globex").await;
        world.user(globex, Role::Admin, "dora@example.com").await;
        let dora = world.sign_in("dora@example.com").await;
        let (number, child) = sub(&ana, "sub@example.com", 1).await;
        let (sibling, _) = sub(&ana, "sib@example.com", 2).await;
        insta::assert_json_snapshot!("sub_user", mask(ana.get(&format!("{USER}/{number}")).await.json()));
        let own = ana.get(&format!("{USER}/current")).await.json();
        insta::assert_json_snapshot!("own_profile", mask(own.clone()));
        let account = world.account_member(AccountRole::Admin).await;
        for (actor, sees) in [(&ana, true), (&child, true), (&account, true), (&dora, false)] {
            let response = actor.get(&format!("{USER}/{number}")).await;
            let unknown = actor.get(&format!("{USER}/999999")).await;
            assert_eq!(unknown.status, 404);
            assert_eq!(response.status == 200, sees, "{}", response.text());
            if !sees {
                assert_eq!(response.body, unknown.body);
            }
        }
        // Nobody can read users above or beside them.
        for other in [own["id"].to_string(), sibling.to_string(), "0".into(), "-1".into(), "1e0".into(), "%00".into()] {
            assert_eq!(child.get(&format!("{USER}/{other}")).await.status, 404, "{other}");
        }
        let emails = async |actor: &Actor<'_>| {
            let list = actor.get(USER).await.json();
            let users = list["users"].as_array().unwrap().iter();
            users.map(|user| user["email"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(emails(&ana).await, ["ana@example.com", "sub@example.com", "sib@example.com"]);
        assert_eq!(emails(&child).await, ["sub@example.com"]);
        assert_eq!(emails(&account).await.len(), 4);
    }

    async fn lists_are_sorted_filtered_and_paged(world: &World) {
        let ana = ana(world).await;
        for name in ["c", "a", "b"] {
            let body = json!({ "email": format!("{name}@example.com"), "username": name });
            assert_eq!(ana.post(&format!("{USER}/current"), body).await.status, 200);
        }
        let list = async |query: &str| ana.get(&format!("{USER}?{query}")).await.json();
        let names = |list: &Value| {
            let users = list["users"].as_array().cloned().unwrap_or_default();
            users.iter().map(|user| user["username"].as_str().unwrap()[..1].to_owned()).collect::<String>()
        };
        assert_eq!(names(&list("status=pending&sort[field]=username").await), "abc");
        assert_eq!(names(&list("status=pending&sort%5Bfield%5D=id&sort%5Border%5D=desc").await), "bac");
        assert_eq!(names(&list("status=pending&status=active").await), "acab");
        let page = list("pagination[page]=2&pagination[limit]=3").await;
        assert_eq!(page["pagination"], json!({ "count": 1, "limit": 3, "page": 2, "total": 4 }));
        let beyond = list("pagination[page]=2147483647&pagination[limit]=100").await;
        assert_eq!((&beyond["users"], &beyond["pagination"]["total"]), (&json!(null), &json!(4)));
        insta::assert_json_snapshot!("users", list("pagination[limit]=1").await);
        for query in [
            "pagination[page]=0", "pagination[limit]=101", "pagination[limit]=x", "sort[field]=password",
            "sort[order]=up", "status=deleted", "pagination[page]=1&pagination[page]=2",
        ] {
            let response = ana.get(&format!("{USER}?{query}")).await;
            assert_eq!((response.status.as_u16(), &response.json()["status"]), (400, &json!("INVALID_ARGUMENT")), "{query}");
        }
    }

    async fn names_are_changed_and_nothing_else(world: &World) {
        let ana = ana(world).await;
        let body = json!({
            "first-name": "Ana", "email": "evil@example.com", "id": 7, "role": "root", "status": "suspended",
            "parent": { "id": 1 }, "permissions": {}, "created": "1970-01-01T00:00:00Z",
        });
        let before = ana.get(&format!("{USER}/current")).await.json();
        world.advance(Span::seconds(5));
        let mut after = ana.call_with("PUT", &format!("{USER}/current"), &body.to_string()).await.json();
        assert_eq!((&after["first-name"], &after["updated"]), (&json!("Ana"), &json!("2026-03-01T12:00:05Z")));
        for name in ["first-name", "updated"] {
            after[name] = before[name].clone();
        }
        assert_eq!(after, before);
        let body = json!({ "email": "new@example.com" });
        let new = ana.post(&format!("{USER}/current"), body).await.json()["id"].as_i64().unwrap();
        let path = format!("{USER}/{new}");
        assert_eq!(ana.call_with("PUT", &path, r#"{"last-name":"Sub"}"#).await.json()["last-name"], "Sub");
        let (number, child) = sub(&ana, "sub@example.com", 2).await;
        let path = format!("{USER}/{number}");
        assert_eq!(child.call_with("PUT", &path, r#"{"last-name":"Own"}"#).await.json()["last-name"], "Own");
        assert_eq!(child.call_with("PUT", &path, r#"{"last-name":null}"#).await.json()["last-name"], "Own");
        let long = json!({ "first-name": "x".repeat(101) }).to_string();
        let path = format!("{USER}/{new}");
        assert_eq!(ana.call_with("PUT", &path, &long).await.status, 400);
        assert_eq!(ana.call_with("PUT", &path, r#"{"first-name":"a\u0000"}"#).await.status, 400);
    }

    async fn a_maker_sets_the_password_of_a_sub_user_until_it_is_verified(world: &World) {
        let ana = ana(world).await;
        let set = async |actor: &Actor<'_>, number: i64, old: &str, new: &str| {
            let form = format!("old-password={}&new-password={}", old.replace(' ', "+"), new.replace(' ', "+"));
            actor.call_with("PUT", &format!("{AUTH}/{number}/password"), &form).await.status.as_u16()
        };
        let body = json!({ "email": "sub@example.com", "password": PASSWORD });
        let number = ana.post(&format!("{USER}/current"), body).await.json()["id"].as_i64().unwrap();
        assert_eq!(set(&ana, number, "wrong horse", "another horse").await, 400);
        assert_eq!(set(&ana, number, PASSWORD, "short").await, 400);
        assert_eq!(set(&ana, number, PASSWORD, "another horse").await, 204);
        let verify = json!({ "verify-token": token_in(&world.mail(1).await) }).to_string();
        assert_eq!(world.caller(None).call_with("POST", &format!("{AUTH}/verify"), &verify).await.status, 200);
        assert_eq!(world.try_sign_in("sub@example.com", PASSWORD).await.status, 401);
        let response = world.try_sign_in("sub@example.com", "another horse").await.json();
        let child = world.caller(Some(response["jwt-token"]["token"].as_str().unwrap()));
        // From now on the sub user gets a mail instead, and stays signed in.
        assert_eq!(set(&ana, number, "wrong horse", "third horse").await, 400);
        assert_eq!(set(&ana, number, PASSWORD, "third horse").await, 202);
        assert!(child.is_good().await);
        assert_eq!(world.try_sign_in("sub@example.com", "third horse").await.status, 401);
        let mail = world.mail(2).await;
        assert!(mail.contains("To: sub@example.com"), "{mail}");
        let restore = json!({ "verify-token": token_in(&mail), "new-password": "my own horse" }).to_string();
        let path = format!("{AUTH}/password-restore-verify");
        assert_eq!(world.caller(None).call_with("POST", &path, &restore).await.status, 200);
        assert_eq!(world.try_sign_in("sub@example.com", "my own horse").await.status, 200);
        let names = ana.call_with("PUT", &format!("{USER}/{number}"), r#"{"first-name":"Eve"}"#).await;
        assert_eq!((names.status.as_u16(), ana.get(&format!("{USER}/{number}")).await.status.as_u16()), (403, 200));
        let own = ana.get(&format!("{USER}/current")).await.json()["id"].as_i64().unwrap();
        assert_eq!(set(&child, own, "another horse", PASSWORD).await, 401, "the password ended that session");
        // Guessing is limited here too.
        for _ in 0..10 {
            set(&ana, own, "wrong horse", PASSWORD).await;
        }
        assert_eq!(set(&ana, own, PASSWORD, "another horse").await, 429);
    }

    async fn an_administrator_of_the_account_sends_a_mail_and_sets_no_password(world: &World) {
        let acme = world.organization("Acme").await;
        let system = System::for_administration();
        let root = world.user(acme, Role::Readonly, "root@example.com").await;
        world.store().set_account_role(&system, root, Some(AccountRole::Admin), RoleSource::Hand, START).await.unwrap();
        world.user(acme, Role::Admin, "bob@example.com").await;
        let (root, bob) = (world.sign_in("root@example.com").await, world.sign_in("bob@example.com").await);
        let number = bob.get(USER_CURRENT).await.json()["id"].as_i64().unwrap();
        let form = format!("old-password={}&new-password=chosen.by.root.1", PASSWORD.replace(' ', "+"));
        let response = root.call_with("PUT", &format!("{AUTH}/{number}/password"), &form).await;
        assert_eq!(response.status, 202, "{}", response.text());
        let mail = world.mail(1).await;
        assert!(mail.contains("To: bob@example.com"), "{mail}");
        assert!(bob.is_good().await, "he is signed in still");
        assert_eq!(world.try_sign_in("bob@example.com", "chosen.by.root.1").await.status, 401);
        assert_eq!(world.try_sign_in("bob@example.com", PASSWORD).await.status, 200);
    }

    async fn a_maker_loses_a_sub_user_who_joins_another_organization(world: &World) {
        let acme = world.organization("Acme").await;
        let eve = world.person(acme, Role::Admin, "eve@example.com").await;
        let (number, _) = sub(&eve, "carol@example.com", 1).await;
        let globex = world.organization("Globex").await;
        let id = world.store().find_person_by_email(&System::for_sign_in(), "carol@example.com").await.unwrap().unwrap();
        let id = id.person.principal.id;
        // She never changed the password that Eve chose: it is invalid once she belongs to others.
        world.store().set_member(&System::for_administration().grant(globex), id, Role::Admin, START).await.unwrap();
        assert_eq!(world.try_sign_in("carol@example.com", PASSWORD).await.status, 401);
        let form = format!("old-password={0}&new-password=owned.by.eve.1", PASSWORD.replace(' ', "+"));
        let path = format!("{USER}/{number}");
        let unknown = eve.get(&format!("{USER}/999999")).await;
        let taken = |response: &crate::world::TestResponse| assert_eq!((response.status.as_u16(), &response.body), (404, &unknown.body));
        taken(&eve.call_with("PUT", &format!("{AUTH}/{number}/password"), &form).await);
        taken(&eve.call_with("PUT", &path, r#"{"first-name":"Eve"}"#).await);
        taken(&eve.get(&path).await);
        assert_eq!(eve.get(USER).await.json()["pagination"]["total"], 1);
        // The same after she has left, and Eve is no longer an admin.
        world.store().remove_member(&System::for_administration().grant(acme), id, START).await.unwrap();
        taken(&eve.call_with("PUT", &format!("{AUTH}/{number}/password"), &form).await);
        assert_eq!(world.try_sign_in("carol@example.com", "owned.by.eve.1").await.status, 401);
        let forgot = json!({ "email": "carol@example.com" }).to_string();
        assert_eq!(world.caller(None).call_with("POST", &format!("{AUTH}/password-restore"), &forgot).await.status, 200);
        let restore = json!({ "verify-token": token_in(&world.mail(2).await), "new-password": "my own horse" });
        let path = format!("{AUTH}/password-restore-verify");
        assert_eq!(world.caller(None).call_with("POST", &path, &restore.to_string()).await.status, 200);
        assert_eq!(world.try_sign_in("carol@example.com", "my own horse").await.status, 200);
    }

    async fn a_known_email_address_looks_like_an_unknown_one(world: &World) {
        let ana = ana(world).await;
        let globex = world.organization("Globex").await;
        world.user(globex, Role::Admin, "known@example.com").await;
        let create = async |email: &str| {
            ana.post(&format!("{USER}/current"), json!({ "email": email, "password": PASSWORD })).await
        };
        let mut seen = Vec::new();
        for (mails, email) in [(1, "nobody@example.com"), (2, "known@example.com")] {
            let made = create(email).await;
            let path = format!("{USER}/{}", made.json()["id"]);
            let named = ana.call_with("PUT", &path, r#"{"first-name":"New"}"#).await;
            let form = format!("old-password={0}&new-password=another+horse", PASSWORD.replace(' ', "+"));
            let password = ana.call_with("PUT", &format!("{AUTH}/{}/password", made.json()["id"]), &form).await;
            let invited = ana.post("/api/v1/members/invitations", json!({ "email": email, "role": "readonly" })).await;
            let again = create(email).await;
            let listed = ana.get(USER).await.json()["users"].as_array().unwrap().last().unwrap().clone();
            let members = ana.get("/api/v1/members").await.json()["members"].as_array().unwrap().last().unwrap().clone();
            let audit = ana.get("/v3/organizations/audit-logs").await;
            let audit = (audit.status.as_u16(), audit.text().matches(email).count());
            let all = json!([
                made.status.as_u16(), made.json(), named.status.as_u16(), named.json(), password.status.as_u16(),
                invited.status.as_u16(), again.status.as_u16(), listed, members, audit
            ]);
            seen.push(without_ids(serde_json::from_str(&all.to_string().replace(email, "an address")).unwrap()));
            let mail = world.mail(mails).await;
            assert!(mail.contains(&format!("To: {email}")), "{mail}");
            assert_eq!(mail.contains("you are one already"), email == "known@example.com", "{mail}");
            assert_eq!(mail.contains("can be used once"), email != "known@example.com", "{mail}");
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0][6], 409, "one sub user of hers has the address");
        // The owner of the address is not affected, and nothing gives access to the other user.
        assert_eq!(world.try_sign_in("known@example.com", "another horse").await.status, 401);
        let known = world.sign_in("known@example.com").await;
        assert_eq!(known.get(USER_CURRENT).await.json()["username"], "known@example.com");
        let listed = ana.get(USER).await.json()["users"].as_array().unwrap().last().unwrap()["id"].clone();
        assert_ne!(known.get(USER_CURRENT).await.json()["id"], listed);
    }

    async fn creating_a_sub_user_repeatedly_sends_one_mail(world: &World) {
        let ana = ana(world).await;
        for _ in 0..3 {
            let body = json!({ "email": "new@example.com" });
            let made = ana.post(&format!("{USER}/current"), body).await;
            assert_eq!(made.status, 200, "{}", made.text());
            let id = world.store().find_person_by_email(&System::for_sign_in(), "new@example.com").await.unwrap().unwrap();
            let (system, id) = (System::for_administration(), id.person.principal.id);
            world.store().set_principal_state(&system, id, PrincipalState::Deleted, START).await.unwrap();
        }
        world.mail(1).await;
        assert_eq!(world.mails().len(), 1, "of one organization in an hour");
    }

    async fn a_forgotten_password_is_set_by_mail_once(world: &World) {
        let ana = ana(world).await;
        let ask = async |email: &str| {
            let body = json!({ "email": email }).to_string();
            let response = world.caller(None).call_with("POST", &format!("{AUTH}/password-restore"), &body).await;
            (response.status.as_u16(), response.text())
        };
        let set = async |token: &str, new: &str| {
            let body = json!({ "verify-token": token, "new-password": new }).to_string();
            let path = format!("{AUTH}/password-restore-verify");
            world.caller(None).call_with("POST", &path, &body).await.status.as_u16()
        };
        let known = ask("ana@example.com").await;
        assert_eq!(known, (200, "{\"success\":true}\n".to_owned()));
        assert_eq!(ask("nobody@example.com").await, known);
        let first = token_in(&world.mail(1).await);
        world.advance(Span::minutes(10));
        ask("ana@example.com").await;
        let mail = world.mail(2).await;
        assert!(mail.contains("To: ana@example.com") && mail.contains("60 minutes"), "{mail}");
        let token = token_in(&mail);
        assert_eq!(set(&first, "another horse").await, 401, "the newer one counts");
        assert_eq!(set(&token, "short").await, 400);
        // The token is valid only for this, and a session's token is not valid for it.
        assert!(!world.caller(Some(&token)).is_good().await);
        assert_eq!(set(ana.key.as_deref().unwrap(), "another horse").await, 401);
        let verify = json!({ "verify-token": token }).to_string();
        assert_eq!(world.caller(None).call_with("POST", &format!("{AUTH}/verify"), &verify).await.status, 401);
        let tries = futures_util::future::join_all((0..16).map(|_| set(&token, "another horse"))).await;
        assert_eq!(tries.iter().filter(|status| **status == 200).count(), 1, "{tries:?}");
        assert!(!ana.is_good().await);
        assert_eq!(world.try_sign_in("ana@example.com", PASSWORD).await.status, 401);
        assert_eq!(world.try_sign_in("ana@example.com", "another horse").await.status, 200);
        ask("ana@example.com").await;
        let late = token_in(&world.mail(3).await);
        world.advance(Span::minutes(60));
        assert_eq!(set(&late, "third horse").await, 401);
    }
}
