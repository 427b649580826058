//! The JSON shapes of this wire: kebab-case names, RFC 3339 times, and null for empty arrays.

use super::errors::ProbeError;
use crate::failure::Failure;
use crate::http::middleware::json_response;
use crate::operations::access::api_keys::ApiKeyDetails;
use crate::operations::access::api_keys::has_expired;
use crate::operations::directory::users::Profile;
use crate::operations::login::sign_in::IssuedToken;
use crate::operations::sessions::ListedSession;
use axum::http::StatusCode;
use axum::response::Response;
use domain::login::Login;
use domain::permission::{AccountRole, PermissionSet};
use domain::principal::{Person, Scopes};
use domain::time::Micros;
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What handlers return.
pub type HandlerResult = Result<Response, ProbeError>;

/// A JSON response that ends with a line break.
pub fn respond(body: &impl Serialize) -> HandlerResult {
    Ok(json_line(serde_json::to_vec(body).map_err(Failure::internal)?))
}

/// A JSON response that ends with a line break.
pub fn json_line(mut json: Vec<u8>) -> Response {
    json.push(b'\n');
    json_response(StatusCode::OK, json)
}

fn time(time: Micros) -> String {
    jiff::Timestamp::from_microsecond(time.0).map_or_else(|_| String::new(), |time| time.to_string())
}

/// A session: `AuthSession`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Session {
    id: Uuid,
    created: String,
    expire: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_ip: Option<String>,
    ua_type: String,
    user_agent: String,
    /// Whether it is the session of this request. The vendor has no such field. It is the last one, because it depends on
    /// the request: see `mark_current`.
    current: bool,
}

impl Session {
    /// The shape of a session that is not the one of this request.
    pub fn new(login: &Login) -> Session {
        Session {
            id: login.id.uuid(),
            created: time(login.id.creation_time()),
            expire: time(login.expires),
            remote_ip: login.origin.remote_ip.map(|ip| ip.to_string()),
            ua_type: login.origin.agent_type.clone(),
            user_agent: login.origin.agent.clone(),
            current: false,
        }
    }
}

/// `AuthGetSessionsResponse`.
#[derive(Debug, Serialize)]
pub struct Sessions<'a> {
    /// Null when there are none.
    pub sessions: Option<&'a [ListedSession]>,
}

/// `AuthJWTToken`.
#[derive(Serialize)]
pub struct Token {
    expire: String,
    token: String,
}

impl From<IssuedToken> for Token {
    fn from(issued: IssuedToken) -> Token {
        Token { expire: time(issued.expires), token: issued.token }
    }
}

/// `AuthPostSignInResponse`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignedIn {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_token: Option<String>,
    pub current_user: Option<String>,
    pub email: String,
    pub jwt_token: Token,
    pub oauth_provider_tokens: [(); 0],
    pub ret_url: Option<String>,
    pub status: &'static str,
    pub user_id: i64,
}

/// `AuthDeleteSignOutResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignedOut {
    pub ret_url: Option<String>,
    pub success: bool,
}

/// `AuthPostVerifyResponse`.
#[derive(Debug, Serialize)]
pub struct Verified {
    pub email: String,
    pub status: &'static str,
    pub success: bool,
}

/// Whether an action succeeded.
#[derive(Debug, Serialize)]
pub struct Success {
    pub success: bool,
}

/// `UsercommonPermission`.
#[derive(Debug, Serialize)]
pub struct Permission {
    name: &'static str,
    scopes: [(); 0],
}

/// Permissions by name.
pub type Permissions = BTreeMap<&'static str, Permission>;

fn permissions(scopes: Scopes) -> Permissions {
    scopes.names().map(|name| (name, Permission { name, scopes: [] })).collect()
}

