//! The command of one turn: a process group, what it writes, and how it ends.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::work::Item;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::directives::{Asked, Directives, Found};
use super::text::{Decoder, Lines};
use crate::child_process::Group;

/// How long what a command left running may go on writing after it.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// How much is still read, and how long each read may take, when the whole group is gone: the pipe may be held open
/// by what has left the group.
const LAST_BYTES: usize = 1 << 20;
const LAST_READ: Duration = Duration::from_millis(200);

/// Bytes read at once.
const PIECE: usize = 8 << 10;

/// Last lines of standard error that a failure shows, and the longest part of each in characters.
const LAST_LINES: usize = 10;
const SHOWN: usize = 400;

/// What may end a command before it ends itself.
#[derive(Debug)]
pub(crate) struct Limits<'a> {
    pub(crate) time: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) grace: Duration,
    pub(crate) cancelled: &'a CancellationToken,
    /// The worker has no more time.
    pub(crate) stopped: &'a CancellationToken,
    /// Nobody takes what is written.
    pub(crate) broken: &'a CancellationToken,
}

/// Why a command ended.
#[derive(Debug)]
pub(crate) enum Ending {
    ByItself(ExitStatus),
    OutOfTime,
    Cancelled,
    Stopped,
    Broken,
}

/// What the worker itself remembers of what a command wrote.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The last state that was asked for.
    pub(crate) state: Option<Asked>,
    last: VecDeque<String>,
}

impl Said {
    /// The last lines of standard error.
    pub(crate) fn last_lines(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.chars().take(SHOWN).collect());
    }
}

/// Runs the command with `input` on its standard input, and sends what it writes. When this returns, or is dropped,
/// nothing of the command's group is left.
///
/// # Errors
/// The command does not start.
pub(crate) async fn run(
    command: &mut Command,
    input: String,
    items: mpsc::Sender<Item>,
    directives: bool,
    limits: &Limits<'_>,
) -> io::Result<(Ending, Said)> {
    let mut running = Running::start(command, input, items, directives)?;
    let ending = tokio::select! {
        status = running.group.child.wait() => Ending::ByItself(status?),
        () = limits.cancelled.cancelled() => Ending::Cancelled,
        () = limits.stopped.cancelled() => Ending::Stopped,
        () = limits.broken.cancelled() => Ending::Broken,
        () = tokio::time::sleep(limits.time) => Ending::OutOfTime,
    };
    match ending {
        Ending::ByItself(_) => running.end(AFTERWARDS).await,
        _ => {
            running.group.signal(Signal::TERM);
            running.end(limits.grace).await;
        }
    }
    let said = std::mem::take(&mut *running.said.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((ending, said))
}

struct Running {
    group: Group,
    pumps: JoinSet<()>,
    closing: CancellationToken,
    said: Arc<Mutex<Said>>,
    _feeding: Option<AbortOnDropHandle<()>>,
}

impl Running {
    fn start(
        command: &mut Command,
        input: String,
        items: mpsc::Sender<Item>,
        directives: bool,
    ) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::spawn(command)?;
        let feeding = group.child.stdin.take().map(|stdin| tokio::spawn(feed(stdin, input)));
        let (closing, said) = (CancellationToken::new(), Arc::<Mutex<Said>>::default());
        let mut pumps = JoinSet::new();
        if let Some(pipe) = group.child.stdout.take() {
            let answer = Answer { directives: directives.then(Directives::default), said: Arc::clone(&said) };
            pumps.spawn(pump(pipe, answer, items.clone(), closing.clone()));
        }
        if let Some(pipe) = group.child.stderr.take() {
            let log = Log { lines: Lines::default(), said: Arc::clone(&said) };
            pumps.spawn(pump(pipe, log, items, closing.clone()));
        }
        Ok(Self { group, pumps, closing, said, _feeding: feeding.map(AbortOnDropHandle::new) })
    }

    /// Waits until all of the group is gone, or kills what is left at the limit; then reads what is left to read.
    async fn end(&mut self, limit: Duration) {
        let gone = async {
            let _ = self.group.child.wait().await;
            while self.pumps.join_next().await.is_some() {}
        };
        let _ = timeout(limit, gone).await;
        self.group.signal(Signal::KILL);
        self.closing.cancel();
        let _ = self.group.child.wait().await;
        while self.pumps.join_next().await.is_some() {}
    }
}

/// Writes the input. A command need not read it.
async fn feed(mut stdin: ChildStdin, input: String) {
    let _ = stdin.write_all(input.as_bytes()).await;
    let _ = stdin.shutdown().await;
}

/// What becomes of the text of a pipe.
trait Reader: Send + 'static {
    fn take(&mut self, text: &str) -> Vec<Item>;
    fn finish(&mut self) -> Vec<Item>;
}

/// Reads a pipe to its end. It does not read on while nobody takes the items.
async fn pump(
    mut pipe: impl AsyncRead + Unpin,
    mut reader: impl Reader,
    items: mpsc::Sender<Item>,
    closing: CancellationToken,
) {
    let (mut decoder, mut piece, mut left) = (Decoder::default(), vec![0; PIECE], LAST_BYTES);
    loop {
        let last_read = async {
            closing.cancelled().await;
            tokio::time::sleep(LAST_READ).await;
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

/// Standard output: the answer, less directives if there may be any.
struct Answer {
    directives: Option<Directives>,
    said: Arc<Mutex<Said>>,
}

impl Answer {
    fn items(&self, found: Vec<Found>) -> Vec<Item> {
        let state = |asked| self.said.lock().unwrap_or_else(PoisonError::into_inner).state = Some(asked);
        let items = found.into_iter().filter_map(|found| match found {
            Found::Item(item) => Some(item),
            Found::State(asked) => {
                state(asked);
                None
            }
        });
        items.collect()
    }
}

impl Reader for Answer {
    fn take(&mut self, text: &str) -> Vec<Item> {
        match &mut self.directives {
            Some(directives) => {
                let found = directives.take(text);
                self.items(found)
            }
            None if text.is_empty() => Vec::new(),
            None => vec![Item::Output { text: text.to_owned() }],
        }
    }

    fn finish(&mut self) -> Vec<Item> {
        let found = self.directives.as_mut().map(Directives::finish);
        self.items(found.unwrap_or_default())
    }
}

/// Standard error: a line, an item.
struct Log {
    lines: Lines,
    said: Arc<Mutex<Said>>,
}

impl Log {
    fn items(&self, lines: impl IntoIterator<Item = String>) -> Vec<Item> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let items = lines.into_iter().map(|line| {
            said.remember(&line);
            Item::Log { line }
        });
        items.collect()
    }
}

impl Reader for Log {
    fn take(&mut self, text: &str) -> Vec<Item> {
        let lines = self.lines.take(text);
        self.items(lines)
    }

    fn finish(&mut self) -> Vec<Item> {
        let line = self.lines.finish();
        self.items(line)
    }
}
