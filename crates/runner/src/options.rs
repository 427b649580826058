//! Options and HTTP settings that hosts and workers share.

use std::time::Duration;

use protocol::SERVES_HEADER;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Url};
use uuid::Uuid;

/// The scope that a host or a worker serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedScope {
    /// One organization.
    Organization(Uuid),
    /// All organizations of the account.
    Account,
}

impl ServedScope {
    /// The request headers that name the scope.
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

/// The base of a server's URL without a trailing slash; `None` if it is neither `http://` nor `https://`.
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

/// Whether the text has only characters that a header can carry. The server checks everything else.
pub(crate) fn could_be_key(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The name of this machine.
pub(crate) fn hostname() -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// An HTTP client for a server's API. It follows no redirects, because they could send the key elsewhere.
pub(crate) fn http_client() -> ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().connect_timeout(Duration::from_secs(15)).redirect(reqwest::redirect::Policy::none())
}
