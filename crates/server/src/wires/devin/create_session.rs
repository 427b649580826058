//! Reads `SessionCreateRequest`, the body that creates a session.

use super::attachments;
use super::body::Body;
use super::shapes::{ORIGINS, read_principal_id, read_session_id};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents::create::AgentChoice;
use crate::operations::agents::create::AgentSessionDraft;
use crate::operations::agents::create::NewSecret;
use crate::operations::agents::messages::MessageDraft;
use domain::Refusal;
use domain::agent::{Acus, Attachment, CATEGORIES, MAX_ATTACHMENTS, MAX_MESSAGE_BYTES, MAX_TITLE_CHARS};
use domain::ids::{AgentId, OrganizationId, PrincipalId, SessionId, parse_uuid};
use domain::json::Json;
use domain::principal::PrincipalKind;
use domain::refusal::Thing;
use serde_json::Map;
use store::Granted;
use store::access::{ImpersonateSessions, UseSessions};

/// Largest schema of structured output, in bytes, as the vendor documents it.
const MAX_SCHEMA_BYTES: usize = 64 << 10;
const MAX_SECRETS: usize = 100;
const MAX_SECRET_KEY: usize = 256;
const MAX_SECRET_VALUE: usize = 65_536;
const MAX_URL: usize = 2_083;
const MAX_ITEMS: usize = 100;
const MAX_TEXT: usize = 256;
/// An upper bound far above real use.
const MAX_ACUS: i64 = 1_000_000_000;

/// The modes that the vendor's clients know. They cannot read an answer with another one.
const MODES: [&str; 5] = ["normal", "fast", "lite", "ultra", "fusion"];

/// Fields that are stored as they were sent, for the worker and for answers.
const STORED_AS_SENT: [&str; 10] = [
    "devin_mode",
    "advanced_mode",
    "platform",
    "resumable",
    "bypass_approval",
    "structured_output_required",
    "child_playbook_id",
    "knowledge_ids",
    "secret_ids",
    "session_links",
];

/// Reads the body of a request to create a session.
///
/// `parent_session_id`, `agent_id`, `category`, `subcategory`, `origin`, `schedule_id` and `automation_id` are
/// Tenure's additions: at the vendor, its own services set them.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field; [`Refusal::Forbidden`] for `create_as_user_id` without the permission
/// [`ImpersonateSessions`]; [`Refusal::NotFound`] for a malformed id of a user, an agent or a session.
pub fn read_create(
    app: &App,
    granted: &Granted<UseSessions>,
    body: &Body,
) -> Result<AgentSessionDraft, Failure> {
    let attribute_to = read_impersonated_user(granted, body, "create_as_user_id")?;
    let message = read_message(app, granted.organization(), body, "prompt", None)?;
    let id = |name| body.text(name, 1..=MAX_TEXT);
    Ok(AgentSessionDraft {
        agent: read_agent(body)?,
        title: body.text("title", 0..=MAX_TITLE_CHARS)?,
        tags: read_tags(body)?.unwrap_or_default(),
        model: None,
        capabilities: Json::default(),
        origin: read_word(body, "origin", &ORIGINS)?,
        category: read_word(body, "category", &CATEGORIES)?,
        subcategory: id("subcategory")?,
        playbook: id("playbook_id")?,
        schedule: id("schedule_id")?,
        automation: id("automation_id")?,
        repos: body.texts("repos", MAX_ITEMS, 1..=MAX_TEXT)?.unwrap_or_default(),
        parent: read_parent(body)?,
        output_schema: read_schema(body)?,
        max_acus: body.number("max_acu_limit", 1..=MAX_ACUS)?.map(Acus::whole),
        extra: read_extra(body)?,
        attribute_to,
        secrets: read_secrets(body)?,
        message: Some(message),
    })
}

/// Reads a message and its attachments. `as_principal` is its author when that is not the caller.
///
/// # Errors
/// [`Refusal::Invalid`] for a blank or too long text, and for URLs that are not absolute.
pub fn read_message(
    app: &App,
    organization: OrganizationId,
    body: &Body,
    field: &str,
    as_principal: Option<PrincipalId>,
) -> Result<MessageDraft, Refusal> {
    let text = body.require_text(field, 1..=MAX_MESSAGE_BYTES)?;
    if text.trim().is_empty() || text.len() > MAX_MESSAGE_BYTES {
        let expected = format!("a text that is not blank, of at most {MAX_MESSAGE_BYTES} bytes");
        return Err(Refusal::invalid(field, expected));
    }
    let attachments = read_attachments(app, organization, body)?;
    Ok(MessageDraft { text, parts: Json::default(), attachments, as_principal })
}

