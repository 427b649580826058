//! The table of invalid credentials: each route, each form of a credential and each kind of defect. The response must equal
//! the response to a request without a credential, byte for byte.

use crate::coverage::{self, OPEN_TO_ANONYMOUS, TABLE};
use crate::devin;
use crate::probe::{AUTH, PASSWORD};
use crate::world::{Actor, START, TestResponse, World};
use domain::ids::{PrincipalId, SessionId};
use domain::permission::Role;
use domain::time::Span;
use serde_json::json;
use server::operations::login::tokens;
use server::operations::login::tokens::Claims;
use server::operations::login::tokens::Use;
use store::System;

/// An invalid credential, with its defect.
type Bad = (&'static str, String);

/// Headers that differ in every response.
const NEW_EACH_TIME: [&str; 2] = ["/metrics", "/login/device/code"];

/// Invalid keys, and invalid tokens.
async fn bad(world: &World) -> (Vec<Bad>, Vec<Bad>) {
    let home = world.organization("Home").await;
    let ana = world.user(home, Role::Admin, "ana@example.com").await;
    let expired = world.actor(ana, Some(home), Some(START + Span::seconds(1))).await.key.unwrap();
    let short = json!({ "email": "ana@example.com", "password": PASSWORD, "long-term-token": false });
    let short =
        world.caller(None).call_with("POST", &format!("{AUTH}/sign-in"), &short.to_string()).await.json();
    let over = short["jwt-token"]["token"].as_str().unwrap().to_owned();
    world.advance(Span::minutes(4 * 60));
    let revoked = world.actor(ana, Some(home), None).await;
    world.store().revoke_credential(&System::for_administration(), revoked.credential, START).await.unwrap();
    let ended = world.sign_in("ana@example.com").await;
    assert_eq!(ended.delete(&format!("{AUTH}/sign-out")).await.status, 200);
    let keys = vec![
        ("revoked", revoked.key.unwrap()),
        ("expired", expired),
        ("unknown", "mob_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        ("malformed", "mob_x".to_owned()),
    ];
    let tokens = vec![
        ("revoked", ended.key.unwrap()),
        ("expired", over),
        ("unknown", unknown_session_token(world, ana).await),
        ("malformed", "a.b.c".to_owned()),
    ];
    (keys, tokens)
}

/// A correctly signed token of an unknown session.
async fn unknown_session_token(world: &World, person: PrincipalId) -> String {
    let now = world.app().now();
    let mut claims = Claims::new(person.0, now, now + Span::minutes(60), world.bytes());
    claims.sid = Some(SessionId::new(now, 7).uuid());
    tokens::sign_token(world.app(), Use::Session, &claims).await.unwrap()
}

/// One way to send something: a header or a part of the query.
struct Way {
    what: String,
    header: Option<(&'static str, String)>,
    query: Option<String>,
}

/// Every form with every defect.
fn ways(keys: &[Bad], tokens: &[Bad]) -> Vec<Way> {
    let authorization = |scheme: &str, bad: &str| (Some(("authorization", format!("{scheme}{bad}"))), None);
    let query = |name: &str, bad: &str| (None, Some(format!("{name}={bad}")));
    let mut ways = Vec::new();
    for (wrong, key) in keys {
        for (form, (header, query)) in [
            ("bearer key", authorization("Bearer ", key)),
            ("raw key", authorization("", key)),
            ("ApiKey", authorization("ApiKey ", key)),
            ("?token=", query("token", key)),
        ] {
            ways.push(Way { what: format!("{wrong} {form}"), header, query });
        }
    }
    for (wrong, token) in tokens {
        for (form, (header, query)) in [
            ("bearer JWT", authorization("Bearer ", token)),
            ("raw JWT", authorization("", token)),
            ("?jwt=", query("jwt", token)),
            ("cookie", (Some(("cookie", format!("jwt={token}"))), None)),
        ] {
            ways.push(Way { what: format!("{wrong} {form}"), header, query });
        }
    }
    ways
}

/// A response without the parts that differ in each request.
fn plain(response: &TestResponse) -> (u16, Vec<(String, String)>, String) {
    let header =
        |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = header("x-request-id");
    let body = if id.is_empty() { response.text() } else { response.text().replace(id, "") };
    // A credential in the query is refused whether it is valid or not.
    let own = ["x-request-id", "date", "deprecation"];
    let headers = response.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    (response.status.as_u16(), headers.collect(), body)
}

/// Checks that every way gets the response of an anonymous caller.
async fn same<'w>(
    world: &'w World,
    ways: &[Way],
    route: &str,
    send: impl AsyncFn(Actor<'w>) -> TestResponse,
) {
    let mut expected = plain(&send(world.caller(None)).await);
    if NEW_EACH_TIME.iter().any(|pattern| route.ends_with(pattern)) {
        return;
    }
    for (at, way) in ways.iter().enumerate() {
        let (header, query) = (way.header.clone(), way.query.clone());
        let told = plain(&send(Actor { header, query, ..world.caller(None) }).await);
        if route == format!("GET {OPEN_TO_ANONYMOUS}") && at == 0 {
            // These routes accept anonymous callers. An invalid credential is refused as everywhere on this wire.
            assert_eq!((expected.0, told.0), (200, 401), "{route}");
            expected = told.clone();
        }
        assert_eq!(told, expected, "{}: {route} tells it from no credential", way.what);
    }
}

both! {
    async fn invalid_credentials_are_refused_like_a_missing_one_in_every_form(world: &World) {
        let world = &world.another_server(|settings| settings.sign_in_attempts = 1_000_000).await;
        let (keys, tokens) = bad(world).await;
        let ways = ways(&keys, &tokens);
        let story = coverage::story::Story::create(world).await;
        for (method, pattern, ..) in TABLE {
            let path = story.path(pattern).await;
            let send = async |actor| coverage::story::send(&story, &actor, method, &path).await;
            same(world, &ways, &format!("{method} {pattern}"), send).await;
        }
    }

    async fn invalid_credentials_are_refused_like_a_missing_one_on_devins_wire(world: &World) {
        let (keys, tokens) = bad(world).await;
        let ways = ways(&keys, &tokens);
        let story = devin::coverage::Story::create(world).await;
        for (method, pattern, ..) in devin::coverage::all() {
            let path = story.path(&pattern).await;
            let send = async |actor| devin::coverage::call(&story, &actor, method, &path).await;
            same(world, &ways, &format!("{method} {pattern}"), send).await;
        }
    }
}
