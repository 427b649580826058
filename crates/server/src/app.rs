//! The state of a running server.

use crate::front::Front;
use crate::operations::clock_check::Clocks;
use crate::operations::sessions::watch::WatchGroups;
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
use crate::services::schema_validator::SchemaValidator;
use crate::services::session_bodies::SessionBodies;
use crate::services::session_index::SessionIndex;
use crate::services::signing::Signer;
use crate::services::throttle::SocketCounts;
use crate::services::throttle::Throttle;
use domain::ids::NodeId;
use domain::time::Micros;
use object_store::ObjectStore;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The state of a running server. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of [`App`].
pub struct Parts {
    /// The services that the command line has too.
    pub services: Services,
    /// What is known of the clock's errors.
    pub clocks: Clocks,
    /// The URL under which clients reach this server, without a trailing slash.
    pub base_url: String,
    /// The storage of uploads and recordings.
    pub files: Arc<dyn ObjectStore>,
    /// The master key.
    pub keys: MasterKey,
    /// The metrics.
    pub metrics: Metrics,
    /// The hosts that are connected to this server.
    pub hosts: Hosts,
    /// The workers that wait for a turn at this server.
    pub idle_workers: IdleWorkers,
    /// Runs of the device queue.
    pub queue: QueueRunner,
    /// The id of this process among the servers of one database.
    pub node: NodeId,
    /// When it started.
    pub started: Micros,
    /// Cancelled when the server is told to stop.
    pub stop: CancellationToken,
    /// Tasks beside requests: jobs and WebSockets. The server waits for them when it stops.
    pub tasks: TaskTracker,
    /// Hashes and checks passwords.
    pub passwords: PasswordHasher,
    /// Signs tokens.
    pub signer: Signer,
    /// Sends mail.
    pub mailer: Mailer,
    /// The reCAPTCHA service, if the settings name one.
    pub recaptcha: Option<Recaptcha>,
    /// The OpenID Connect issuer, if the settings name one.
    pub issuer: Option<Issuer>,
    /// Callers that were let in.
    pub callers: CallerCache,
    /// What was recently recorded as used.
    pub used: Throttle,
    /// Connections, rate limits and the memory budget.
    pub front: Arc<Front>,
    /// Counts open WebSockets and event streams.
    pub sockets: SocketCounts,
    /// The index of all sessions.
    pub sessions: SessionIndex,
    /// Watches of lists of sessions.
    pub watches: WatchGroups,
    /// Sessions as the wires wrote them last.
    pub bodies: SessionBodies,
    /// Validates values by JSON Schemas.
    pub schema_validator: SchemaValidator,
}

impl App {
    /// Makes an app of its parts.
    pub fn new(parts: Parts) -> App {
        App(Arc::new(parts))
    }

    /// Runs a task beside the current request. Its log lines carry the request's id, and a graceful stop waits for it.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn(task.in_current_span())
    }

    /// Whether work that ran at `time` has certainly ended: an SQLite database has one server, and it has started since.
    pub fn has_restarted_since(&self, time: Micros) -> bool {
        time < self.started && self.settings.database.reveal().starts_with("sqlite:")
    }
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::ops::Deref for Parts {
    type Target = Services;
    fn deref(&self) -> &Services {
        &self.services
    }
}
