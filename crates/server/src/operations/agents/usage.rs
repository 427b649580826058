//! What was used, by day.

use crate::app::App;
use crate::failure::Failure;
use domain::agent::Limits;
use domain::ids::OrganizationId;
pub use store::UsageDay;
use store::access::{ViewSessions, ViewUsage};
use store::{Granted, GrantedAccount};

/// What an organization used on each day of a stretch, in days since 1970 (UTC), the last one not included. Days on
/// which nothing was used are left out.
///
/// # Errors
/// Only those of the store.
pub async fn list_usage_days(
    app: &App,
    granted: &Granted<ViewUsage>,
    from: i64,
    until: i64,
) -> Result<Vec<UsageDay>, Failure> {
    Ok(app.store.list_usage_days(granted, from, until).await?)
}

/// The like for some or all organizations.
///
/// # Errors
/// Only those of the store.
pub async fn list_account_usage_days(
    app: &App,
    granted: &GrantedAccount<ViewUsage>,
    organizations: Option<&[OrganizationId]>,
    from: i64,
    until: i64,
) -> Result<Vec<UsageDay>, Failure> {
    Ok(app.store.list_account_usage_days(granted, organizations, from, until).await?)
}

/// What the organization may use, and has used in this cycle.
///
/// # Errors
/// Only those of the store.
pub async fn load_organization_limits(app: &App, granted: &Granted<ViewSessions>) -> Result<Limits, Failure> {
    Ok(app.store.load_organization_limits(granted, app.now()).await?)
}
