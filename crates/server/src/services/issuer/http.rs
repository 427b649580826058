//! How the issuer is asked: by the client that all of Tenure has, with little patience and no redirects.

use crate::settings::{is_loopback, is_secure};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const LIMIT: usize = 1 << 20;

/// Why there is no answer. Never contains a body.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// Asks the issuer.
pub struct Http {
    client: reqwest::Client,
    /// Whether the issuer is on this machine and may be asked without TLS.
    plain: bool,
}

impl Http {
    /// For an issuer.
    ///
    /// # Errors
    /// Why no client can be made.
    pub fn new(issuer: &url::Url) -> Result<Http, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .connect_timeout(PATIENCE / 2)
            .timeout(PATIENCE)
            // It could lead to whatever else this machine can reach.
            .redirect(reqwest::redirect::Policy::none());
        let plain = issuer.scheme() == "http";
        // What is on this machine is behind no proxy.
        let builder = if plain { builder.no_proxy() } else { builder };
        Ok(Http { client: builder.build().map_err(|error| error.to_string())?, plain })
    }

    /// What is at a URL.
    ///
    /// # Errors
    /// [`NoAnswer`], also for another status than 200.
    pub async fn get(&self, url: &url::Url) -> Result<Vec<u8>, NoAnswer> {
        let request = openidconnect::http::Request::get(url.as_str())
            .header("accept", "application/json")
            .body(Vec::new())
            .map_err(|error| NoAnswer(error.to_string()))?;
        let response = self.ask(request).await?;
        match response.status().as_u16() {
            200 => Ok(response.into_body()),
            status => Err(NoAnswer(format!("{url} answered {status}"))),
        }
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let no = |error: reqwest::Error| NoAnswer(root(&error.without_url()));
        let request = reqwest::Request::try_from(request).map_err(no)?;
        let url = request.url().clone();
        if !self.may_ask(&url) {
            return Err(NoAnswer(format!("{url} is not asked: it is not https")));
        }
        let mut response = self.client.execute(request).await.map_err(no)?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(no)? {
            if body.len() + piece.len() > LIMIT {
                return Err(NoAnswer(format!("{url} answered more than {LIMIT} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        let mut answer = HttpResponse::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }

    /// Whether a URL that the issuer names may be used: with TLS, or on the issuer's own machine if that is this one.
    pub fn may_ask(&self, url: &url::Url) -> bool {
        is_secure(url) && (url.scheme() == "https" || (self.plain && is_loopback(url)))
    }
}

/// The last cause, which says what went wrong; those around it say that something did.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if std::ptr::addr_eq(cause, error) { error.to_string() } else { format!("{error}: {cause}") }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoAnswer>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}
