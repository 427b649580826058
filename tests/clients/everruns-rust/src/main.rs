//! A program written for Everruns with the SDK's Rust crate. It creates an agent and a session, sends a message, streams the turn,
//! and then lists, searches, gets, cancels, exports and deletes.
//!
//! The address, the key and the organization come from the SDK's environment variables; the first argument is the agent's name. It
//! prints its results as one line of JSON, which `test_everruns.py` checks.

use everruns_sdk::{CreateAgentRequest, CreateSessionRequest, Error, Event, Everruns, Session};
use futures_util::StreamExt;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "rust-client".to_owned());
    let client = Everruns::from_env()?;
    let request = CreateAgentRequest::new(name.as_str(), "Answer.");
    let agent = client.agents().create_with_options(request).await?;
    let request = CreateSessionRequest::new().agent_id(&agent.id).title("from the Rust SDK");
    let session = client.sessions().create_with_options(request).await?;
    let sent = client.messages().create(&session.id, "hello from Rust").await?;
    let events = turn(&client, &session.id).await?;

    let listed = client.sessions().list().await?;
    let found = client.sessions().search("from the rust sdk").await?;
    let got = client.sessions().get(&session.id).await?;
    let messages = client.messages().list(&session.id).await?;
    let exported = client.sessions().export(&session.id).await?;
    client.sessions().pin(&session.id).await?;
    client.sessions().unpin(&session.id).await?;
    client.sessions().cancel(&session.id).await?;
    client.sessions().delete(&session.id).await?;
    client.agents().delete(&agent.id).await?;
    let gone = client.sessions().get(&session.id).await.err().map(|error| error.to_string());

    let ids = |sessions: &[Session]| sessions.iter().map(|session| session.id.clone()).collect::<Vec<_>>();
    let seen = json!({
        "agent": agent.id, "session": session.id, "sent": sent.id,
        "events": events.iter().map(|event| &event.event_type).collect::<Vec<_>>(),
        "listed": ids(&listed.data), "found": ids(&found.data), "status": format!("{:?}", got.status),
        "title": got.title, "messages": messages.data.len(), "exported": exported.lines().count(), "gone": gone,
    });
    println!("{seen}");
    Ok(())
}

/// The events of a session from the first one to the end of its turn.
async fn turn(client: &Everruns, session: &str) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    let mut stream = client.events().stream(session);
    while let Some(event) = stream.next().await {
        let event = event?;
        let over = matches!(event.event_type.as_str(), "turn.completed" | "turn.failed");
        events.push(event);
        if over {
            break;
        }
    }
    Ok(events)
}
