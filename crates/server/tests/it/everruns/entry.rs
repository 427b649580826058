//! Authentication: forms of credentials, the organization's header, the alias, `/v1/auth/me`.

use axum::body::Body;
use axum::http::Request;
use domain::permission::{AccountRole, Role};
use serde_json::json;

both! {
    async fn a_key_is_accepted_with_or_without_a_scheme(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let key = ana.key.clone().unwrap();
        let status = async |values: &[String]| {
            let mut request = Request::get("/v1/sessions");
            for value in values {
                request = request.header("authorization", value);
            }
            world.send(request.body(Body::empty()).unwrap()).await.status.as_u16()
        };
        for value in [key.clone(), format!("Bearer {key}"), format!("ApiKey {key}"), format!("apikey {key}")] {
            assert_eq!(status(std::slice::from_ref(&value)).await, 200, "{value}");
        }
        for values in [vec![], vec![format!("Basic {key}")], vec![key.clone(), key.clone()], vec![String::new()]] {
            assert_eq!(status(&values).await, 401, "{values:?}");
        }
        let response = world.caller(None).get("/v1/sessions").await;
        assert_eq!(response.headers["content-type"], "application/problem+json");
        assert_eq!(response.headers["www-authenticate"], "Bearer");
        insta::assert_snapshot!("problem", serde_json::to_string_pretty(&response.json()).unwrap());
    }

    async fn an_organization_is_accepted_in_four_forms(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let ana = world.member(acme, Role::Readonly).await;
        let hex = acme.0.simple();
        for name in [acme.to_string(), hex.to_string(), format!("org_{hex}"), format!("org-{hex}")] {
            assert_eq!(ana.naming(&name).get("/v1/sessions").await.status, 200, "{name}");
        }
        let real = ana.naming(globex).get("/v1/sessions").await;
        assert_eq!((real.status.as_u16(), &real.json()["code"]), (403, &json!("forbidden")));
        let unknown = format!("org_{}1", "0".repeat(31));
        for name in [unknown.as_str(), "", "x", "org_", "Acme"] {
            let response = ana.naming(name).get("/v1/sessions").await;
            assert_eq!((response.status, &response.body), (real.status, &real.body), "{name}");
        }
        let nowhere = world.account_member(AccountRole::Admin).await.get("/v1/sessions").await;
        assert!(nowhere.text().contains("name one in X-Org-Id"), "{}", nowhere.text());
    }

    async fn callers_can_read_their_own_identity(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let id = format!("user_{}", ana.principal.0.simple());
        let entry = json!({ "public_id": format!("org_{}", acme.0.simple()), "name": "Acme", "role": "readonly" });
        assert_eq!(ana.get("/v1/auth/me").await.json(), json!({
            "id": id, "email": format!("{}@example.com", ana.principal), "name": "Somebody", "token_scope": "read",
            "organizations": [entry],
        }));
        let machine = world.account_member(AccountRole::Admin).await;
        let me = machine.naming(acme).get("/v1/auth/me").await.json();
        assert_eq!((&me["email"], &me["token_scope"], &me["organizations"][0]["role"]), (&json!(""), &json!("*"), &json!("admin")));
    }

    async fn the_alias_works_the_same_and_the_vendors_own_path_is_unknown(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({ "title": "One" })).await;
        for path in ["/v1/sessions", &format!("/v1/sessions/{id}"), "/v1/auth/me", "/v1/nothing", "/v1/sessions/x"] {
            let (here, there) = (ana.get(path).await, ana.get(&format!("/everruns/api{path}")).await);
            assert_eq!((here.status, here.body), (there.status, there.body), "{path}");
        }
        let nothing = ana.get("/v1/nothing").await;
        assert_eq!((nothing.status.as_u16(), &nothing.json()["error"]["code"]), (404, &json!("not_found")));
        let method = ana.put("/v1/sessions").await;
        assert_eq!((method.status.as_u16(), &method.json()["code"]), (405, &json!("method_not_allowed")));
        assert_eq!(ana.get("/api/v1/sessions").await.json()["object"], "list", "Mobile Next's");
    }
}
