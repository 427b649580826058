//! `SessionCreateRequest`: what a session is created with.

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

/// The largest schema of structured output, in bytes, as the vendor says.
const MAX_SCHEMA_BYTES: usize = 64 << 10;
const MAX_SECRETS: usize = 100;
const MAX_SECRET_KEY: usize = 256;
const MAX_SECRET_VALUE: usize = 65_536;
const MAX_URL: usize = 2_083;
const MAX_ITEMS: usize = 100;
const MAX_TEXT: usize = 256;
/// More than anybody will ever use.
const MAX_ACUS: i64 = 1_000_000_000;

/// What the vendor's clients know; they read no answer with another one.
const MODES: [&str; 5] = ["normal", "fast", "lite", "ultra", "fusion"];

/// What is kept as it was sent, for the worker and for answers.
const KEPT: [&str; 10] = [
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

/// Reads the body of a create.
///
/// `parent_session_id`, `agent_id`, `category`, `subcategory`, `origin`, `schedule_id` and `automation_id` are ours:
/// the vendor's own machinery sets them.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field; [`Refusal::Forbidden`] for another's name without the right to use it.
pub fn read(app: &App, granted: &Granted<UseSessions>, body: &Body) -> Result<AgentSessionDraft, Failure> {
    let attribute_to = in_name_of(granted, body, "create_as_user_id")?;
    let message = message(app, granted.organization(), body, "prompt", None)?;
    let id = |name| body.text(name, 1..=MAX_TEXT);
    Ok(AgentSessionDraft {
        agent: agent(body)?,
        title: body.text("title", 0..=MAX_TITLE_CHARS)?,
        tags: tags(body)?.unwrap_or_default(),
        model: None,
        capabilities: Json::default(),
        origin: word(body, "origin", &ORIGINS)?,
        category: word(body, "category", &CATEGORIES)?,
        subcategory: id("subcategory")?,
        playbook: id("playbook_id")?,
        schedule: id("schedule_id")?,
        automation: id("automation_id")?,
        repos: body.texts("repos", MAX_ITEMS, 1..=MAX_TEXT)?.unwrap_or_default(),
        parent: parent(body)?,
        output_schema: schema(body)?,
        max_acus: body.number("max_acu_limit", 1..=MAX_ACUS)?.map(Acus::whole),
        extra: extra(body)?,
        attribute_to,
        secrets: secrets(body)?,
        message: Some(message),
    })
}

/// A message of this body, in the caller's name or in another's.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn message(
    app: &App,
    organization: OrganizationId,
    body: &Body,
    field: &str,
    as_principal: Option<PrincipalId>,
) -> Result<MessageDraft, Refusal> {
    let text = body.needed(field, 1..=MAX_MESSAGE_BYTES)?;
    if text.trim().is_empty() || text.len() > MAX_MESSAGE_BYTES {
        let expected = format!("a text that is not blank, of at most {MAX_MESSAGE_BYTES} bytes");
        return Err(Refusal::invalid(field, expected));
    }
    let attachments = attachments_of(app, organization, body)?;
    Ok(MessageDraft { text, parts: Json::default(), attachments, as_principal })
}

/// In whose name this is asked for.
///
/// # Errors
/// [`Refusal::Forbidden`] without the right to; what can be nobody is no member.
pub fn in_name_of(
    granted: &Granted<UseSessions>,
    body: &Body,
    field: &str,
) -> Result<Option<PrincipalId>, Failure> {
    let Some(text) = body.text(field, 0..=MAX_TEXT)? else { return Ok(None) };
    granted.authorize::<ImpersonateSessions>()?;
    let id = read_principal_id(&text, PrincipalKind::User);
    id.map(Some).ok_or_else(|| Refusal::NotFound(Thing::Member).into())
}

/// The tags of a body.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn tags(body: &Body) -> Result<Option<Vec<String>>, Refusal> {
    use domain::agent::{MAX_TAG_CHARS, MAX_TAGS};
    body.texts("tags", MAX_TAGS, 1..=MAX_TAG_CHARS)
}

fn attachments_of(app: &App, organization: OrganizationId, body: &Body) -> Result<Vec<Attachment>, Refusal> {
    let urls = body.texts("attachment_urls", MAX_ATTACHMENTS, 1..=MAX_URL)?.unwrap_or_default();
    let expected = || Refusal::invalid("attachment_urls", "absolute http or https URLs");
    urls.iter().map(|url| attachments::of_url(app, organization, url).ok_or_else(expected)).collect()
}

fn agent(body: &Body) -> Result<AgentChoice, Refusal> {
    let Some(text) = body.text("agent_id", 0..=MAX_TEXT)? else { return Ok(AgentChoice::Default) };
    let bare = text.strip_prefix("agent_").or_else(|| text.strip_prefix("agent-")).unwrap_or(&text);
    parse_uuid(bare).map(|id| AgentChoice::Id(AgentId(id))).ok_or(Refusal::NotFound(Thing::Agent))
}

fn parent(body: &Body) -> Result<Option<SessionId>, Refusal> {
    let Some(text) = body.text("parent_session_id", 0..=MAX_TEXT)? else { return Ok(None) };
    // What can be no session is told as one that is not there.
    read_session_id(&text).map(Some).ok_or(Refusal::NotFound(Thing::Session))
}

fn word(body: &Body, name: &str, known: &[&str]) -> Result<Option<String>, Refusal> {
    match body.text(name, 0..=MAX_TEXT)? {
        Some(word) if !known.contains(&word.as_str()) => {
            Err(Refusal::invalid(name, format!("one of {}", known.join(", "))))
        }
        word => Ok(word),
    }
}

fn schema(body: &Body) -> Result<Option<Json>, Refusal> {
    let name = "structured_output_schema";
    let Some(schema) = body.value(name) else { return Ok(None) };
    let text = Json::of(schema);
    if !schema.is_object() || text.text().len() > MAX_SCHEMA_BYTES {
        return Err(Refusal::invalid(name, "a self-contained JSON Schema of at most 64 KB"));
    }
    Ok(Some(text))
}

fn extra(body: &Body) -> Result<Json, Refusal> {
    let kept = KEPT.into_iter().filter_map(|name| Some((name.to_owned(), body.value(name)?.clone())));
    word(body, "devin_mode", &MODES)?;
    for name in ["advanced_mode", "platform", "child_playbook_id"] {
        body.text(name, 1..=MAX_TEXT)?;
    }
    for name in ["resumable", "bypass_approval", "structured_output_required"] {
        body.flag(name)?;
    }
    for name in ["knowledge_ids", "secret_ids", "session_links"] {
        body.texts(name, MAX_ITEMS, 1..=MAX_URL)?;
    }
    Ok(Json::of(&kept.collect::<Map<_, _>>()))
}

fn secrets(body: &Body) -> Result<Vec<NewSecret>, Refusal> {
    let secret = |(at, body): (usize, Body)| {
        let named = |refusal: Refusal| match refusal {
            Refusal::Invalid { field, expected } => {
                Refusal::Invalid { field: format!("session_secrets[{at}].{field}"), expected }
            }
            refusal => refusal,
        };
        let read = || -> Result<NewSecret, Refusal> {
            Ok(NewSecret {
                key: body.needed("key", 1..=MAX_SECRET_KEY)?,
                value: body.needed("value", 0..=MAX_SECRET_VALUE)?,
                sensitive: body.flag("sensitive")?.unwrap_or(true),
            })
        };
        read().map_err(named)
    };
    body.objects("session_secrets", MAX_SECRETS)?.into_iter().enumerate().map(secret).collect()
}
