//! A server that the host connects to.

use std::fmt;
use std::time::Duration;

use protocol::{CallFile, HOST_FILES_PATH, HOST_PATH};
use reqwest::Client;
use reqwest::header::HeaderMap;

use super::HostError;
use super::files::RemoteFile;
use crate::options::{ServedScope, base_url};

/// A server's address and the key for it. The key is not printed.
#[derive(Clone)]
pub(crate) struct ServerEndpoint {
    base: String,
    token: String,
    serves: Option<ServedScope>,
    client: Client,
}

impl ServerEndpoint {
    /// Returns an error for a URL that is neither `http://` nor `https://`.
    pub(crate) fn new(
        url: &str,
        token: String,
        serves: Option<ServedScope>,
        client: Client,
    ) -> Result<Self, HostError> {
        let base = base_url(url).ok_or_else(|| HostError::BadServer { url: url.to_owned() })?;
        Ok(Self { base, token, serves, client })
    }

    /// The base URL, for logs and errors.
    pub(crate) fn name(&self) -> &str {
        &self.base
    }

    /// The key as an `Authorization` header.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// The headers that name the scope that the host serves.
    pub(crate) fn scope_headers(&self) -> HeaderMap {
        self.serves.map(ServedScope::to_headers).unwrap_or_default()
    }

    /// URL of the WebSocket.
    pub(crate) fn socket_url(&self) -> String {
        // http -> ws, https -> wss
        format!("ws{}{HOST_PATH}", &self.base["http".len()..])
    }

    /// The file that a call of this server refers to.
    pub(crate) fn remote_file(&self, file: CallFile) -> RemoteFile {
        let url = format!("{}{HOST_FILES_PATH}/{}", self.base, file.id);
        RemoteFile::new(url, file.name, self.authorization(), self.client.clone())
    }
}

impl fmt::Debug for ServerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerEndpoint").field("base", &self.base).finish_non_exhaustive()
    }
}

/// The HTTP client for files.
pub(crate) fn files_client(serves: Option<ServedScope>) -> Result<Client, HostError> {
    crate::options::http_client()
        .default_headers(serves.map(ServedScope::to_headers).unwrap_or_default())
        .read_timeout(Duration::from_secs(60))
        .user_agent(concat!("tenure-host/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| HostError::Http(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_become_websocket_urls_and_others_are_refused() {
        let socket = |url| {
            ServerEndpoint::new(url, "mob_secret".into(), None, files_client(None).unwrap())
                .ok()
                .map(|server| server.socket_url())
        };
        let at = |address: &str| Some(format!("{address}{HOST_PATH}"));
        assert_eq!(socket("http://127.0.0.1:7420/"), at("ws://127.0.0.1:7420"));
        assert_eq!(socket("https://t.example/below"), at("wss://t.example/below"));
        assert_eq!(socket("ws://t.example"), None);
        assert_eq!(socket("t.example:7420"), None);
        assert_eq!(socket(""), None);
    }
}
