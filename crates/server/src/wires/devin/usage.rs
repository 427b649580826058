//! What was used and what was done: daily consumption, the queue, the audit log.

use super::cursor::{self, Binding};
use super::extractors::{May, MayInAccount};
use super::filter::{LAST_SECOND, paging};
use super::query::Query;
use super::sessions::{Answer, answer};
use super::shapes::{organization_id, seconds};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents;
use crate::operations::agents::usage;
use crate::operations::agents::usage::UsageDay;
use crate::operations::audit;
use crate::operations::audit::AuditEntry;
use axum::extract::{RawQuery, State};
use domain::Refusal;
use domain::agent::{Acus, SessionFilter, State as SessionState, cycle_days, day};
use domain::ids::{OrganizationId, PrincipalId};
use domain::page::{Page, Select};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::access::{ViewAudit, ViewSessions, ViewUsage};
use uuid::Uuid;

/// What daily consumption knows.
pub const KNOWN_OF_DAYS: &[&str] = &["time_after", "time_before"];
/// What audit logs know.
pub const KNOWN_OF_AUDIT: &[&str] = &["after", "first"];

const SECONDS_OF_A_DAY: i64 = 86_400;
/// From so many waiting sessions on the queue is called elevated, and high. The vendor does not say its own numbers.
const ELEVATED: u64 = 10;
const HIGH: u64 = 100;

/// Reads the days that are asked for, from the first until before the last: whole days in UTC that have a part in the
/// stretch; this cycle when nothing is said.
fn days(app: &App, query: &Query) -> Result<(i64, i64), Refusal> {
    let (first, _) = cycle_days(app.now());
    let after = query.number("time_after", 0..=LAST_SECOND)?;
    let before = query.number("time_before", 0..=LAST_SECOND)?;
    let from = after.map_or(first, |after| after / SECONDS_OF_A_DAY);
    let until =
        before.map_or(day(app.now()) + 1, |before| (before + SECONDS_OF_A_DAY - 1) / SECONDS_OF_A_DAY);
    Ok((from, until))
}

fn consumption(days: &[UsageDay]) -> Value {
    let mut by_day = BTreeMap::<i64, i64>::new();
    for used in days {
        *by_day.entry(used.day).or_default() += used.usage.acus.0;
    }
    let total = Acus(by_day.values().sum());
    let day = |(day, acus): (&i64, &i64)| {
        let acus = Acus(*acus).units();
        let by_product = json!({ "devin": acus, "cascade": 0.0, "terminal": 0.0 });
        json!({ "date": day * SECONDS_OF_A_DAY, "acus": acus, "acus_by_product": by_product })
    };
    json!({ "total_acus": total.units(), "consumption_by_date": by_day.iter().map(day).collect::<Vec<_>>() })
}

/// `GET /consumption/daily`. Days on which nothing was used are left out.
pub async fn daily(
    May(granted): May<ViewUsage>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = Query::read(query.as_deref()).map_err(Failure::from)?;
    let (from, until) = days(&app, &query).map_err(Failure::from)?;
    answer(&consumption(&usage::list_usage_days(&app, &granted, from, until).await?))
}

/// `GET /enterprise/consumption/daily`: of all organizations together, or of some.
pub async fn daily_in_account(
    account: MayInAccount<ViewUsage>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = Query::read(query.as_deref()).map_err(Failure::from)?;
    let (from, until) = days(&app, &query).map_err(Failure::from)?;
    let some = query.list("org_ids");
    let some = some.map(|some| some.iter().filter_map(|id| OrganizationId::parse(id)).collect::<Vec<_>>());
    let found = usage::list_account_usage_days(&app, &account.granted, some.as_deref(), from, until).await?;
    answer(&consumption(&found))
}

