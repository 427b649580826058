//! What a running server has at hand.

use crate::clock::{Clock, Random};
use crate::front::Front;
use crate::observe::Metrics;
use crate::operations::clock_check::Clocks;
use crate::services::host_connections::Hosts;
use crate::services::issuer::Issuer;
use crate::services::mailer::Mailer;
use crate::services::master_key::MasterKey;
use crate::services::password_hasher::Passwords;
use crate::services::queue_runner::QueueRunner;
use crate::services::recaptcha::Recaptcha;
use crate::services::schema_validator::Judges;
use crate::services::signing::Signer;
use crate::services::throttle::SocketCounts;
use crate::services::throttle::Throttle;
use crate::settings::Settings;
use domain::ids::NodeId;
use domain::time::Micros;
use object_store::ObjectStore;
use std::sync::Arc;
use store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// What a running server has at hand. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of [`App`].
pub struct Parts {
    /// All that is kept.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Whether it can be believed.
    pub clocks: Clocks,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// As they were when the server started.
    pub settings: Settings,
    /// The URL under which clients reach this server, without a slash at its end.
    pub base_url: String,
    /// The bytes of uploads and recordings.
    pub files: Arc<dyn ObjectStore>,
    /// What secrets are sealed with.
    pub keys: MasterKey,
    /// What operators see.
    pub metrics: Metrics,
    /// The hosts on this server's line.
    pub hosts: Hosts,
    /// Runs of the queue.
    pub queue: QueueRunner,
    /// This process among several servers of one database.
    pub node: NodeId,
    /// When it started.
    pub started: Micros,
    /// Cancelled when the server is told to stop.
    pub stop: CancellationToken,
    /// Everything that runs beside requests: jobs, WebSockets. Waited for when the server stops.
    pub tasks: TaskTracker,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Signs tokens.
    pub signer: Signer,
    /// Sends mail.
    pub mailer: Mailer,
    /// Who is asked whether somebody is no robot, if anybody is.
    pub recaptcha: Option<Recaptcha>,
    /// By whom people may sign in, if by anybody.
    pub issuer: Option<Issuer>,
    /// What was noted as used lately.
    pub used: Throttle,
    /// What stands in front of the wires.
    pub front: Arc<Front>,
    /// Open WebSockets and streams of events.
    pub sockets: SocketCounts,
    /// Who judges values by JSON Schemas.
    pub judges: Judges,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> App {
        App(Arc::new(parts))
    }

    /// Runs something beside the request that it belongs to. What it logs carries the request's id, and a graceful stop
    /// waits for it.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tasks.spawn(task.in_current_span())
    }

    /// The time.
    pub fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Whether whatever was at work at `time` is not any more: SQLite has one server, and it has started since.
    pub fn outlived(&self, time: Micros) -> bool {
        time < self.started && self.settings.database.reveal().starts_with("sqlite:")
    }

    /// Random bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}
