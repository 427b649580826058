//! Keeps a server busy over a few connections and counts its answers.

use crate::Outcome;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections at once: enough that the server never waits for the load.
const CONNECTIONS: usize = 16;

/// Answers a second to one request, over `duration`. Every answer must be 200.
pub async fn rate(address: SocketAddr, request: &str, duration: Duration) -> Outcome<f64> {
    let start = Instant::now();
    let connections = (0..CONNECTIONS).map(|_| {
        let request = request.to_owned();
        tokio::spawn(async move { connection(address, &request, start + duration).await })
    });
    let mut answers = 0;
    for connection in connections.collect::<Vec<_>>() {
        answers += connection.await??;
    }
    Ok(f64::from(answers) / start.elapsed().as_secs_f64())
}

/// One answer's body.
pub async fn body(address: SocketAddr, request: &str) -> Outcome<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let (head, length) = answer(&mut stream, &mut buffer).await?;
    Ok(buffer[head..head + length].to_vec())
}

async fn connection(address: SocketAddr, request: &str, until: Instant) -> Outcome<u32> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1 << 17);
    let mut answers = 0;
    while Instant::now() < until {
        stream.write_all(request.as_bytes()).await?;
        let (head, length) = answer(&mut stream, &mut buffer).await?;
        buffer.drain(..head + length);
        answers += 1;
    }
    Ok(answers)
}

/// Reads until a whole answer is there; gives the lengths of its head and body.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Outcome<(usize, usize)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(format!("an answer other than 200: {head}").into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.ok_or("an answer without a length")?.trim().parse()?;
            if buffer.len() >= end + 4 + length {
                return Ok((end + 4, length));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
    }
}
