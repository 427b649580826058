//! Asks a checker of reCAPTCHA's form whether somebody is no robot, where the settings name one.

use crate::app::App;
use crate::failure::Failure;
use crate::settings::{SecretText, Settings};
use domain::Refusal;
use domain::login::Origin;
use reqwest::redirect::Policy;
use reqwest::{Client, header};
use serde::Deserialize;

/// What clients send the checker's token in.
pub const HEADER: &str = "x-recaptcha-token";
/// Longer answers are none.
const MAX_ANSWER: usize = 64 << 10;
/// Longer tokens are none.
const MAX_TOKEN: usize = 8 << 10;

/// A checker.
pub struct Recaptcha {
    client: Client,
    url: String,
    secret: SecretText,
    /// Whether people come in while it cannot be asked.
    lenient: bool,
}

#[derive(Deserialize)]
struct Verdict {
    success: bool,
}

/// That the checker takes a token, where there is a checker. Without one no token is looked at.
///
/// # Errors
/// [`Refusal::Invalid`] for one that is missing or that it does not take; [`Failure::Away`] when it cannot be asked,
/// unless the settings let people in then.
pub async fn check(app: &App, token: Option<&str>, origin: &Origin) -> Result<(), Failure> {
    match &app.recaptcha {
        Some(checker) => checker.check(token, origin).await,
        None => Ok(()),
    }
}

impl Recaptcha {
    /// The one that the settings name, if they do.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(settings: &Settings) -> Result<Option<Recaptcha>, String> {
        let (url, secret) = match (&settings.recaptcha_verify_url, &settings.recaptcha_secret) {
            (None, None) => return Ok(None),
            (Some(url), Some(secret)) => (url.to_string(), secret.clone()),
            _ => return Err("one is of no use without the other".to_owned()),
        };
        let client = Client::builder()
            .timeout(settings.recaptcha_timeout)
            .redirect(Policy::none())
            .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Some(Recaptcha { client, url, secret, lenient: settings.recaptcha_down_lets_in }))
    }

    async fn check(&self, token: Option<&str>, origin: &Origin) -> Result<(), Failure> {
        let refused = |expected: &str| Err(Refusal::invalid("X-Recaptcha-Token", expected).into());
        let token = token.filter(|token| (1..=MAX_TOKEN).contains(&token.len()));
        let Some(token) = token else { return refused("the token of a solved reCAPTCHA") };
        match self.ask(token, origin).await {
            Ok(true) => Ok(()),
            Ok(false) => refused("a token that the reCAPTCHA's checker takes: solve it again"),
            Err(error) if self.lenient => {
                tracing::warn!(error, "the reCAPTCHA's checker cannot be asked, and people are let in");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error, "the reCAPTCHA's checker cannot be asked, and nobody is let in");
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

    /// Errors are told without the URL, which may be nobody's business.
    async fn ask(&self, token: &str, origin: &Origin) -> Result<bool, String> {
        let request = self.client.post(&self.url);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let told = |error: reqwest::Error| error.without_url().to_string();
        let mut response = request.body(self.form(token, origin)).send().await.map_err(told)?;
        if response.status().as_u16() != 200 {
            return Err(format!("it answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(told)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER {
                return Err("its answer is too long".to_owned());
            }
        }
        let verdict: Verdict =
            serde_json::from_slice(&body).map_err(|_| "its answer does not say `success`".to_owned())?;
        Ok(verdict.success)
    }
}
