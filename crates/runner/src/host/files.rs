//! Files that belong to a call: an app to install or a finished recording.

use std::fmt;
use std::path::Path;

use futures_util::TryStreamExt;
use protocol::CallError;
use reqwest::{Client, Response, header};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::driver::host_error;

/// A file on a server. `Debug` does not print the key.
pub(crate) struct RemoteFile {
    url: String,
    name: String,
    authorization: String,
    client: Client,
}

impl RemoteFile {
    pub(crate) fn new(url: String, name: String, authorization: String, client: Client) -> Self {
        Self { url, name, authorization, client }
    }

    /// The name that the sender gave it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Downloads the file to a temporary file below `dir`, which is deleted when the path is dropped. It keeps the
    /// name's extension, because `mobilecli` takes the kind of app from it.
    pub(crate) async fn fetch(&self, dir: &Path) -> Result<TempPath, CallError> {
        let request = self.client.get(&self.url).header(header::AUTHORIZATION, &self.authorization);
        let response = check_response(request.send().await, "fetching the file")?;
        let (file, path) = tempfile::Builder::new()
            .suffix(&file_suffix(&self.name))
            .tempfile_in(dir)
            .map_err(|error| local_file_error(&error))?
            .into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let mut body = response.bytes_stream();
        while let Some(chunk) =
            body.try_next().await.map_err(|error| transfer_error("fetching the file", error))?
        {
            file.write_all(&chunk).await.map_err(|error| local_file_error(&error))?;
        }
        file.flush().await.map_err(|error| local_file_error(&error))?;
        Ok(path)
    }

    /// Uploads the file at `path` to the server.
    pub(crate) async fn store(&self, path: &Path) -> Result<(), CallError> {
        let file = tokio::fs::File::open(path).await.map_err(|error| local_file_error(&error))?;
        let length = file.metadata().await.map_err(|error| local_file_error(&error))?.len();
        let request = self
            .client
            .put(&self.url)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(ReaderStream::new(file)));
        check_response(request.send().await, "storing the recording").map(drop)
    }
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `.apk` for `app.apk`; empty if the name has no plain extension.
fn file_suffix(name: &str) -> String {
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some(plain) if plain.chars().all(|c| c.is_ascii_alphanumeric()) => format!(".{plain}"),
        _ => String::new(),
    }
}

fn check_response(response: reqwest::Result<Response>, doing: &str) -> Result<Response, CallError> {
    let response = response.map_err(|error| transfer_error(doing, error))?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(host_error(format!("{doing} failed: the server answered {}", response.status())))
}

/// Leaves out the address, which is of no use to the client.
fn transfer_error(doing: &str, error: reqwest::Error) -> CallError {
    host_error(format!("{doing} failed: {}", error.without_url()))
}

fn local_file_error(error: &std::io::Error) -> CallError {
    host_error(format!("the device's host cannot read or write the file: {error}"))
}

#[cfg(test)]
mod tests {
    use super::file_suffix;

    #[test]
    fn only_plain_extensions_are_kept() {
        for (name, expected) in
            [("a.apk", ".apk"), ("b.app.zip", ".zip"), ("none", ""), ("x.a-b", ""), ("", "")]
        {
            assert_eq!(file_suffix(name), expected, "{name}");
        }
    }
}
