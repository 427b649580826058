//! `/api/v1/keys`: the caller's own keys. The caller must have signed in; an API key is refused with 403, as the vendor
//! documents.

use super::errors::MobileError;
use super::extractors::Authenticated;
use super::sessions::respond;
use super::shapes::{List, Time};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::StoredBody;
use crate::http::middleware::WholeRequest;
use crate::operations::access::own_keys;
use crate::operations::access::own_keys::CreatedKey;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::credential::Credential;
use domain::ids::{CredentialId, parse_uuid};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Number of a key's last characters that the vendor shows.
const SUFFIX: usize = 3;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Key<'a> {
    id: Uuid,
    api_key_suffix: &'a str,
    name: Option<&'a str>,
    created_at: Time,
    last_used_at: Option<Time>,
}

impl<'a> From<&'a Credential> for Key<'a> {
    fn from(key: &'a Credential) -> Key<'a> {
        let cut = key.suffix.len().saturating_sub(SUFFIX);
        Key {
            id: key.id.0,
            api_key_suffix: key.suffix.get(cut..).unwrap_or_default(),
            name: key_name(key),
            created_at: Time(key.created),
            last_used_at: key.last_used.map(Time),
        }
    }
}

fn key_name(key: &Credential) -> Option<&str> {
    Some(key.name.as_str()).filter(|name| !name.is_empty())
}

/// A new key: with its secret, or without it for a repeated request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewKeyShape<'a> {
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
    name: Option<&'a str>,
    created_at: Time,
}

impl<'a> NewKeyShape<'a> {
    fn new(key: &'a CreatedKey, secret: Option<&'a str>) -> NewKeyShape<'a> {
        let CreatedKey { credential, .. } = key;
        let created_at = Time(credential.created);
        NewKeyShape { id: credential.id.0, api_key: secret, name: key_name(credential), created_at }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a name")]
struct KeyRequest {
    #[serde(default)]
    name: Option<String>,
}

/// `GET /keys`: the valid keys, oldest first.
pub async fn list(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
) -> Result<Response, MobileError> {
    let keys = own_keys::list_own_keys(&app, &caller).await?;
    respond(StatusCode::OK, &List::new(keys.iter().map(Key::from).collect::<Vec<_>>(), None))
}

/// `POST /keys`: only this response has the secret.
pub async fn create(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, MobileError> {
    let ask: KeyRequest = middleware::read_json(&app, request).await?;
    let key = own_keys::create_own_key(&app, &caller, ask.name.as_deref().unwrap_or_default()).await?;
    let mut response = respond(
        StatusCode::CREATED,
        &NewKeyShape::new(&key, key.secret.as_ref().map(|secret| secret.reveal())),
    )?;
    let stored = serde_json::to_vec(&NewKeyShape::new(&key, None)).map_err(Failure::internal)?;
    response.extensions_mut().insert(StoredBody(stored));
    Ok(response)
}

/// `DELETE /keys/{key}`.
pub async fn revoke(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    own_keys::revoke_own_key(&app, &caller, read_id(path).map(CredentialId)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An id in a path, before it is parsed.
pub type IdPath = Result<Path<String>, PathRejection>;

/// Parses an id in a path. `None` for a malformed id, which is then reported as not found.
pub fn read_id(path: IdPath) -> Option<Uuid> {
    path.ok().and_then(|Path(text)| parse_uuid(&text))
}
