//! Notifications of other servers' commits, by NOTIFY.

use super::connection::{PostgresAddress, to_database_error};
use crate::database::DatabaseError;
use crate::database::Topic;
use crate::database::signal::Signals;
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client};
use uuid::Uuid;

/// PostgreSQL accepts less than 8,000 bytes.
const PAYLOAD: usize = 7_000;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The notifications for some topics: the server's own id, then one line for each topic, in as many payloads as
/// needed.
pub(super) fn build_payloads(node: Uuid, topics: &BTreeSet<Topic>) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for line in topics.iter().map(Topic::to_text) {
        match payloads.last_mut().filter(|payload| payload.len() + line.len() < PAYLOAD) {
            Some(payload) => {
                payload.push('\n');
                payload.push_str(&line);
            }
            None => payloads.push(format!("{node} {line}")),
        }
    }
    payloads
}

/// Wakes the tasks here that wait for the topics of another server's commit.
fn wake_for(payload: &str, node: Uuid, signals: &Signals) {
    let (sender, lines) = payload.split_once(' ').unwrap_or_default();
    if Uuid::parse_str(sender).is_ok_and(|sender| sender == node) {
        return;
    }
    // A payload that cannot be parsed, perhaps from a newer server, may be about anything.
    match lines.split('\n').map(Topic::parse).collect::<Option<BTreeSet<_>>>() {
        Some(topics) => signals.wake(&topics),
        None => signals.wake_all(),
    }
}

/// A connection that listens. Dropping it closes it.
struct ListenConnection {
    _client: Client,
    payloads: mpsc::UnboundedReceiver<String>,
}

/// Listens until aborted, and reconnects by itself. When this returns, no later commit is missed.
pub(super) async fn start(
    address: PostgresAddress,
    node: Uuid,
    signals: Signals,
) -> Result<AbortHandle, DatabaseError> {
    let mut connection = connect(&address).await?;
    let task = tokio::spawn(async move {
        loop {
            while let Some(payload) = connection.payloads.recv().await {
                wake_for(&payload, node, &signals);
            }
            tracing::warn!("the connection for notifications of commits broke; reconnecting");
            connection = reconnect(&address).await;
            // Notifications were missed in the meantime.
            signals.wake_all();
        }
    });
    Ok(task.abort_handle())
}

async fn connect(address: &PostgresAddress) -> Result<ListenConnection, DatabaseError> {
    let (client, mut connection) = address.connect().await?;
    let (sender, payloads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification.payload().to_owned());
            }
        }
    });
    client.batch_execute("LISTEN tenure").await.map_err(|error| to_database_error(&error))?;
    Ok(ListenConnection { _client: client, payloads })
}

async fn reconnect(address: &PostgresAddress) -> ListenConnection {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect(address).await {
            Ok(connection) => return connection,
            Err(error) => {
                tracing::warn!(error = error.to_string(), "cannot reconnect for notifications of commits yet")
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn payloads_between_servers_round_trip() {
        let (own_node, other_node) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let signals = Signals::default();
        let mut watches: Vec<_> =
            (0..1000).map(|id| signals.watch(vec![Topic::Access(Uuid::from_u128(id))])).collect();
        let mut woken = || {
            let woken = watches.iter_mut().filter_map(|watch| watch.wait_for_commit().now_or_never());
            woken.filter(|open| *open).count()
        };
        let topics = (0..500).map(|id| Topic::Access(Uuid::from_u128(id))).collect();
        let payloads = build_payloads(other_node, &topics);
        assert!(
            payloads.len() > 1 && payloads.iter().all(|payload| payload.len() < 7_100),
            "it would be refused"
        );
        build_payloads(own_node, &topics).iter().for_each(|payload| wake_for(payload, own_node, &signals));
        assert_eq!(woken(), 0, "what this server told itself");
        payloads.iter().for_each(|payload| wake_for(payload, own_node, &signals));
        assert_eq!(woken(), 500, "those who wait for it, and nobody else");
        assert!(build_payloads(other_node, &BTreeSet::new()).is_empty());
        for malformed in ["", "x", "x y"] {
            wake_for(malformed, own_node, &signals);
            assert_eq!(woken(), 1000, "{malformed}");
        }
    }
}
