//! Uploads, recordings and attachments.

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::operations::devices::driving;
use bytes::Bytes;
use domain::Refusal;
use domain::ids::{FileId, OrganizationId, PrincipalId};
use domain::refusal::Thing;
use domain::time::{Micros, Span};
use futures_util::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use protocol::CallFile;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use store::access::{UseSessions, ViewSessions};
use store::{FileKind, Granted, NewFile, StoredFile, System};

/// The path below which files are addressed by their token.
pub const FILES_PATH: &str = "/tenure/v1/files";

/// An announced upload.
#[derive(Debug)]
pub struct Upload {
    /// The id for later commands.
    pub id: FileId,
    /// The URL to PUT the bytes to, until it expires. It needs no other credential.
    pub url: String,
    /// When the upload expires.
    pub expires: Micros,
}

/// Announces an upload of `size` bytes.
///
/// # Errors
/// [`Refusal::Invalid`] for the name or size; [`Refusal::QuotaExceeded`].
pub async fn announce_upload(
    app: &App,
    granted: &Granted<UseSessions>,
    name: &str,
    size: u64,
) -> Result<Upload, Failure> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || name.len() > 200 || !name.chars().all(safe) {
        return Err(
            Refusal::invalid("filename", "1 to 200 letters, digits, dots, dashes and underscores").into()
        );
    }
    let limit = app.settings.upload_limit;
    if size == 0 || size > limit {
        return Err(Refusal::invalid("filesize", format!("1 to {limit} bytes")).into());
    }
    let owner = granted.principal().ok_or_else(|| Failure::internal("an upload needs an owner"))?;
    let lifetime = Span::from(app.settings.upload_expires);
    let (file, url) = announce_file(app, granted, owner, FileKind::Upload, name, size, lifetime).await?;
    Ok(Upload { id: file.id, url, expires: file.expires })
}

/// Announces a recording that a host will send; returns its future URL too.
///
/// # Errors
/// [`Refusal::QuotaExceeded`].
pub async fn announce_recording(
    app: &App,
    granted: &Granted<UseSessions>,
    owner: PrincipalId,
) -> Result<(CallFile, String), Failure> {
    let lifetime = Span::from(app.settings.recording_kept);
    let name = "recording.mp4";
    let (file, url) = announce_file(app, granted, owner, FileKind::Recording, name, 0, lifetime).await?;
    Ok((CallFile { id: file.id.0, name: name.to_owned() }, url))
}

async fn announce_file(
    app: &App,
    granted: &Granted<UseSessions>,
    principal: PrincipalId,
    kind: FileKind,
    name: &str,
    size: u64,
    kept: Span,
) -> Result<(NewFile, String), Failure> {
    let token = app.random_bytes::<32>().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let created = app.now();
    let file = NewFile {
        id: FileId::new(created, app.random_bytes()),
        principal,
        kind,
        name: name.to_owned(),
        size,
        token_hash: token_hash(&token),
        created,
        expires: created + kept,
    };
    app.store.announce_file(granted, &file, app.settings.org_storage_quota).await?;
    Ok((file, format!("{}{FILES_PATH}/{token}", app.base_url)))
}

