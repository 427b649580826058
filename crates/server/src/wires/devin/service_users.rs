//! Service users and their keys, of an organization and of the account. A key's secret is shown once.

use super::body::Body;
use super::errors::DevinError;
use super::extractors::{self, Known, MayInAccount};
use super::roles::{self, RoleShape};
use super::sessions::{Answer, Texts, answer};
use super::shapes::{organization_id, principal_id, read_principal_id, seconds};
use super::short_lists::{self, Reader};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::KeptInstead;
use crate::http::middleware::Whole;
use crate::operations::access::own_keys::CreatedKey;
use crate::operations::access::service_users;
use crate::operations::access::service_users::ServiceUser;
use crate::operations::access::service_users::ServiceUserHome;
use crate::operations::access::service_users::ServiceUserRole;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::Refusal;
use domain::credential::{Credential, Wire};
use domain::ids::{CredentialId, OrganizationId, PrincipalId, parse_uuid};
use domain::principal::PrincipalKind;
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::{Value, json};
use store::access::ManageServiceUsers;

/// The longest that a key may be good for, in seconds: a year.
const MAX_TTL: i64 = 31_536_000;
const MAX_NAME: usize = 256;

/// Whose service users a path is about, and who asks.
pub struct Place {
    of: ServiceUserHome,
    principal: PrincipalId,
}

impl FromRequestParts<App> for Place {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Place, DevinError> {
        // Below the prefix of the wire, which was taken off.
        if parts.uri.path().starts_with("/enterprise/") {
            let account = MayInAccount::<ManageServiceUsers>::from_request_parts(parts, app).await?;
            return Ok(Place {
                principal: account.caller.principal(),
                of: ServiceUserHome::Account(account.granted),
            });
        }
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        let granted = caller.authorize::<ManageServiceUsers>().map_err(Failure::from)?;
        extractors::fresh::<ManageServiceUsers>(parts, app, &caller)?;
        Ok(Place { of: ServiceUserHome::Organization(granted), principal: caller.principal() })
    }
}

impl Place {
    fn organization(&self) -> Option<OrganizationId> {
        match &self.of {
            ServiceUserHome::Organization(granted) => Some(granted.organization()),
            ServiceUserHome::Account(_) => None,
        }
    }

    fn reader(&self, list: &'static str) -> Reader {
        Reader { list, principal: Some(self.principal), organization: self.organization() }
    }

    fn shown(&self, user: &ServiceUser) -> Value {
        let role =
            json!({ "org_id": self.organization().map(organization_id), "role": RoleShape::from(user.role) });
        json!({
            "service_user_id": principal_id(user.principal.id, PrincipalKind::ServiceUser),
            "name": user.principal.name,
            "created_at": seconds(user.principal.created),
            "role_assignments": [role],
        })
    }

    async fn user(&self, app: &App, path: &Texts) -> Result<ServiceUser, Failure> {
        service_users::load_service_user(app, &self.of, user_id(path)?).await
    }
}

fn user_id(path: &Texts) -> Result<PrincipalId, Refusal> {
    let id = read_principal_id(path.get("user"), PrincipalKind::ServiceUser);
    id.ok_or(Refusal::NotFound(Thing::Principal))
}

fn key_id(path: &Texts) -> Result<CredentialId, Refusal> {
    let id = path.get("key").strip_prefix("key-").and_then(parse_uuid);
    id.map(CredentialId).ok_or(Refusal::NotFound(Thing::Credential))
}

fn key_shape(key: &Credential) -> Value {
    json!({
        "api_key_id": format!("key-{}", key.id.0.simple()),
        "name": key.name,
        "last_characters": key.suffix,
        "created_at": seconds(key.created),
        "expires_at": key.expires.map(seconds),
        "last_used_at": key.last_used.map(seconds),
        "revoked_at": key.revoked.map(seconds),
    })
}

/// What was asked for, with the secret beside it; what is kept for a repeated request has none.
fn with_secret(mut shown: Value, new: &CreatedKey) -> Answer {
    shown["token"] = Value::Null;
    let kept = KeptInstead(shown.to_string().into_bytes());
    shown["token"] = json!(new.secret.as_ref().map(|secret| secret.reveal()));
    let mut response = answer(&shown)?;
    response.extensions_mut().insert(kept);
    Ok(response)
}

