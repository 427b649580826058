//! The `mobilecli server` that the host starts, restarts and stops.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStderr, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::child_process::{ProcessGroup, find_in_path, remove_secrets};
use crate::clock::jitter;
use crate::host::HostError;

/// The standard error of `mobilecli`.
type StderrLines = Lines<BufReader<ChildStderr>>;

/// Time limit for the server to start listening.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Time limit for the server to stop by itself.
const STOP_LIMIT: Duration = Duration::from_secs(8);

/// Runs the server, and stops it when the pipe to this shell's standard input closes. That happens however the host
/// ends, even after `kill -9`. `mobilecli` also starts a daemon outside of our process group, so the shell stops the
/// daemon too.
const SHELL: &str = r#"
exec 3<&0
"$0" --insecure-storage server start --listen "$1" 3<&- </dev/null >/dev/null &
server=$!
{ read -r _ <&3; kill "$server"; sleep 3; kill -9 "$server"; } >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
kill "$watcher"
"$0" --insecure-storage daemon stop >/dev/null 2>&1
"#;

/// The program to start: the given one, or `mobilecli` in `PATH`.
pub(super) fn find_program(named: Option<&Path>) -> Result<PathBuf, HostError> {
    if let Some(path) = named {
        // The child may run in another working directory.
        return std::fs::canonicalize(path)
            .map_err(|error| HostError::NoMobilecli(format!("{}: {error}", path.display())));
    }
    find_in_path("mobilecli").ok_or_else(|| HostError::NoMobilecli("not in PATH".to_owned()))
}

/// Keeps a server running until `stop` is cancelled. Returns its URL; `None` while it is not running.
pub(super) fn keep_running(
    program: PathBuf,
    home: PathBuf,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> watch::Receiver<Option<Url>> {
    let address = watch::Sender::new(None);
    let receiver = address.subscribe();
    tasks.spawn(async move {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
        loop {
            let reason = run_once(&program, &home, &address, &mut backoff, &stop).await;
            address.send_replace(None);
            if stop.is_cancelled() {
                return;
            }
            let delay = backoff.next(jitter());
            tracing::warn!(reason, retry_in = ?delay, "mobilecli is not running");
            if stop.run_until_cancelled(sleep(delay)).await.is_none() {
                return;
            }
        }
    });
    receiver
}

/// Starts the server and waits for it to end. Returns the reason.
async fn run_once(
    program: &Path,
    home: &Path,
    address: &watch::Sender<Option<Url>>,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> String {
    let (mut group, listen) = match start_server(program, home) {
        Ok(started) => started,
        Err(error) => return format!("cannot be started: {error}"),
    };
    // Taken out, because waiting for the child would close it.
    let pipe = group.child.stdin.take();
    let mut log = group.child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
    let ready = tokio::select! {
        ready = wait_until_ready(&listen) => ready,
        line = read_last_line(log.as_mut()) => Err(format!("ended while starting: {line}")),
        () = stop.cancelled() => Err("stopped".to_owned()),
    };
    let reason = match ready {
        Ok(url) => {
            tracing::info!(listen, "mobilecli is running");
            address.send_replace(Some(url));
            backoff.reset();
            tokio::select! {
                status = group.child.wait() => match status {
                    Ok(status) => format!("ended with {status}"),
                    Err(error) => format!("cannot be waited for: {error}"),
                },
                // A Go program dies when its standard error is closed, so read it to the end.
                never = drain_log(log.as_mut()) => never,
                () = stop.cancelled() => "stopped".to_owned(),
            }
        }
        Err(reason) => reason,
    };
    // Closing the pipe stops the server and its daemon. What remains is killed with the group.
    drop(pipe);
    let _ = timeout(STOP_LIMIT, group.child.wait()).await;
    reason
}

/// Starts the server on a free port of the loopback interface. If another program takes the port first, the server
/// ends and is started again on another port.
fn start_server(program: &Path, home: &Path) -> std::io::Result<(ProcessGroup, String)> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let listen = format!("127.0.0.1:{port}");
    let mut shell = Command::new("sh");
    remove_secrets(shell.arg("-c").arg(SHELL).arg(program).arg(&listen))
        .env("MOBILECLI_HOME", home)
        // With --insecure-storage, mobilecli would read the operator's own cloud login from here.
        .env("XDG_CONFIG_HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // The log contains what people type, so it is only used to explain a failed start.
        .stderr(Stdio::piped());
    Ok((ProcessGroup::spawn(&mut shell)?, listen))
}

/// Waits until the server accepts connections.
async fn wait_until_ready(listen: &str) -> Result<Url, String> {
    let base = format!("http://{listen}");
    let url = super::rpc::rpc_url(&base).map_err(|error| error.to_string())?;
    let connecting = async {
        while tokio::net::TcpStream::connect(listen).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    match timeout(START_LIMIT, connecting).await {
        Ok(()) => Ok(url),
        Err(_) => Err(format!("did not listen within {} s", START_LIMIT.as_secs())),
    }
}

/// The last line that the server wrote before it ended. Only used while it starts.
async fn read_last_line(log: Option<&mut StderrLines>) -> String {
    let mut last = String::new();
    if let Some(log) = log {
        while let Ok(Some(line)) = log.next_line().await {
            last = line;
        }
    }
    last
}

/// Reads the server's log and discards it.
async fn drain_log(log: Option<&mut StderrLines>) -> String {
    if let Some(log) = log {
        while let Ok(Some(_)) = log.next_line().await {}
    }
    std::future::pending().await
}
