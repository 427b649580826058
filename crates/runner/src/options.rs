//! What hosts and workers are told alike.

use std::time::Duration;

use protocol::SERVES_HEADER;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Url};
use uuid::Uuid;

/// Whom a host serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedScope {
    /// One organization.
    Organization(Uuid),
    /// All organizations of the account.
    Account,
}

impl ServedScope {
    /// As headers of every request.
    pub(crate) fn to_headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            ServedScope::Account => headers.insert(SERVES_HEADER, HeaderValue::from_static("account")),
            ServedScope::Organization(id) => {
                let id = HeaderValue::from_str(&id.to_string()).ok();
                id.and_then(|id| headers.insert("x-organization-id", id))
            }
        };
        headers
    }
}

/// The base of a server's address without a slash at its end; `None` if it is neither `http://` nor `https://`.
pub(crate) fn base_url(url: &str) -> Option<String> {
    let parsed = Url::parse(url.trim()).ok()?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return None;
    }
    let base = parsed.as_str().trim_end_matches('/').to_owned();
    let local = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if parsed.scheme() == "http" && !local {
        tracing::warn!(server = %base, "the key goes to this server unencrypted: use https:// if you can");
    }
    Some(base)
}

/// Whether the text could be a key. A line break would end the header; anything else is the server's to judge.
pub(crate) fn could_be_key(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What this machine calls itself.
pub(crate) fn hostname() -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// A client for a server's HTTP API. It follows no redirects: they would carry the key elsewhere.
pub(crate) fn http_client() -> ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().connect_timeout(Duration::from_secs(15)).redirect(reqwest::redirect::Policy::none())
}
