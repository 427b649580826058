//! Messages of agent sessions.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents::change::change_agent_session;
use crate::operations::agents::create::resolve_owner;
use domain::agent::{AgentChange, AgentCommand, AgentSession, Attachment, Message, NewMessage, may_act_on};
use domain::ids::{MessageId, PrincipalId, SessionId};
use domain::json::Json;
use domain::page::ListSlice;
use store::Granted;
use store::access::{UseSessions, ViewSessions};
pub use store::blocking::run_by_size;

/// A message to be sent.
#[derive(Debug, Clone, Default)]
pub struct MessageDraft {
    /// The text.
    pub text: String,
    /// All parts, as the client wrote them; `null` when there is only text.
    pub parts: Json,
    /// The attachments.
    pub attachments: Vec<Attachment>,
    /// The author; `None` means the caller.
    pub as_principal: Option<PrincipalId>,
}

/// Posts a message, which wakes a sleeping session.
///
/// # Errors
/// [`domain::Refusal`]: `NotFound`, `NotYours`, `SessionEnded`, `SessionArchived`, `Backlog`, `Invalid`; `Forbidden`
/// when the caller may not act for the author.
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
        return Ok((session.into_session(), app.store.find_message(granted, id, MessageId(made)).await?));
    }
    let message = prepare_message(app, granted, post, caller).await?;
    let changed = change_agent_session(app, granted, id, |_| Ok(AgentCommand::Post(message.clone()))).await?;
    let posted = changed.changes.into_iter().find_map(|change| match change {
        AgentChange::Message(message) => Some(message),
        _ => None,
    });
    let posted = posted.ok_or_else(|| Failure::internal("a posted message is missing from the changes"))?;
    Ok((changed.session, posted))
}

/// Lists messages in their order, after the sequence `after` (0 for the beginning).
///
/// # Errors
/// [`domain::Refusal::NotFound`].
pub async fn list_messages(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    after: i64,
    limit: u32,
) -> Result<ListSlice<Message>, Failure> {
    Ok(app.store.list_messages(granted, id, after, limit).await?)
}

/// Lists the messages between the sequences `after` and `before`, newest first. There may be fewer than `limit` when
/// they are large.
///
/// # Errors
/// [`domain::Refusal::NotFound`].
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

/// Gives a message its id and its author: `owner` when the draft names no author.
///
/// # Errors
/// [`domain::Refusal`]: `Forbidden`, `Invalid`; `NotFound` for an author who is not a member.
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
