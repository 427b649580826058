//! Servers under test, each a process of its own, pinned to one core.

use crate::Outcome;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use clap::Args;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::net::{TcpListener, TcpStream};

/// The core that servers run on.
const SERVER_CORE: &str = "0";

/// Serves one answer from a buffer.
#[derive(Debug, Args)]
pub struct Static {
    /// The bytes.
    pub file: std::path::PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
}

/// Serves the same bytes for ever: what the same web server can do at best.
pub async fn fixed(fixed: Static) -> Outcome {
    let bytes = Bytes::from(std::fs::read(&fixed.file)?);
    let answer = move || {
        let bytes = bytes.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], bytes) }
    };
    let listener = TcpListener::bind(fixed.listen).await?;
    Ok(axum::serve(listener, Router::new().route("/", get(answer))).await?)
}

/// A server process that ends with this value.
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program pinned to the servers' core; `arguments` are made of the address it is to listen on. Waits until
/// it does.
pub async fn start(program: &Path, arguments: impl FnOnce(SocketAddr) -> Vec<String>) -> Outcome<Process> {
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let child = Command::new("taskset")
        .args(["-c", SERVER_CORE])
        .arg(program)
        .args(arguments(free))
        .env("TENURE_LOG", "warn")
        .stdout(Stdio::null())
        .spawn()?;
    let mut process = Process { child, address: free };
    for _ in 0..600 {
        if TcpStream::connect(free).await.is_ok() {
            return Ok(process);
        }
        if let Some(status) = process.child.try_wait()? {
            return Err(format!("{} ended with {status}", program.display()).into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(format!("{} does not listen on {free}", program.display()).into())
}
