//! Runs the command of one turn: its process group, its output and its end.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::work::ReportedItem;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::directives::{Directives, OutputPart, RequestedState};
use super::text::{LineSplitter, Utf8Decoder};
use crate::child_process::ProcessGroup;

/// How long background processes of a command may write after the command has ended.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(1);

/// How much is still read after the whole group is gone, in bytes, and how long each read may take: a process that
/// left the group may hold the pipe open.
const MAX_LAST_BYTES: usize = 1 << 20;
const LAST_READ_LIMIT: Duration = Duration::from_millis(200);

/// Bytes read at once.
const READ_BYTES: usize = 8 << 10;

/// Number of last lines of standard error that a failure shows, and the longest part of each, in characters.
const MAX_LAST_LINES: usize = 10;
const MAX_LINE_CHARS: usize = 400;

/// The reasons to end a command early.
#[derive(Debug)]
pub(crate) struct CommandLimits<'a> {
    pub(crate) time: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) grace: Duration,
    pub(crate) cancelled: &'a CancellationToken,
    /// The worker's stop limit has passed.
    pub(crate) stopped: &'a CancellationToken,
    /// The server does not accept the output.
    pub(crate) report_failed: &'a CancellationToken,
}

/// Why a command ended.
#[derive(Debug)]
pub(crate) enum CommandEnd {
    ByItself(ExitStatus),
    OutOfTime,
    Cancelled,
    Stopped,
    ReportFailed,
}

/// What the worker itself keeps of a command's output.
#[derive(Debug, Default)]
pub(crate) struct OutputSummary {
    /// The last state that the command requested.
    pub(crate) requested_state: Option<RequestedState>,
    last: VecDeque<String>,
}

impl OutputSummary {
    /// The last lines of standard error.
    pub(crate) fn last_lines(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn add_line(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.last.len() == MAX_LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.chars().take(MAX_LINE_CHARS).collect());
    }
}

/// Runs the command with `input` on its standard input, and sends its output to `items`. When this returns or is
/// dropped, no process of the command's group is left.
///
/// # Errors
/// The command cannot be started or waited for.
pub(crate) async fn run_command(
    command: &mut Command,
    input: String,
    items: mpsc::Sender<ReportedItem>,
    directives: bool,
    limits: &CommandLimits<'_>,
) -> io::Result<(CommandEnd, OutputSummary)> {
    let mut running = RunningCommand::start(command, input, items, directives)?;
    let ending = tokio::select! {
        status = running.group.child.wait() => CommandEnd::ByItself(status?),
        () = limits.cancelled.cancelled() => CommandEnd::Cancelled,
        () = limits.stopped.cancelled() => CommandEnd::Stopped,
        () = limits.report_failed.cancelled() => CommandEnd::ReportFailed,
        () = tokio::time::sleep(limits.time) => CommandEnd::OutOfTime,
    };
    match ending {
        CommandEnd::ByItself(_) => running.wait_and_kill(LEFTOVER_LIMIT).await,
        _ => {
            running.group.signal(Signal::TERM);
            running.wait_and_kill(limits.grace).await;
        }
    }
    let summary = std::mem::take(&mut *running.summary.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((ending, summary))
}

struct RunningCommand {
    group: ProcessGroup,
    pumps: JoinSet<()>,
    closing: CancellationToken,
    summary: Arc<Mutex<OutputSummary>>,
    _feeding: Option<AbortOnDropHandle<()>>,
}

impl RunningCommand {
    fn start(
        command: &mut Command,
        input: String,
        items: mpsc::Sender<ReportedItem>,
        directives: bool,
    ) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = ProcessGroup::spawn(command)?;
        let feeding = group.child.stdin.take().map(|stdin| tokio::spawn(write_input(stdin, input)));
        let (closing, summary) = (CancellationToken::new(), Arc::<Mutex<OutputSummary>>::default());
        let mut pumps = JoinSet::new();
        if let Some(pipe) = group.child.stdout.take() {
            let stdout_reader = StdoutReader {
                directives: directives.then(Directives::default),
                summary: Arc::clone(&summary),
            };
            pumps.spawn(pump_pipe(pipe, stdout_reader, items.clone(), closing.clone()));
        }
        if let Some(pipe) = group.child.stderr.take() {
            let log = StderrReader { lines: LineSplitter::default(), summary: Arc::clone(&summary) };
            pumps.spawn(pump_pipe(pipe, log, items, closing.clone()));
        }
        Ok(Self { group, pumps, closing, summary, _feeding: feeding.map(AbortOnDropHandle::new) })
    }

    /// Waits until the whole group is gone, or kills it at the limit. Then reads the remaining output.
    async fn wait_and_kill(&mut self, limit: Duration) {
        let exited = async {
            let _ = self.group.child.wait().await;
            while self.pumps.join_next().await.is_some() {}
        };
        let _ = timeout(limit, exited).await;
        self.group.signal(Signal::KILL);
        self.closing.cancel();
        let _ = self.group.child.wait().await;
        while self.pumps.join_next().await.is_some() {}
    }
}

