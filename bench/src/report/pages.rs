//! Late pages against first ones.

use super::Run;
use super::dataset::{SPAN, START};
use super::lists::{account_list, device_list, everruns_list, fetch_json, processor, rate};
use super::load::get;
use super::measure::Candidate;
use super::output::{Aim, Figure, Row, Section};
use crate::Outcome;

/// Sessions before the late page: 10,000 pages of 20.
const BEFORE: u64 = 200_000;
/// The offset of the late page.
const OFFSET: u64 = 500_000;
/// The largest page of Devin's wire.
const STEP: u64 = 200;

/// Measures pages at a cursor and at an offset.
pub async fn measure(run: &Run<'_>) -> Outcome<Section> {
    let mut rows = Vec::new();
    let (cursor, at) = walk(run).await?;
    rows.push(
        compare(
            run,
            format!("Devin, account, by cursor after {at} sessions"),
            account_list(run, "first=20"),
            account_list(run, &format!("first=20&after={cursor}")),
            1.2,
        )
        .await?,
    );
    let late = late_time(run)?;
    rows.push(
        compare(
            run,
            format!("Mobile Next, before {late}"),
            device_list(run, 20),
            get(&format!("/api/v1/sessions?limit=20&before={late}"), Some(&run.keys.mobilenext)),
            1.2,
        )
        .await?,
    );
    let total = fetch_json(run, &everruns_list(run, "limit=1")).await?["total"].as_u64().unwrap_or(0);
    let offset = OFFSET.min(total.saturating_sub(20));
    rows.push(
        compare(
            run,
            format!("Everruns, offset {offset} of {total}"),
            everruns_list(run, "limit=20"),
            everruns_list(run, &format!("limit=20&offset={offset}")),
            1.5,
        )
        .await?,
    );
    let title = format!("Late pages on {}", run.server.kind());
    Ok(Section::new(
        "pages",
        title,
        "Pages of 20. The ratio is of the first page's rate to the late one's.",
        rows,
    ))
}

async fn compare(run: &Run<'_>, name: String, first: Vec<u8>, late: Vec<u8>, most: f64) -> Outcome<Row> {
    // Fails early, and with the body, when the late page is refused.
    fetch_json(run, &late).await?;
    let candidates = [first, late].map(|request| Candidate::one(&run.process, request));
    let all = run.rounds.alternate(&candidates).await?;
    Ok(Row::new(
        name,
        vec![
            Figure::new("first to late", all[0].ratio(&all[1])).aim(Some(Aim::AtMost(most))),
            Figure::new("first, responses/s", rate(&all[0])),
            Figure::new("late, responses/s", rate(&all[1])),
            Figure::new("late, server, µs", processor(&all[1])),
        ],
    ))
}

/// Follows cursors of the account's list to the late page, or halfway through a smaller list. Returns the cursor and the
/// number of sessions before it.
async fn walk(run: &Run<'_>) -> Outcome<(String, u64)> {
    let total = fetch_json(run, &account_list(run, "first=20")).await?["total"].as_u64().unwrap_or(0);
    let (mut cursor, mut at) = (String::new(), 0);
    while at < BEFORE.min(total / 2) {
        let after = if cursor.is_empty() { String::new() } else { format!("&after={cursor}") };
        let page = fetch_json(run, &account_list(run, &format!("first={STEP}{after}"))).await?;
        cursor = page["end_cursor"].as_str().ok_or("a list ends too early")?.to_owned();
        at += STEP;
    }
    Ok((cursor, at))
}

/// A time with about 200,000 device sessions of the largest organization after it, or a fifth of a smaller one.
fn late_time(run: &Run<'_>) -> Outcome<String> {
    let devices = run.manifest.sessions as f64 / 10.0 * 0.35;
    let part = (BEFORE as f64 / devices).min(0.9);
    let back = (SPAN.0 as f64 * part) as i64;
    let time = jiff::Timestamp::from_microsecond(START.0 + SPAN.0 - back)?;
    Ok(time.to_string())
}
