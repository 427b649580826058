//! Files that come with messages.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::devices::files;
use bytes::Bytes;
use domain::agent::{Attachment, Source};
use domain::ids::{FileId, SessionId};
use domain::time::Micros;
use futures_util::Stream;
use store::access::{UseSessions, ViewSessions};
use store::{Granted, StoredFile};

/// An attachment of a session, with who sent it and when.
pub type SessionAttachment = (Source, Attachment, Micros);

/// Takes a file in. Its length counts against the organization's storage.
///
/// # Errors
/// `Invalid` for its name; `QuotaExceeded`; what is wrong with the body.
pub async fn upload_attachment<E: std::fmt::Display>(
    app: &App,
    granted: &Granted<UseSessions>,
    name: &str,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<StoredFile, Failure> {
    files::store_attachment(app, granted, name, body).await
}

/// What is known of an attachment of the organization, and its bytes.
///
/// # Errors
/// `NotFound`.
pub async fn fetch_attachment(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: FileId,
) -> Result<(StoredFile, impl Stream<Item = object_store::Result<Bytes>> + use<>), Failure> {
    files::fetch_attachment(app, granted, id).await
}

/// What came with the messages of a session, in their order.
///
/// # Errors
/// `NotFound`.
pub async fn list_session_attachments(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
) -> Result<Vec<SessionAttachment>, Failure> {
    Ok(app.store.list_session_attachments(granted, id).await?)
}
