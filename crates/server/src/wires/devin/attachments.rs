//! Files that come with messages: uploaded before, named by their URL in a message, read through a redirect.

use super::errors::DevinError;
use super::extractors::May;
use super::sessions::{Answer, Texts, answer};
use super::shapes::{Attached, file_id, organization_id};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware::Whole;
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

/// Below which the addresses stand that need no credential.
const LINKS: &str = "/v3/attachments";

/// `GET /sessions/{devin}/attachments`: all of them in one list without pages.
pub async fn list(May(granted): May<ViewSessions>, State(app): State<App>, path: Texts) -> Answer {
    of(&app, &granted, path.session()?).await
}

/// What came with the messages of a session.
pub async fn of(app: &App, granted: &Granted<ViewSessions>, id: SessionId) -> Answer {
    let found = attachments::list_session_attachments(app, granted, id).await?;
    answer(&found.iter().map(|(by, attachment, _)| Attached::new(*by, attachment)).collect::<Vec<_>>())
}

/// `POST /attachments`: one file, in the field `file` of a form.
pub async fn upload(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    Whole(mut request): Whole,
) -> Answer {
    // The file goes to disk piece by piece, and `upload_limit` bounds it.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &app).await.map_err(|_| no_form())?;
    while let Some(field) = form.next_field().await.map_err(|_| no_form())? {
        if field.name() != Some("file") {
            continue;
        }
        let name = field.file_name().map(last_part).unwrap_or_default();
        let file = attachments::upload_attachment(&app, &granted, &name, Box::pin(field)).await?;
        let url = url_of(&app, granted.organization(), file.id, &file.name);
        return answer(&json!({ "attachment_id": file_id(file.id), "name": file.name, "url": url }));
    }
    Err(Failure::from(Refusal::invalid("file", "a file in a form of the type multipart/form-data")).into())
}

fn no_form() -> DevinError {
    let sentence = "expected a form of the type multipart/form-data with a field `file`";
    Failure::from(RequestFailure::Body(sentence.to_owned())).into()
}

/// Some clients send the path of the file on their machine.
fn last_part(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

/// `GET /attachments/{uuid}/{name}`: sends the client on to an address that needs no credential, as the vendor does.
pub async fn fetch(May(granted): May<ViewSessions>, State(app): State<App>, path: Texts) -> Answer {
    let id = parse_uuid(path.get("uuid")).map(FileId).ok_or(Refusal::NotFound(Thing::File));
    let link = attachment_links::create_attachment_link(&app, &granted, id.map_err(Failure::from)?).await?;
    let location = format!("{}{LINKS}/{link}", app.base_url);
    let location = HeaderValue::from_str(&location).map_err(Failure::internal)?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response())
}

/// `GET /v3/attachments/{link}`: the bytes.
pub async fn open(State(app): State<App>, path: Texts) -> Answer {
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
    format!("attachment; filename*=UTF-8''{}", encoded(&file.name))
}

/// Where a file of an organization is for who may see its sessions.
fn url_of(app: &App, organization: OrganizationId, id: FileId, name: &str) -> String {
    format!("{}{}/{}", folder(app, organization), file_id(id), encoded(name))
}

fn folder(app: &App, organization: OrganizationId) -> String {
    format!("{}/v3/organizations/{}/attachments/", app.base_url, organization_id(organization))
}

fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let _ = if plain { write!(text, "{}", char::from(byte)) } else { write!(text, "%{byte:02X}") };
        text
    })
}

/// The attachment that a message names by its URL: a file of the organization, or anything on the web.
pub fn of_url(app: &App, organization: OrganizationId, text: &str) -> Option<Attachment> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let own = text.strip_prefix(&folder(app, organization)).and_then(|rest| rest.split('/').next());
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
