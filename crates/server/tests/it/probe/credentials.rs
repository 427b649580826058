//! Five ways to send a credential, foreign tokens, and requests of other sites.

use super::{AUTH, SESSIONS};
use crate::world::{Actor, World};
use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

async fn ana(world: &World) -> (Actor<'_>, Actor<'_>) {
    let acme = world.organization("Acme").await;
    let id = world.user(acme, Role::Admin, "ana@example.com").await;
    (world.sign_in("ana@example.com").await, world.actor(id, None, None).await)
}

both! {
    async fn a_credential_can_be_sent_in_five_ways(world: &World) {
        let (ana, with_key) = ana(world).await;
        let (token, key) = (ana.key.clone().unwrap(), with_key.key.clone().unwrap());
        let anonymous = world.caller(None);
        let send = async |query: &str, headers: &[(&str, &str)]| {
            let response = anonymous.send("GET", &format!("{SESSIONS}{query}"), headers, Body::empty()).await;
            let deprecated = response.headers.get("deprecation").map(|value| value.to_str().unwrap().to_owned());
            (response.status.as_u16(), deprecated)
        };
        let bearer = |credential: &str| format!("Bearer {credential}");
        let cookie = format!("a=b; jwt={token}");
        let since = Some("@1767225600".to_owned());
        assert_eq!(send("", &[("authorization", &bearer(&key))]).await, (200, None));
        assert_eq!(send("", &[("authorization", &bearer(&token))]).await, (200, None));
        assert_eq!(send("", &[("authorization", &format!("bearer {token}"))]).await, (200, None));
        assert_eq!(send(&format!("?token={key}"), &[]).await, (200, since.clone()));
        assert_eq!(send(&format!("?jwt={token}"), &[]).await, (200, since.clone()));
        assert_eq!(send("", &[("cookie", &cookie)]).await, (200, None));
        // The same credential sent twice counts as one.
        assert_eq!(send("", &[("cookie", &cookie), ("authorization", &bearer(&token))]).await, (200, None));
        for (query, headers) in [
            (String::new(), vec![("authorization", bearer(&key)), ("cookie", cookie.clone())]),
            (format!("?jwt={token}"), vec![("authorization", bearer(&key))]),
            (format!("?token={key}&jwt={token}"), vec![]),
            (format!("?token={key}&token={key}"), vec![]),
            (format!("?jwt={key}"), vec![]),
            (format!("?token={token}"), vec![]),
            ("?token=".to_owned(), vec![]),
            (String::new(), vec![("cookie", format!("jwt={key}"))]),
            (String::new(), vec![("cookie", format!("jwt={token}; jwt={token}"))]),
            (String::new(), vec![("authorization", bearer(&token)), ("cookie", "jwt=a.b.c".to_owned())]),
            (String::new(), vec![("authorization", format!("Basic {key}"))]),
            (String::new(), vec![("authorization", "Bearer".to_owned())]),
            (String::new(), vec![("authorization", format!("Bearer  {token}"))]),
            (String::new(), vec![("authorization", format!("Bearer {token} "))]),
            (String::new(), vec![("authorization", format!("Bearer {token},Bearer {token}"))]),
            (String::new(), vec![("authorization", bearer(&token)), ("authorization", bearer(&token))]),
        ] {
            let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
            assert_eq!(send(&query, &headers).await.0, 401, "{query} {headers:?}");
        }
    }

    async fn a_page_of_another_site_cannot_use_the_cookie(world: &World) {
        let (ana, _) = ana(world).await;
        let own = world.server.base_url().to_owned();
        let end = format!("{SESSIONS}/{}", domain::ids::SessionId::new(crate::world::START, 5));
        for (headers, expected) in [
            (vec![], 404),
            (vec![("sec-fetch-site", "same-origin")], 404),
            (vec![("sec-fetch-site", "none")], 404),
            (vec![("origin", own.as_str())], 404),
            (vec![("sec-fetch-site", "same-origin"), ("origin", own.as_str())], 404),
            (vec![("sec-fetch-site", "cross-site")], 403),
            (vec![("sec-fetch-site", "same-site")], 403),
            (vec![("origin", "null")], 403),
            (vec![("origin", "https://evil.example")], 403),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], 403),
        ] {
            assert_eq!(ana.call_by_cookie("DELETE", &end, &headers).await.status, expected, "{headers:?}");
        }
        let cross = [("sec-fetch-site", "cross-site")];
        assert_eq!(ana.call_by_cookie("GET", SESSIONS, &cross).await.status, 200, "looking changes nothing");
        // Browsers do not send a key by themselves.
        assert_eq!(ana.send("DELETE", &end, &cross, Body::empty()).await.status, 404);
        // Another site cannot sign a browser in.
        let headers = [("content-type", "application/x-www-form-urlencoded"), cross[0]];
        let form = Body::from("email=ana%40example.com&password=correct+horse");
        let response = world.caller(None).send("POST", &format!("{AUTH}/sign-in"), &headers, form).await;
        assert_eq!(response.status, 403);
        assert!(!response.headers.contains_key("set-cookie"));
    }

    async fn damaged_tokens_are_refused(world: &World) {
        let (ana, _) = ana(world).await;
        let token = ana.key.clone().unwrap();
        let good = async |token: &str| world.caller(Some(token)).get(SESSIONS).await.status == 200;
        for at in 0..token.len() {
            assert!(!good(&token[..at]).await, "{at} characters of it");
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert!(!good(std::str::from_utf8(&other).unwrap()).await, "another character at {at}");
        }
        for near in [format!("{token}A"), format!("{token}="), format!("{token}."), format!("{token}.x.y")] {
            assert!(!good(&near).await, "{near}");
        }
        assert!(good(&token).await);
    }

    async fn tokens_that_are_not_ours(world: &World) {
        let (ana, _) = ana(world).await;
        let token = ana.key.clone().unwrap();
        let part = |at: usize| token.split('.').nth(at).unwrap();
        let read = |at: usize| -> Value {
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part(at)).unwrap()).unwrap()
        };
        let write = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let (header, claims) = (read(0), read(1));
        assert_eq!(header["alg"], "EdDSA");
        let mut forged = Vec::new();
        for alg in ["none", "None", "", "HS256", "RS256", "ES256", "EdDSA"] {
            let mut header = header.clone();
            header["alg"] = alg.into();
            forged.push(format!("{}.{}.", write(&header), part(1)));
            if alg != "EdDSA" {
                forged.push(format!("{}.{}.{}", write(&header), part(1), part(2)));
            }
        }
        for (name, value) in [
            ("kid", json!("../../dev/null")), ("kid", json!("' OR 1=1--")), ("kid", json!("x".repeat(64_000))),
            ("kid", json!([1])), ("kid", json!(null)), ("typ", json!("verify+jwt")), ("jku", json!("http://127.0.0.1:1/")),
            ("jwk", json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" })), ("crit", json!(["x"])), ("b64", json!(false)),
        ] {
            let mut header = header.clone();
            header[name] = value;
            forged.push(format!("{}.{}.{}", write(&header), part(1), part(2)));
        }
        for (name, value) in [("sub", json!("x")), ("exp", json!(9_999_999_999_i64)), ("sid", json!(null))] {
            let mut claims = claims.clone();
            claims[name] = value;
            forged.push(format!("{}.{}.{}", part(0), write(&claims), part(2)));
        }
        forged.extend(["..".into(), "a.b.c".into(), ".".repeat(10_000), format!("{}.{}", "x".repeat(20_000), "..")]);
        for forged in forged {
            assert_eq!(world.caller(Some(&forged)).get(SESSIONS).await.status, 401, "{forged:.200}");
        }
    }

    async fn keys_rotate_and_older_tokens_stay_good(world: &World) {
        let rotating = |settings: &mut server::settings::Settings| {
            settings.signing_key_rotates = std::time::Duration::from_secs(3600);
        };
        let world = world.another_server(rotating).await;
        let (before, _) = ana(&world).await;
        world.advance(Span::minutes(60));
        let after = world.sign_in("ana@example.com").await;
        let kid = |actor: &Actor<'_>| actor.key.as_deref().unwrap().split('.').next().unwrap().to_owned();
        assert_ne!(kid(&before), kid(&after));
        assert!(before.is_good().await && after.is_good().await);
        // A server with another signing key verifies tokens by the public keys in the store.
        let elsewhere = world.another_server(|settings| {
            let folder = settings.signing_keys.join("elsewhere");
            settings.signing_keys = folder;
        }).await;
        let third = elsewhere.sign_in("ana@example.com").await;
        assert!(before.at_server(&elsewhere).is_good().await && third.at_server(&world).is_good().await);
        assert_ne!(kid(&third), kid(&after));
        let folder = &elsewhere.app().settings.signing_keys;
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder), mode(&folder.join("signing-key.json"))), (0o700, 0o600));
        // A key file that others can read is refused.
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(folder.join("signing-key.json"), open).unwrap();
        let again = elsewhere.another_server(|settings| settings.signing_keys.clone_from(folder)).await;
        assert_ne!(kid(&again.sign_in("ana@example.com").await), kid(&third));
    }
}
