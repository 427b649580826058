//! Every filter of Devin's list of the account, and every pair of filters: one request at a time.

use super::Run;
use super::dataset::{SPAN, START};
use super::lists::{account_list, fetch_json};
use super::measure::{Candidate, Figures, Rounds};
use super::output::{Aim, Figure, Row, Section, Spread};
use crate::Outcome;
use std::time::Duration;

/// The most pairs that are shown: the slowest ones.
const SHOWN: usize = 15;
/// Rounds of each filter.
const ROUNDS: usize = 3;
/// How long a round of one filter takes.
const ROUND: Duration = Duration::from_millis(60);

/// Measures each filter and each pair.
pub async fn measure(run: &Run<'_>) -> Outcome<Section> {
    let filters = filters(run).await?;
    let mut rows = vec![measure_query(run, "none".to_owned(), "first=100").await?.0];
    for (name, query) in &filters {
        rows.push(measure_query(run, (*name).to_owned(), &format!("first=100&{query}")).await?.0);
    }
    let mut pairs = Vec::new();
    for (at, (name, query)) in filters.iter().enumerate() {
        for (other, more) in &filters[at + 1..] {
            let name = format!("{name} and {other}");
            pairs.push(measure_query(run, name, &format!("first=100&{query}&{more}")).await?);
        }
    }
    rows.iter_mut().for_each(|row| row.aim("latency, ms", Aim::AtMost(2.0)));
    pairs.iter_mut().for_each(|(row, _)| row.aim("processor, ms", Aim::AtMost(4.0)));
    pairs.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let text = format!(
        "Pages of 100 with their total, over the account, one connection. Of {} pairs of filters, the {SHOWN} slowest follow; \
         the median of all pairs is {:.2} ms of processor time, and {} are above 4 ms.",
        pairs.len(),
        Spread::new(pairs.iter().map(|(_, time)| *time)).median,
        pairs.iter().filter(|(_, time)| *time > 4.0).count(),
    );
    rows.extend(pairs.into_iter().take(SHOWN).map(|(row, _)| row));
    Ok(Section::new("filters", format!("Filters on {}", run.server.kind()), text, rows))
}

/// The filters, each with a value that some sessions have.
async fn filters(run: &Run<'_>) -> Outcome<Vec<(&'static str, String)>> {
    let page = fetch_json(run, &account_list(run, "first=20")).await?;
    let text = |field: &str| page["items"][7][field].as_str().unwrap_or_default().to_owned();
    let middle = (START + domain::time::Span(SPAN.0 / 2)).0 / 1_000_000;
    Ok(vec![
        ("org_ids", format!("org_ids=org-{}", run.manifest.largest.0.simple())),
        ("include_deleted_orgs", "include_deleted_orgs=true".to_owned()),
        ("session_ids", format!("session_ids={}", text("session_id"))),
        ("tags", "tags=tag-3".to_owned()),
        ("origins", "origins=slack".to_owned()),
        ("user_ids", format!("user_ids={}", text("user_id"))),
        ("playbook_id", "playbook_id=playbook-7".to_owned()),
        ("schedule_id", "schedule_id=schedule-3".to_owned()),
        ("automation_ids", "automation_ids=automation-3".to_owned()),
        ("repo_names", "repo_names=acme%2Frepo-3".to_owned()),
        ("category", "category=security".to_owned()),
        ("is_archived", "is_archived=true".to_owned()),
        ("created_after", format!("created_after={middle}")),
        ("created_before", format!("created_before={middle}")),
        ("updated_after", format!("updated_after={middle}")),
        ("updated_before", format!("updated_before={middle}")),
        ("parent_session_id", format!("parent_session_id={}", text("session_id"))),
    ])
}

/// Measures a list with one connection. Returns its row, and its processor time in milliseconds.
async fn measure_query(run: &Run<'_>, name: String, query: &str) -> Outcome<(Row, f64)> {
    let request = account_list(run, query);
    let found = fetch_json(run, &request).await?["total"].as_f64().unwrap_or(0.0);
    let figures = one_by_one(run, request).await?;
    let processor = Spread::new(figures.processor.iter().map(|time| time / 1e3));
    let row = Row::new(
        name,
        vec![
            Figure::new("found", Spread::one(found)),
            Figure::new("latency, ms", Spread::new(figures.times.iter().map(|time| time / 1e3))),
            Figure::new("processor, ms", processor),
        ],
    );
    Ok((row, processor.median))
}

/// Measures one request with one connection.
pub async fn one_by_one(run: &Run<'_>, request: Vec<u8>) -> Outcome<Figures> {
    let rounds = Rounds { rounds: ROUNDS, duration: ROUND, connections: 1, ..run.rounds };
    let mut all = rounds.alternate(&[Candidate::one(&run.process, request)]).await?;
    Ok(all.swap_remove(0))
}