/// When a key that is made now ends.
fn expires(app: &App, body: &Body) -> Result<Option<Micros>, Refusal> {
    let ttl = body.number("ttl_seconds", 1..=MAX_TTL)?;
    Ok(ttl.map(|seconds| app.now() + domain::time::Span::seconds(seconds)))
}

/// `GET /service-users`, `GET /members/service-users`.
pub async fn list(place: Place, State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let all = service_users::list_service_users(&app, &place.of).await?;
    let reader = place.reader("service-users");
    short_lists::page(
        &app,
        &reader,
        query.as_deref(),
        all,
        |user| user.principal.id.0,
        |user| place.shown(user),
    )
}

/// `POST /service-users`: with its first key.
pub async fn create(place: Place, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body = Body::read(&app, request).await?;
    let name = body.needed("name", 1..=MAX_NAME).map_err(Failure::from)?;
    let role = match &place.of {
        ServiceUserHome::Organization(_) => {
            roles::in_organization(&body, PrincipalKind::ServiceUser).map(ServiceUserRole::Organization)
        }
        ServiceUserHome::Account(_) => roles::in_account(&body).map(ServiceUserRole::Account),
    };
    let expires = expires(&app, &body).map_err(Failure::from)?;
    let role = role.map_err(Failure::from)?;
    let (user, key) =
        service_users::create_service_user(&app, &place.of, &name, role, Wire::Devin, expires).await?;
    let mut shown = place.shown(&user);
    shown["expires_at"] = json!(key.credential.expires.map(seconds));
    with_secret(json!({ "service_user": shown }), &key)
}

/// `GET /service-users/{user}`.
pub async fn get(place: Place, State(app): State<App>, path: Texts) -> Answer {
    answer(&place.shown(&place.user(&app, &path).await?))
}

/// `DELETE /service-users/{user}`.
pub async fn delete(place: Place, State(app): State<App>, path: Texts) -> Result<StatusCode, DevinError> {
    service_users::delete_service_user(&app, &place.of, user_id(&path).map_err(Failure::from)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /service-users/{user}/api-keys`.
pub async fn list_keys(
    place: Place,
    State(app): State<App>,
    path: Texts,
    RawQuery(query): RawQuery,
) -> Answer {
    let all = service_users::list_service_user_keys(&app, &place.of, user_id(&path).map_err(Failure::from)?)
        .await?;
    short_lists::page(&app, &place.reader("keys"), query.as_deref(), all, |key| key.id.0, key_shape)
}

/// `POST /service-users/{user}/api-keys`.
pub async fn create_key(place: Place, State(app): State<App>, path: Texts, Whole(request): Whole) -> Answer {
    let id = user_id(&path).map_err(Failure::from)?;
    let body = Body::read(&app, request).await?;
    let name = body.needed("name", 1..=MAX_NAME).map_err(Failure::from)?;
    let expires = expires(&app, &body).map_err(Failure::from)?;
    let key =
        service_users::create_service_user_key(&app, &place.of, id, &name, Wire::Devin, expires).await?;
    with_secret(key_shape(&key.credential), &key)
}

/// `DELETE /service-users/{user}/api-keys/{key}`.
pub async fn revoke_key(place: Place, State(app): State<App>, path: Texts) -> Result<StatusCode, DevinError> {
    let user = user_id(&path).map_err(Failure::from)?;
    service_users::revoke_service_user_key(&app, &place.of, user, key_id(&path).map_err(Failure::from)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /service-users/{user}/api-keys/{key}/rotate`: a new key, and the old one is revoked.
pub async fn rotate_key(place: Place, State(app): State<App>, path: Texts) -> Answer {
    let user = user_id(&path).map_err(Failure::from)?;
    let key = key_id(&path).map_err(Failure::from)?;
    let key = service_users::rotate_service_user_key(&app, &place.of, user, key).await?;
    with_secret(key_shape(&key.credential), &key)
}
