//! Malformed credentials get the same response on each wire, and so do two that differ.

use crate::socket::Socket;
use crate::world::{Actor, TestResponse, World};
use axum::body::Body;
use axum::http::Request;
use domain::permission::Role;
use serde_json::Value;

/// A path of each wire that requires a credential, and whether the wire accepts a key without a scheme, as Everruns' SDKs
/// send it.
const WIRES: [(&str, bool); 5] = [
    ("/api/v1/organizations", false),
    ("/v1/auth/me", true),
    ("/v3/organizations/sessions", false),
    ("/frontend/api/v1/auth/session", false),
    ("/tenure/v1/changes", false),
];

async fn get(world: &World, path: &str, headers: &[(&str, Vec<u8>)]) -> TestResponse {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, value.as_slice());
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

/// Malformed values of `Authorization`, one header each.
fn broken_headers(key: &str, bare: bool) -> Vec<Vec<u8>> {
    let mut table = [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Basic eA==",
        "Negotiate x",
        "Bearer null",
        "Bearer undefined",
        "Bearer\u{a0}x",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    let with = |text: String| text.into_bytes();
    table.extend([
        with(format!("Basic {key}")),
        with(format!("Bearer  {key}")),
        with(format!("Bearer\t{key}")),
        with(format!("Bearer {key} ")),
        with(format!("Bearer {key}\t")),
        with(format!("Bearer {key},Bearer {key}")),
        with(format!("Bearer {key}, Bearer {key}")),
        with(format!("Bearer Bearer {key}")),
        with(format!("Bearer \"{key}\"")),
        with(format!("Bearer \u{feff}{key}")),
        with(format!("\u{feff}Bearer {key}")),
        with(format!("Bearer{key}")),
        with(format!("Bearer:{key}")),
        with(format!("Bearer {}", key.to_uppercase())),
        with(format!("Bearer {}", "a".repeat(1 << 20))),
        [format!("Bearer {key}").as_bytes(), b"\xff"].concat(),
        [b"Bearer \xc3\x28".as_slice(), key.as_bytes()].concat(),
    ]);
    table.extend((0..key.len()).map(|end| with(format!("Bearer {}", &key[..end]))));
    table.extend((1..key.len()).map(|start| with(format!("Bearer {}", &key[start..]))));
    table.extend("abz019AZ=/+-_.~ \u{e9}".chars().map(|more| with(format!("Bearer {key}{more}"))));
    table.extend("abz019=".chars().map(|more| with(format!("Bearer {more}{key}"))));
    table.extend(key.char_indices().filter(|(_, c)| c.is_ascii_alphabetic()).map(|(at, c)| {
        let flipped = if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        with(format!("Bearer {}{flipped}{}", &key[..at], &key[at + 1..]))
    }));
    if !bare {
        table.extend([with(key.to_owned()), with(format!("ApiKey {key}")), with(format!("Token {key}"))]);
    }
    table
}

both! {
    async fn malformed_credentials_get_the_same_response(world: &World) {
        let acme = world.organization("Acme").await;
        let id = world.user(acme, Role::Admin, "ana@example.com").await;
        let key = world.actor(id, Some(acme), None).await.key.unwrap();
        let token = world.sign_in("ana@example.com").await.key.unwrap();
        for (path, bare) in WIRES {
            let nothing = get(world, path, &[]).await;
            assert_eq!((nothing.status.as_u16(), &nothing.headers["www-authenticate"]), (401, &"Bearer".parse().unwrap()), "{path}");
            // A token is long: cutting at its ends is enough.
            let broken = broken_headers(&key, bare).into_iter().chain(broken_headers(&token, bare).into_iter().step_by(29));
            for value in broken {
                let response = get(world, path, &[("authorization", value.clone())]).await;
                let value = String::from_utf8_lossy(&value).into_owned();
                assert_eq!((response.status.as_u16(), &response.body), (401, &nothing.body), "{path}: {value:.120}");
            }
            for good in [format!("Bearer {key}"), format!("bEARER {key}"), format!("Bearer {token}")] {
                assert_eq!(get(world, path, &[("authorization", good.clone().into())]).await.status, 200, "{path}: {good:.20}");
            }
        }
    }

    async fn two_credentials_that_differ_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let id = world.user(acme, Role::Admin, "ana@example.com").await;
        world.user(acme, Role::Admin, "bea@example.com").await;
        let key = world.actor(id, Some(acme), None).await.key.unwrap();
        let token = world.sign_in("ana@example.com").await.key.unwrap();
        let other = world.sign_in("bea@example.com").await.key.unwrap();
        let header = |credential: &str| ("authorization", format!("Bearer {credential}").into_bytes());
        let cookie = |text: String| ("cookie", text.into_bytes());
        for (path, _) in WIRES {
            for (headers, status) in [
                (vec![header(&token), cookie(format!("jwt={token}"))], 200),
                (vec![cookie(format!("jwt={token}"))], 200),
                (vec![cookie(format!("a=b; jwt={token}; c=d"))], 200),
                (vec![cookie("a=b".to_owned()), cookie(format!("jwt={token}"))], 200),
                (vec![cookie("a=b".to_owned()), header(&key)], 200),
                // Of one user and of two, valid and invalid: no caller is chosen.
                (vec![header(&key), cookie(format!("jwt={token}"))], 401),
                (vec![header(&token), cookie(format!("jwt={other}"))], 401),
                (vec![header(&token), cookie("jwt=a.b.c".to_owned())], 401),
                (vec![header(&token), cookie("jwt=".to_owned())], 401),
                (vec![header("x"), cookie(format!("jwt={token}"))], 401),
                (vec![("authorization", b"Basic eA==".to_vec()), cookie(format!("jwt={token}"))], 401),
                (vec![("authorization", Vec::new()), cookie(format!("jwt={token}"))], 401),
                (vec![header(&token), header(&token)], 401),
                (vec![header(&token), header(&other)], 401),
                (vec![cookie(format!("jwt={token}; jwt={token}"))], 401),
                (vec![cookie(format!("jwt={token}")), cookie(format!("jwt={other}"))], 401),
                (vec![cookie(format!("jwt={key}"))], 401),
                (vec![cookie(format!("JWT={token}"))], 401),
                (vec![cookie(format!("jwt=\"{token}\""))], 401),
            ] {
                let response = get(world, path, &headers).await;
                let texts = headers.iter().map(|(name, value)| format!("{name}: {:.30}", String::from_utf8_lossy(value)));
                assert_eq!(response.status, status, "{path}: {:?}", texts.collect::<Vec<_>>());
            }
        }
    }

    async fn a_cookie_set_by_a_sibling_host_is_ignored(world: &World) {
        let acme = world.organization("Acme").await;
        for email in ["ana@example.com", "eve@example.com"] {
            world.user(acme, Role::Admin, email).await;
        }
        let tls = server::settings::BaseUrl::parse("https://tenure.example").unwrap();
        let tls = world.another_server(|settings| settings.public_url = Some(tls)).await;
        let ana = world.sign_in("ana@example.com").await.key.unwrap();
        let eve = world.sign_in("eve@example.com").await.key.unwrap();
        for (here, name, less) in [(world, "tenure-session", None), (&tls, "__Host-tenure-session", Some("tenure-session"))] {
            let own = format!("{name}={ana}");
            let tossed = [format!("jwt={eve}"), format!("jwt={eve}; jwt={ana}"), "jwt=a.b.c".to_owned(), "jwt=".to_owned()];
            let tossed = tossed.into_iter().chain(less.map(|less| format!("{less}={eve}")));
            for tossed in tossed.chain([String::new()]) {
                for cookies in [format!("{own}; {tossed}"), format!("{tossed}; {own}")] {
                    let cookies = [("cookie", cookies.into_bytes())];
                    for (path, _) in WIRES {
                        assert_eq!(get(here, path, &cookies).await.status, 200, "{path}: {tossed:.8}");
                    }
                    let page = get(here, "/account", &cookies).await;
                    assert!(page.status == 200 && page.text().contains("ana@example.com"), "{tossed:.8}");
                    let page = get(here, "/login/device", &cookies).await.text();
                    assert!(page.contains("ana@example.com"), "{tossed:.8}: {page}");
                }
                // Alone it signs nobody in on a page.
                let alone = [("cookie", tossed.into_bytes())];
                assert_eq!(get(here, "/account", &alone).await.headers["location"], "/sign-in?back=/account");
                assert!(!get(here, "/login/device", &alone).await.text().contains("eve@example.com"));
            }
            // A sign-in sets both cookies, of one session, and a sign-out clears both.
            let form = "email=ana%40example.com&password=correct+horse";
            let body = r#"{"email":"ana@example.com","password":"correct horse"}"#;
            let kind = ("content-type", "application/x-www-form-urlencoded");
            let page = here.caller(None).send("POST", "/sign-in", &[kind], Body::from(form)).await;
            let path = format!("{}/sign-in", crate::probe::AUTH);
            let probe = here.caller(None).call_with("POST", &path, body).await;
            let given = |response: &TestResponse| {
                let lines = response.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned());
                let secure = |line: &String| line.ends_with("; Secure") == less.is_some() && line.contains("; HttpOnly");
                let lines = lines.inspect(|line| assert!(secure(line), "{line}"));
                lines.map(|line| line.split('=').next().unwrap().to_owned()).collect::<Vec<_>>()
            };
            let browser = name.replace("session", "browser");
            assert_eq!(given(&page), [name, &browser]);
            assert_eq!(given(&probe), ["jwt", name, &browser]);
            let mine = probe.json()["jwt-token"]["token"].as_str().unwrap().to_owned();
            let out = here.caller(Some(&mine)).delete(&format!("{}/sign-out", crate::probe::AUTH)).await;
            assert_eq!(given(&out), ["jwt", name]);
        }
    }

    async fn another_site_changes_nothing_by_a_cookie(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        let base = world.server.base_url();
        let posts: [(&str, &str); 4] = [
            ("/api/v1/sessions", ""),
            ("/v1/agents", r#"{"name":"NAME","system_prompt":""}"#),
            ("/v3/organizations/sessions", r#"{"prompt":"x"}"#),
            ("/tenure/v1/me/authenticate", r#"{"password":"correct horse"}"#),
        ];
        for (number, (path, body)) in posts.into_iter().enumerate() {
            for (round, (headers, crosses)) in [
                (vec![("sec-fetch-site", "cross-site")], true),
                (vec![("sec-fetch-site", "same-site")], true),
                (vec![("origin", "null")], true),
                (vec![("origin", "https://evil.example.com")], true),
                (vec![("origin", base), ("sec-fetch-site", "cross-site")], true),
                (vec![("origin", base), ("sec-fetch-site", "same-origin")], false),
                (vec![], false),
            ].into_iter().enumerate() {
                let body = body.replace("NAME", &format!("agent-{number}-{round}"));
                let cookie = format!("jwt={}", ana.key.as_deref().unwrap());
                let headers = [&[("cookie", cookie.as_str()), ("content-type", "application/json")], headers.as_slice()].concat();
                let response = world.caller(None).send("POST", path, &headers, Body::from(body)).await;
                assert_eq!(response.status.as_u16() == 403, crosses, "{path} {round}: {}", response.text());
                assert!(crosses || response.status.is_success(), "{path} {round}: {}", response.text());
                // A token in a header does not come from a browser.
                let bearer = format!("Bearer {}", ana.key.as_deref().unwrap());
                let told = [("authorization", bearer.as_str()), ("origin", "https://evil.example.com")];
                let read = world.caller(None).send("GET", "/api/v1/sessions", &told, Body::empty()).await;
                assert_eq!(read.status, 200);
            }
        }
    }

    async fn a_repeated_request_by_cookie_is_done_once(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        let key = world.member(acme, Role::Admin).await.key.unwrap();
        let cookie = format!("jwt={}", ana.key.as_deref().unwrap());
        let headers = [("cookie", cookie.as_str()), ("idempotency-key", "one")];
        let first = world.caller(None).send("POST", "/api/v1/sessions", &headers, Body::empty()).await;
        let again = world.caller(None).send("POST", "/api/v1/sessions", &headers, Body::empty()).await;
        assert_eq!((first.status.as_u16(), &first.body), (201, &again.body));
        assert_eq!(again.headers["idempotent-replayed"], "true");
        // Together with another credential it is refused.
        let bearer = format!("Bearer {key}");
        let both = [&headers[..], &[("authorization", bearer.as_str())]].concat();
        assert_eq!(world.caller(None).send("POST", "/api/v1/sessions", &both, Body::empty()).await.status, 401);
    }
}

/// Opens a WebSocket with a cookie, as a page of some site does, and lists the devices.
async fn open_by_cookie(world: &World, ana: &Actor<'_>, origin: Option<&str>) -> Value {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let mut request = format!("ws://{}/ws", world.server.address()).into_client_request().unwrap();
    let cookie = format!("jwt={}", ana.key.as_deref().unwrap());
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    Socket::open_with(request).await.call("devices.list", Value::Null).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_opens_no_websocket_with_the_cookie() {
    let world = World::sqlite().await;
    let acme = world.organization("Acme").await;
    world.user(acme, Role::Admin, "ana@example.com").await;
    let ana = world.sign_in("ana@example.com").await;
    for origin in [None, Some(world.server.base_url())] {
        assert!(open_by_cookie(&world, &ana, origin).await["result"].is_object(), "{origin:?}");
    }
    for origin in ["https://evil.example.com", "null"] {
        assert_eq!(open_by_cookie(&world, &ana, Some(origin)).await["error"]["code"], -32001, "{origin}");
    }
}
