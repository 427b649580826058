//! The server under attack, on two cores.

use super::Unfair;
use super::data::Data;
use crate::Outcome;
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const CORES: &str = "0,1";
/// How often the memory is read.
const MEMORY_EVERY: Duration = Duration::from_millis(20);

/// A running server. Dropping this ends it.
pub struct Server {
    child: Child,
    /// The address that it listens on.
    pub address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Watches the memory of the process from now on.
    pub fn watch_memory(&self) -> Memory {
        let (id, peak) = (self.child.id(), Arc::new(AtomicU64::new(0)));
        let maximum = peak.clone();
        let watching = tokio::spawn(async move {
            loop {
                maximum.fetch_max(private_memory(id), Ordering::Relaxed);
                tokio::time::sleep(MEMORY_EVERY).await;
            }
        });
        Memory { id, peak, watching }
    }
}

/// The private memory of the process, in MB (10^6). Mapped pages of the database's file belong to the operating
/// system's cache and are not counted.
pub struct Memory {
    id: u32,
    peak: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Memory {
    /// The maximum since the watch began, and the current memory; 0 if the process is gone.
    pub fn end(self) -> [u64; 2] {
        self.watching.abort();
        [self.peak.load(Ordering::Relaxed), private_memory(self.id)]
    }
}

fn private_memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map_or(0, |kibibytes| kibibytes * 1_024 / 1_000_000)
}

/// Starts the program and waits until it listens. Its log is in `server.log`.
pub async fn start(unfair: &Unfair, data: &Data) -> Outcome<Server> {
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let folder = data.certificate.parent().ok_or("a file without a folder")?;
    let file = |name: &str| folder.join(name).display().to_string();
    let child = Command::new("taskset")
        .args(["-c", CORES])
        .arg(unfair.program.canonicalize()?)
        .args(["serve", "--database", &data.database, "--listen", &address.to_string()])
        .args(["--tls-cert", &file("certificate.pem"), "--tls-key", &file("key.pem"), "--log", "warn"])
        .args(["--files", &file("files"), "--master-key", &file("master.key")])
        // It names the program for this bench, and the program refuses what is no setting.
        .env_remove("TENURE_BIN")
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(folder.join("server.log"))?)
        .spawn()?;
    let mut server = Server { child, address };
    // The first start of a new version migrates the tables.
    for _ in 0..6_000 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(server);
        }
        if let Some(status) = server.child.try_wait()? {
            return Err(format!("the server ended with {status}; see {}", file("server.log")).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("the server does not listen on {address}").into())
}
