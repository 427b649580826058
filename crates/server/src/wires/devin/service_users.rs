//! Service users and their keys, of an organization and of the account. A key's secret is shown once.

use super::body::Body;
use super::errors::DevinError;
use super::extractors::{self, Authenticated, AuthorizedInAccount};
use super::query::Query;
use super::roles::{self, RoleShape};
use super::sessions::{HandlerResult, PathTexts, respond};
use super::shapes::{organization_id, principal_id, read_principal_id, seconds};
use super::short_lists::{self, ListReader};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::StoredBody;
use crate::http::middleware::WholeRequest;
use crate::operations::access::own_keys::CreatedKey;
use crate::operations::access::service_users;
use crate::operations::access::service_users::KeyTerms;
use crate::operations::access::service_users::ServiceUser;
use crate::operations::access::service_users::ServiceUserHome;
use crate::operations::access::service_users::ServiceUserRole;
use axum::extract::{FromRequestParts, MatchedPath, State};
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

/// Longest lifetime of a key, in seconds: a year.
const MAX_TTL: i64 = 31_536_000;
const MAX_NAME: usize = 256;

/// The owner of the service users that a path is about (an organization or the account), and the caller.
pub struct ServiceUserScope {
    of: ServiceUserHome,
    principal: PrincipalId,
}

impl FromRequestParts<App> for ServiceUserScope {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<ServiceUserScope, DevinError> {
        let pattern = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        if pattern.contains("/enterprise/") {
            let account = AuthorizedInAccount::<ManageServiceUsers>::from_request_parts(parts, app).await?;
            return Ok(ServiceUserScope {
                principal: account.caller.principal(),
                of: ServiceUserHome::Account(account.granted),
            });
        }
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        let granted = caller.authorize::<ManageServiceUsers>().map_err(Failure::from)?;
        extractors::demand_fresh_sign_in::<ManageServiceUsers>(parts, app, &caller)?;
        Ok(ServiceUserScope { of: ServiceUserHome::Organization(granted), principal: caller.principal() })
    }
}

impl ServiceUserScope {
    fn organization(&self) -> Option<OrganizationId> {
        match &self.of {
            ServiceUserHome::Organization(granted) => Some(granted.organization()),
            ServiceUserHome::Account(_) => None,
        }
    }

    fn reader(&self, list: &'static str) -> ListReader {
        ListReader { list, principal: Some(self.principal), organization: self.organization() }
    }

    fn user_shape(&self, user: &ServiceUser) -> Value {
        let role =
            json!({ "org_id": self.organization().map(organization_id), "role": RoleShape::from(user.role) });
        json!({
            "service_user_id": principal_id(user.principal.id, PrincipalKind::ServiceUser),
            "name": user.principal.name,
            "created_at": seconds(user.principal.created),
            "role_assignments": [role],
        })
    }

    async fn user(&self, app: &App, path: &PathTexts) -> Result<ServiceUser, Failure> {
        service_users::load_service_user(app, &self.of, user_id(path)?).await
    }
}

fn user_id(path: &PathTexts) -> Result<PrincipalId, Refusal> {
    let id = read_principal_id(path.get("user"), PrincipalKind::ServiceUser);
    id.ok_or(Refusal::NotFound(Thing::Principal))
}

