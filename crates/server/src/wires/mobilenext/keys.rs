//! `/api/v1/keys`: one's own, for who has signed in; an API key is refused with 403, as the vendor says.

use super::errors::MobileError;
use super::extractors::Known;
use super::sessions::answer;
use super::shapes::{List, Time};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::KeptInstead;
use crate::http::middleware::Whole;
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

/// How many of a key's last characters the vendor shows.
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
            name: name(key),
            created_at: Time(key.created),
            last_used_at: key.last_used.map(Time),
        }
    }
}

fn name(key: &Credential) -> Option<&str> {
    Some(key.name.as_str()).filter(|name| !name.is_empty())
}

/// A key that was just made, with its secret or, for whoever asks again, without.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
    name: Option<&'a str>,
    created_at: Time,
}

impl<'a> Created<'a> {
    fn new(key: &'a CreatedKey, secret: Option<&'a str>) -> Created<'a> {
        let CreatedKey { credential, .. } = key;
        let created_at = Time(credential.created);
        Created { id: credential.id.0, api_key: secret, name: name(credential), created_at }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a name")]
struct Ask {
    #[serde(default)]
    name: Option<String>,
}

/// `GET /keys`: those that are good, the oldest first.
pub async fn list(Known(caller): Known, State(app): State<App>) -> Result<Response, MobileError> {
    let keys = own_keys::list_own_keys(&app, &caller).await?;
    answer(StatusCode::OK, &List::new(keys.iter().map(Key::from).collect(), None))
}

/// `POST /keys`: the answer is the only one with the secret.
pub async fn create(
    Known(caller): Known,
    State(app): State<App>,
    Whole(request): Whole,
) -> Result<Response, MobileError> {
    let ask: Ask = middleware::json(&app, request).await?;
    let made = own_keys::create_own_key(&app, &caller, ask.name.as_deref().unwrap_or_default()).await?;
    let mut response = answer(
        StatusCode::CREATED,
        &Created::new(&made, made.secret.as_ref().map(|secret| secret.reveal())),
    )?;
    let kept = serde_json::to_vec(&Created::new(&made, None)).map_err(Failure::internal)?;
    response.extensions_mut().insert(KeptInstead(kept));
    Ok(response)
}

/// `DELETE /keys/{key}`.
pub async fn revoke(
    Known(caller): Known,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    own_keys::revoke_own_key(&app, &caller, id(path).map(CredentialId)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An id as it stands in a path.
pub type IdPath = Result<Path<String>, PathRejection>;

/// Reads it; what can be no id is an id that nothing has.
pub fn id(path: IdPath) -> Option<Uuid> {
    path.ok().and_then(|Path(text)| parse_uuid(&text))
}
