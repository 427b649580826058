//! A small issuer on a loopback port. Its responses can be forged in any way.

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use domain::time::Micros;
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub const CLIENT: &str = "tenure & sons";
pub const SECRET: &str = "hunter2:+%";

/// How an ID token is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    Well,
    /// By another key with the same name.
    ByAnother,
    /// `alg: none`.
    Not,
    /// `alg: HS256` with the client's secret.
    WithSecret,
    /// `alg: HS256` with the public key, as if that were a secret.
    WithPublicKey,
}

/// The claims about a user, and how they are signed.
pub struct Grant {
    pub signed: Signed,
    pub claims: Map<String, Value>,
    pub besides: Value,
    asked: HashMap<String, String>,
}

pub struct Parts {
    keys: EcdsaKeyPair,
    kid: String,
    grants: HashMap<String, Grant>,
    besides: HashMap<String, Value>,
    /// The requested paths.
    pub seen: Vec<String>,
    /// Additional metadata.
    pub itself: Map<String, Value>,
    /// Responses that replace the usual ones.
    pub broken: Option<(StatusCode, String)>,
}

#[derive(Clone)]
pub struct TestIssuer {
    pub url: String,
    pub parts: Arc<Mutex<Parts>>,
}

fn pair() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let bytes = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes.as_ref(), &random).unwrap()
}

impl TestIssuer {
    pub async fn start() -> TestIssuer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let parts = Parts {
            keys: pair(),
            kid: "first".into(),
            grants: HashMap::new(),
            besides: HashMap::new(),
            seen: Vec::new(),
            itself: Map::new(),
            broken: None,
        };
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = TestIssuer { url, parts: Arc::new(Mutex::new(parts)) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(itself))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .route("/elsewhere", get(|| async { Redirect::temporary("/.well-known/openid-configuration") }))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        issuer
    }

    pub fn request_count(&self, path: &str) -> usize {
        self.parts.lock().unwrap().seen.iter().filter(|seen| *seen == path).count()
    }

    /// Signs with another key from now on.
    pub fn rotate(&self, kid: &str) {
        let mut parts = self.parts.lock().unwrap();
        (parts.keys, parts.kid) = (pair(), kid.into());
    }

    /// Signs in a user who was sent to `url`. Returns the query of the callback.
    pub fn grant(&self, url: &str, now: Micros, claims: Value) -> String {
        self.grant_forged(url, now, claims, |_| {})
    }

    /// Signs in with wrong claims. A claim that is null is left out.
    pub fn grant_forged(
        &self,
        url: &str,
        now: Micros,
        claims: Value,
        forge: impl FnOnce(&mut Grant),
    ) -> String {
        let asked = query(url);
        let seconds = now.0 / 1_000_000;
        let mut all = json!({
            "iss": self.url,
            "aud": CLIENT,
            "exp": seconds + 300,
            "iat": seconds,
            "nonce": asked["nonce"],
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let claims = all.as_object().unwrap().clone();
        let state = asked["state"].clone();
        let mut grant = Grant { signed: Signed::Well, claims, besides: Value::Null, asked };
        forge(&mut grant);
        grant.claims.retain(|_, value| !value.is_null());
        let mut parts = self.parts.lock().unwrap();
        let code = format!("code-{}", parts.grants.len() + parts.besides.len());
        parts.grants.insert(code.clone(), grant);
        format!("state={state}&code={code}")
    }
}

/// The query of a URL.
pub fn query(url: &str) -> HashMap<String, String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().into_owned().collect()
}

fn note(issuer: &TestIssuer, path: &str) -> Option<Response> {
    let mut parts = issuer.parts.lock().unwrap();
    parts.seen.push(path.to_owned());
    parts.broken.clone().map(|(status, text)| {
        let location = text.clone();
        (status, [("content-type", "application/json".to_owned()), ("location", location)], text)
            .into_response()
    })
}

async fn itself(State(issuer): State<TestIssuer>) -> Response {
    if let Some(broken) = note(&issuer, "itself") {
        return broken;
    }
    let url = &issuer.url;
    let mut said = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
    });
    said.as_object_mut().unwrap().extend(issuer.parts.lock().unwrap().itself.clone());
    Json(said).into_response()
}

async fn keys(State(issuer): State<TestIssuer>) -> Response {
    if let Some(broken) = note(&issuer, "keys") {
        return broken;
    }
    let parts = issuer.parts.lock().unwrap();
    let point = parts.keys.public_key().as_ref();
    let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
    let key = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": parts.kid, "x": x, "y": y });
    Json(json!({ "keys": [key] })).into_response()
}

async fn token(
    State(issuer): State<TestIssuer>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if let Some(broken) = note(&issuer, "token") {
        return broken;
    }
    let refused = |word: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": word }))).into_response();
    // Both are form-encoded first (RFC 6749, section 2.3.1).
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = BASE64_STANDARD.encode(format!("{}:{}", encoded(CLIENT), encoded(SECRET)));
    let shown = headers.get("authorization").and_then(|header| header.to_str().ok());
    if shown != Some(&format!("Basic {basic}")) {
        return refused("invalid_client");
    }
    let mut parts = issuer.parts.lock().unwrap();
    let Some(grant) = parts.grants.remove(&form["code"]) else { return refused("invalid_grant") };
    let challenge = BASE64.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    let same = challenge == grant.asked["code_challenge"]
        && grant.asked["code_challenge_method"] == "S256"
        && form["redirect_uri"] == grant.asked["redirect_uri"];
    if !same {
        return refused("invalid_grant");
    }
    let access = format!("access-{}", form["code"]);
    parts.besides.insert(access.clone(), grant.besides.clone());
    let id_token = sign(&parts, &grant);
    let response =
        json!({ "access_token": access, "token_type": "Bearer", "expires_in": 60, "id_token": id_token });
    Json(response).into_response()
}

async fn userinfo(State(issuer): State<TestIssuer>, headers: HeaderMap) -> Response {
    if let Some(broken) = note(&issuer, "userinfo") {
        return broken;
    }
    let access = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
    Json(issuer.parts.lock().unwrap().besides[&access].clone()).into_response()
}

fn sign(parts: &Parts, grant: &Grant) -> String {
    let algorithm = match grant.signed {
        Signed::Well | Signed::ByAnother => "ES256",
        Signed::Not => "none",
        Signed::WithSecret | Signed::WithPublicKey => "HS256",
    };
    let header = json!({ "alg": algorithm, "kid": parts.kid, "typ": "JWT" });
    let encoded = |value: String| BASE64.encode(value);
    let text = format!(
        "{}.{}",
        encoded(header.to_string()),
        encoded(Value::Object(grant.claims.clone()).to_string())
    );
    let random = SystemRandom::new();
    let hmac = |key: &[u8]| {
        Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(&text).finalize().into_bytes().to_vec()
    };
    let signature = match grant.signed {
        Signed::Well => parts.keys.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
        Signed::ByAnother => pair().sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
        Signed::Not => Vec::new(),
        Signed::WithSecret => hmac(SECRET.as_bytes()),
        Signed::WithPublicKey => hmac(parts.keys.public_key().as_ref()),
    };
    format!("{text}.{}", BASE64.encode(signature))
}