/// `AuthApiToken`. `id` is Tenure's own field: it names the key in paths without its secret.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApiKey {
    id: Uuid,
    created: String,
    updated: String,
    expired: bool,
    expires_at: Option<String>,
    permissions: Permissions,
    restrictions: BTreeMap<(), ()>,
    /// The last characters of the secret. The vendor has no such field.
    suffix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl ApiKey {
    /// The shape of a key. `own` are the permissions of its owner.
    pub fn new(details: ApiKeyDetails, own: PermissionSet, now: Micros) -> ApiKey {
        let ApiKeyDetails { key: token, secret } = details;
        let expired = has_expired(&token, now);
        ApiKey {
            id: token.credential.id.0,
            created: time(token.credential.created),
            updated: time(token.updated),
            expired,
            expires_at: token.credential.expires.map(time),
            permissions: permissions(token.scopes.unwrap_or(Scopes::from_permissions(own))),
            restrictions: BTreeMap::new(),
            suffix: token.credential.suffix,
            token: secret,
        }
    }

    /// Removes the secret, for the response stored for a repeated request.
    pub fn remove_secret(self) -> ApiKey {
        ApiKey { token: None, ..self }
    }
}

/// `AuthGetApiTokenListResponse`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApiTokens {
    /// Null when there are none.
    pub api_tokens: Option<Vec<ApiKey>>,
}

/// `UserShort`.
#[derive(Debug, Serialize)]
pub struct UserShort {
    id: i64,
    email: String,
    username: String,
    role: &'static str,
    status: &'static str,
}

impl From<&Person> for UserShort {
    fn from(person: &Person) -> UserShort {
        UserShort {
            id: person.principal.number,
            email: person.principal.email.clone().unwrap_or_default(),
            username: person.principal.name.clone(),
            role: role(person, None),
            status: person.principal.state.name(),
        }
    }
}

/// This wire's role of a user: `root` administers the account, `sub` is a sub user, `admin` administers an organization.
/// `admin` is only known for the caller, whose `permissions` are given.
fn role(person: &Person, permissions: Option<PermissionSet>) -> &'static str {
    let manages = permissions.is_some_and(|set| set.has(domain::permission::Permission::ManageMembers));
    match (person.principal.account_role, person.parent) {
        (Some(AccountRole::Admin), _) => "root",
        (_, Some(_)) => "sub",
        _ if manages => "admin",
        _ => "user",
    }
}

/// `UserGetUserResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct User {
    id: i64,
    email: String,
    username: String,
    first_name: String,
    last_name: String,
    additional_emails: Option<Vec<String>>,
    created: String,
    updated: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<UserShort>,
    permissions: Permissions,
    role: &'static str,
    status: &'static str,
}

impl From<Profile> for User {
    fn from(profile: Profile) -> User {
        let Profile { person, parent, permissions: own } = profile;
        let role = role(&person, own);
        let principal = person.principal;
        User {
            id: principal.number,
            email: principal.email.unwrap_or_default(),
            username: principal.name,
            first_name: person.first_name,
            last_name: person.last_name,
            additional_emails: None,
            created: time(principal.created),
            updated: time(person.updated),
            parent: parent.as_ref().map(UserShort::from),
            permissions: own.map(|own| permissions(Scopes::from_permissions(own))).unwrap_or_default(),
            role,
            status: principal.state.name(),
        }
    }
}

/// The answer to an anonymous caller.
#[derive(Debug, Serialize)]
pub struct Anonymous {
    pub id: i64,
    pub status: &'static str,
}

/// `UserGetUsersResponse`.
#[derive(Debug, Serialize)]
pub struct Users {
    pub filter: Filter,
    pub pagination: Pagination,
    pub sort: Sort,
    /// Null when there are none.
    pub users: Option<Vec<UserShort>>,
}

/// The filter of a list.
#[derive(Debug, Serialize)]
pub struct Filter {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<&'static str>,
}

/// The page's number and size, and the size of the list.
#[derive(Debug, Serialize)]
pub struct Pagination {
    pub count: usize,
    pub limit: u32,
    pub page: u32,
    pub total: usize,
}

/// The order of a list.
#[derive(Debug, Serialize)]
pub struct Sort {
    pub field: &'static str,
    pub order: &'static str,
}
