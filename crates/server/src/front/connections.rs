//! The open connections: how many there are in all and from each network, and how many bytes they have sent unread.

use super::budget::HeldBytes;
use crate::settings::Proxies;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// The prefix of an IPv6 network: a client commands all addresses of its /64.
const NETWORK_BITS: u32 = 64;

/// The network that limits count an address by: the address itself for IPv4, its /64 for IPv6.
#[must_use]
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits() >> (128 - NETWORK_BITS) << (128 - NETWORK_BITS);
            std::net::Ipv6Addr::from_bits(bits).into()
        }
    }
}

/// Counts open connections.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<ConnectionCounts>>);

#[derive(Default)]
struct ConnectionCounts {
    all: u32,
    of: HashMap<IpAddr, u32>,
}

/// Counts one connection until it is dropped.
pub struct ConnectionSlot {
    connections: Connections,
    network: IpAddr,
}

impl Connections {
    /// Counts one more connection. `None` when `most` are open, or `per_network` from this network. A trusted proxy speaks
    /// for many clients, so only `most` holds for it.
    pub fn open(
        &self,
        peer: IpAddr,
        most: u32,
        per_network: u32,
        proxies: &Proxies,
    ) -> Option<ConnectionSlot> {
        let network = network(peer);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = counts.of.get(&network).copied().unwrap_or_default();
        if counts.all >= most || (of_one >= per_network && !proxies.trusts(peer)) {
            return None;
        }
        counts.all += 1;
        counts.of.insert(network, of_one + 1);
        Some(ConnectionSlot { connections: self.clone(), network })
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut counts = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(count) = counts.of.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.of.remove(&self.network);
            }
        }
    }
}

/// Counts the bytes that arrive over a WebSocket until they are read as whole messages: a frame is held in memory while it
/// grows.
#[derive(Clone, Default)]
pub struct Intake(Arc<Mutex<Option<HeldBytes>>>);

impl Intake {
    /// Starts to count.
    pub fn count(&self, held: HeldBytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    /// Releases what was counted: it was read.
    pub fn release(&self) {
        if let Some(held) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            held.release();
        }
    }

    /// Counts bytes that arrived. `false` when the budget has no room for them.
    fn take(&self, bytes: usize) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_mut().is_none_or(|held| held.take(bytes as u64))
    }
}

/// A client's connection, also after it became a WebSocket. It ends when the client reads nothing for too long, or when the
/// budget has no room for what the client sends.
pub struct ClientConnection {
    stream: TcpStream,
    intake: Intake,
    timeout: Duration,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
    _open: ConnectionSlot,
}

impl ClientConnection {
    /// A connection that ends when a write waits for longer than `timeout`.
    pub fn new(stream: TcpStream, timeout: Duration, open: ConnectionSlot) -> ClientConnection {
        ClientConnection { stream, intake: Intake::default(), timeout, stalled: None, _open: open }
    }

    /// The count of its unread bytes.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// The result of a write, or a timeout when it has waited for too long.
    fn check_stalled<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timeout = self.timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl AsyncRead for ClientConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let full = || io::Error::new(io::ErrorKind::OutOfMemory, "too much of unfinished frames is held");
        let room = self.intake.take(buffer.filled().len() - before);
        Poll::Ready(if room { Ok(()) } else { Err(full()) })
    }
}

impl AsyncWrite for ClientConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.check_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_all_together_have_a_limit() {
        let connections = Connections::default();
        let proxies = Proxies::new(&["10.0.0.0/8"]);
        let open = |ip: &str| connections.open(ip.parse().unwrap(), 6, 2, &proxies);
        let held = [open("192.0.2.1"), open("::ffff:192.0.2.1"), open("2001:db8::1"), open("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(open("192.0.2.1").is_none() && open("2001:db8::3").is_none(), "each has two already");
        let proxy = [open("10.0.0.1"), open("10.0.0.1")];
        assert_eq!(connections.count(), 6);
        assert!(open("10.0.0.1").is_none() && open("192.0.2.9").is_none(), "there are six already");
        drop(proxy);
        let third = ["10.0.0.1", "10.0.0.1"].map(open);
        drop(third);
        drop(held);
        assert_eq!(connections.count(), 0);
        assert!(connections.0.lock().unwrap().of.is_empty(), "nothing is kept of who is gone");
        assert!(open("192.0.2.1").is_some());
    }
}