fn key_id(path: &PathTexts) -> Result<CredentialId, Refusal> {
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

/// Answers with a new key's secret. The response stored for a repeated request has no secret.
fn respond_with_secret(mut shown: Value, new: &CreatedKey) -> HandlerResult {
    shown["token"] = Value::Null;
    let stored = StoredBody(shown.to_string().into_bytes());
    shown["token"] = json!(new.secret.as_ref().map(|secret| secret.reveal()));
    let mut response = respond(&shown)?;
    response.extensions_mut().insert(stored);
    Ok(response)
}

/// Reads when a new key expires.
fn read_expiry(app: &App, body: &Body) -> Result<Option<Micros>, Refusal> {
    let ttl = body.number("ttl_seconds", 1..=MAX_TTL)?;
    Ok(ttl.map(|seconds| app.now() + domain::time::Span::seconds(seconds)))
}

/// `GET /service-users`, `GET /members/service-users`.
pub async fn list(place: ServiceUserScope, State(app): State<App>, query: Query) -> HandlerResult {
    let all = service_users::list_service_users(&app, &place.of).await?;
    let reader = place.reader("service-users");
    short_lists::respond_with_page(
        &app,
        &reader,
        &query,
        all,
        |user| user.principal.id.0,
        |user| place.user_shape(user),
    )
}

/// `POST /service-users`: creates a service user and its first key.
pub async fn create(
    place: ServiceUserScope,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body = Body::read(&app, request).await?;
    let name = body.require_text("name", 1..=MAX_NAME).map_err(Failure::from)?;
    let role = match &place.of {
        ServiceUserHome::Organization(_) => roles::read_organization_role(&body, PrincipalKind::ServiceUser)
            .map(ServiceUserRole::Organization),
        ServiceUserHome::Account(_) => roles::read_account_role(&body).map(ServiceUserRole::Account),
    };
    let expires = read_expiry(&app, &body).map_err(Failure::from)?;
    let role = role.map_err(Failure::from)?;
    let (user, key) =
        service_users::create_service_user(&app, &place.of, &name, role, Wire::Devin, expires).await?;
    let mut shape = place.user_shape(&user);
    shape["expires_at"] = json!(key.credential.expires.map(seconds));
    respond_with_secret(json!({ "service_user": shape }), &key)
}

/// `GET /service-users/{user}`.
pub async fn get(place: ServiceUserScope, State(app): State<App>, path: PathTexts) -> HandlerResult {
    respond(&place.user_shape(&place.user(&app, &path).await?))
}

/// `DELETE /service-users/{user}`.
pub async fn delete(
    place: ServiceUserScope,
    State(app): State<App>,
    path: PathTexts,
) -> Result<StatusCode, DevinError> {
    service_users::delete_service_user(&app, &place.of, user_id(&path).map_err(Failure::from)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /service-users/{user}/api-keys`.
pub async fn list_keys(
    place: ServiceUserScope,
    State(app): State<App>,
    path: PathTexts,
    query: Result<Query, DevinError>,
) -> HandlerResult {
    let all = service_users::list_service_user_keys(&app, &place.of, user_id(&path).map_err(Failure::from)?)
        .await?;
    short_lists::respond_with_page(&app, &place.reader("keys"), &query?, all, |key| key.id.0, key_shape)
}

/// `POST /service-users/{user}/api-keys`.
pub async fn create_key(
    place: ServiceUserScope,
    State(app): State<App>,
    path: PathTexts,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let id = user_id(&path).map_err(Failure::from)?;
    let body = Body::read(&app, request).await?;
    let name = body.require_text("name", 1..=MAX_NAME).map_err(Failure::from)?;
    let expires = read_expiry(&app, &body).map_err(Failure::from)?;
    let terms = KeyTerms::new(&name, Wire::Devin, expires);
    let key = service_users::create_service_user_key(&app, &place.of, id, &terms).await?;
    respond_with_secret(key_shape(&key.credential), &key)
}

/// `DELETE /service-users/{user}/api-keys/{key}`.
pub async fn revoke_key(
    place: ServiceUserScope,
    State(app): State<App>,
    path: PathTexts,
) -> Result<StatusCode, DevinError> {
    let user = user_id(&path).map_err(Failure::from)?;
    service_users::revoke_service_user_key(&app, &place.of, user, key_id(&path).map_err(Failure::from)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /service-users/{user}/api-keys/{key}/rotate`: creates a new key and revokes the old one.
pub async fn rotate_key(place: ServiceUserScope, State(app): State<App>, path: PathTexts) -> HandlerResult {
    let user = user_id(&path).map_err(Failure::from)?;
    let key = key_id(&path).map_err(Failure::from)?;
    let key = service_users::rotate_service_user_key(&app, &place.of, user, key).await?;
    respond_with_secret(key_shape(&key.credential), &key)
}
