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

/// What a client may choose by ALPN, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate and its key cannot be used. Never says what stands in them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or may not be read.
    #[error("{setting}: the file {path} cannot be read: {reason}")]
    Unreadable {
        /// Which of the two settings names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// A file has not what is looked for in it.
    #[error("{setting}: the file {path} has no {wanted} in PEM format")]
    NotPem {
        /// Which of the two settings names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// The key is another certificate's.
    #[error("tls_key: the key in {key} does not fit the certificate in {cert}")]
    Unfit {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// They are what they should be, and still of no use.
    #[error("tls_cert, tls_key: {cert} and {key} cannot be used: {reason}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library says.
        reason: rustls::Error,
    },
}

/// What the server proves who it is with.
pub struct Tls {
    files: Files,
    /// What the files had when they were read last, good or not: what was logged once is not logged every time.
    read: Mutex<Option<Contents>>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

struct Files {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// The pair that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Reads what the settings name; nothing when they name nothing.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(settings: &Settings) -> Result<Option<Tls>, TlsError> {
        let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
        let files = Files { cert: cert.clone(), key: key.clone() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let contents = files.read()?;
        let pair = files.pair(&contents, &provider)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(pair))));
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|reason| files.unusable(reason))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Some(Tls { files, read: Mutex::new(Some(contents)), current, acceptor }))
    }

    /// Reads the files again if they have changed, and says whether new connections get another pair. One that cannot
    /// be used is no reason to stop: the old one stays.
    ///
    /// # Errors
    /// [`TlsError`], once for each change; files that cannot be read are one each time.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let contents = self.files.read()?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.as_ref() == Some(&contents) {
            return Ok(false);
        }
        let provider = self.acceptor.config().crypto_provider().clone();
        let pair = self.files.pair(&contents, &provider);
        *read = Some(contents);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair?);
        Ok(true)
    }

    /// What shakes hands.
    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        let read = |setting, path: &Path| {
            std::fs::read(path).map_err(|reason| TlsError::Unreadable {
                setting,
                path: path.to_owned(),
                reason,
            })
        };
        Ok(Contents { cert: read("tls_cert", &self.cert)?, key: read("tls_key", &self.key)? })
    }

    fn pair(&self, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
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
