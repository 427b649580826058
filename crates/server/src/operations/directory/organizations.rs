//! The organizations that a caller sees.

use crate::app::App;
use crate::failure::Failure;
use domain::organization::Organization;
use domain::permission::Role;
use store::Caller;

/// Lists the organizations that a caller may act in, with the caller's role; `None` when the role is the account's.
pub async fn list_visible_organizations(
    app: &App,
    caller: &Caller,
) -> Result<Vec<(Organization, Option<Role>)>, Failure> {
    Ok(app.store.list_visible_organizations(caller).await?)
}
