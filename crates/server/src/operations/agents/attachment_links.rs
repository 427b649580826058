//! Links to attachments that need no credential: whoever has a link can read the file for a few minutes. Links are
//! not stored: each carries the organization, the file, the expiry and a MAC over them.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents::attachments;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::Refusal;
use domain::ids::{FileId, OrganizationId};
use domain::refusal::Thing;
use domain::time::{Micros, Span};
use futures_util::Stream;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use store::access::ViewSessions;
use store::{Granted, StoredFile, System};
use uuid::Uuid;

/// How long a link works.
const LIFETIME: Span = Span::minutes(10);
const PAYLOAD_BYTES: usize = 16 + 16 + 8;
const MAC_BYTES: usize = 32;

/// Creates a link to a file of the caller's organization: the last part of its URL.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn create_attachment_link(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: FileId,
) -> Result<String, Failure> {
    // The file must exist.
    let _ = attachments::fetch_attachment(app, granted, id).await?;
    let mut bytes = Vec::with_capacity(PAYLOAD_BYTES + MAC_BYTES);
    bytes.extend(granted.organization().0.as_bytes());
    bytes.extend(id.0.as_bytes());
    bytes.extend((app.now() + LIFETIME).0.to_be_bytes());
    let tag = mac(app, &bytes)?.finalize().into_bytes();
    bytes.extend(tag);
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Opens the file of a link.
///
/// # Errors
/// [`Refusal::NotFound`] for a link that is forged or has expired.
pub async fn open_attachment_link(
    app: &App,
    token: &str,
) -> Result<(StoredFile, impl Stream<Item = object_store::Result<Bytes>> + use<>), Failure> {
    let unknown = || Failure::from(Refusal::NotFound(Thing::File));
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| unknown())?;
    if bytes.len() != PAYLOAD_BYTES + MAC_BYTES {
        return Err(unknown());
    }
    let (payload, tag) = bytes.split_at(PAYLOAD_BYTES);
    mac(app, payload)?.verify_slice(tag).map_err(|_| unknown())?;
    let id = |at: usize| Uuid::from_slice(&payload[at..at + 16]).map_err(Failure::internal);
    let until = i64::from_be_bytes(payload[32..].try_into().map_err(Failure::internal)?);
    if app.now() >= Micros(until) {
        return Err(unknown());
    }
    // The link is the proof.
    let granted = System::for_signed_links().grant::<ViewSessions>(OrganizationId(id(0)?));
    attachments::fetch_attachment(app, &granted, FileId(id(16)?)).await
}

fn mac(app: &App, payload: &[u8]) -> Result<Hmac<Sha256>, Failure> {
    let key = app.keys.derive_key("attachment links");
    Ok(Hmac::<Sha256>::new_from_slice(&key).map_err(Failure::internal)?.chain_update(payload))
}
