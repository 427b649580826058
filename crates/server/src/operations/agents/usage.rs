//! Usage by day.

use crate::app::App;
use crate::failure::Failure;
use domain::agent::UsageLimits;
use domain::ids::OrganizationId;
pub use store::UsageDay;
use store::access::{ViewSessions, ViewUsage};
use store::{Granted, GrantedAccount};

/// Lists what an organization used on each day from `from` up to, not including, `until`, in days since 1970 (UTC).
/// Days without usage are omitted.
pub async fn list_usage_days(
    app: &App,
    granted: &Granted<ViewUsage>,
    from: i64,
    until: i64,
) -> Result<Vec<UsageDay>, Failure> {
    Ok(app.store.list_usage_days(granted, from, until).await?)
}

/// Lists what some or all organizations used on each day.
pub async fn list_account_usage_days(
    app: &App,
    granted: &GrantedAccount<ViewUsage>,
    organizations: Option<&[OrganizationId]>,
    from: i64,
    until: i64,
) -> Result<Vec<UsageDay>, Failure> {
    Ok(app.store.list_account_usage_days(granted, organizations, from, until).await?)
}

/// The organization's limits, and its usage in this cycle.
pub async fn load_organization_limits(
    app: &App,
    granted: &Granted<ViewSessions>,
) -> Result<UsageLimits, Failure> {
    Ok(app.store.load_organization_limits(granted, app.now()).await?)
}
