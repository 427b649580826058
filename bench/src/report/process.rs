//! The servers under test: each a process on one core, with its processor time and its memory.

use crate::Outcome;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The core that servers run on.
const SERVER_CORE: &str = "0";
/// How long a server may take to become ready, and then to become idle.
const PATIENCE: Duration = Duration::from_secs(600);
/// For how long a server must do next to nothing to count as idle.
const IDLE_SAMPLE: Duration = Duration::from_secs(2);

/// A server process. Dropping this ends it, and the processes that it has started.
pub struct Process {
    child: Child,
    /// The address that it listens on.
    pub address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let own = family(self.child.id()).into_iter().skip(1).map(|id| id.to_string()).collect::<Vec<_>>();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !own.is_empty() {
            let _ = Command::new("kill").args(own).stderr(Stdio::null()).status();
        }
    }
}

/// How to start a server.
pub struct Start<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// The folder that it runs in; its log goes there.
    pub folder: &'a Path,
    /// The name of its log.
    pub log: &'a str,
    /// The address that it will listen on.
    pub address: SocketAddr,
}

/// A free address of this machine.
pub async fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

impl Start<'_> {
    /// Starts the program on the servers' core.
    pub fn spawn(self) -> Outcome<Process> {
        let log = fs::File::create(self.folder.join(self.log))?;
        let child = Command::new("taskset")
            .args([OsStr::new("-c"), OsStr::new(SERVER_CORE), self.program.as_os_str()])
            .args(&self.arguments)
            .envs(self.environment)
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Process { child, address: self.address })
    }
}

impl Process {
    /// Waits until a path answers 200. Returns the time since `began`.
    pub async fn wait_until_ready(&mut self, path: &str, began: Instant) -> Outcome<Duration> {
        let request = super::load::get(path, None);
        while began.elapsed() < PATIENCE {
            if let Ok((200, _)) = super::load::fetch(self.address, &request).await {
                return Ok(began.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("a server ended with {status}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("{path} did not answer 200 within {PATIENCE:?}").into())
    }

    /// Waits until the server does nothing: a server that has started reads its whole SQLite file once, to check it.
    pub async fn wait_until_idle(&self) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let before = self.processor_time();
            tokio::time::sleep(IDLE_SAMPLE).await;
            if u128::from(self.processor_time().since(&before)) < IDLE_SAMPLE.as_nanos() / 20 {
                return;
            }
        }
    }

    /// Waits until the server accepts connections.
    pub async fn wait_until_listening(&mut self, began: Instant, patience: Duration) -> Outcome {
        while began.elapsed() < patience {
            if tokio::net::TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended with {status}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("it does not listen within {patience:?}").into())
    }

    /// Processor time so far, of all child processes too.
    pub fn processor_time(&self) -> ProcessorTime {
        ProcessorTime::read(self.child.id())
    }

    /// Memory that is resident and belongs to the process alone, in bytes.
    pub fn memory(&self) -> u64 {
        family(self.child.id()).into_iter().map(private_memory).sum()
    }
}

/// The processor time of the postmaster and all its processes, by the process of one connection.
pub fn postgres_time(backend: u32) -> ProcessorTime {
    ProcessorTime::read(parent(backend).unwrap_or(backend))
}

/// The processor time of threads, by their ids, in nanoseconds.
#[derive(Default)]
pub struct ProcessorTime(BTreeMap<u32, u64>);

impl ProcessorTime {
    fn read(root: u32) -> ProcessorTime {
        ProcessorTime(family(root).into_iter().flat_map(threads).collect())
    }

    /// The time since an earlier reading. Threads that have ended meanwhile are left out.
    pub fn since(&self, earlier: &ProcessorTime) -> u64 {
        let before = |thread: &u32| earlier.0.get(thread).copied().unwrap_or(0);
        self.0.iter().map(|(thread, time)| time.saturating_sub(before(thread))).sum()
    }
}

/// A process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let folders = fs::read_dir("/proc").into_iter().flatten();
    let numbers = folders.filter_map(|folder| folder.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let parents = numbers.filter_map(|id| Some((id, parent(id)?))).collect::<Vec<_>>();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let own = parents.iter().filter(|(_, parent)| *parent == found[at]).map(|(id, _)| *id);
        let own = own.collect::<Vec<_>>();
        found.extend(own);
        at += 1;
    }
    found
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program is in parentheses and can have anything in it.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn threads(id: u32) -> Vec<(u32, u64)> {
    let folders = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten();
    let threads = folders.filter_map(|folder| {
        let path = folder.ok()?.path();
        let thread = path.file_name()?.to_str()?.parse().ok()?;
        let times = fs::read_to_string(path.join("schedstat")).ok()?;
        Some((thread, times.split(' ').next()?.parse().ok()?))
    });
    threads.collect()
}

fn private_memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1_024
}
