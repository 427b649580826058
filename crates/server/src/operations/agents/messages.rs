//! What is said in agent sessions.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents::change::change_agent_session;
use crate::operations::agents::create::resolve_owner;
use domain::agent::{AgentSession, Attachment, Change, Command, Message, NewMessage, may_act_on};
use domain::ids::{MessageId, PrincipalId, SessionId};
use domain::json::Json;
use domain::page::Listed;
use store::Granted;
use store::access::{UseSessions, ViewSessions};
pub use store::blocking::run_by_size;

/// A message that a caller wants to send.
#[derive(Debug, Clone, Default)]
pub struct MessageDraft {
    /// Its text.
    pub text: String,
    /// All of its parts, as the client wrote them; `null` when it is only the text.
    pub parts: Json,
    /// What comes with it.
    pub attachments: Vec<Attachment>,
    /// In whose name it is sent, when not the caller's.
    pub as_principal: Option<PrincipalId>,
}

/// Says something in a session, which wakes it when it sleeps.
///
/// # Errors
/// `NotFound`; `NotYours`; `SessionEnded`; `SessionArchived`; `Backlog`; `Invalid`; `Forbidden` for another's name.
pub async fn post_message(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    post: MessageDraft,
) -> Result<(AgentSession, Message), Failure> {
    let caller = granted.principal().ok_or_else(|| Failure::internal("a message needs an author"))?;
    if let Some(made) = app.store.find_earlier_creation(granted).await? {
        let session = app.store.load_agent_session(&granted.authorize()?, id).await?;
        may_act_on(&session, granted.actor())?;
        return Ok((session, app.store.find_message(granted, id, MessageId(made)).await?));
    }
    let message = prepare_message(app, granted, post, caller).await?;
    let changed = change_agent_session(app, granted, id, |_| Ok(Command::Post(message.clone()))).await?;
    let said = changed.changes.into_iter().find_map(|change| match change {
        Change::Said(message) => Some(message),
        _ => None,
    });
    let said = said.ok_or_else(|| Failure::internal("a message that was taken was not said"))?;
    Ok((changed.session, said))
}

/// A stretch of what was said, in its order, after the message at `after` (0 for the beginning).
///
/// # Errors
/// `NotFound`.
pub async fn list_messages(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    after: i64,
    limit: u32,
) -> Result<Listed<Message>, Failure> {
    Ok(app.store.list_messages(granted, id, after, limit).await?)
}

/// What was said after one message and before another, newest first; fewer than `limit` when their rows are large.
///
/// # Errors
/// `NotFound`.
pub async fn list_newest_messages(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    after: i64,
    before: i64,
    limit: u32,
) -> Result<Vec<Message>, Failure> {
    Ok(app.store.list_newest_messages(granted, id, after, before, limit).await?)
}

/// Gives a message its id and author: `owner` when no other is named.
///
/// # Errors
/// `Forbidden`; `NotFound` for somebody who is no member; `Invalid`.
pub async fn prepare_message(
    app: &App,
    granted: &Granted<UseSessions>,
    post: MessageDraft,
    owner_of: PrincipalId,
) -> Result<NewMessage, Failure> {
    let author = match post.as_principal {
        Some(other) => resolve_owner(app, granted, Some(other)).await?.0,
        None => owner_of,
    };
    let id = MessageId::new(app.now(), app.random_bytes());
    let message =
        NewMessage { id, text: post.text, parts: post.parts, author, attachments: post.attachments };
    message.check()?;
    Ok(message)
}
