//! The JSON shapes of sessions and messages, and the formats of ids.

use domain::agent::{AgentSession, AgentState, Attachment, Message, MessageSource};
use domain::ids::{FileId, OrganizationId, PrincipalId, SessionId, parse_uuid};
use domain::json::Json;
use domain::principal::PrincipalKind;
use domain::time::Micros;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Formats a session's id: 32 hexadecimal digits.
pub fn session_id(id: SessionId) -> String {
    id.uuid().simple().to_string()
}

/// Reads a session's id, with or without the prefix `devin-`.
pub fn read_session_id(text: &str) -> Option<SessionId> {
    SessionId::parse(text.strip_prefix("devin-").unwrap_or(text))
}

/// Formats an organization's id.
pub fn organization_id(id: OrganizationId) -> String {
    format!("org-{}", id.0.simple())
}

const USER: &str = "user-";
const SERVICE_USER: &str = "service-user-";

/// Formats a principal's id. Users and service users have different prefixes, so that no id is taken for the other kind.
pub fn principal_id(id: PrincipalId, kind: PrincipalKind) -> String {
    let prefix = match kind {
        PrincipalKind::User => USER,
        PrincipalKind::ServiceUser => SERVICE_USER,
    };
    format!("{prefix}{}", id.0.simple())
}

/// Reads the id of a principal of this kind.
pub fn read_principal_id(text: &str, kind: PrincipalKind) -> Option<PrincipalId> {
    let prefix = match kind {
        PrincipalKind::User => USER,
        PrincipalKind::ServiceUser => SERVICE_USER,
    };
    text.strip_prefix(prefix).and_then(parse_uuid).map(PrincipalId)
}

/// A time in whole seconds since 1970, rounded down.
pub fn seconds(time: Micros) -> i64 {
    time.0.div_euclid(1_000_000)
}

/// How much of a session an answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionView {
    /// All fields: a list, or the session itself.
    Full,
    /// The answer to an action, where the vendor leaves four fields empty.
    AfterAction,
}

/// A page of any list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last page.
    pub end_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_next_page: bool,
    /// The number of items on all pages.
    pub total: u64,
}

/// A pull request of a session.
#[derive(Debug, Serialize)]
pub struct PullRequest<'a> {
    pr_url: &'a str,
    pr_state: Option<&'a str>,
}

/// `SessionResponse`.
#[derive(Debug, Serialize)]
pub struct Session<'a> {
    session_id: String,
    url: String,
    status: &'static str,
    status_detail: Option<&'static str>,
    title: Option<&'a str>,
    tags: &'a [String],
    org_id: String,
    user_id: Option<String>,
    service_user_id: Option<String>,
    created_at: i64,
    updated_at: i64,
    acus_consumed: f64,
    pull_requests: Vec<PullRequest<'a>>,
    structured_output: Option<&'a Json>,
    playbook_id: Option<&'a str>,
    automation_id: Option<&'a str>,
    parent_session_id: Option<String>,
    child_session_ids: Option<Vec<String>>,
    is_archived: bool,
    is_advanced: bool,
    origin: &'static str,
    category: Option<&'a str>,
    subcategory: Option<&'a str>,
    devin_mode: Option<String>,
}

/// The origins of sessions in all revisions of the vendor's document.
pub const ORIGINS: [&str; 12] = [
    "webapp",
    "slack",
    "teams",
    "api",
    "linear",
    "jira",
    "scheduled",
    "automation",
    "cli",
    "desktop",
    "code_scan",
    "other",
];

fn origin(origin: &str) -> &'static str {
    ORIGINS.into_iter().find(|known| *known == origin).unwrap_or("other")
}

fn status_detail(state: AgentState) -> Option<&'static str> {
    match state.detail() {
        // `worker_lost` is Tenure's own; this wire's strict clients do not know it.
        Some("worker_lost") => Some("error"),
        detail => detail,
    }
}

/// The stored client fields that this wire reads.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Extra {
    devin_mode: Option<String>,
    advanced_mode: Option<String>,
}

impl<'a> Session<'a> {
    /// The shape of a session. `base_url` is the server's public address.
    pub fn new(session: &'a AgentSession, view: SessionView, base_url: &str) -> Session<'a> {
        let given = &session.given;
        let extra = given.extra.read::<Extra>().unwrap_or_default();
        let id = session_id(session.id);
        let owner = |kind| (given.owner_kind == kind).then(|| principal_id(given.owner, kind));
        let read = view == SessionView::Full;
        let category = given.category.as_deref().filter(|_| read);
        let children = || session.children.iter().map(|child| session_id(*child)).collect();
        let pull_request = |known: &'a domain::agent::PullRequest| PullRequest {
            pr_url: &known.url,
            pr_state: known.state.as_deref(),
        };
        Session {
            url: format!("{base_url}/sessions/{id}"),
            session_id: id,
            status: session.state.status(),
            status_detail: status_detail(session.state).filter(|_| read),
            title: given.title.as_deref(),
            tags: &given.tags,
            org_id: organization_id(session.organization),
            user_id: owner(PrincipalKind::User),
            service_user_id: owner(PrincipalKind::ServiceUser),
            created_at: seconds(session.id.creation_time()),
            updated_at: seconds(session.updated),
            acus_consumed: session.usage.acus.units(),
            pull_requests: session.pull_requests.iter().map(pull_request).collect(),
            structured_output: session.structured_output.as_ref().filter(|_| read),
            playbook_id: given.playbook.as_deref(),
            automation_id: given.automation.as_deref(),
            parent_session_id: given.parent.map(session_id),
            child_session_ids: (!session.children.is_empty()).then(children),
            is_archived: session.archived.is_some(),
            is_advanced: extra.advanced_mode.is_some(),
            origin: origin(&given.origin),
            category,
            // The vendor writes 'Other' when there is a category without a subcategory.
            subcategory: category.map(|_| given.subcategory.as_deref().unwrap_or("Other")),
            devin_mode: extra.devin_mode,
        }
    }
}

