//! Forged tokens, in every way that a careless verifier accepts.

use super::{AUTH, PASSWORD, SESSIONS, USER, token_in};
use crate::world::{Actor, World};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as URL};
use domain::ids::{SigningKeyId, parse_uuid};
use domain::permission::Role;
use domain::time::Span;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::Sha256;
use store::System;

/// The parts of a valid token, with the key that signed it: the server's own, from its file.
struct Workshop<'w> {
    world: &'w World,
    token: String,
    header: Value,
    claims: Value,
    key: Ed25519KeyPair,
}

impl<'w> Workshop<'w> {
    fn new(world: &'w World, token: &str) -> Workshop<'w> {
        let part = |at: usize| URL.decode(token.split('.').nth(at).unwrap()).unwrap();
        let read = |at: usize| serde_json::from_slice::<Value>(&part(at)).unwrap();
        let path = world.app().settings.signing_keys.join("signing-key.json");
        let kept: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let seed = kept["seed"].as_str().unwrap();
        let seed = (0..32).map(|at| u8::from_str_radix(&seed[at * 2..at * 2 + 2], 16).unwrap());
        let key = Ed25519KeyPair::from_seed_unchecked(&seed.collect::<Vec<_>>()).unwrap();
        Workshop { world, token: token.to_owned(), header: read(0), claims: read(1), key }
    }

    /// Signs like the server. Header and claims are text, so that they can be malformed JSON.
    fn sign(&self, header: &str, claims: &str) -> String {
        let text = format!("{}.{}", URL.encode(header), URL.encode(claims));
        format!("{text}.{}", URL.encode(self.key.sign(text.as_bytes())))
    }

    fn with_header(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = self.header.clone();
        change(&mut header);
        self.sign(&header.to_string(), &self.claims.to_string())
    }

    fn with_claims(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        self.sign(&self.header.to_string(), &claims.to_string())
    }

    async fn opens(&self, token: &str) -> bool {
        match self.world.caller(Some(token)).get(SESSIONS).await.status.as_u16() {
            200 => true,
            401 => false,
            other => panic!("{other}: {token:.300}"),
        }
    }

    /// Checks that all of these are refused.
    async fn assert_refused(&self, forged: Vec<(&str, String)>) {
        for (what, token) in forged {
            assert!(!self.opens(&token).await, "{what}: {token:.300}");
        }
        assert!(self.opens(&self.token).await, "the good one is good still");
    }

    async fn public(&self) -> Vec<u8> {
        let kid = SigningKeyId(parse_uuid(self.header["kid"].as_str().unwrap()).unwrap());
        self.world.store().load_public_key(&System::for_sign_in(), kid).await.unwrap().unwrap().bytes
    }
}

async fn ana(world: &World) -> Actor<'_> {
    let acme = world.organization("Acme").await;
    world.user(acme, Role::Admin, "ana@example.com").await;
    world.sign_in("ana@example.com").await
}

fn hs256(key: &[u8], header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", URL.encode(header.to_string()), URL.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL.encode(mac.finalize().into_bytes()))
}

