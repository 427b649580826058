//! `GET /tenure/v1/usage`: what organizations used on each day.

use super::super::lists::map_page;
use super::super::sessions::visible::check_names;
use super::{Granted, ListResult, shapes};
use crate::app::App;
use crate::failure::Failure;
use crate::http::query::Query;
use crate::operations::directory::overview;
use axum::Json;
use axum::extract::State;
use domain::Refusal;
use domain::agent::day;
use jiff::civil::{Date, date};
use protocol::directory::UsageEntry;
use store::access::ViewUsage;

/// The days of a request that names none.
const USUAL_DAYS: i64 = 30;
/// The most days of one request.
const MOST_DAYS: i64 = 366;
/// Day 0.
const EPOCH: Date = date(1970, 1, 1);

/// By day. Days without usage are omitted.
pub async fn list(
    granted: Granted<ViewUsage>,
    State(app): State<App>,
    query: Query,
) -> ListResult<UsageEntry> {
    check_names(&query, &["from", "until", "limit", "cursor", "scope"])?;
    let request = granted.read_list(&app, "usage", &query)?;
    let until = read_day(&query, "until")?.unwrap_or(day(app.now()) + 1);
    let from = read_day(&query, "from")?.unwrap_or(until - USUAL_DAYS);
    if from > until || until - from > MOST_DAYS {
        let expected = format!("a day before until, and at most {MOST_DAYS} days before");
        return Err(Failure::from(Refusal::invalid("from", expected)).into());
    }
    let Granted(_, granted) = granted;
    let days = overview::list_usage_days(&app, &granted, from, until).await?;
    let page = request.cut(days, |used| {
        used.day.to_be_bytes().into_iter().chain(*used.organization.0.as_bytes()).collect()
    })?;
    let organizations = page.data.iter().map(|used| used.organization);
    let names = overview::load_names(&app, &granted, organizations, [].into_iter()).await?;
    Ok(Json(map_page(page, |used| shapes::write_usage(&used, &write_day(used.day), &names))))
}

/// Reads a day as the number of days since 1970.
fn read_day(query: &Query, name: &str) -> Result<Option<i64>, Failure> {
    let Some(text) = query.text(name)? else { return Ok(None) };
    let read = text.parse::<Date>().ok().filter(|read| *read >= EPOCH && read.to_string() == text);
    let days = read.and_then(|read| Some(i64::from(read.since(EPOCH).ok()?.get_days())));
    let expected = || Refusal::invalid(name, "a day in UTC such as 2026-03-01");
    days.map(Some).ok_or_else(|| expected().into())
}

fn write_day(day: i64) -> String {
    let date = EPOCH.checked_add(jiff::Span::new().days(day));
    date.map_or_else(|_| String::new(), |date| date.to_string())
}
