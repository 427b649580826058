//! `front/`, over TCP.

mod budget;
mod credentials;
mod limits;
mod rates;
mod raw;
mod sites;
mod tls;

use crate::world::World;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a test waits for an expected event.
const SOON: Duration = Duration::from_secs(20);

/// The address of a world's server.
fn address(world: &World) -> SocketAddr {
    world.server.address()
}

/// Sends bytes. Returns everything received until the connection ends.
async fn exchange(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address(world)).await.unwrap();
    let (mut from, mut to) = stream.split();
    let mut response = Vec::new();
    // A server that has refused a head does not read what follows.
    let sent = async { drop(to.write_all(bytes).await) };
    let got = async { drop(from.read_to_end(&mut response).await) };
    let both = futures_util::future::join(sent, got);
    tokio::time::timeout(SOON, both).await.unwrap_or_else(|_| {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        panic!("the connection stays open after {start:?}")
    });
    String::from_utf8_lossy(&response).into_owned()
}

/// The statuses of all responses, in order.
fn statuses(responses: &str) -> Vec<u16> {
    let starts = responses.match_indices("HTTP/1.").map(|(at, _)| &responses[at..]);
    starts.filter_map(|response| response.get(9..12)?.parse().ok()).collect()
}

/// The value of a header of the first response.
fn header<'a>(responses: &'a str, name: &str) -> Option<&'a str> {
    let head = responses.split("\r\n\r\n").next()?;
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
