//! `/tenure/v1/organizations`, `/people`, `/keys`, `/audit` and `/usage`: the directory, each by its permission.

mod audit;
mod shapes;
mod usage;

pub use audit::list as audit;
pub use usage::list as usage;

use super::errors::TenureError;
use super::extractors::Authenticated;
use super::lists::{ListRequest, map_page, place_by};
use super::sessions::visible::{Scoped, check_names};
use crate::app::App;
use crate::failure::Failure;
use crate::http::query::Query;
use crate::operations::access::api_keys;
use crate::operations::directory::overview;
use crate::operations::directory::overview::authorize_scope;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use protocol::directory::{KeyEntry, OrganizationEntry, PersonEntry};
use protocol::lists::List;
use store::access::{ManageMembers, PermissionType};
use store::{Caller, ScopeGrant};

type ListResult<T> = Result<Json<List<T>>, TenureError>;

/// The caller, and the proof of permission `P` in the scope of the request.
pub struct Granted<P: PermissionType>(Caller, ScopeGrant<P>);

impl<P: PermissionType> FromRequestParts<App> for Granted<P> {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Granted<P>, TenureError> {
        let Scoped(caller, requested) = Scoped::from_request_parts(parts, app).await?;
        let granted = authorize_scope(app, &caller, &requested).await?;
        Ok(Granted(caller, granted))
    }
}

impl<P: PermissionType> Granted<P> {
    /// Reads the request for a page of a list of this name.
    fn read_list(&self, app: &App, list: &str, query: &Query) -> Result<ListRequest, Failure> {
        ListRequest::read(app, list, Some(self.0.principal()), &self.write_scope(), query)
    }

    /// The organizations of the scope as a text.
    fn write_scope(&self) -> String {
        let some = self.1.organizations().unwrap_or_default();
        some.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// `GET /organizations`: by name.
pub async fn organizations(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    query: Query,
) -> ListResult<OrganizationEntry> {
    check_names(&query, &["limit", "cursor"])?;
    let request = ListRequest::read(&app, "organizations", Some(caller.principal()), "", &query)?;
    let listed = overview::list_organizations(&app, &caller).await?;
    let page =
        request.cut(listed, |listed| place_by(&[&listed.organization.name], listed.organization.id.0))?;
    Ok(Json(map_page(page, |listed| shapes::write_organization_entry(&listed))))
}

/// `GET /people`: by name.
pub async fn people(
    granted: Granted<ManageMembers>,
    State(app): State<App>,
    query: Query,
) -> ListResult<PersonEntry> {
    check_names(&query, &["limit", "cursor", "scope"])?;
    let request = granted.read_list(&app, "people", &query)?;
    let Granted(_, granted) = granted;
    let people = overview::list_people(&app, &granted).await?;
    let page = request.cut(people, |listed| place_by(&[&listed.principal.name], listed.principal.id.0))?;
    let memberships = page.data.iter().flat_map(|listed| &listed.memberships);
    let organizations = memberships.map(|membership| membership.organization);
    let names = overview::load_names(&app, &granted, organizations, [].into_iter()).await?;
    let is_account = granted.organizations().is_none();
    Ok(Json(map_page(page, |listed| shapes::write_person(&listed, &names, is_account))))
}

/// `GET /keys`: the caller's own that have not expired, oldest first.
pub async fn keys(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    query: Query,
) -> ListResult<KeyEntry> {
    check_names(&query, &["limit", "cursor"])?;
    let request = ListRequest::read(&app, "keys", Some(caller.principal()), "", &query)?;
    let keys = api_keys::list_api_keys(&app, &caller, false).await?;
    let page = request.cut(keys, |listed| listed.key.credential.id.0.as_bytes().to_vec())?;
    let own = overview::list_organization_names(&app, &caller).await?;
    Ok(Json(map_page(page, |listed| shapes::write_key(&listed.key, &own))))
}
