//! Connections to a PostgreSQL server: address and encryption.

use crate::database::DatabaseError;
use crate::database::location::{PostgresUrl, Protection, postgres_url_error};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT: Duration = Duration::from_secs(5);
/// A connection without an answer for about this long is closed.
const SILENCE: Duration = Duration::from_secs(30);

/// The stream of a connection, encrypted or not.
type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// The address of the server, and how to connect. It has no `Debug`, because it contains the password.
#[derive(Clone)]
pub(super) struct PostgresAddress {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl PostgresAddress {
    pub(super) fn new(url: &PostgresUrl, protection: Protection) -> Result<Self, DatabaseError> {
        // The parser's own error may quote a piece of the URL.
        let mut config: Config = url.0.parse().map_err(|_| postgres_url_error())?;
        config.ssl_mode(match protection {
            Protection::Disable => SslMode::Disable,
            Protection::Prefer => SslMode::Prefer,
            Protection::Require | Protection::VerifyFull => SslMode::Require,
        });
        if config.get_application_name().is_none() {
            config.application_name("tenure");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        // With the defaults, a vanished server would be noticed after two hours.
        config.keepalives_idle(SILENCE / 2).keepalives_interval(SILENCE / 6).keepalives_retries(3);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        Ok(PostgresAddress { config, tls: MakeRustlsConnect::new(tls_config(protection)?) })
    }

    /// A client, and the connection that must be polled for it to work.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Stream>), DatabaseError> {
        self.config.connect(self.tls.clone()).await.map_err(|error| {
            let DatabaseError::Failed(text) = to_database_error(&error) else {
                unreachable!("it is always Failed")
            };
            DatabaseError::Failed(format!("cannot connect to {}: {text}", self.name()))
        })
    }

    /// A client whose connection is polled by a task. The task ends when the client is dropped.
    pub(super) async fn client(&self) -> Result<Client, DatabaseError> {
        let (client, connection) = self.connect().await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(error = error.to_string(), "a connection to the database ended");
            }
        });
        Ok(client)
    }

    /// The server and the database, for messages; never the user or the password.
    fn name(&self) -> String {
        let ports = self.config.get_ports();
        let host = |(number, host): (usize, &Host)| {
            let port = ports.get(number).or(ports.first()).unwrap_or(&5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().enumerate().map(host).collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("PostgreSQL at {}/{database}", hosts.join(","))
    }
}

/// A damaged page, and a damaged index.
const DAMAGE: [SqlState; 2] = [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED];

/// Converts an error, for the log: the message and the code, without the detail, which quotes rows.
pub(super) fn to_database_error(error: &tokio_postgres::Error) -> DatabaseError {
    let text = match error.as_db_error() {
        Some(refusal) => format!("postgres: {} ({})", refusal.message(), refusal.code().code()),
        None => format!("postgres: {}", describe_causes(error)),
    };
    match error.code() {
        Some(code) if DAMAGE.contains(code) => DatabaseError::Damaged(text),
        _ => DatabaseError::Failed(text),
    }
}

/// An error and its causes, unless its own text includes them.
fn describe_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

fn tls_config(protection: Protection) -> Result<ClientConfig, DatabaseError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| DatabaseError::Failed(format!("TLS: {error}")))?;
    if protection != Protection::VerifyFull {
        let verifier = Arc::new(AnyCertificate(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        return Err(DatabaseError::Failed(
            "sslmode=verify-full needs the certificates of trusted authorities and this machine has none: \
             install ca-certificates, or name a file in SSL_CERT_FILE"
                .into(),
        ));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Accepts any certificate: `prefer` and `require` encrypt without checking the server's identity.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
