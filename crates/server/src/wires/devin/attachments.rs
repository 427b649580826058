//! Attachments of messages. A client uploads a file first and names its URL in a message. Reads are redirected.

use super::errors::DevinError;
use super::extractors::Authorized;
use super::sessions::{HandlerResult, PathTexts, respond};
use super::shapes::{SessionAttachment, file_id, organization_id};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware::WholeRequest;
use crate::operations::agents::attachment_links;
use crate::operations::agents::attachments;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::agent::Attachment;
use domain::ids::{FileId, OrganizationId, SessionId, parse_uuid};
use domain::refusal::Thing;
use serde_json::json;
use std::fmt::Write as _;
use store::access::{UseSessions, ViewSessions};
use store::{Granted, StoredFile};
use url::Url;

/// The path of the links that need no credential.
const LINKS_PATH: &str = "/v3/attachments";

/// `GET /sessions/{devin}/attachments`: all attachments in one list, without pages.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    path: PathTexts,
) -> HandlerResult {
    respond_with_attachments(&app, &granted, path.session()?).await
}

/// Answers with the attachments of a session's messages.
pub async fn respond_with_attachments(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
) -> HandlerResult {
    let found = attachments::list_session_attachments(app, granted, id).await?;
    respond(
        &found.iter().map(|(by, attachment, _)| SessionAttachment::new(*by, attachment)).collect::<Vec<_>>(),
    )
}

/// `POST /attachments`: uploads one file, the form's field `file`.
pub async fn upload(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    WholeRequest(mut request): WholeRequest,
) -> HandlerResult {
    // The file is streamed to disk, and `upload_limit` bounds its size.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &app).await.map_err(|_| form_error())?;
    while let Some(field) = form.next_field().await.map_err(|_| form_error())? {
        if field.name() != Some("file") {
            continue;
        }
        let name = field.file_name().map(file_name).unwrap_or_default();
        let file = attachments::upload_attachment(&app, &granted, &name, Box::pin(field)).await?;
        let url = file_url(&app, granted.organization(), file.id, &file.name);
        return respond(&json!({ "attachment_id": file_id(file.id), "name": file.name, "url": url }));
    }
    Err(Failure::from(Refusal::invalid("file", "a file in a form of the type multipart/form-data")).into())
}

fn form_error() -> DevinError {
    let sentence = "expected a form of the type multipart/form-data with a field `file`";
    Failure::from(RequestFailure::Body(sentence.to_owned())).into()
}

/// The name without folders: some clients send the path of the file on their machine.
fn file_name(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

/// `GET /attachments/{uuid}/{name}`: redirects to a link that needs no credential, as the vendor does.
pub async fn fetch(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    path: PathTexts,
) -> HandlerResult {
    let id = parse_uuid(path.get("uuid")).map(FileId).ok_or(Refusal::NotFound(Thing::File));
    let link = attachment_links::create_attachment_link(&app, &granted, id.map_err(Failure::from)?).await?;
    let location = format!("{}{LINKS_PATH}/{link}", app.base_url);
    let location = HeaderValue::from_str(&location).map_err(Failure::internal)?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response())
}

/// `GET /v3/attachments/{link}`: the file's bytes.
pub async fn open(State(app): State<App>, path: PathTexts) -> HandlerResult {
    let (file, bytes) = attachment_links::open_attachment_link(&app, path.get("link")).await?;
    let mut response = Response::new(Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(file.size));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(name) = HeaderValue::from_str(&disposition(&file)) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn disposition(file: &StoredFile) -> String {
    format!("attachment; filename*=UTF-8''{}", percent_encode(&file.name))
}

/// The URL of an organization's file, for callers who can see its sessions.
fn file_url(app: &App, organization: OrganizationId, id: FileId, name: &str) -> String {
    format!("{}{}/{}", files_url(app, organization), file_id(id), percent_encode(name))
}

fn files_url(app: &App, organization: OrganizationId) -> String {
    format!("{}/v3/organizations/{}/attachments/", app.base_url, organization_id(organization))
}

fn percent_encode(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let _ = if plain { write!(text, "{}", char::from(byte)) } else { write!(text, "%{byte:02X}") };
        text
    })
}

/// Reads the URL of an attachment: a file of the organization, or any http or https URL. `None` for other texts.
pub fn attachment_from_url(app: &App, organization: OrganizationId, text: &str) -> Option<Attachment> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let own = text.strip_prefix(&files_url(app, organization)).and_then(|rest| rest.split('/').next());
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let decoded = form_urlencoded::parse(format!("n={}", last.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, name)| name.replace(char::is_control, "_"));
    Some(Attachment {
        id: own.and_then(parse_uuid).map(FileId),
        name: decoded.filter(|name| !name.is_empty()).unwrap_or_else(|| "attachment".to_owned()),
        url: text.to_owned(),
        content_type: None,
        size: None,
    })
}
