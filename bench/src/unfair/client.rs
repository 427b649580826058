//! A small TLS client: one connection, one request at a time.

use crate::Outcome;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A TLS connection.
pub type TlsConnection = TlsStream<TcpStream>;

/// The address of a server, and the certificate to trust.
#[derive(Clone)]
pub struct Target {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
}

impl Target {
    /// A server with this certificate.
    pub fn new(address: SocketAddr, certificate: &Path) -> Outcome<Target> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate)?)?;
        Ok(Target { address, roots: Arc::new(roots) })
    }

    /// Connects with this protocol: `http/1.1` or `h2`.
    pub async fn connect(&self, protocol: &str) -> Outcome<TlsConnection> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }
}

/// A client that keeps its connection open.
pub struct Client {
    target: Target,
    connection: Option<TlsConnection>,
    key: Option<String>,
}

impl Client {
    /// A client with this key, or without one.
    pub fn new(target: &Target, key: Option<&str>) -> Client {
        Client { target: target.clone(), connection: None, key: key.map(str::to_owned) }
    }

    /// Sends a request. Returns the status and the body. After an error the next call opens a new connection.
    pub async fn call(&mut self, method: &str, path: &str, body: Option<&str>) -> Outcome<(u16, Vec<u8>)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.connect("http/1.1").await?,
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        if let Some(key) = &self.key {
            request.push_str(&format!("authorization: Bearer {key}\r\n"));
        }
        if let Some(body) = body {
            request
                .push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body.unwrap_or_default());
        connection.write_all(request.as_bytes()).await?;
        let (status, body, keeps_open) = read_response(&mut connection).await?;
        self.connection = keeps_open.then_some(connection);
        Ok((status, body))
    }
}

/// Reads a whole response. Returns also whether the connection stays open.
async fn read_response(connection: &mut TlsConnection) -> Outcome<(u16, Vec<u8>, bool)> {
    let mut buffer = Vec::with_capacity(1 << 14);
    let (end, head) = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break (end + 4, String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase());
        }
        if connection.read_buf(&mut buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
    };
    let status = head.get(9..12).ok_or("a response without a status")?.parse()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = match length {
        Some(length) => length.trim().parse()?,
        None if status == 204 => 0,
        None => return Err("a response without a length".into()),
    };
    while buffer.len() < end + length {
        if connection.read_buf(&mut buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
    }
    let keeps_open = !head.contains("connection: close");
    Ok((status, buffer[end..end + length].to_vec(), keeps_open))
}