/// Reads the user on whose behalf the caller acts.
///
/// # Errors
/// [`Refusal::Forbidden`] without the permission [`ImpersonateSessions`]; [`Refusal::NotFound`] for a malformed id.
pub fn read_impersonated_user(
    granted: &Granted<UseSessions>,
    body: &Body,
    field: &str,
) -> Result<Option<PrincipalId>, Failure> {
    let Some(text) = body.text(field, 0..=MAX_TEXT)? else { return Ok(None) };
    granted.authorize::<ImpersonateSessions>()?;
    let id = read_principal_id(&text, PrincipalKind::User);
    id.map(Some).ok_or_else(|| Refusal::NotFound(Thing::Member).into())
}

/// Reads the tags.
///
/// # Errors
/// [`Refusal::Invalid`] for too many tags, or a tag of a wrong length.
pub fn read_tags(body: &Body) -> Result<Option<Vec<String>>, Refusal> {
    use domain::agent::{MAX_TAG_CHARS, MAX_TAGS};
    body.texts("tags", MAX_TAGS, 1..=MAX_TAG_CHARS)
}

fn read_attachments(
    app: &App,
    organization: OrganizationId,
    body: &Body,
) -> Result<Vec<Attachment>, Refusal> {
    let urls = body.texts("attachment_urls", MAX_ATTACHMENTS, 1..=MAX_URL)?.unwrap_or_default();
    let expected = || Refusal::invalid("attachment_urls", "absolute http or https URLs");
    urls.iter()
        .map(|url| attachments::attachment_from_url(app, organization, url).ok_or_else(expected))
        .collect()
}

fn read_agent(body: &Body) -> Result<AgentChoice, Refusal> {
    let Some(text) = body.text("agent_id", 0..=MAX_TEXT)? else { return Ok(AgentChoice::Default) };
    let bare = text.strip_prefix("agent_").or_else(|| text.strip_prefix("agent-")).unwrap_or(&text);
    parse_uuid(bare).map(|id| AgentChoice::Id(AgentId(id))).ok_or(Refusal::NotFound(Thing::Agent))
}

fn read_parent(body: &Body) -> Result<Option<SessionId>, Refusal> {
    let Some(text) = body.text("parent_session_id", 0..=MAX_TEXT)? else { return Ok(None) };
    // A malformed id is reported as not found.
    read_session_id(&text).map(Some).ok_or(Refusal::NotFound(Thing::Session))
}

fn read_word(body: &Body, name: &str, known: &[&str]) -> Result<Option<String>, Refusal> {
    match body.text(name, 0..=MAX_TEXT)? {
        Some(word) if !known.contains(&word.as_str()) => {
            Err(Refusal::invalid(name, format!("one of {}", known.join(", "))))
        }
        word => Ok(word),
    }
}

fn read_schema(body: &Body) -> Result<Option<Json>, Refusal> {
    let name = "structured_output_schema";
    let Some(schema) = body.value(name) else { return Ok(None) };
    let text = Json::encode(schema);
    if !schema.is_object() || text.text().len() > MAX_SCHEMA_BYTES {
        return Err(Refusal::invalid(name, "a self-contained JSON Schema of at most 64 KB"));
    }
    Ok(Some(text))
}

fn read_extra(body: &Body) -> Result<Json, Refusal> {
    let stored =
        STORED_AS_SENT.into_iter().filter_map(|name| Some((name.to_owned(), body.value(name)?.clone())));
    read_word(body, "devin_mode", &MODES)?;
    for name in ["advanced_mode", "platform", "child_playbook_id"] {
        body.text(name, 1..=MAX_TEXT)?;
    }
    for name in ["resumable", "bypass_approval", "structured_output_required"] {
        body.flag(name)?;
    }
    for name in ["knowledge_ids", "secret_ids", "session_links"] {
        body.texts(name, MAX_ITEMS, 1..=MAX_URL)?;
    }
    Ok(Json::encode(&stored.collect::<Map<_, _>>()))
}

fn read_secrets(body: &Body) -> Result<Vec<NewSecret>, Refusal> {
    let secret = |(at, body): (usize, Body)| {
        let named = |refusal: Refusal| match refusal {
            Refusal::Invalid { field, expected } => {
                Refusal::Invalid { field: format!("session_secrets[{at}].{field}"), expected }
            }
            refusal => refusal,
        };
        let read = || -> Result<NewSecret, Refusal> {
            Ok(NewSecret {
                key: body.require_text("key", 1..=MAX_SECRET_KEY)?,
                value: body.require_text("value", 0..=MAX_SECRET_VALUE)?,
                sensitive: body.flag("sensitive")?.unwrap_or(true),
            })
        };
        read().map_err(named)
    };
    body.objects("session_secrets", MAX_SECRETS)?.into_iter().enumerate().map(secret).collect()
}
