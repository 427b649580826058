//! `/auth/api-token`. In the path a key is named by its id, or by its secret as the vendor does.

use super::extractors::Known;
use super::fields::{Fields, Reads};
use super::shapes::{Answer, ApiKey, ApiTokens, answer};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::KeptInstead;
use crate::http::middleware::Whole;
use crate::operations::access::api_keys;
use crate::operations::access::api_keys::ApiKeyDetails;
use crate::operations::access::api_keys::ApiKeyUpdate;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use domain::Refusal;
use domain::refusal::Thing;

/// A hundred years in seconds.
const MAX_TTL: i64 = 3_155_760_000;

/// `GET /auth/api-token`.
pub async fn list(known: Known, State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let expired = include_expired(query.as_deref())?;
    let found = api_keys::list_api_keys(&app, &known.caller, expired).await?;
    let shape = |shown| ApiKey::new(shown, known.caller.permissions(), app.now());
    let tokens = found.into_iter().map(shape).collect::<Vec<_>>();
    answer(&ApiTokens { api_tokens: (!tokens.is_empty()).then_some(tokens) })
}

/// `POST /auth/api-token`: the answer is the only one with the secret, unless the settings say otherwise.
pub async fn create(known: Known, State(app): State<App>, Whole(request): Whole) -> Answer {
    let fields = Fields::read(&app, request, Reads::Both).await?;
    unrestricted(&fields)?;
    let ttl = fields.number("ttl", 0..=MAX_TTL).map_err(Failure::from)?.unwrap_or(0);
    let scopes = fields.scopes("permissions").map_err(Failure::from)?;
    let made = api_keys::create_api_key(&app, &known.caller, ttl, scopes).await?;
    let made = ApiKey::new(made, known.caller.permissions(), app.now());
    let mut response = answer(&made)?;
    let mut kept = serde_json::to_vec(&made.hidden()).map_err(Failure::internal)?;
    kept.push(b'\n');
    response.extensions_mut().insert(KeptInstead(kept));
    Ok(response)
}

/// `GET /auth/api-token/{token}`.
pub async fn get(known: Known, State(app): State<App>, name: TokenPath, RawQuery(query): RawQuery) -> Answer {
    let expired = include_expired(query.as_deref())?;
    shown(&app, &known, api_keys::load_api_key(&app, &known.caller, &token_name(name)?, expired).await?)
}

/// `PUT /auth/api-token/{token}`: changes what is named; when nothing is, the key gets a new secret.
pub async fn change(known: Known, State(app): State<App>, name: TokenPath, Whole(request): Whole) -> Answer {
    let name = token_name(name)?;
    let fields = Fields::read(&app, request, Reads::Both).await?;
    unrestricted(&fields)?;
    let change = read_change(&fields).map_err(Failure::from)?;
    shown(&app, &known, api_keys::change_api_key(&app, &known.caller, &name, change).await?)
}

fn read_change(fields: &Fields) -> Result<ApiKeyUpdate, Refusal> {
    Ok(ApiKeyUpdate {
        ttl: fields.number("ttl", 0..=MAX_TTL)?,
        scopes: fields.scopes("permissions")?,
        reset_scopes: fields.flag("reset-permissions", false)?,
    })
}

/// `DELETE /auth/api-token/{token}`.
pub async fn revoke(known: Known, State(app): State<App>, name: TokenPath) -> Answer {
    api_keys::revoke_api_key(&app, &known.caller, &token_name(name)?).await?;
    Ok(axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT))
}

type TokenPath = Result<Path<String>, PathRejection>;

fn token_name(path: TokenPath) -> Result<String, Failure> {
    path.map(|Path(name)| name).map_err(|_| Refusal::NotFound(Thing::Credential).into())
}

fn include_expired(query: Option<&str>) -> Result<bool, Failure> {
    Ok(Fields::query(query).flag("include-expired", false)?)
}

/// What restrictions mean is not known, and a key that is less restricted than its maker believes is worse than none.
fn unrestricted(fields: &Fields) -> Result<(), Failure> {
    match fields.object("restrictions")? {
        Some(restrictions) if !restrictions.is_empty() => {
            Err(fields.invalid("restrictions", "no restrictions: they are not supported").into())
        }
        _ => Ok(()),
    }
}

fn shown(app: &App, known: &Known, shown: ApiKeyDetails) -> Answer {
    answer(&ApiKey::new(shown, known.caller.permissions(), app.now()))
}
