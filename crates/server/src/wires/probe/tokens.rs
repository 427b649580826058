//! `/auth/api-token`. A path names a key by its id, or by its secret as with the vendor.

use super::extractors::Authenticated;
use super::fields::{AcceptedBody, Fields, QueryFields};
use super::shapes::{ApiKey, ApiTokens, HandlerResult, respond};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::StoredBody;
use crate::http::middleware::WholeRequest;
use crate::operations::access::api_keys;
use crate::operations::access::api_keys::ApiKeyDetails;
use crate::operations::access::api_keys::ApiKeyUpdate;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::Refusal;
use domain::refusal::Thing;

/// A hundred years in seconds.
const MAX_TTL: i64 = 3_155_760_000;

/// `GET /auth/api-token`.
pub async fn list(
    known: Authenticated,
    State(app): State<App>,
    QueryFields(query): QueryFields,
) -> HandlerResult {
    let expired = read_include_expired(&query)?;
    let found = api_keys::list_api_keys(&app, &known.caller, expired).await?;
    let shape = |details| ApiKey::new(details, known.caller.permissions(), app.now());
    let tokens = found.into_iter().map(shape).collect::<Vec<_>>();
    respond(&ApiTokens { api_tokens: (!tokens.is_empty()).then_some(tokens) })
}

/// `POST /auth/api-token`: only this response has the secret, unless the settings say otherwise.
pub async fn create(
    known: Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let fields = Fields::read(&app, request, AcceptedBody::Both).await?;
    refuse_restrictions(&fields)?;
    let ttl = fields.number("ttl", 0..=MAX_TTL).map_err(Failure::from)?.unwrap_or(0);
    let scopes = fields.scopes("permissions").map_err(Failure::from)?;
    let key = api_keys::create_api_key(&app, &known.caller, ttl, scopes).await?;
    let key = ApiKey::new(key, known.caller.permissions(), app.now());
    let mut response = respond(&key)?;
    let mut stored = serde_json::to_vec(&key.remove_secret()).map_err(Failure::internal)?;
    stored.push(b'\n');
    response.extensions_mut().insert(StoredBody(stored));
    Ok(response)
}

/// `GET /auth/api-token/{token}`.
pub async fn get(
    known: Authenticated,
    State(app): State<App>,
    name: TokenPath,
    QueryFields(query): QueryFields,
) -> HandlerResult {
    let expired = read_include_expired(&query)?;
    respond_with_key(
        &app,
        &known,
        api_keys::load_api_key(&app, &known.caller, &token_name(name)?, expired).await?,
    )
}

/// `PUT /auth/api-token/{token}`: changes the given fields. Without any, the key gets a new secret.
pub async fn change(
    known: Authenticated,
    State(app): State<App>,
    name: TokenPath,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let name = token_name(name)?;
    let fields = Fields::read(&app, request, AcceptedBody::Both).await?;
    refuse_restrictions(&fields)?;
    let change = read_change(&fields).map_err(Failure::from)?;
    respond_with_key(&app, &known, api_keys::change_api_key(&app, &known.caller, &name, change).await?)
}

fn read_change(fields: &Fields) -> Result<ApiKeyUpdate, Refusal> {
    Ok(ApiKeyUpdate {
        ttl: fields.number("ttl", 0..=MAX_TTL)?,
        scopes: fields.scopes("permissions")?,
        reset_scopes: fields.flag("reset-permissions", false)?,
    })
}

/// `DELETE /auth/api-token/{token}`.
pub async fn revoke(known: Authenticated, State(app): State<App>, name: TokenPath) -> HandlerResult {
    api_keys::revoke_api_key(&app, &known.caller, &token_name(name)?).await?;
    Ok(axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT))
}

type TokenPath = Result<Path<String>, PathRejection>;

fn token_name(path: TokenPath) -> Result<String, Failure> {
    path.map(|Path(name)| name).map_err(|_| Refusal::NotFound(Thing::Credential).into())
}

fn read_include_expired(query: &Fields) -> Result<bool, Failure> {
    Ok(query.flag("include-expired", false)?)
}

/// Refuses restrictions. Their meaning is unknown, and a key that is less restricted than its owner believes is a risk.
fn refuse_restrictions(fields: &Fields) -> Result<(), Failure> {
    match fields.object("restrictions")? {
        Some(restrictions) if !restrictions.is_empty() => {
            Err(fields.invalid("restrictions", "no restrictions: they are not supported").into())
        }
        _ => Ok(()),
    }
}

fn respond_with_key(app: &App, known: &Authenticated, details: ApiKeyDetails) -> HandlerResult {
    respond(&ApiKey::new(details, known.caller.permissions(), app.now()))
}