/// Receives the bytes of an announced upload.
///
/// # Errors
/// [`Refusal::NotFound`] for a URL that is unknown or has expired; [`RequestFailure`] when the number of bytes
/// differs from the announced size, or the bytes were sent before.
pub async fn receive_upload<E: std::fmt::Display>(
    app: &App,
    token: &str,
    length: Option<u64>,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<(), Failure> {
    let file = app.store.load_file_by_token(token_hash(token), app.now()).await?;
    if file.kind != FileKind::Upload {
        return Err(Refusal::NotFound(Thing::File).into());
    }
    if file.complete {
        return Err(RequestFailure::Conflict("the bytes of this upload were sent already".to_owned()).into());
    }
    if length.is_some_and(|length| length > file.size) {
        return Err(RequestFailure::BodyTooLarge { limit: file.size }.into());
    }
    let size = store_bytes(app, &file, FileSize::Announced, body).await?;
    if size != file.size {
        let _ = app.files.delete(&object_path(&file)).await;
        let sentence = format!("expected the {} bytes that were announced, got {size}", file.size);
        return Err(RequestFailure::Body(sentence).into());
    }
    Ok(app.store.complete_file(&file, size).await?)
}

/// Receives a recording from a host.
///
/// # Errors
/// [`Refusal::NotFound`] for a recording that was not announced to a host of this organization;
/// [`Refusal::QuotaExceeded`]; [`RequestFailure::BodyTooLarge`] above the size limit of a file.
pub async fn receive_recording<E: std::fmt::Display>(
    app: &App,
    host: Option<OrganizationId>,
    id: FileId,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<(), Failure> {
    let file = load_file_for_host(app, host, id).await?;
    if file.kind != FileKind::Recording || file.complete {
        return Err(Refusal::NotFound(Thing::File).into());
    }
    match store_bytes(app, &file, FileSize::Unknown, body).await {
        Ok(size) => Ok(app.store.complete_file(&file, size).await?),
        Err(failure) => {
            // The host may try again. Until then the recording reserves nothing.
            app.store.reserve_bytes(&file, 0, u64::MAX).await?;
            Err(failure)
        }
    }
}

/// Stores an attachment for a message. When the request is repeated, the answer is the file that was stored before.
///
/// # Errors
/// [`Refusal::Invalid`] for the name; [`Refusal::QuotaExceeded`]; [`RequestFailure`] for a body that ends early or is
/// too long.
pub async fn store_attachment<E: std::fmt::Display>(
    app: &App,
    granted: &Granted<UseSessions>,
    name: &str,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<StoredFile, Failure> {
    if let Some(made) = app.store.find_earlier_creation(granted).await? {
        return Ok(app.store.load_file(granted, FileId(made), app.now()).await?);
    }
    let plain = !name.trim().is_empty() && name.chars().count() <= 255 && !name.contains(['/', '\\']);
    if !plain || name.chars().any(char::is_control) {
        return Err(Refusal::invalid("file", "a name of 1 to 255 characters without slashes").into());
    }
    let owner = granted.principal().ok_or_else(|| Failure::internal("an upload needs an owner"))?;
    // If the server fails now, the file and its reserved bytes are deleted after this time.
    let arrives = Span::from(app.settings.upload_expires);
    let (new, _) = announce_file(app, granted, owner, FileKind::Attachment, name, 0, arrives).await?;
    let file = app.store.load_file(granted, new.id, app.now()).await?;
    match store_bytes(app, &file, FileSize::Unknown, body).await {
        Ok(size) => {
            let expires = new.created + Span::from(app.settings.attachment_kept);
            app.store.complete_attachment(granted, &file, size, expires).await?;
            Ok(StoredFile { size, complete: true, expires, ..file })
        }
        Err(failure) => {
            app.store.delete_file(&System::for_background_jobs(), &file).await?;
            Err(failure)
        }
    }
}

/// Fetches an attachment of the organization.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn fetch_attachment(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: FileId,
) -> Result<(StoredFile, impl Stream<Item = object_store::Result<Bytes>> + use<>), Failure> {
    let file = app.store.load_file(granted, id, app.now()).await?;
    if file.kind != FileKind::Attachment || !file.complete {
        return Err(Refusal::NotFound(Thing::File).into());
    }
    fetch_file(app, file).await
}

/// Whether the size of a file is known before its bytes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileSize {
    /// The size was announced, and counts against the quota since then.
    Announced,
    /// The size is unknown: bytes of the quota are reserved while they arrive.
    Unknown,
}

/// How many bytes are reserved at first.
const FIRST_ROOM: u64 = 1 << 20;

/// Reserves twice the needed bytes of the quota if possible, else the needed ones: each reservation is a write.
/// Returns how many.
async fn reserve_bytes(app: &App, file: &StoredFile, needed: u64, limit: u64) -> Result<u64, Failure> {
    let quota = app.settings.org_storage_quota;
    for size in [needed.saturating_mul(2).max(FIRST_ROOM).min(limit), needed] {
        if app.store.reserve_bytes(file, size, quota).await? {
            return Ok(size);
        }
    }
    let granted = System::for_background_jobs().grant::<UseSessions>(file.organization);
    let free = quota.saturating_sub(app.store.count_used_bytes(&granted).await?);
    Err(Refusal::QuotaExceeded { requested: needed, left: free, quota }.into())
}

/// Streams bytes into the object store; returns their number.
async fn store_bytes<E: std::fmt::Display>(
    app: &App,
    file: &StoredFile,
    expected: FileSize,
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<u64, Failure> {
    let upload = app.files.put_multipart(&object_path(file)).await.map_err(Failure::internal)?;
    let mut writer = WriteMultipart::new(upload);
    let (mut reserved, limit) = match expected {
        FileSize::Announced => (file.size, file.size),
        FileSize::Unknown => (0, app.settings.upload_limit),
    };
    let mut size = 0;
    while let Some(chunk) = body.next().await {
        let outcome = match chunk {
            Ok(chunk) if size + chunk.len() as u64 <= reserved => Ok(chunk),
            Ok(chunk) if size + chunk.len() as u64 <= limit => {
                let more = reserve_bytes(app, file, size + chunk.len() as u64, limit).await;
                more.map(|bytes| {
                    reserved = bytes;
                    chunk
                })
            }
            Ok(_) => Err(RequestFailure::BodyTooLarge { limit }.into()),
            Err(error) => Err(RequestFailure::Body(format!("ended early: {error}")).into()),
        };
        match outcome {
            Ok(chunk) => {
                size += chunk.len() as u64;
                writer.wait_for_capacity(4).await.map_err(Failure::internal)?;
                writer.write(&chunk);
                record_upload_activity(app, file).await;
            }
            Err(failure) => {
                let _ = writer.abort().await;
                return Err(failure);
            }
        }
    }
    writer.finish().await.map_err(Failure::internal)?;
    Ok(size)
}

/// Counts an upload as use of its sender's devices, so that no device is released while the app for it is on its way.
async fn record_upload_activity(app: &App, file: &StoredFile) {
    if !app.used.due(file.id.0, app.now()) {
        return;
    }
    let granted = System::for_background_jobs().grant(file.organization);
    if let Ok(open) = app.store.list_open_holds(&granted).await {
        for (session, hold) in open.iter().filter(|(_, hold)| hold.principal == file.principal) {
            driving::record_hold_use(app, *session, hold);
        }
    }
}

/// Fetches a recording by the token of its URL.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn fetch_recording(
    app: &App,
    token: &str,
) -> Result<(StoredFile, impl Stream<Item = object_store::Result<Bytes>> + use<>), Failure> {
    let file = app.store.load_file_by_token(token_hash(token), app.now()).await?;
    if file.kind != FileKind::Recording || !file.complete {
        return Err(Refusal::NotFound(Thing::File).into());
    }
    fetch_file(app, file).await
}

/// Fetches an uploaded app for a host that installs it.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn fetch_upload(
    app: &App,
    host: Option<OrganizationId>,
    id: FileId,
) -> Result<(StoredFile, impl Stream<Item = object_store::Result<Bytes>> + use<>), Failure> {
    let file = load_file_for_host(app, host, id).await?;
    if file.kind != FileKind::Upload || !file.complete {
        return Err(Refusal::NotFound(Thing::File).into());
    }
    fetch_file(app, file).await
}