/// `GET /enterprise/queue`: how many sessions wait for a worker.
pub async fn queue(account: MayInAccount<ViewUsage>, State(app): State<App>) -> Answer {
    let view = account.caller.authorize_in_account::<ViewSessions>().map_err(Failure::from)?;
    let states = Some(vec![SessionState::New, SessionState::Resuming]);
    let filter = SessionFilter { states, archived: Some(false), ..SessionFilter::default() };
    let waiting = agents::sessions::list_account_agent_sessions(
        &app,
        &view,
        &filter,
        Select::Offset { offset: 0, limit: 0 },
    )
    .await?;
    let status = match waiting.total {
        0..ELEVATED => "normal",
        ELEVATED..HIGH => "elevated",
        _ => "high",
    };
    answer(&json!({ "total": waiting.total, "status": status }))
}

fn line(AuditEntry { sequence, content }: &AuditEntry) -> Value {
    json!({
        "audit_log_id": sequence.to_string(),
        "created_at": seconds(content.at),
        "org_id": content.organization.filter(|id| *id != OrganizationId::ACCOUNT).map(organization_id),
        "principal_id": content.attribution.principal.map(|principal| principal.0.simple().to_string()),
        "action": content.action,
        "resource_id": content.thing,
        "data": content.details,
    })
}

struct Asked {
    binding: Binding,
    before: Option<i64>,
    first: u32,
}

fn asked(
    app: &App,
    reader: Option<PrincipalId>,
    place: OrganizationId,
    query: Option<&str>,
) -> Result<Asked, Failure> {
    let paging = paging(&Query::read(query)?)?;
    let reader = reader.map_or(Uuid::nil(), |reader| reader.0);
    let binding = Binding::new(cursor::key(app), "audit", reader, place.0, "");
    let before = paging.after.map(|after| binding.read(&after)).transpose()?;
    let before = before.map(i64::try_from).transpose().map_err(Failure::internal)?;
    Ok(Asked { binding, before, first: paging.first })
}

/// Nobody counts the lines of an audit log: there is no total.
fn lines(asked: &Asked, found: &Page<AuditEntry>) -> Answer {
    let last = found.items.last().filter(|_| found.more).map(|last| u128::try_from(last.sequence));
    let last = last.transpose().map_err(Failure::internal)?;
    let end_cursor = last.map(|last| asked.binding.write(last)).transpose()?;
    let items = found.items.iter().map(line).collect::<Vec<_>>();
    answer(&json!({
        "items": items, "has_next_page": end_cursor.is_some(), "end_cursor": end_cursor, "total": null,
    }))
}

/// `GET /audit-logs`: newest first.
pub async fn audit_logs(
    May(granted): May<ViewAudit>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked = asked(&app, granted.principal(), granted.organization(), query.as_deref())?;
    lines(&asked, &audit::list_audit_entries(&app, &granted, asked.before, asked.first).await?)
}

/// `GET /enterprise/audit-logs`: newest first.
pub async fn audit_logs_in_account(
    account: MayInAccount<ViewAudit>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let reader = Some(account.caller.principal());
    let asked = asked(&app, reader, OrganizationId::ACCOUNT, query.as_deref())?;
    lines(
        &asked,
        &audit::list_account_audit_entries(&app, &account.granted, asked.before, asked.first).await?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::agent::Usage;

    #[test]
    fn the_organizations_of_a_day_are_one_line() {
        let used = |day, organization: u128, acus| UsageDay {
            organization: OrganizationId(Uuid::from_u128(organization)),
            day,
            usage: Usage { acus: Acus(acus), ..Usage::default() },
            sessions: 1,
        };
        let shown = consumption(&[used(1, 1, 500_000), used(1, 2, 250_000), used(3, 1, 1)]);
        assert_eq!(shown["total_acus"], 0.750001);
        assert_eq!(shown["consumption_by_date"][0]["date"], 86_400);
        assert_eq!(shown["consumption_by_date"][0]["acus"], 0.75);
        assert_eq!(shown["consumption_by_date"].as_array().unwrap().len(), 2);
    }
}