/// `SessionInsights`: the session and its counts. `analysis` is always null.
#[derive(Debug, Serialize)]
pub struct Insights<'a> {
    #[serde(flatten)]
    session: Session<'a>,
    num_user_messages: i64,
    num_devin_messages: i64,
    session_size: &'static str,
    analysis: Option<Value>,
}

impl<'a> Insights<'a> {
    /// The insights of a session.
    pub fn new(session: &'a AgentSession, base_url: &str) -> Insights<'a> {
        Insights {
            session: Session::new(session, SessionView::Full, base_url),
            num_user_messages: session.user_messages,
            num_devin_messages: session.agent_messages,
            session_size: size(session.usage.acus.units(), session.messages()),
            analysis: None,
        }
    }
}

/// The size of a session, "based on ACU usage and message count": the larger of the two. The vendor does not publish
/// its thresholds; these are Tenure's.
fn size(acus: f64, messages: i64) -> &'static str {
    let by_acus = [1.0, 3.0, 7.0, 15.0].into_iter().filter(|most| acus > *most).count();
    let by_messages = [4, 12, 30, 75].into_iter().filter(|most| messages > *most).count();
    ["xs", "s", "m", "l", "xl"][by_acus.max(by_messages)]
}

/// `SessionMessage`.
#[derive(Debug, Serialize)]
pub struct SessionMessage {
    event_id: String,
    source: &'static str,
    message: String,
    created_at: i64,
}

impl From<&Message> for SessionMessage {
    fn from(message: &Message) -> SessionMessage {
        SessionMessage {
            event_id: message.id.0.simple().to_string(),
            source: source(message.source),
            message: append_attachments(&message.text, &message.attachments),
            created_at: seconds(message.created),
        }
    }
}

/// This wire's name for a message's source.
pub fn source(source: MessageSource) -> &'static str {
    match source {
        MessageSource::User => "user",
        MessageSource::Agent => "devin",
    }
}

/// Appends the attachments to a message's text, as the vendor does.
fn append_attachments(text: &str, attachments: &[Attachment]) -> String {
    attachments.iter().fold(text.to_owned(), |text, attachment| {
        let shape = json!({ "url": attachment.url, "fileSize": attachment.size });
        format!("{text}\n\nATTACHMENT:{shape}")
    })
}

/// `SessionAttachment`.
#[derive(Debug, Serialize)]
pub struct SessionAttachment<'a> {
    attachment_id: String,
    name: &'a str,
    url: &'a str,
    source: &'static str,
    content_type: Option<&'a str>,
}

impl<'a> SessionAttachment<'a> {
    /// The shape of a message's attachment.
    pub fn new(by: MessageSource, attachment: &'a Attachment) -> SessionAttachment<'a> {
        SessionAttachment {
            attachment_id: attachment.id.map_or_else(|| foreign_id(&attachment.url), file_id),
            name: &attachment.name,
            url: &attachment.url,
            source: source(by),
            content_type: attachment.content_type.as_deref(),
        }
    }
}

/// Formats the id of a stored file.
pub fn file_id(id: FileId) -> String {
    id.0.to_string()
}

/// An id for a file stored elsewhere. The same URL always has the same id.
fn foreign_id(url: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(url.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_every_form_that_clients_send() {
        let id = SessionId::new(Micros(1_772_366_400_000_000), 7);
        let bare = session_id(id);
        assert_eq!((bare.len(), bare.contains('-')), (32, false));
        for text in [bare.clone(), format!("devin-{bare}"), id.to_string(), format!("devin-{id}")] {
            assert_eq!(read_session_id(&text), Some(id), "{text}");
        }
        for text in ["", "devin-", &format!("devin-devin-{bare}"), &bare[1..], &format!("session_{bare}")] {
            assert_eq!(read_session_id(text), None, "{text}");
        }
    }

    #[test]
    fn user_ids_and_service_user_ids_are_not_confused() {
        let id = PrincipalId(uuid::Uuid::from_u128(5));
        for (kind, other) in [
            (PrincipalKind::User, PrincipalKind::ServiceUser),
            (PrincipalKind::ServiceUser, PrincipalKind::User),
        ] {
            let text = principal_id(id, kind);
            assert_eq!(read_principal_id(&text, kind), Some(id));
            assert_eq!(read_principal_id(&text, other), None);
        }
    }

    #[test]
    fn the_size_is_the_larger_of_two() {
        for (acus, messages, expected) in [
            (0.0, 0, "xs"),
            (1.0, 4, "xs"),
            (1.1, 0, "s"),
            (0.0, 13, "m"),
            (8.0, 1, "l"),
            (0.5, 76, "xl"),
            (16.0, 0, "xl"),
        ] {
            assert_eq!(size(acus, messages), expected, "{acus} {messages}");
        }
    }

    #[test]
    fn a_lost_worker_is_an_error_of_this_wire() {
        for state in AgentState::ALL {
            assert_ne!(status_detail(state), Some("worker_lost"));
        }
    }
}
