//! Sends requests over several connections, and counts the responses.

use crate::Outcome;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Number of connections: enough that the server never waits for requests.
const CONNECTIONS: usize = 16;

/// Responses per second to one request, over `duration`. Every response must be 200.
pub async fn measure_rate(address: SocketAddr, request: &str, duration: Duration) -> Outcome<f64> {
    let start = Instant::now();
    let connections = (0..CONNECTIONS).map(|_| {
        let request = request.to_owned();
        tokio::spawn(async move { use_connection(address, &request, start + duration).await })
    });
    let mut responses = 0;
    for connection in connections.collect::<Vec<_>>() {
        responses += connection.await??;
    }
    Ok(f64::from(responses) / start.elapsed().as_secs_f64())
}

/// The body of one response.
pub async fn fetch_body(address: SocketAddr, request: &str) -> Outcome<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let (head, length) = read_response(&mut stream, &mut buffer).await?;
    Ok(buffer[head..head + length].to_vec())
}

async fn use_connection(address: SocketAddr, request: &str, until: Instant) -> Outcome<u32> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1 << 17);
    let mut responses = 0;
    while Instant::now() < until {
        stream.write_all(request.as_bytes()).await?;
        let (head, length) = read_response(&mut stream, &mut buffer).await?;
        buffer.drain(..head + length);
        responses += 1;
    }
    Ok(responses)
}

/// Reads one whole response. Returns the lengths of its head and its body.
async fn read_response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Outcome<(usize, usize)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(format!("a response other than 200: {head}").into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.ok_or("a response without a length")?.trim().parse()?;
            if buffer.len() >= end + 4 + length {
                return Ok((end + 4, length));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
    }
}