both! {
    async fn tokens_with_other_algorithms_are_refused(world: &World) {
        let shop = Workshop::new(world, ana(world).await.key.as_deref().unwrap());
        // A token built here without changes is valid, so each refusal below comes from its change.
        assert!(shop.opens(&shop.sign(&shop.header.to_string(), &shop.claims.to_string())).await);
        let signature = shop.token.rsplit('.').next().unwrap().to_owned();
        let claims = URL.encode(shop.claims.to_string());
        let mut forged = Vec::new();
        for alg in [json!("none"), json!("None"), json!("nOnE"), json!("NONE"), json!(""), json!(null), json!(["EdDSA"]), json!("eddsa"),
            json!("ES256"), json!("RS256"), json!("PS512"), json!("HS256"), json!("Ed25519 "), json!(0)] {
            let mut header = shop.header.clone();
            header["alg"] = alg;
            let header = URL.encode(header.to_string());
            forged.push(("alg without a signature", format!("{header}.{claims}.")));
            forged.push(("alg with the old signature", format!("{header}.{claims}.{signature}")));
        }
        let mut without = shop.header.clone();
        without.as_object_mut().unwrap().remove("alg");
        forged.push(("no alg", shop.sign(&without.to_string(), &shop.claims.to_string())));
        forged.push(("no signature", format!("{}.{claims}.", URL.encode(shop.header.to_string()))));
        forged.push(("r = s = 0", format!("{}.{claims}.{}", URL.encode(shop.header.to_string()), URL.encode([0_u8; 64]))));
        // Signed with public data.
        let public = shop.public().await;
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(&public));
        let mut header = shop.header.clone();
        for (alg, key) in [("HS256", public.clone()), ("HS256", pem.into_bytes()), ("HS256", BASE64_STANDARD.encode(&public).into_bytes()), ("EdDSA", public)] {
            header["alg"] = alg.into();
            forged.push(("HMAC with the public key", hs256(&key, &header, &shop.claims)));
        }
        header["alg"] = "HS256".into();
        forged.push(("HMAC with no key", hs256(b"", &header, &shop.claims)));
        shop.assert_refused(forged).await;
    }

    async fn keys_inside_a_token_are_ignored(world: &World) {
        let shop = Workshop::new(world, ana(world).await.key.as_deref().unwrap());
        // Another key, offered by every header parameter.
        let mine = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": URL.encode(mine.public_key().as_ref()) });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/keys.json", listener.local_addr().unwrap());
        let (own, honest) = (Workshop { key: mine, ..Workshop::new(world, &shop.token) }, shop.header["kid"].clone());
        let mut forged = Vec::new();
        for (what, name, value) in [
            ("its own jwk", "jwk", jwk), ("jku", "jku", json!(url)), ("x5u", "x5u", json!(url)),
            ("x5c", "x5c", json!([BASE64_STANDARD.encode([1_u8; 64])])), ("x5t", "x5t", json!("AAAA")),
            ("kid is a path", "kid", json!("../../../../dev/null")), ("kid is SQL", "kid", json!("' OR 1=1--")),
            ("kid is a URL", "kid", json!(url)), ("kid is long", "kid", json!("x".repeat(64 << 10))),
            ("kid is a list", "kid", json!([honest])), ("kid is null", "kid", json!(null)), ("kid is empty", "kid", json!("")),
            ("kid is a number", "kid", json!(0)), ("kid is nil", "kid", json!("00000000-0000-0000-0000-000000000000")),
            ("kid with NUL", "kid", json!(format!("{}\0", honest.as_str().unwrap()))),
        ] {
            forged.push((what, own.with_header(|header| header[name] = value.clone())));
            // With a signature of the server's own key, other header parameters are ignored, and a wrong kid is refused.
            if name == "kid" {
                forged.push((what, shop.with_header(|header| header[name] = value)));
            }
        }
        shop.assert_refused(forged).await;
        let reached = listener.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(reached, Err(std::io::ErrorKind::WouldBlock), "nobody fetches a key");
    }

    async fn malformed_tokens_are_refused(world: &World) {
        let shop = Workshop::new(world, ana(world).await.key.as_deref().unwrap());
        let parts = shop.token.split('.').collect::<Vec<_>>();
        let (header, claims) = (shop.header.to_string(), shop.claims.to_string());
        let twice = |text: &str, field: &str, value: &str| text.replacen('{', &format!("{{\"{field}\":{value},"), 1);
        let mut forged = vec![
            ("crit", shop.with_header(|header| header["crit"] = json!(["exp"]))),
            ("crit of what is not known", shop.with_header(|header| header["crit"] = json!(["x"]))),
            ("b64 with crit", shop.with_header(|header| { header["b64"] = json!(false); header["crit"] = json!(["b64"]); })),
            ("JSON serialization", json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string()),
            ("JSON serialization, general", json!({ "payload": parts[1], "signatures": [{ "protected": parts[0], "signature": parts[2] }] }).to_string()),
            ("five parts", format!("{}.{}.{}.{}.{}", parts[0], parts[1], parts[2], parts[1], parts[2])),
            ("four parts", format!("{}.", shop.token)),
            ("two parts", format!("{}.{}", parts[0], parts[1])),
            ("padding", format!("{}==.{}.{}", parts[0], parts[1], parts[2])),
            ("blanks", format!("{} .{}.{}", parts[0], parts[1], parts[2])),
            ("another alphabet", shop.token.replace('_', "/").replace('-', "+") + "A"),
            ("no object", shop.sign(&header, "[]")),
            ("no JSON", shop.sign(&header, "x")),
            ("no header", shop.sign("", &claims)),
            ("header is a list", shop.sign("[]", &claims)),
            ("nothing", shop.sign(&header, "")),
            ("trailing bytes", shop.sign(&header, &format!("{claims}x"))),
            ("UTF-16", shop.sign(&header, "\u{feff}{}")),
            ("deep", shop.sign(&header, &"[".repeat(5000))),
            ("large", shop.with_claims(|claims| claims["claims"] = json!({ "x": "y".repeat(64 << 10) }))),
        ];
        for typ in [json!("verify+jwt"), json!("restore+jwt"), json!("at+jwt"), json!("JOSE"), json!(""), json!(null), json!(1)] {
            forged.push(("typ", shop.with_header(|header| header["typ"] = typ)));
        }
        forged.push(("alg twice", shop.sign(&twice(&header, "alg", "\"none\""), &claims)));
        for (field, value) in [("sub", "\"00000000-0000-0000-0000-000000000001\""), ("exp", "9999999999"), ("sid", "null"), ("jti", "\"x\"")] {
            forged.push(("a claim twice", shop.sign(&header, &twice(&claims, field, value))));
        }
        shop.assert_refused(forged).await;
    }

    async fn tokens_with_missing_or_wrong_claims_are_refused(world: &World) {
        let shop = Workshop::new(world, ana(world).await.key.as_deref().unwrap());
        let mut forged = Vec::new();
        for claim in ["iss", "sub", "exp", "iat", "sid", "jti"] {
            assert!(shop.claims[claim] != Value::Null, "{claim} is there");
            forged.push((claim, shop.with_claims(|claims| drop(claims.as_object_mut().unwrap().remove(claim)))));
            for value in [json!(null), json!("x"), json!(""), json!(1.5), json!(-1), json!(1e308), json!([1]), json!({ "a": 1 }), json!(true)] {
                // A time before 1970 is valid: an `iat` only says how old the token is.
                if (claim, &value) != ("iat", &json!(-1)) {
                    forged.push((claim, shop.with_claims(|claims| claims[claim] = value)));
                }
            }
        }
        let big = serde_json::from_str::<Value>("99999999999999999999999").unwrap();
        forged.push(("exp beyond all bounds", shop.with_claims(|claims| claims["exp"] = big)));
        forged.push(("another issuer", shop.with_claims(|claims| claims["iss"] = json!("https://tenure"))));
        forged.push(("issuers", shop.with_claims(|claims| claims["iss"] = json!(["tenure", "x"]))));
        for aud in [json!("somebody else"), json!(["tenure", "x"])] {
            forged.push(("an audience", shop.with_claims(|claims| claims["aud"] = aud)));
        }
        for scope in [json!("write:everything"), json!(["read:user"]), json!(7)] {
            forged.push(("scope", shop.with_claims(|claims| claims["scope"] = scope)));
        }
        shop.assert_refused(forged).await;
    }

    async fn times(world: &World) {
        let shop = Workshop::new(world, ana(world).await.key.as_deref().unwrap());
        let now = world.app().now().0 / 1_000_000;
        for (claim, at, good) in [
            // To the second, without any leeway.
            ("exp", now - 1, false), ("exp", now, false), ("exp", now + 1, true),
            // The session's own end counts too.
            ("exp", i64::MAX, true), ("exp", i64::MIN, false),
            ("nbf", now - 1, true), ("nbf", now, true), ("nbf", now + 1, false), ("nbf", now + 3600, false),
            // The time of issue is not checked: the clock may have been set back since.
            ("iat", now + 86_400, true), ("iat", 0, true),
        ] {
            let token = shop.with_claims(|claims| claims[claim] = json!(at));
            assert_eq!(shop.opens(&token).await, good, "{claim} {}", at.saturating_sub(now));
        }
        let endless = shop.with_claims(|claims| claims["exp"] = json!(i64::MAX));
        world.advance(Span::seconds(14 * 86_400));
        assert!(!shop.opens(&endless).await, "a session ends when it ends, whatever its token says");
    }

    async fn a_token_with_another_users_session_is_refused(world: &World) {
        let ana = ana(world).await;
        let acme = world.organization("Globex").await;
        world.user(acme, Role::Admin, "bob@example.com").await;
        let bob = world.sign_in("bob@example.com").await;
        let (shop, other) = (Workshop::new(world, ana.key.as_deref().unwrap()), Workshop::new(world, bob.key.as_deref().unwrap()));
        let take = |names: &[&str]| shop.with_claims(|claims| {
            for name in names {
                claims[*name] = other.claims[*name].clone();
            }
        });
        shop.assert_refused(vec![
            ("sid of another", take(&["sid"])), ("sub of another", take(&["sub"])), ("both", take(&["sid", "sub"])),
            ("jti of another", take(&["jti"])), ("sid and jti", take(&["sid", "jti"])),
            ("sid of none", shop.with_claims(|claims| claims["sid"] = json!("00000000-0000-0000-0000-000000000000"))),
            ("sid in braces", shop.with_claims(|claims| claims["sid"] = json!(format!("{{{}}}x", claims["sid"].as_str().unwrap())))),
        ]).await;
        assert_eq!(bob.delete(&format!("{AUTH}/sign-out")).await.status, 200);
        shop.assert_refused(vec![("a session that has ended", other.token.clone()), ("again", take(&["sid", "sub", "jti"]))]).await;
    }

    async fn tokens_for_another_purpose_are_refused(world: &World) {
        let ana = ana(world).await;
        let body = json!({ "email": "sub@example.com", "password": PASSWORD });
        assert_eq!(ana.post(&format!("{USER}/current"), body).await.status, 200);
        let verify = token_in(&world.mail(1).await);
        let forgot = json!({ "email": "ana@example.com" }).to_string();
        let anonymous = world.caller(None);
        assert_eq!(anonymous.call_with("POST", &format!("{AUTH}/password-restore"), &forgot).await.status, 200);
        let restore = token_in(&world.mail(2).await);
        let shop = Workshop::new(world, ana.key.as_deref().unwrap());
        shop.assert_refused(vec![("verify", verify.clone()), ("restore", restore.clone())]).await;
        let session = shop.token.clone();
        let renamed = shop.with_header(|header| header["typ"] = json!("verify+jwt"));
        for (path, token) in [
            ("verify", &session), ("verify", &restore), ("verify", &renamed), ("password-restore-verify", &session),
            ("password-restore-verify", &verify), ("password-restore-verify", &renamed),
        ] {
            let body = json!({ "verify-token": token, "new-password": "another horse" }).to_string();
            assert_eq!(anonymous.call_with("POST", &format!("{AUTH}/{path}"), &body).await.status, 401, "{path}");
        }
        let body = json!({ "verify-token": verify }).to_string();
        assert_eq!(anonymous.call_with("POST", &format!("{AUTH}/verify"), &body).await.status, 200);
    }

    async fn tokens_of_retired_keys_are_refused(world: &World) {
        let rotating = |settings: &mut server::settings::Settings| {
            settings.signing_key_rotates = std::time::Duration::from_secs(3600);
        };
        let world = world.another_server(rotating).await;
        let old = ana(&world).await;
        let shop = Workshop::new(&world, old.key.as_deref().unwrap());
        world.advance(Span::seconds(3600));
        let new = world.sign_in("ana@example.com").await;
        assert!(old.is_good().await && new.is_good().await);
        // A token of the old key is refused once all its tokens must have expired.
        let endless = shop.with_claims(|claims| claims["exp"] = json!(i64::MAX));
        assert!(shop.opens(&endless).await);
        world.advance(Span::seconds(14 * 86_400));
        let newer = Workshop::new(&world, world.sign_in("ana@example.com").await.key.as_deref().unwrap());
        // Of an open session, signed with the retired key.
        let forged = Workshop { key: Workshop::new(&world, &newer.token).key, header: shop.header.clone(), ..Workshop::new(&world, &newer.token) };
        assert!(newer.opens(&newer.token).await);
        assert!(!newer.opens(&forged.with_header(|_| {})).await);
        let by_old = Workshop { key: shop.key, header: shop.header.clone(), ..Workshop::new(&world, &newer.token) };
        assert!(!newer.opens(&by_old.with_header(|_| {})).await);
        assert!(!newer.opens(&endless).await);
    }
}
