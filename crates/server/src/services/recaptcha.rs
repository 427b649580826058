//! Asks the reCAPTCHA service that the settings name whether a person solved a challenge.

use crate::failure::Failure;
use crate::services::ring_provider;
use crate::settings::{SecretText, Settings};
use domain::Refusal;
use domain::login::Origin;
use reqwest::redirect::Policy;
use reqwest::{Client, header};
use serde::Deserialize;

/// The header with the token of a solved challenge.
pub const HEADER: &str = "x-recaptcha-token";
/// The longest response of the service, in bytes.
const MAX_RESPONSE: usize = 64 << 10;
/// The longest token, in bytes.
const MAX_TOKEN: usize = 8 << 10;

/// A client of a reCAPTCHA service.
pub struct Recaptcha {
    client: Client,
    url: String,
    secret: SecretText,
    /// Whether people may sign in while the service does not respond.
    lenient: bool,
}

#[derive(Deserialize)]
struct SiteVerification {
    success: bool,
}

impl Recaptcha {
    /// The service that the settings name; `None` when they name none.
    ///
    /// # Errors
    /// One of the two settings is missing, or no HTTP client can be made.
    pub fn from_settings(settings: &Settings) -> Result<Option<Recaptcha>, String> {
        let (url, secret) = match (&settings.recaptcha_verify_url, &settings.recaptcha_secret) {
            (None, None) => return Ok(None),
            (Some(url), Some(secret)) => (url.to_string(), secret.clone()),
            _ => return Err("one is of no use without the other".to_owned()),
        };
        ring_provider::install_for_tls();
        let client = Client::builder()
            .timeout(settings.recaptcha_timeout)
            .redirect(Policy::none())
            .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Some(Recaptcha { client, url, secret, lenient: settings.recaptcha_down_lets_in }))
    }

    /// Checks the token of a solved challenge.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a token that is missing or that the service rejects. [`Failure::Away`] when the service does
    /// not respond, unless the settings let people in then.
    pub async fn check_token(&self, token: Option<&str>, origin: &Origin) -> Result<(), Failure> {
        let refused = |expected: &str| Err(Refusal::invalid("X-Recaptcha-Token", expected).into());
        let token = token.filter(|token| (1..=MAX_TOKEN).contains(&token.len()));
        let Some(token) = token else { return refused("the token of a solved reCAPTCHA") };
        match self.verify(token, origin).await {
            Ok(true) => Ok(()),
            Ok(false) => refused("a token that the reCAPTCHA's checker takes: solve it again"),
            Err(error) if self.lenient => {
                tracing::warn!(error, "the reCAPTCHA service does not respond: people sign in without it");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error, "the reCAPTCHA service does not respond: nobody can sign in");
                Err(Failure::Away("the reCAPTCHA cannot be checked at the moment: try again later"))
            }
        }
    }

    fn form(&self, token: &str, origin: &Origin) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("secret", self.secret.reveal()).append_pair("response", token);
        if let Some(address) = origin.remote_ip {
            form.append_pair("remoteip", &address.to_string());
        }
        form.finish()
    }

    /// Asks the service. Errors leave the URL out, since it may hold a secret.
    async fn verify(&self, token: &str, origin: &Origin) -> Result<bool, String> {
        let request = self.client.post(&self.url);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let without_url = |error: reqwest::Error| error.without_url().to_string();
        let mut response = request.body(self.form(token, origin)).send().await.map_err(without_url)?;
        if response.status().as_u16() != 200 {
            return Err(format!("it answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(without_url)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_RESPONSE {
                return Err("its answer is too long".to_owned());
            }
        }
        let verification: SiteVerification =
            serde_json::from_slice(&body).map_err(|_| "its answer does not say `success`".to_owned())?;
        Ok(verification.success)
    }
}
