//! A caller's organizations.

use crate::app::App;
use crate::failure::Failure;
use domain::organization::Organization;
use domain::permission::Role;
use store::Caller;

/// The organizations that a caller may act in, and its role there; none where it is the account's.
///
/// # Errors
/// Only those of the store.
pub async fn list_visible_organizations(
    app: &App,
    caller: &Caller,
) -> Result<Vec<(Organization, Option<Role>)>, Failure> {
    Ok(app.store.list_visible_organizations(caller).await?)
}
