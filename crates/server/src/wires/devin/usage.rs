//! Daily consumption, the queue and the audit log.

use super::cursor::{self, Binding};
use super::extractors::{Authorized, AuthorizedInAccount};
use super::filter::{LAST_SECOND, read_paging};
use super::query::Query;
use super::sessions::{HandlerResult, respond};
use super::shapes::{organization_id, seconds};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents;
use crate::operations::agents::usage;
use crate::operations::agents::usage::UsageDay;
use crate::operations::audit;
use crate::operations::audit::AuditEntry;
use axum::extract::State;
use domain::Refusal;
use domain::agent::{Acus, AgentState as SessionState, SessionFilter, cycle_days, day};
use domain::ids::{OrganizationId, PrincipalId};
use domain::page::Page;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::access::{ViewAudit, ViewSessions, ViewUsage};
use uuid::Uuid;

/// The query parameters of daily consumption.
pub const CONSUMPTION_PARAMETERS: &[&str] = &["time_after", "time_before"];
/// The query parameters of audit logs.
pub const AUDIT_PARAMETERS: &[&str] = &["after", "first"];

const SECONDS_OF_A_DAY: i64 = 86_400;
/// Numbers of waiting sessions from which the queue is elevated, and high. The vendor does not publish its own.
const ELEVATED: u64 = 10;
const HIGH: u64 = 100;

/// Reads the requested days as a half-open range: all days in UTC that the times touch. Defaults to the current cycle.
fn read_days(app: &App, query: &Query) -> Result<(i64, i64), Refusal> {
    let (first, _) = cycle_days(app.now());
    let after = query.number("time_after", 0..=LAST_SECOND)?;
    let before = query.number("time_before", 0..=LAST_SECOND)?;
    let from = after.map_or(first, |after| after / SECONDS_OF_A_DAY);
    let until =
        before.map_or(day(app.now()) + 1, |before| (before + SECONDS_OF_A_DAY - 1) / SECONDS_OF_A_DAY);
    Ok((from, until))
}

fn consumption_shape(days: &[UsageDay]) -> Value {
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

/// `GET /consumption/daily`. Days without usage are omitted.
pub async fn daily(
    Authorized(granted): Authorized<ViewUsage>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let (from, until) = read_days(&app, &query).map_err(Failure::from)?;
    respond(&consumption_shape(&usage::list_usage_days(&app, &granted, from, until).await?))
}

/// `GET /enterprise/consumption/daily`: the sum over all organizations, or over those of `org_ids`.
pub async fn daily_in_account(
    account: AuthorizedInAccount<ViewUsage>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let (from, until) = read_days(&app, &query).map_err(Failure::from)?;
    let some = query.list("org_ids");
    let some = some.map(|some| some.iter().filter_map(|id| OrganizationId::parse(id)).collect::<Vec<_>>());
    let found = usage::list_account_usage_days(&app, &account.granted, some.as_deref(), from, until).await?;
    respond(&consumption_shape(&found))
}

/// `GET /enterprise/queue`: the number of sessions that wait for a worker.
pub async fn queue(account: AuthorizedInAccount<ViewUsage>, State(app): State<App>) -> HandlerResult {
    let view = account.caller.authorize_in_account::<ViewSessions>().map_err(Failure::from)?;
    let states = Some(vec![SessionState::New, SessionState::Resuming]);
    let filter = SessionFilter { states, archived: Some(false), ..SessionFilter::default() };
    let waiting = agents::sessions::count_account_agent_sessions(&app, &view, &filter).await?;
    let status = match waiting {
        0..ELEVATED => "normal",
        ELEVATED..HIGH => "elevated",
        _ => "high",
    };
    respond(&json!({ "total": waiting, "status": status }))
}

fn entry_shape(AuditEntry { sequence, content }: &AuditEntry) -> Value {
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

struct AuditRequest {
    binding: Binding,
    before: Option<i64>,
    first: u32,
}

fn read_audit_request(
    app: &App,
    reader: Option<PrincipalId>,
    place: OrganizationId,
    query: &Query,
) -> Result<AuditRequest, Failure> {
    let paging = read_paging(query)?;
    let reader = reader.map_or(Uuid::nil(), |reader| reader.0);
    let binding = Binding::new(cursor::key(app), "audit", reader, place.0, "");
    let before = paging.after.map(|after| binding.read(&after)).transpose()?;
    let before = before.map(i64::try_from).transpose().map_err(Failure::internal)?;
    Ok(AuditRequest { binding, before, first: paging.first })
}

/// Answers with a page of entries. `total` is null: the entries are not counted.
fn respond_with_entries(request: &AuditRequest, found: &Page<AuditEntry>) -> HandlerResult {
    let last = found.items.last().filter(|_| found.more).map(|last| u128::try_from(last.sequence));
    let last = last.transpose().map_err(Failure::internal)?;
    let end_cursor = last.map(|last| request.binding.write(last)).transpose()?;
    let items = found.items.iter().map(entry_shape).collect::<Vec<_>>();
    respond(&json!({
        "items": items, "has_next_page": end_cursor.is_some(), "end_cursor": end_cursor, "total": null,
    }))
}

/// `GET /audit-logs`: newest first.
pub async fn audit_logs(
    Authorized(granted): Authorized<ViewAudit>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let request = read_audit_request(&app, granted.principal(), granted.organization(), &query)?;
    respond_with_entries(
        &request,
        &audit::list_audit_entries(&app, &granted, request.before, request.first).await?,
    )
}

/// `GET /enterprise/audit-logs`: newest first.
pub async fn audit_logs_in_account(
    account: AuthorizedInAccount<ViewAudit>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let reader = Some(account.caller.principal());
    let request = read_audit_request(&app, reader, OrganizationId::ACCOUNT, &query)?;
    respond_with_entries(
        &request,
        &audit::list_account_audit_entries(&app, &account.granted, request.before, request.first).await?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::agent::Usage;

    #[test]
    fn the_organizations_of_a_day_become_one_row() {
        let used = |day, organization: u128, acus| UsageDay {
            organization: OrganizationId(Uuid::from_u128(organization)),
            day,
            usage: Usage { acus: Acus(acus), ..Usage::default() },
            sessions: 1,
        };
        let shape = consumption_shape(&[used(1, 1, 500_000), used(1, 2, 250_000), used(3, 1, 1)]);
        assert_eq!(shape["total_acus"], 0.750001);
        assert_eq!(shape["consumption_by_date"][0]["date"], 86_400);
        assert_eq!(shape["consumption_by_date"][0]["acus"], 0.75);
        assert_eq!(shape["consumption_by_date"].as_array().unwrap().len(), 2);
    }
}
