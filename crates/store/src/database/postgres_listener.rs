//! News of other servers' commits, by NOTIFY.

use super::DatabaseError;
use super::postgres_line::{Address, failed};
use super::signal::Signals;
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client};
use uuid::Uuid;

/// PostgreSQL takes less than 8,000 bytes.
const PAYLOAD: usize = 7_000;
/// Says that more organizations changed than would fit.
const ALL: &str = "all";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a server tells the others: its own id and the organizations that changed.
pub(super) fn payload(node: Uuid, organizations: impl Iterator<Item = Uuid>) -> String {
    let list: Vec<String> = organizations.map(|id| id.simple().to_string()).collect();
    let list = list.join(",");
    format!("{node} {}", if list.len() > PAYLOAD { ALL } else { &list })
}

/// Tells the receivers here what another server told.
fn pass_on(payload: &str, node: Uuid, signals: &Signals) {
    let (sender, list) = payload.split_once(' ').unwrap_or_default();
    if Uuid::parse_str(sender).is_ok_and(|sender| sender == node) {
        return;
    }
    // What cannot be read, by a newer server perhaps, may be anything.
    match list.split(',').map(Uuid::parse_str).collect::<Result<Vec<_>, _>>() {
        Ok(organizations) => signals.organizations(organizations),
        Err(_) => signals.everything(),
    }
}

/// A line that listens. Dropping it hangs up.
struct Line {
    _client: Client,
    payloads: mpsc::UnboundedReceiver<String>,
}

/// Listens until aborted, reconnecting by itself. When this returns, nothing committed later is missed.
pub(super) async fn start(
    address: Address,
    node: Uuid,
    signals: Signals,
) -> Result<AbortHandle, DatabaseError> {
    let mut line = connect(&address).await?;
    let task = tokio::spawn(async move {
        loop {
            while let Some(payload) = line.payloads.recv().await {
                pass_on(&payload, node, &signals);
            }
            tracing::warn!("news from the database are interrupted");
            line = reconnect(&address).await;
            // What happened in the meantime was told to nobody.
            signals.everything();
        }
    });
    Ok(task.abort_handle())
}

async fn connect(address: &Address) -> Result<Line, DatabaseError> {
    let (client, mut connection) = address.connect().await?;
    let (sender, payloads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(news) = message {
                let _ = sender.send(news.payload().to_owned());
            }
        }
    });
    client.batch_execute("LISTEN tenure").await.map_err(|error| failed(&error))?;
    Ok(Line { _client: client, payloads })
}

async fn reconnect(address: &Address) -> Line {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect(address).await {
            Ok(line) => return line,
            Err(error) => tracing::warn!(error = error.to_string(), "cannot listen for news yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Signal;

    #[tokio::test]
    async fn what_one_server_tells_another_understands() {
        let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let few = [Uuid::from_u128(7), Uuid::from_u128(8)];
        let signals = Signals::new();
        let mut receiver = signals.subscribe();
        pass_on(&payload(here, few.into_iter()), here, &signals);
        pass_on(&payload(there, few.into_iter()), here, &signals);
        assert_eq!(receiver.recv().await, Some(Signal::Organizations(few.into())), "and not one's own");
        let many = payload(there, (0..1000).map(Uuid::from_u128));
        assert!(many.len() < 7_100, "it would be refused");
        for odd in [many.as_str(), "", "x", "x y"] {
            pass_on(odd, here, &signals);
            assert_eq!(receiver.recv().await, Some(Signal::Everything), "{odd}");
        }
    }
}
