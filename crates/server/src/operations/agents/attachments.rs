//! Attachments of messages.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::devices::files;
use bytes::Bytes;
use domain::agent::{Attachment, MessageSource};
use domain::ids::{FileId, SessionId};
use domain::time::Micros;
use futures_util::Stream;
use store::access::{UseSessions, ViewSessions};
use store::{Granted, StoredFile};

/// An attachment of a session, with its sender and time.
pub type SessionAttachment = (MessageSource, Attachment, Micros);

/// Stores a file. Its length counts against the organization's quota.
///
/// # Errors
/// [`domain::Refusal::Invalid`] for the name; [`domain::Refusal::QuotaExceeded`]; [`crate::failure::RequestFailure`]
/// for a body that ends early or is too long.
pub async fn upload_attachment<E: std::fmt::Display>(
    app: &App,
    granted: &Granted<UseSessions>,
    name: &str,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<StoredFile, Failure> {
    files::store_attachment(app, granted, name, body).await
}

/// An attachment of the organization with its bytes.
///
/// # Errors
/// [`domain::Refusal::NotFound`].
pub async fn fetch_attachment(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: FileId,
) -> Result<(StoredFile, impl Stream<Item = object_store::Result<Bytes>> + use<>), Failure> {
    files::fetch_attachment(app, granted, id).await
}

/// Lists the attachments of a session's messages, in the order of the messages.
///
/// # Errors
/// [`domain::Refusal::NotFound`].
pub async fn list_session_attachments(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
) -> Result<Vec<SessionAttachment>, Failure> {
    Ok(app.store.list_session_attachments(granted, id).await?)
}
