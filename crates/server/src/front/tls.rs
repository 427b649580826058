//! TLS: a certificate and its key from two files, read again when they change.

use crate::settings::Settings;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// The protocols offered by ALPN, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate and its key cannot be used. It never contains their contents.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file does not exist or cannot be read.
    #[error("{setting}: the file {path} cannot be read: {reason}")]
    Unreadable {
        /// Which of the two settings names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// A file lacks the expected PEM block.
    #[error("{setting}: the file {path} has no {wanted} in PEM format")]
    NotPem {
        /// Which of the two settings names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The expected content.
        wanted: &'static str,
    },
    /// The key belongs to another certificate.
    #[error("tls_key: the key in {key} does not fit the certificate in {cert}")]
    Unfit {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library rejects them.
    #[error("tls_cert, tls_key: {cert} and {key} cannot be used: {reason}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The library's error.
        reason: rustls::Error,
    },
}

/// The server's certificate.
pub struct Tls {
    files: CertificateFiles,
    /// The contents at the last read, valid or not, so that one fault is logged once.
    read: Mutex<Option<PemContents>>,
    current: Arc<CurrentCertificate>,
    acceptor: TlsAcceptor,
}

struct CertificateFiles {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(PartialEq, Eq)]
struct PemContents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate and key of new connections.
#[derive(Debug)]
struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Reads the files that the settings name; `None` when they name none.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(settings: &Settings) -> Result<Option<Tls>, TlsError> {
        let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
        let files = CertificateFiles { cert: cert.clone(), key: key.clone() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let contents = files.read()?;
        let pair = files.parse_pair(&contents, &provider)?;
        let current = Arc::new(CurrentCertificate(RwLock::new(Arc::new(pair))));
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|reason| files.unusable(reason))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Some(Tls { files, read: Mutex::new(Some(contents)), current, acceptor }))
    }

    /// Reads the files again if they have changed. Returns whether new connections get a new certificate. When the new files
    /// cannot be used, the old certificate stays.
    ///
    /// # Errors
    /// [`TlsError`], once for each change; each time when a file cannot be read.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let contents = self.files.read()?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.as_ref() == Some(&contents) {
            return Ok(false);
        }
        let provider = self.acceptor.config().crypto_provider().clone();
        let pair = self.files.parse_pair(&contents, &provider);
        *read = Some(contents);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair?);
        Ok(true)
    }

    /// Does the TLS handshakes.
    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl CertificateFiles {
    fn read(&self) -> Result<PemContents, TlsError> {
        let read = |setting, path: &Path| {
            std::fs::read(path).map_err(|reason| TlsError::Unreadable {
                setting,
                path: path.to_owned(),
                reason,
            })
        };
        Ok(PemContents { cert: read("tls_cert", &self.cert)?, key: read("tls_key", &self.key)? })
    }

    fn parse_pair(
        &self,
        contents: &PemContents,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&contents.cert).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| TlsError::NotPem {
            setting: "tls_cert",
            path: self.cert.clone(),
            wanted: "certificate",
        })?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| TlsError::NotPem {
            setting: "tls_key",
            path: self.key.clone(),
            wanted: "private key without a password",
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|reason| match reason {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Unfit { cert: self.cert.clone(), key: self.key.clone() }
            }
            reason => self.unusable(reason),
        })
    }

    fn unusable(&self, reason: rustls::Error) -> TlsError {
        TlsError::Unusable { cert: self.cert.clone(), key: self.key.clone(), reason }
    }
}
