//! Requests to the issuer: with a short timeout and without redirects.

use crate::services::ring_provider;
use crate::settings::{is_loopback, is_secure};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest response that is read, in bytes.
const LIMIT: usize = 1 << 20;

/// Why there is no usable response. Never contains a body.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(pub String);

/// Sends requests to the issuer.
pub struct HttpClient {
    client: reqwest::Client,
    /// Whether the issuer is on this machine and may be contacted without TLS.
    plain: bool,
}

impl HttpClient {
    /// A client for an issuer.
    ///
    /// # Errors
    /// The TLS library's message.
    pub fn new(issuer: &url::Url) -> Result<HttpClient, String> {
        ring_provider::install_for_tls();
        let builder = reqwest::Client::builder()
            .connect_timeout(TIMEOUT / 2)
            .timeout(TIMEOUT)
            // A redirect could lead to anything that this machine can reach.
            .redirect(reqwest::redirect::Policy::none());
        let plain = issuer.scheme() == "http";
        // Nothing on this machine is behind a proxy.
        let builder = if plain { builder.no_proxy() } else { builder };
        Ok(HttpClient { client: builder.build().map_err(|error| error.to_string())?, plain })
    }

    /// Gets the JSON document at a URL.
    ///
    /// # Errors
    /// [`HttpError`] when the request fails, and for any status but 200.
    pub async fn get(&self, url: &url::Url) -> Result<Vec<u8>, HttpError> {
        let request = openidconnect::http::Request::get(url.as_str())
            .header("accept", "application/json")
            .body(Vec::new())
            .map_err(|error| HttpError(error.to_string()))?;
        let response = self.send(request).await?;
        match response.status().as_u16() {
            200 => Ok(response.into_body()),
            status => Err(HttpError(format!("{url} answered {status}"))),
        }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let failed = |error: reqwest::Error| HttpError(describe(&error.without_url()));
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let url = request.url().clone();
        if !self.is_allowed(&url) {
            return Err(HttpError(format!("{url} is not contacted: it is not https")));
        }
        let mut response = self.client.execute(request).await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > LIMIT {
                return Err(HttpError(format!("{url} answered more than {LIMIT} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        let mut whole = HttpResponse::new(body);
        *whole.status_mut() = response.status();
        *whole.headers_mut() = response.headers().clone();
        Ok(whole)
    }

    /// Whether a URL may be contacted: with TLS, or on this machine if the issuer is on it.
    pub fn is_allowed(&self, url: &url::Url) -> bool {
        is_secure(url) && (url.scheme() == "https" || (self.plain && is_loopback(url)))
    }
}

/// The error with its last cause, which says what went wrong.
fn describe(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if std::ptr::addr_eq(cause, error) { error.to_string() } else { format!("{error}: {cause}") }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
