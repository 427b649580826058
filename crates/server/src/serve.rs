//! A server from start to graceful stop.

use crate::app::App;
use crate::app::Parts;
use crate::clock::{Clock, Random, SystemClock, SystemRandom};
use crate::front::tls::{Tls, TlsError};
use crate::front::{self, Front};
use crate::jobs;
use crate::operations::clock_check::Clocks;
use crate::operations::sessions::watch::WatchGroups;
use crate::private_files;
use crate::services::Services;
use crate::services::caller_cache::CallerCache;
use crate::services::host_connections::Hosts;
use crate::services::idle_workers::IdleWorkers;
use crate::services::issuer::Issuer;
use crate::services::mailer::Mailer;
use crate::services::master_key::MasterKey;
use crate::services::metrics::Metrics;
use crate::services::password_hasher::PasswordHasher;
use crate::services::queue_runner::QueueRunner;
use crate::services::recaptcha::Recaptcha;
use crate::services::ring_provider;
use crate::services::schema_validator::SchemaValidator;
use crate::services::session_bodies::SessionBodies;
use crate::services::session_index::SessionIndex;
use crate::services::signing::Signer;
use crate::services::throttle::SocketCounts;
use crate::services::throttle::Throttle;
use crate::settings::{FileStore, Settings, SettingsError};
use crate::wires;
use domain::credential::KeyLimits;
use domain::ids::NodeId;
use domain::time::Span;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use std::net::SocketAddr;
use std::sync::Arc;
use store::{Database, DatabaseError, OpenMode, Readers, ServerLock, Store};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings forbid it.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The database cannot be opened.
    #[error("the database cannot be opened: {0}")]
    Database(#[from] DatabaseError),
    /// The file storage cannot be used.
    #[error("the file storage cannot be used: {0}")]
    Files(String),
    /// The master key cannot be used.
    #[error("the master key {path} cannot be used: {cause}")]
    Key {
        /// Its file.
        path: String,
        /// The error of the system.
        cause: std::io::Error,
    },
    /// Passwords cannot be hashed as the settings say.
    #[error("passwords cannot be hashed with argon2_memory, argon2_passes and argon2_lanes as they are: {0}")]
    Passwords(String),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The mail server cannot be used.
    #[error("the setting mail cannot be used: {0}")]
    Mail(String),
    /// The reCAPTCHA service cannot be used.
    #[error("recaptcha_verify_url and recaptcha_secret cannot be used: {0}")]
    Recaptcha(String),
    /// The issuer cannot be used.
    #[error("the setting oidc_issuer cannot be used: {0}")]
    Issuer(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address of the settings.
        address: SocketAddr,
        /// The error of the system.
        cause: std::io::Error,
    },
}

/// A server that is running.
pub struct Server {
    app: App,
    address: SocketAddr,
    serving: JoinHandle<()>,
    lock: Option<ServerLock>,
}

/// Serves until `stop` is cancelled, then stops gracefully.
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub async fn serve(settings: Settings, stop: CancellationToken) -> Result<(), ServeError> {
    let server = Server::start(settings, stop).await?;
    tracing::info!(url = server.base_url(), "serving");
    server.wait().await;
    Ok(())
}

