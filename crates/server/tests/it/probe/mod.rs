//! Probe.dev's wire: users with login sessions.

mod audit;
mod credentials;
mod forged;
mod model;
mod people;
mod recaptcha;
mod restored;
mod revoke;
mod signing_in;
mod tokens;

use crate::world::{Actor, START, TestResponse, World};
use axum::body::Body;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::Role;
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use serde_json::{Value, json};
use store::System;

pub const AUTH: &str = "/frontend/api/v1/auth";
pub const SESSIONS: &str = "/frontend/api/v1/auth/session";
pub const USER_CURRENT: &str = "/frontend/api/v1/user/current";
pub const USER: &str = "/frontend/api/v1/user";
pub const PASSWORD: &str = "correct horse";

impl World {
    /// A member of an organization with a password.
    pub async fn user(&self, organization: OrganizationId, role: Role, email: &str) -> PrincipalId {
        let id = PrincipalId::new(START, self.bytes());
        let new = Principal {
            id,
            number: 0,
            kind: PrincipalKind::User,
            email: Some(email.into()),
            name: email.into(),
            state: PrincipalState::Active,
            created: START,
            account_role: None,
            default_organization: None,
        };
        let hash = self.app().passwords.hash(PASSWORD, self.bytes()).await.unwrap();
        let system = System::for_administration();
        let member = Some((organization, role));
        self.store().create_principal(&system, &new, Some(&hash), member).await.unwrap();
        id
    }

    pub async fn try_sign_in(&self, email: &str, password: &str) -> TestResponse {
        let body = json!({ "email": email, "password": password });
        self.caller(None).call_with("POST", &format!("{AUTH}/sign-in"), &body.to_string()).await
    }

    /// A user who signed in with [`PASSWORD`].
    pub async fn sign_in(&self, email: &str) -> Actor<'_> {
        let response = self.try_sign_in(email, PASSWORD).await;
        assert_eq!(response.status, 200, "{}", response.text());
        self.caller(Some(response.json()["jwt-token"]["token"].as_str().unwrap()))
    }

    /// The mails in the outbox.
    pub fn mails(&self) -> Vec<std::path::PathBuf> {
        let server::settings::MailRoute::Outbox(folder) = &self.app().settings.mail else {
            unreachable!("tests have an outbox")
        };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "eml")).collect()
    }

    /// The newest mail in the outbox once there are `count`: its text with the token in it.
    pub async fn mail(&self, count: usize) -> String {
        crate::world::wait_until("a mail", || async { self.mails().len() >= count }).await;
        let newest = self.mails().into_iter().max_by_key(|path| path.metadata().unwrap().modified().unwrap());
        let text = std::fs::read_to_string(newest.unwrap()).unwrap();
        // Quoted-printable: a line that continues ends with "=".
        text.replace("=\r\n", "").replace("=3D", "=")
    }
}

/// The token in a mail: its last line.
pub fn token_in(mail: &str) -> String {
    mail.trim().lines().last().unwrap().trim().to_owned()
}

impl Actor<'_> {
    /// The id of its login session.
    pub async fn session_id(&self) -> String {
        let sessions = self.get(SESSIONS).await.json();
        let own = sessions["sessions"].as_array().unwrap().iter().find(|session| session["current"] == true);
        own.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// The number of sessions that it can list.
    pub async fn sessions(&self) -> usize {
        self.get(SESSIONS).await.json()["sessions"].as_array().map_or(0, Vec::len)
    }

    /// Whether its credential is valid.
    pub async fn is_good(&self) -> bool {
        match self.get(SESSIONS).await.status.as_u16() {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }

    /// Calls as a browser does, with the cookie.
    pub async fn call_by_cookie(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> TestResponse {
        let cookie = format!("theme=dark; jwt={}", self.key.as_deref().unwrap());
        let headers = [&[("cookie", cookie.as_str())], headers].concat();
        self.world.caller(None).send(method, path, &headers, Body::empty()).await
    }
}

/// Replaces ids and secrets by words, so that the rest is the same in each run.
pub fn mask(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mask = |(name, value): (String, Value)| {
                let secret = ["token", "suffix", "id"].contains(&name.as_str()) && value.is_string();
                let value = if secret { format!("[{name}]").into() } else { mask(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(mask).collect())
        }
        Value::Array(items) => items.into_iter().map(mask).collect(),
        other => other,
    }
}
