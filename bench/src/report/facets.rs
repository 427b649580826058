//! Facets of the largest organization, with several filters: one request at a time.

use super::Run;
use super::filters::one_by_one;
use super::lists::fetch_json;
use super::load::get;
use super::output::{Aim, Figure, Row, Section, Spread};
use crate::Outcome;

/// Measures facets on Everruns' wire.
pub async fn measure(run: &Run<'_>) -> Outcome<Section> {
    let page = fetch_json(run, &super::lists::everruns_list(run, "limit=1")).await?;
    let agent = page["data"][0]["agent_id"].as_str().unwrap_or_default();
    let agent = format!("agent_id={agent}");
    let filters = [
        ("none", ""),
        ("include_archived", "include_archived=true"),
        ("tag", "tag=tag-3"),
        ("two tags", "tag=tag-3&tag=tag-4"),
        ("source", "source=slack"),
        ("status", "status=idle"),
        ("agent_id", &agent),
        ("mine", "mine=true"),
        ("created_after", "created_after=2026-06-01T00%3A00%3A00Z"),
        ("tag and source", "tag=tag-3&source=slack"),
        ("status, source and created_after", "status=idle&source=api&created_after=2026-06-01T00%3A00%3A00Z"),
    ];
    let mut rows = Vec::new();
    for (name, query) in filters {
        let request = get(&format!("/v1/sessions/facets?{query}"), Some(&run.keys.everruns));
        let total = fetch_json(run, &request).await?["total"].as_f64().unwrap_or(0.0);
        let figures = one_by_one(run, request).await?;
        let latency = Spread::new(figures.times.iter().map(|time| time / 1e3));
        rows.push(Row::new(
            name,
            vec![
                Figure::new("sessions", Spread::one(total)),
                Figure::new("latency, ms", latency).aim(Some(Aim::AtMost(5.0))),
                Figure::new("processor, ms", Spread::new(figures.processor.iter().map(|time| time / 1e3))),
            ],
        ));
    }
    let scope = run.manifest.largest.0;
    for (name, query) in [
        ("Tenure, five fields", "by=kind,state,owner,tags,agent"),
        ("Tenure, five fields of what is open", "by=kind,state,owner,tags,agent&filter=is%3Aopen"),
        (
            "Tenure, five fields of two tags",
            "by=kind,state,owner,origin,agent&filter=tags%3A(tag-3%2C+tag-4)",
        ),
    ] {
        let path = format!("/tenure/v1/sessions/facets?scope={scope}&{query}");
        let request = get(&path, Some(&run.keys.account));
        let total = fetch_json(run, &request).await?["total"].as_f64().unwrap_or(0.0);
        let figures = one_by_one(run, request).await?;
        let processor = Spread::new(figures.processor.iter().map(|time| time / 1e3));
        rows.push(Row::new(
            name,
            vec![
                Figure::new("sessions", Spread::one(total)),
                Figure::new("latency, ms", Spread::new(figures.times.iter().map(|time| time / 1e3))),
                Figure::new("processor, ms", processor).aim(Some(Aim::AtMost(10.0))),
            ],
        ));
    }
    let text = "Status, source, agent and tag of the largest organization's agent sessions, one connection. Tenure's own wire \
                counts five fields over its sessions of every kind.";
    Ok(Section::new("facets", format!("Facets on {}", run.server.kind()), text, rows))
}
