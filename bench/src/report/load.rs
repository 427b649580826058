//! The load: connections that stay open, each with one request at a time, on one thread.

use crate::Outcome;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Bytes that are read at a time.
const BUFFER: usize = 1 << 17;

/// A list of requests, which are sent in turn.
pub type Requests = Arc<[Vec<u8>]>;

/// What a round of load found.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Number of responses.
    pub responses: u64,
    /// How long the round took.
    pub seconds: f64,
    /// The time of each response in microseconds, when there was one connection.
    pub times: Vec<f64>,
}

/// A GET request.
pub fn get(path: &str, key: Option<&str>) -> Vec<u8> {
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{key}\r\n").into_bytes()
}

/// A POST request with a JSON body.
pub fn post(path: &str, key: &str, body: &str) -> Vec<u8> {
    post_with(path, &format!("authorization: Bearer {key}\r\n"), body)
}

/// A POST request of somebody who is not known.
pub fn post_without_key(path: &str, body: &str) -> Vec<u8> {
    post_with(path, "", body)
}

fn post_with(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\n{headers}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The status and the body of one response.
pub async fn fetch(address: SocketAddr, request: &[u8]) -> Outcome<(u16, Vec<u8>)> {
    let mut connection = Connection::open(address).await?;
    let mut body = Vec::new();
    let status = connection.exchange(request, |bytes| body.extend_from_slice(bytes)).await?;
    Ok((status, body))
}

/// Sends requests over `connections` for a time. Every response must be a success.
///
/// It runs on a thread of its own, so that no other thread is woken for a response.
pub async fn run(
    address: SocketAddr,
    requests: Requests,
    connections: usize,
    duration: Duration,
) -> Outcome<Round> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let round = match runtime {
            Ok(runtime) => runtime.block_on(run_here(address, requests, connections, duration)),
            Err(error) => Err(error.into()),
        };
        let _ = sender.send(round);
    });
    receiver.await?
}

async fn run_here(
    address: SocketAddr,
    requests: Requests,
    connections: usize,
    duration: Duration,
) -> Outcome<Round> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let began = Instant::now();
    let until = began + duration;
    let keeps_times = connections == 1;
    let mut tasks = JoinSet::new();
    for (number, connection) in open.into_iter().enumerate() {
        let requests = requests.clone();
        tasks.spawn(use_connection(connection, requests, number, until, keeps_times));
    }
    let mut round = Round::default();
    while let Some(own) = tasks.join_next().await {
        let (responses, times) = own??;
        round.responses += responses;
        round.times.extend(times);
    }
    round.seconds = began.elapsed().as_secs_f64();
    Ok(round)
}

async fn use_connection(
    mut connection: Connection,
    requests: Requests,
    first: usize,
    until: Instant,
    keeps_times: bool,
) -> Outcome<(u64, Vec<f64>)> {
    let (mut responses, mut times, mut next) = (0, Vec::new(), first);
    let mut began = Instant::now();
    while began < until {
        let request = &requests[next % requests.len()];
        next += 1;
        let status = connection.exchange(request, |_| {}).await?;
        if !(200..300).contains(&status) {
            let line = String::from_utf8_lossy(request).lines().next().unwrap_or_default().to_owned();
            return Err(format!("{status} for {line}").into());
        }
        responses += 1;
        let now = Instant::now();
        if keeps_times {
            times.push((now - began).as_secs_f64() * 1e6);
        }
        began = now;
    }
    Ok((responses, times))
}

/// A connection that stays open.
struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

/// The head of a response.
struct Head {
    status: u16,
    /// Where the body begins.
    end: usize,
    /// The length of the body; `None` for one in chunks.
    length: Option<usize>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Outcome<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![0; BUFFER].into_boxed_slice() })
    }

    /// Sends a request and reads the whole response. `take` gets the parts of its body.
    async fn exchange(&mut self, request: &[u8], mut take: impl FnMut(&[u8])) -> Outcome<u16> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled).await?;
            if let Some(head) = read_head(&self.buffer[..filled])? {
                break head;
            }
            if filled == self.buffer.len() {
                return Err("the head of a response is too large".into());
            }
        };
        let Some(length) = head.length else {
            return self.read_chunks(head, filled, take).await;
        };
        take(&self.buffer[head.end..filled]);
        let mut left = (head.end + length).saturating_sub(filled);
        while left > 0 {
            let count = self.read(0).await?;
            take(&self.buffer[..count]);
            left = left.saturating_sub(count);
        }
        Ok(head.status)
    }

    /// Reads a body in chunks: until the chunk of length zero. `take` gets the chunks with their lengths around them.
    async fn read_chunks(&mut self, head: Head, filled: usize, mut take: impl FnMut(&[u8])) -> Outcome<u16> {
        let mut body = self.buffer[head.end..filled].to_vec();
        while !body.ends_with(b"0\r\n\r\n") {
            let count = self.read(0).await?;
            body.extend_from_slice(&self.buffer[..count]);
        }
        take(&body);
        Ok(head.status)
    }

    async fn read(&mut self, from: usize) -> Outcome<usize> {
        match self.stream.read(&mut self.buffer[from..]).await? {
            0 => Err("the server closed the connection".into()),
            count => Ok(count),
        }
    }
}

/// Reads the head of a response, when all of it is there.
fn read_head(bytes: &[u8]) -> Outcome<Option<Head>> {
    let Some(at) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = &bytes[..at];
    let digits = text.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    let status = digits.and_then(|digits| digits.parse().ok()).ok_or("a response without a status")?;
    let mut length = (status == 204).then_some(0);
    let mut is_chunked = false;
    for line in text.split(|byte| *byte == b'\n').skip(1) {
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            length = Some(std::str::from_utf8(&line[15..])?.trim().parse()?);
        }
        is_chunked |= line.len() > 18 && line[..18].eq_ignore_ascii_case(b"transfer-encoding:");
    }
    if length.is_none() && !is_chunked {
        return Err("a response without a length".into());
    }
    Ok(Some(Head { status, end: at + 4, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let head = read_head(b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{").unwrap().unwrap();
        assert_eq!((head.status, head.length, head.end), (201, Some(12), 44));
        assert!(read_head(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
        assert!(read_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        let chunked = read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert_eq!(chunked.length, None);
    }
}