/// Writes the input. Errors are ignored, because a command need not read it.
async fn write_input(mut stdin: ChildStdin, input: String) {
    let _ = stdin.write_all(input.as_bytes()).await;
    let _ = stdin.shutdown().await;
}

/// Turns the text of a pipe into items.
trait PipeReader: Send + 'static {
    fn take(&mut self, text: &str) -> Vec<ReportedItem>;
    fn finish(&mut self) -> Vec<ReportedItem>;
}

/// Reads a pipe to its end. Stops reading while nobody takes the items.
async fn pump_pipe(
    mut pipe: impl AsyncRead + Unpin,
    mut reader: impl PipeReader,
    items: mpsc::Sender<ReportedItem>,
    closing: CancellationToken,
) {
    let (mut decoder, mut piece, mut left) = (Utf8Decoder::default(), vec![0; READ_BYTES], MAX_LAST_BYTES);
    loop {
        let last_read = async {
            closing.cancelled().await;
            tokio::time::sleep(LAST_READ_LIMIT).await;
        };
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut piece) => read.unwrap_or(0),
            () = last_read => 0,
        };
        if closing.is_cancelled() {
            left = left.saturating_sub(read);
        }
        if read == 0 || left == 0 {
            break;
        }
        for item in reader.take(&decoder.take(&piece[..read])) {
            if items.send(item).await.is_err() {
                return;
            }
        }
    }
    let rest = reader.take(&decoder.finish());
    for item in rest.into_iter().chain(reader.finish()) {
        let _ = items.send(item).await;
    }
}

/// Standard output: the answer, without the directives if those are allowed.
struct StdoutReader {
    directives: Option<Directives>,
    summary: Arc<Mutex<OutputSummary>>,
}

impl StdoutReader {
    fn take_items(&self, parts: Vec<OutputPart>) -> Vec<ReportedItem> {
        let state = |requested| {
            self.summary.lock().unwrap_or_else(PoisonError::into_inner).requested_state = Some(requested)
        };
        let items = parts.into_iter().filter_map(|part| match part {
            OutputPart::Item(item) => Some(item),
            OutputPart::State(requested) => {
                state(requested);
                None
            }
        });
        items.collect()
    }
}

impl PipeReader for StdoutReader {
    fn take(&mut self, text: &str) -> Vec<ReportedItem> {
        match &mut self.directives {
            Some(directives) => {
                let parts = directives.take(text);
                self.take_items(parts)
            }
            None if text.is_empty() => Vec::new(),
            None => vec![ReportedItem::Output { text: text.to_owned() }],
        }
    }

    fn finish(&mut self) -> Vec<ReportedItem> {
        let parts = self.directives.as_mut().map(Directives::finish);
        self.take_items(parts.unwrap_or_default())
    }
}

/// Standard error: each line becomes an item.
struct StderrReader {
    lines: LineSplitter,
    summary: Arc<Mutex<OutputSummary>>,
}

impl StderrReader {
    fn take_items(&self, lines: impl IntoIterator<Item = String>) -> Vec<ReportedItem> {
        let mut summary = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
        let items = lines.into_iter().map(|line| {
            summary.add_line(&line);
            ReportedItem::Log { line }
        });
        items.collect()
    }
}

impl PipeReader for StderrReader {
    fn take(&mut self, text: &str) -> Vec<ReportedItem> {
        let lines = self.lines.take(text);
        self.take_items(lines)
    }

    fn finish(&mut self) -> Vec<ReportedItem> {
        let line = self.lines.finish();
        self.take_items(line)
    }
}
