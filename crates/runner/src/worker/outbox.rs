//! Sends a turn's items to the server: in batches, numbered, and repeated until the server has accepted them.

use std::time::Duration;

use protocol::work::{MAX_REPORT_ITEMS, ReportedItem, TurnReport};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use super::lease::Lease;
use super::work_client::WorkError;
use crate::clock::now;

/// Maximum number of items that wait for the server. Beyond it the command waits: output is neither lost nor piled up.
pub(crate) const MAX_WAITING_ITEMS: usize = 64;

/// How long a batch waits for more items.
const GATHER_TIME: Duration = Duration::from_millis(100);

/// A batch of this size is sent at once.
const ENOUGH_BYTES: usize = 8 << 10;

/// Items that already wait are added up to this size.
const MAX_BYTES: usize = 64 << 10;

/// Sends all items until the senders are gone. If the first item takes a moment, an empty report says that the work
/// has begun.
///
/// # Errors
/// Why the server does not accept the items. The turn cannot continue.
pub(crate) async fn report_items(
    lease: &Lease,
    mut items: mpsc::Receiver<ReportedItem>,
) -> Result<(), String> {
    let mut first = match timeout(GATHER_TIME, items.recv()).await {
        Ok(item) => item,
        Err(_) => {
            send_report(lease, 0, Vec::new()).await?;
            items.recv().await
        }
    };
    let mut number = 0;
    while let Some(item) = first {
        number += send_report(lease, number, gather_batch(item, &mut items).await).await?;
        first = items.recv().await;
    }
    Ok(())
}

/// Sends items of which the first has this number. Returns how many there were.
async fn send_report(lease: &Lease, first: u64, items: Vec<ReportedItem>) -> Result<u64, String> {
    let report = TurnReport { turn_ref: lease.turn.turn_ref, first, items };
    match lease.client.send_report(&lease.turn, &report).await {
        Ok(beat) => {
            if beat.cancelled {
                lease.cancelled.cancel();
            }
            Ok(report.items.len() as u64)
        }
        Err(WorkError::Lost | WorkError::Refused { .. }) => {
            lease.mark_lost();
            // The task that renews the lease now drops the whole turn, and this future with it.
            std::future::pending().await
        }
        Err(WorkError::Rejected(reason) | WorkError::Unavailable(reason)) => Err(reason),
    }
}

/// The item, and those that follow within a moment.
async fn gather_batch(first: ReportedItem, items: &mut mpsc::Receiver<ReportedItem>) -> Vec<ReportedItem> {
    let mut batch = ItemBatch::default();
    batch.push(first);
    let until = now() + GATHER_TIME;
    while batch.bytes < ENOUGH_BYTES {
        match timeout_at(until, items.recv()).await {
            Ok(Some(item)) => batch.push(item),
            Ok(None) | Err(_) => break,
        }
    }
    while batch.bytes < MAX_BYTES && batch.items.len() < MAX_REPORT_ITEMS {
        match items.try_recv() {
            Ok(item) => batch.push(item),
            Err(_) => break,
        }
    }
    batch.items
}

#[derive(Default)]
struct ItemBatch {
    items: Vec<ReportedItem>,
    bytes: usize,
}

impl ItemBatch {
    /// Adds an item; output that follows output is joined to it.
    fn push(&mut self, item: ReportedItem) {
        self.bytes += wire_size(&item);
        match (self.items.last_mut(), item) {
            (Some(ReportedItem::Output { text }), ReportedItem::Output { text: more }) => {
                text.push_str(&more)
            }
            (_, item) => self.items.push(item),
        }
    }
}

/// Approximate size on the wire, in bytes.
fn wire_size(item: &ReportedItem) -> usize {
    32 + match item {
        ReportedItem::Output { text } | ReportedItem::Log { line: text } => text.len(),
        ReportedItem::Message { text, parts } => {
            text.len() + parts.iter().map(|part| part.to_string().len()).sum::<usize>()
        }
        ReportedItem::StructuredOutput { value } | ReportedItem::Event { data: value, .. } => {
            value.to_string().len()
        }
        ReportedItem::Usage(_) | ReportedItem::PullRequest(_) | ReportedItem::Title { .. } => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> ReportedItem {
        ReportedItem::Output { text: text.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_gathers_for_a_moment_or_until_it_is_large() {
        let (sender, mut items) = mpsc::channel(MAX_WAITING_ITEMS);
        sender.try_send(output("b")).unwrap();
        sender.try_send(ReportedItem::Log { line: "c".into() }).unwrap();
        sender.try_send(output("d")).unwrap();
        let expected = vec![output("ab"), ReportedItem::Log { line: "c".into() }, output("d")];
        let begun = now();
        assert_eq!(gather_batch(output("a"), &mut items).await, expected);
        assert_eq!(begun.elapsed(), GATHER_TIME);

        sender.try_send(output("y")).unwrap();
        let begun = now();
        assert_eq!(gather_batch(output(&"x".repeat(ENOUGH_BYTES)), &mut items).await.len(), 1);
        assert!(begun.elapsed().is_zero());

        drop(sender);
        let begun = now();
        assert_eq!(gather_batch(output("z"), &mut items).await, [output("z")]);
        assert!(begun.elapsed().is_zero());
    }
}
