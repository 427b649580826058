//! What can be done with one session, of any kind.

use super::visible::{choose_organization, find_visible_session};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents::messages::{MessageDraft, post_message};
use crate::operations::agents::sessions::{
    archive_agent_session, end_agent_session, unarchive_agent_session,
};
use crate::operations::devices::sessions::{end_device_session, extend_device_session};
use crate::operations::login::sessions::{end_visible_login, extend_login};
use domain::Refusal;
use domain::agent::may_act_on;
use domain::ids::{OrganizationId, SessionId};
use store::access::UseSessions;
use store::{AnySession, Caller, Granted, VisibleSessions};

/// Maximum length of a reason, in characters.
const MAX_REASON_CHARS: usize = 500;

/// An action on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ends it, and says why.
    End {
        /// The reason, for people.
        reason: Option<String>,
    },
    /// Counts as a use, so that the time for which it may be unused begins again.
    Extend,
    /// Archives it.
    Archive,
    /// Undoes that.
    Unarchive,
    /// Posts a message in it.
    Message {
        /// The text.
        text: String,
    },
}

/// Does something with a session that the caller may see.
///
/// # Errors
/// [`Refusal::NotFound`] for one that the caller may not see; [`Refusal::Forbidden`], [`Refusal::NotYours`];
/// [`Refusal::WrongState`] for an action that its kind does not have; those of the action.
pub async fn act_on_session(
    app: &App,
    caller: &Caller,
    visible: &VisibleSessions,
    id: SessionId,
    action: Action,
) -> Result<(), Failure> {
    match find_visible_session(app, visible, id).await? {
        AnySession::Agent(session) => {
            let granted = authorize_use(app, caller, session.organization).await?;
            act_on_agent_session(app, &granted, id, action).await
        }
        AnySession::Device(session, _) => {
            let granted = authorize_use(app, caller, session.organization).await?;
            match action {
                Action::End { reason } => {
                    end_device_session(app, &granted, id, reason.as_deref()).await.map(drop)
                }
                Action::Extend => extend_device_session(app, &granted, id).await,
                action => Err(action.refuse().into()),
            }
        }
        AnySession::Login(login) => match action {
            Action::End { reason } => end_visible_login(app, caller, &login, reason.as_deref()).await,
            Action::Extend => extend_login(app, caller, &login).await,
            action => Err(action.refuse().into()),
        },
    }
}

/// The permission to change title and tags of a session that the caller may see.
///
/// # Errors
/// Those of [`act_on_session`]; only agent sessions have a title and tags.
pub async fn authorize_update(
    app: &App,
    caller: &Caller,
    visible: &VisibleSessions,
    id: SessionId,
) -> Result<Granted<UseSessions>, Failure> {
    let other_kind = || refuse_kind("only agent sessions have a title and tags").into();
    match find_visible_session(app, visible, id).await? {
        AnySession::Agent(session) => {
            let granted = authorize_use(app, caller, session.organization).await?;
            may_act_on(&session, granted.actor())?;
            Ok(granted)
        }
        AnySession::Device(session, _) => {
            authorize_use(app, caller, session.organization).await?;
            Err(other_kind())
        }
        AnySession::Login(_) => Err(other_kind()),
    }
}

/// The permission to use sessions in the organization of a session that the caller may see.
///
/// # Errors
/// [`Refusal::Forbidden`].
pub async fn authorize_use(
    app: &App,
    caller: &Caller,
    organization: OrganizationId,
) -> Result<Granted<UseSessions>, Failure> {
    Ok(choose_organization(app, caller, organization).await?.authorize::<UseSessions>()?)
}

async fn act_on_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    action: Action,
) -> Result<(), Failure> {
    match action {
        Action::End { reason } => end_agent_session(app, granted, id, reason.as_deref()).await.map(drop),
        Action::Archive => archive_agent_session(app, granted, id).await.map(drop),
        Action::Unarchive => unarchive_agent_session(app, granted, id).await.map(drop),
        Action::Message { text } => {
            let message = MessageDraft { text, ..MessageDraft::default() };
            post_message(app, granted, id, message).await.map(drop)
        }
        Action::Extend => {
            let problem = "an agent session has no time limit, so there is nothing to extend";
            Err(Refusal::WrongState { problem, remedy: "post a message to go on with it" }.into())
        }
    }
}

impl Action {
    /// The refusal for sessions of the kinds that do not have the action.
    fn refuse(&self) -> Refusal {
        refuse_kind(match self {
            Action::Message { .. } => "only agent sessions have messages",
            _ => "only agent sessions can be archived",
        })
    }
}

fn refuse_kind(problem: &'static str) -> Refusal {
    Refusal::WrongState { problem, remedy: "choose a session whose kind is agent" }
}

/// The evidence of an ending by a person: who ended it, and the reason that they gave.
///
/// # Errors
/// [`Refusal::Invalid`] for a reason that is empty, too long, or has control characters.
pub fn describe_end(by: &str, reason: Option<&str>) -> Result<String, Refusal> {
    let Some(reason) = reason.map(str::trim) else { return Ok(by.to_owned()) };
    let fits = (1..=MAX_REASON_CHARS).contains(&reason.chars().count());
    if fits && !reason.contains(char::is_control) {
        return Ok(format!("{by}: {reason}"));
    }
    Err(Refusal::invalid("reason", format!("1 to {MAX_REASON_CHARS} characters in one line")))
}
