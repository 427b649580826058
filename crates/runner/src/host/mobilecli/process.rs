//! The `mobilecli server` that the host starts, restarts and ends.

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

/// What `mobilecli` writes to its standard error.
type StderrLines = Lines<BufReader<ChildStderr>>;

/// How long the server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How long it may take to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(8);

/// Runs the server, and ends it when the pipe to this shell's standard input closes: that happens however the host
/// ends, `kill -9` included. `mobilecli` also starts a daemon of its own, outside of any group of ours, so
/// that one is told to go.
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

/// The program to start: the one that was named, else `mobilecli` in `PATH`.
pub(super) fn find_program(named: Option<&Path>) -> Result<PathBuf, HostError> {
    if let Some(path) = named {
        // The working directory of a child is its own affair.
        return std::fs::canonicalize(path)
            .map_err(|error| HostError::NoMobilecli(format!("{}: {error}", path.display())));
    }
    find_in_path("mobilecli").ok_or_else(|| HostError::NoMobilecli("not in PATH".to_owned()))
}

/// Keeps a server running until `stop` is cancelled. The answer is where it takes calls, while it does.
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
            tracing::warn!(reason, retry_in = ?delay, "mobilecli does not run");
            if stop.run_until_cancelled(sleep(delay)).await.is_none() {
                return;
            }
        }
    });
    receiver
}

/// Starts the server and waits for its end. Answers why it ended.
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
    // Taken out, since waiting for the child would close it.
    let pipe = group.child.stdin.take();
    let mut log = group.child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
    let ready = tokio::select! {
        ready = wait_until_ready(&listen) => ready,
        said = read_last_line(log.as_mut()) => Err(format!("ended at once: {said}")),
        () = stop.cancelled() => Err("stopped".to_owned()),
    };
    let reason = match ready {
        Ok(url) => {
            tracing::info!(listen, "mobilecli runs");
            address.send_replace(Some(url));
            backoff.reset();
            tokio::select! {
                status = group.child.wait() => match status {
                    Ok(status) => format!("ended with {status}"),
                    Err(error) => format!("was lost: {error}"),
                },
                // Somebody must read it: a Go program dies of a log that nobody takes.
                never = drain_log(log.as_mut()) => never,
                () = stop.cancelled() => "stopped".to_owned(),
            }
        }
        Err(reason) => reason,
    };
    // Closing the pipe ends the server and its daemon; what does not heed it is killed with the group.
    drop(pipe);
    let _ = timeout(STOP_LIMIT, group.child.wait()).await;
    reason
}

/// Starts the server on a free port of the loopback interface. Another program may take the port in between: then the
/// server ends, and is started again on another.
fn start_server(program: &Path, home: &Path) -> std::io::Result<(ProcessGroup, String)> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let listen = format!("127.0.0.1:{port}");
    let mut shell = Command::new("sh");
    remove_secrets(shell.arg("-c").arg(SHELL).arg(program).arg(&listen))
        .env("MOBILECLI_HOME", home)
        // With --insecure-storage this is where the operator's own log-in to a cloud would be read from.
        .env("XDG_CONFIG_HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // Its log has what people type, so only the first lines are read, for the reason of a failed start.
        .stderr(Stdio::piped());
    Ok((ProcessGroup::spawn(&mut shell)?, listen))
}

/// Waits until the server answers.
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

/// What the server said last before it ended. Only asked while it starts.
async fn read_last_line(log: Option<&mut StderrLines>) -> String {
    let mut last = String::new();
    if let Some(log) = log {
        while let Ok(Some(line)) = log.next_line().await {
            last = line;
        }
    }
    last
}

/// Reads what the server says and forgets it.
async fn drain_log(log: Option<&mut StderrLines>) -> String {
    if let Some(log) = log {
        while let Ok(Some(_)) = log.next_line().await {}
    }
    std::future::pending().await
}
