//! News of commits: which organizations changed, told to whoever waits in this process.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

/// How many signals a receiver may be behind before it is told [`Signal::Everything`] instead.
const BACKLOG: usize = 1024;

/// What may have changed in the database since the receiver last looked.
///
/// A signal is a hint to read again, sent after the commit: what it speaks of can be read when it arrives.
/// It may be sent without need; it is never left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A group of batches that locked these organizations was committed, here or by another server.
    Organizations(Arc<[Uuid]>),
    /// Anything: another process wrote, or signals were missed.
    Everything,
}

/// Receives the signals sent since it was made. Dropping it ends it.
pub struct SignalReceiver {
    receiver: broadcast::Receiver<Signal>,
}

impl SignalReceiver {
    /// Waits for the next signal; `None` once the database is closed. May be cancelled without losing one.
    ///
    /// A receiver that is too slow gets [`Signal::Everything`] for all that it missed.
    pub async fn recv(&mut self) -> Option<Signal> {
        match self.receiver.recv().await {
            Ok(signal) => Some(signal),
            Err(RecvError::Closed) => None,
            Err(RecvError::Lagged(_)) => {
                // What is still queued is a part of everything: leave it out, or a receiver that is behind
                // would have the same work to do another thousand times.
                self.receiver = self.receiver.resubscribe();
                Some(Signal::Everything)
            }
        }
    }
}

/// Where the writer and the listener send signals.
#[derive(Clone)]
pub(super) struct Signals {
    /// `None` once closed, so that receivers end even while handles to the database are still about.
    sender: Arc<Mutex<Option<broadcast::Sender<Signal>>>>,
}

impl Signals {
    pub(super) fn new() -> Self {
        Signals { sender: Arc::new(Mutex::new(Some(broadcast::Sender::new(BACKLOG)))) }
    }

    pub(super) fn subscribe(&self) -> SignalReceiver {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a closed database: a receiver that ends at once.
        let receiver = sender
            .as_ref()
            .map_or_else(|| broadcast::Sender::new(1).subscribe(), broadcast::Sender::subscribe);
        SignalReceiver { receiver }
    }

    /// Tells of a commit that locked these organizations; of none, there is nothing to tell.
    pub(super) fn organizations(&self, organizations: impl Into<Arc<[Uuid]>>) {
        let organizations = organizations.into();
        if !organizations.is_empty() {
            self.send(Signal::Organizations(organizations));
        }
    }

    pub(super) fn everything(&self) {
        self.send(Signal::Everything);
    }

    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn send(&self, signal: Signal) {
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            // An error only says that nobody listens.
            let _ = sender.send(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_receiver_is_told_everything_once() {
        let signals = Signals::new();
        let mut receiver = signals.subscribe();
        for number in 0..3000 {
            signals.organizations([Uuid::from_u128(number)]);
        }
        assert_eq!(receiver.recv().await, Some(Signal::Everything));
        signals.organizations([Uuid::nil()]);
        assert_eq!(receiver.recv().await, Some(Signal::Organizations([Uuid::nil()].into())));
    }

    #[tokio::test]
    async fn receivers_end_when_the_database_is_closed() {
        let signals = Signals::new();
        let mut receiver = signals.subscribe();
        signals.everything();
        signals.close();
        assert_eq!(receiver.recv().await, Some(Signal::Everything));
        assert_eq!(receiver.recv().await, None);
        assert_eq!(signals.subscribe().recv().await, None);
    }
}
