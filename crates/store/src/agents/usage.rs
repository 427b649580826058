//! Usage of agent sessions by day, and its limits.

use crate::access::lane::Scan;
use crate::access::{Granted, GrantedAccount, PermissionType, System, ViewUsage};
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, DatabaseError, Value};
use crate::rows::{one_row, values};
use crate::{ATTEMPTS, Error, Result, Store};
use domain::Refusal;
use domain::agent::{Acus, Usage, UsageLimits, cycle_days};
use domain::ids::OrganizationId;
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::json;

/// The usage of an organization on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageDay {
    /// The organization.
    pub organization: OrganizationId,
    /// Days since 1970 (UTC).
    pub day: i64,
    /// The usage of all its sessions.
    pub usage: Usage,
    /// Number of sessions with usage.
    pub sessions: i64,
}

macro_rules! days {
    ($where:literal) => {
        concat!(
            "SELECT organization, day, COUNT(*), CAST(SUM(acus) AS BIGINT), CAST(SUM(input_tokens) AS BIGINT),
                 CAST(SUM(output_tokens) AS BIGINT), CAST(SUM(cache_read_tokens) AS BIGINT),
                 CAST(SUM(cache_creation_tokens) AS BIGINT)
             FROM usage_days WHERE ",
            $where,
            " GROUP BY organization, day ORDER BY day, organization"
        )
    };
}

const DAYS: &str = days!("organization = $1 AND day >= $2 AND day < $3");

const ACCOUNT_DAYS: &str = days!("day >= $1 AND day < $2");

const LIMITS: &str = "
    SELECT o.max_session_acus, o.max_cycle_acus,
        (SELECT CAST(COALESCE(SUM(u.acus), 0) AS BIGINT) FROM usage_days u
         WHERE u.organization = $1 AND u.day >= $2 AND u.day < $3)
    FROM organizations o WHERE o.id = $1";

/// The limits of an organization.
pub(crate) fn read_limits(columns: &mut Columns) -> Result<UsageLimits, DatabaseError> {
    Ok(UsageLimits {
        max_session_acus: columns.maybe_int()?.map(Acus),
        max_cycle_acus: columns.maybe_int()?.map(Acus),
        cycle_used: Acus(columns.int()?),
    })
}

impl Store {
    /// The limits of the organization, and its usage in the cycle that contains `now`.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_organization_limits<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        now: Micros,
    ) -> Result<UsageLimits> {
        let (from, until) = cycle_days(now);
        let rows = self.read(granted, Scan(LIMITS), values![from, until]).await?;
        rows.read_first(read_limits)?.ok_or(Refusal::NotFound(Thing::Organization).into())
    }

    /// Sets or lifts limits; the outer `None` leaves one as it is.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when the organization was deleted; [`Error::Stale`] when others change the limits all
    /// the time.
    pub async fn set_organization_limits(
        &self,
        system: &System,
        id: OrganizationId,
        max_session_acus: Option<Option<Acus>>,
        max_cycle_acus: Option<Option<Acus>>,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE organizations SET
                       max_session_acus = CASE WHEN $2 = 1 THEN $3 ELSE max_session_acus END,
                       max_cycle_acus = CASE WHEN $4 = 1 THEN $5 ELSE max_cycle_acus END
                   WHERE id = $1 AND deleted_us IS NULL
                     AND COALESCE(max_session_acus, -1) = $6 AND COALESCE(max_cycle_acus, -1) = $7";
        let number = |limit: Option<Option<Acus>>| limit.flatten().map(|limit| limit.0);
        for _ in 0..ATTEMPTS {
            self.load_organization(system, id).await?;
            let previous = self.load_organization_limits(&system.grant::<ViewUsage>(id), now).await?;
            let (session, cycle) = (previous.max_session_acus, previous.max_cycle_acus);
            let values = values![
                id,
                max_session_acus.is_some(),
                number(max_session_acus),
                max_cycle_acus.is_some(),
                number(max_cycle_acus),
                session.map_or(-1, |limit| limit.0),
                cycle.map_or(-1, |limit| limit.0)
            ];
            let after = limits_json(max_session_acus.unwrap_or(session), max_cycle_acus.unwrap_or(cycle));
            let entry = NewAuditEntry::new(system.0, "organization.update", id, after, now)
                .with_organization(Some(id))
                .with_previous(limits_json(session, cycle));
            match self
                .apply(batch_with_entry([id], vec![one_row(sql, values)], &entry)?, |_| Error::Stale)
                .await
            {
                // The limits were changed, or the organization was deleted, meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }

    /// The organization's usage on each day from `from` to `until` (exclusive), oldest first. Days without usage are
    /// omitted.
    pub async fn list_usage_days(
        &self,
        granted: &Granted<ViewUsage>,
        from: i64,
        until: i64,
    ) -> Result<Vec<UsageDay>> {
        Ok(self.read(granted, Scan(DAYS), values![from, until]).await?.read_all(read_usage_day)?)
    }

    /// The usage of all organizations, deleted ones included, or of some of them.
    pub async fn list_account_usage_days(
        &self,
        granted: &GrantedAccount<ViewUsage>,
        organizations: Option<&[OrganizationId]>,
        from: i64,
        until: i64,
    ) -> Result<Vec<UsageDay>> {
        let all: Vec<Value> = values![from, until];
        let [rows] = self.read_account(granted, [(Scan(ACCOUNT_DAYS), all)]).await?;
        let days = rows.read_all(read_usage_day)?;
        let is_included = |day: &UsageDay| organizations.is_none_or(|list| list.contains(&day.organization));
        Ok(days.into_iter().filter(is_included).collect())
    }
}

fn read_usage_day(columns: &mut Columns) -> Result<UsageDay, DatabaseError> {
    Ok(UsageDay {
        organization: OrganizationId(columns.id()?),
        day: columns.int()?,
        sessions: columns.int()?,
        usage: Usage {
            acus: Acus(columns.int()?),
            input_tokens: columns.int()?,
            output_tokens: columns.int()?,
            cache_read_tokens: columns.int()?,
            cache_creation_tokens: columns.int()?,
        },
    })
}

/// Limits for the audit log, in whole units.
fn limits_json(session: Option<Acus>, cycle: Option<Acus>) -> serde_json::Value {
    json!({ "max_session_acus": session.map(Acus::units), "max_cycle_acus": cycle.map(Acus::units) })
}
