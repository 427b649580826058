//! The servers under test, each a separate process on one core.

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

/// Serves one response from a buffer.
#[derive(Debug, Args)]
pub struct Static {
    /// The file with the body
    pub file: std::path::PathBuf,
    /// The address to listen on
    pub listen: SocketAddr,
}

/// Serves the same bytes to every request: the fastest that this web server can be.
pub async fn serve_file(fixed: Static) -> Outcome {
    let bytes = Bytes::from(std::fs::read(&fixed.file)?);
    let answer = move || {
        let bytes = bytes.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], bytes) }
    };
    let listener = TcpListener::bind(fixed.listen).await?;
    Ok(axum::serve(listener, Router::new().route("/", get(answer))).await?)
}

/// A server process. Dropping this ends it.
pub struct Process {
    child: Child,
    /// The address that it listens on.
    pub address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program on the servers' core, and waits until it listens. `arguments` makes its arguments from the address
/// to listen on.
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
