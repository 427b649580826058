//! `GET /tenure/v1/audit`: the audit log.

use super::super::errors::TenureError;
use super::super::sessions::visible::check_names;
use super::{Granted, shapes};
use crate::app::App;
use crate::failure::Failure;
use crate::http::cursor::CursorBinding;
use crate::http::query::Query;
use crate::operations::directory::overview;
use axum::Json;
use axum::extract::State;
use domain::Refusal;
use domain::ids::OrganizationId;
use protocol::directory::AuditPage;
use protocol::sessions::{DEFAULT_LIMIT, MAX_LIMIT};
use store::access::ViewAudit;

/// Newest first.
pub async fn list(
    granted: Granted<ViewAudit>,
    State(app): State<App>,
    query: Query,
) -> Result<Json<AuditPage>, TenureError> {
    check_names(&query, &["limit", "cursor", "scope"])?;
    let limit = query.number("limit", 1..=MAX_LIMIT.into())?;
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
    let scope = granted.write_scope();
    let Granted(caller, granted) = granted;
    let key = app.keys.derive_key("tenure cursors");
    let binding = CursorBinding::new(key, "audit", caller.principal().0, OrganizationId::ACCOUNT.0, &scope);
    let before = query.text("cursor")?.map(|cursor| read_sequence(&binding, cursor)).transpose()?;
    let page = overview::list_audit_entries(&app, &granted, before, limit).await?;
    let organizations = page.items.iter().filter_map(|entry| entry.content.organization);
    let actors = page.items.iter().filter_map(|entry| entry.content.attribution.principal);
    let names = overview::load_names(&app, &granted, organizations, actors).await?;
    let last = page.items.last().filter(|_| page.more);
    let next = last.map(|last| binding.write(&last.sequence.to_be_bytes())).transpose()?;
    let data = page.items.into_iter().map(|entry| shapes::write_audit_line(entry, &names)).collect();
    Ok(Json(AuditPage { data, next }))
}

fn read_sequence(binding: &CursorBinding, cursor: &str) -> Result<i64, Failure> {
    let position =
        binding.read(cursor).and_then(|position| Some(i64::from_be_bytes(position.try_into().ok()?)));
    let expected = "a cursor that this list gave you with the same scope";
    Ok(position.ok_or_else(|| Refusal::invalid("cursor", expected))?)
}
