//! Which connections there are: how many altogether, and how many from one address.

use super::budget::Held;
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

/// The addresses that one network has: whoever has one of IPv6 has the 2^64 beside it.
const NETWORK_BITS: u32 = 64;

/// What counts as one address, for limits: an IPv4 address, or a network of IPv6.
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

/// The connections that are open.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: u32,
    of: HashMap<IpAddr, u32>,
}

/// One connection; it counts until this is dropped.
pub struct Open {
    connections: Connections,
    network: IpAddr,
}

impl Connections {
    /// Counts one more, unless there are `most` already, or `most_of_one` from this address. A proxy that is trusted
    /// speaks for many: only the whole counts for it.
    pub fn open(&self, peer: IpAddr, most: u32, most_of_one: u32, proxies: &Proxies) -> Option<Open> {
        let network = network(peer);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = counts.of.get(&network).copied().unwrap_or_default();
        if counts.all >= most || (of_one >= most_of_one && !proxies.trusts(peer)) {
            return None;
        }
        counts.all += 1;
        counts.of.insert(network, of_one + 1);
        Some(Open { connections: self.clone(), network })
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Open {
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

/// Counts what comes over a connection that has become a WebSocket, until it is taken as whole messages: a frame is
/// held in memory while it grows.
#[derive(Clone, Default)]
pub struct Intake(Arc<Mutex<Option<Held>>>);

impl Intake {
    /// Counts from now on.
    pub fn count(&self, held: Held) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    /// All that came was taken.
    pub fn taken(&self) {
        if let Some(held) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            held.release();
        }
    }

    /// Whether there is room for what came.
    fn has_room(&self, bytes: usize) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_mut().is_none_or(|held| held.take(bytes as u64))
    }
}

/// A connection that counts for as long as it is there, also as a WebSocket. It ends when its client takes nothing of
/// what is written to it for too long, and when there is no memory for what its client sends.
pub struct Line {
    stream: TcpStream,
    intake: Intake,
    patience: Duration,
    /// Running since a write had to wait.
    stalled: Option<Pin<Box<Sleep>>>,
    _open: Open,
}

impl Line {
    /// A connection whose client may take nothing for `patience`.
    pub fn new(stream: TcpStream, patience: Duration, open: Open) -> Line {
        Line { stream, intake: Intake::default(), patience, stalled: None, _open: open }
    }

    /// What counts the bytes that come.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// What came of a write, or its end when it has waited for too long.
    fn unless_stalled<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let full = || io::Error::new(io::ErrorKind::OutOfMemory, "too much of unfinished frames is held");
        let room = self.intake.has_room(buffer.filled().len() - before);
        Poll::Ready(if room { Ok(()) } else { Err(full()) })
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.unless_stalled(context, written)
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
        let proxies = Proxies::of(&["10.0.0.0/8"]);
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