async fn fetch_file(
    app: &App,
    file: StoredFile,
) -> Result<(StoredFile, impl Stream<Item = object_store::Result<Bytes>> + use<>), Failure> {
    let found = app.files.get(&object_path(&file)).await.map_err(Failure::internal)?;
    Ok((file, found.into_stream()))
}

/// A host of an organization sees only that organization's files. A host of the shared pool serves all.
async fn load_file_for_host(
    app: &App,
    host: Option<OrganizationId>,
    id: FileId,
) -> Result<StoredFile, Failure> {
    let file = app.store.load_file_for_host(&System::for_background_jobs(), id, app.now()).await?;
    match host {
        Some(organization) if organization != file.organization => Err(Refusal::NotFound(Thing::File).into()),
        _ => Ok(file),
    }
}

/// Deletes expired files. The bytes go first, so that no bytes are left without a row.
///
/// # Errors
/// The database or the object store fails.
pub async fn remove_expired_files(app: &App) -> Result<(), Failure> {
    let system = System::for_background_jobs();
    for file in app.store.list_expired_files(&system, app.now()).await? {
        match app.files.delete(&object_path(&file)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(Failure::internal(error)),
        }
        app.store.delete_file(&system, &file).await?;
    }
    Ok(())
}

fn object_path(file: &StoredFile) -> Path {
    Path::from_iter([file.organization.to_string(), file.id.to_string()])
}

fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