impl Server {
    /// Opens and migrates the database and starts to serve. It locks an SQLite database until the server has stopped.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start(settings: Settings, stop: CancellationToken) -> Result<Server, ServeError> {
        let lock = ServerLock::take(settings.database.reveal())?;
        let server =
            Server::start_with(settings, stop, Arc::new(SystemClock), Arc::new(SystemRandom)).await?;
        Ok(Server { lock: Some(lock), ..server })
    }

    /// Starts a server with the given clock and source of randomness, and takes no lock.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start_with(
        settings: Settings,
        stop: CancellationToken,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Server, ServeError> {
        settings.check_tls()?;
        settings.check_issuer()?;
        front::raise_file_limit();
        let front = Arc::new(Front::new(Tls::open(&settings)?, &settings, stop.clone()));
        private_files::close_to_others(&settings);
        let files = open_files(&settings.files)?;
        let passwords = PasswordHasher::new(&settings).map_err(ServeError::Passwords)?;
        let mailer = Mailer::new(&settings.mail, &settings.mail_from).map_err(ServeError::Mail)?;
        let recaptcha = Recaptcha::from_settings(&settings).map_err(ServeError::Recaptcha)?;
        let issuer = Issuer::new(&settings).map_err(ServeError::Issuer)?;
        // Bind first: a second server on the same port must not touch the database.
        let listener = bind(settings.listen).await?;
        let metrics = match settings.metrics_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let address =
            listener.local_addr().map_err(|cause| ServeError::Listen { address: settings.listen, cause })?;
        let url = settings.database.reveal();
        let database = Database::open_with(url, OpenMode::Migrate, readers(&settings), clock.now().0).await?;
        let keys = open_keys(&settings, &*random)?;
        let mut node = [0; 10];
        random.fill(&mut node);
        let store = Store::new(database).limiting_keys(KeyLimits {
            age: settings.key_max_age.map(Span::from),
            idle: settings.key_idle.map(Span::from),
        });
        let signer = Signer::new(&settings, store.clone(), clock.clone(), random.clone());
        let app = App::new(Parts {
            base_url: settings.base_url(address),
            node: NodeId::new(clock.now(), node),
            started: clock.now(),
            callers: CallerCache::new(store.clone()),
            sessions: SessionIndex::new(store.clone()),
            watches: WatchGroups::default(),
            bodies: SessionBodies::new(settings.body_cache),
            services: Services { store, clock, random, settings },
            clocks: Clocks::default(),
            passwords,
            signer,
            mailer,
            recaptcha,
            issuer,
            files,
            keys,
            metrics: Metrics::new(),
            hosts: Hosts::default(),
            idle_workers: IdleWorkers::default(),
            queue: QueueRunner::default(),
            stop,
            tasks: TaskTracker::new(),
            used: Throttle::default(),
            front,
            sockets: SocketCounts::default(),
            schema_validator: SchemaValidator::default(),
        });
        jobs::start(&app);
        if let Some(listener) = metrics {
            app.tasks.spawn(wires::serve_metrics(app.clone(), listener));
        }
        let serving = tokio::spawn(front::accept(app.front.clone(), wires::router(app.clone()), listener));
        Ok(Server { app, address, serving, lock: None })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL under which clients reach it, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.app.base_url
    }

    /// Its services.
    pub fn services(&self) -> &Services {
        &self.app.services
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.app.store
    }

    /// Its app.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Waits until the server is told to stop and has stopped. Running requests may finish within `stop_grace`.
    pub async fn wait(self) {
        self.app.stop.cancelled().await;
        tracing::info!("stopping");
        let grace = self.app.settings.stop_grace;
        self.app.tasks.close();
        let tasks = self.app.tasks.clone();
        let finished = async {
            let _ = self.serving.await;
            tasks.wait().await;
        };
        if tokio::time::timeout(grace, finished).await.is_err() {
            tracing::warn!("some requests did not finish within stop_grace and were cancelled");
        }
        self.app.store.database().close().await;
        drop(self.lock);
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|cause| ServeError::Listen { address, cause })
}

/// Opens the master key, or makes it.
fn open_keys(settings: &Settings, random: &dyn Random) -> Result<MasterKey, ServeError> {
    let path = settings.master_key_path();
    let mut key = [0; 32];
    random.fill(&mut key);
    MasterKey::open_or_make(&path, key)
        .map_err(|cause| ServeError::Key { path: path.display().to_string(), cause })
}

fn readers(settings: &Settings) -> Readers {
    Readers {
        sqlite: settings.sqlite_readers,
        postgres: settings.postgres_connections,
        read_timeout: settings.request_timeout,
        scan_timeout: settings.scan_timeout,
        scan_wait: settings.scan_wait,
        ..Readers::default()
    }
}

/// Opens a file storage: of uploads and recordings, or of sealed segments of the audit log.
///
/// # Errors
/// [`ServeError::Files`].
pub fn open_files(files: &FileStore) -> Result<Arc<dyn ObjectStore>, ServeError> {
    let wrong = |error: &dyn std::fmt::Display| ServeError::Files(error.to_string());
    match files {
        FileStore::Folder(folder) => {
            private_files::make_folder(folder).map_err(|error| wrong(&error))?;
            let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| wrong(&error))?;
            Ok(Arc::new(store.with_automatic_cleanup(true)))
        }
        FileStore::Url(url) => {
            let url = url::Url::parse(url.reveal()).map_err(|error| wrong(&error))?;
            #[expect(
                clippy::disallowed_methods,
                reason = "an object store's keys come from its usual environment"
            )]
            let options = std::env::vars().map(|(name, value)| (name.to_lowercase(), value));
            ring_provider::install_for_tls();
            let (store, prefix) =
                object_store::parse_url_opts(&url, options).map_err(|error| wrong(&error))?;
            Ok(Arc::new(object_store::prefix::PrefixStore::new(store, prefix)))
        }
    }
}
