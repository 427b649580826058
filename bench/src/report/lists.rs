//! Lists, and single sessions, against the same bytes from a buffer.

use super::Run;
use super::load::{Requests, fetch, get};
use super::measure::{Candidate, Figures};
use super::output::{Aim, Figure, Row, Section, Spread};
use super::setup::start_ceiling;
use crate::Outcome;
use serde_json::Value;

/// A case: its requests, and the ratios to the ceiling that it should reach on SQLite and on PostgreSQL.
struct Case {
    name: &'static str,
    requests: Requests,
    aims: Option<[f64; 2]>,
    /// Whether it reads sessions from the database.
    reads: bool,
}

/// Paths and keys of the lists.
pub fn device_list(run: &Run<'_>, limit: u32) -> Vec<u8> {
    get(&format!("/api/v1/sessions?limit={limit}"), Some(&run.keys.mobilenext))
}

/// The largest organization's list of agent sessions on Devin's wire.
pub fn organization_list(run: &Run<'_>, query: &str) -> Vec<u8> {
    let path = format!("/v3/organizations/org-{}/sessions?{query}", run.manifest.largest.0.simple());
    get(&path, Some(&run.keys.devin))
}

/// The account's list of agent sessions.
pub fn account_list(run: &Run<'_>, query: &str) -> Vec<u8> {
    get(&format!("/v3/enterprise/sessions?{query}"), Some(&run.keys.account))
}

/// The largest organization's list of agent sessions on Everruns' wire.
pub fn everruns_list(run: &Run<'_>, query: &str) -> Vec<u8> {
    get(&format!("/v1/sessions?{query}"), Some(&run.keys.everruns))
}

/// The account's list of sessions of every kind on Tenure's own wire.
pub fn own_list(run: &Run<'_>, query: &str) -> Vec<u8> {
    get(&format!("/tenure/v1/sessions?{query}"), Some(&run.keys.account))
}

/// Requests for the newest 200 device sessions, one by one.
pub async fn single_sessions(run: &Run<'_>) -> Outcome<Requests> {
    let list: Value = fetch_json(run, &device_list(run, 100)).await?;
    let ids = list["data"].as_array().or(list["sessions"].as_array()).or(list["items"].as_array());
    let ids = ids.ok_or("a list without items")?.iter().filter_map(|session| session["id"].as_str());
    let requests = ids.map(|id| get(&format!("/api/v1/sessions/{id}"), Some(&run.keys.mobilenext)));
    Ok(requests.collect::<Vec<_>>().into())
}

/// The JSON of a response.
pub async fn fetch_json(run: &Run<'_>, request: &[u8]) -> Outcome<Value> {
    let (status, body) = fetch(run.process.address, request).await?;
    if status != 200 {
        let line = String::from_utf8_lossy(request).lines().next().unwrap_or_default().to_owned();
        return Err(format!("{status} for {line}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Measures the lists.
pub async fn measure(run: &Run<'_>) -> Outcome<Section> {
    let one = |request: Vec<u8>| -> Requests { vec![request].into() };
    let case = |name, requests, aims| Case { name, requests, aims, reads: true };
    let logins = get("/frontend/api/v1/auth/session", Some(&run.keys.probe));
    let scoped = format!("limit=20&scope={}", run.manifest.largest.0);
    let cases = [
        Case { reads: false, ..case("health check", one(get("/healthz", None)), None) },
        case("Mobile Next, list of 100", one(device_list(run, 100)), Some([0.40, 0.30])),
        case("Mobile Next, list of 20", one(device_list(run, 20)), Some([0.45, 0.35])),
        case("Mobile Next, one session", single_sessions(run).await?, Some([0.50, 0.40])),
        case("Devin, list of 100 with total", one(organization_list(run, "first=100")), Some([0.35, 0.25])),
        case("Devin, list of 20 with total", one(organization_list(run, "first=20")), Some([0.40, 0.30])),
        case(
            "Devin, account's list of 100 with total",
            one(account_list(run, "first=100")),
            Some([0.30, 0.20]),
        ),
        case("Everruns, list of 20 with total", one(everruns_list(run, "limit=20")), Some([0.35, 0.25])),
        case("Probe.dev, 20 login sessions", one(logins), Some([0.40, 0.30])),
        // At most one and a half times as long as Mobile Next's list of 20.
        case(
            "Tenure, list of 20 of every kind with total",
            one(own_list(run, "limit=20")),
            Some([0.30, 0.23]),
        ),
        case("Tenure, one organization's list of 20", one(own_list(run, &scoped)), None),
    ];
    let mut rows = Vec::new();
    for case in cases {
        rows.push(measure_case(run, case).await?);
    }
    let text = "Ratios are to a server that sends the same bytes from a buffer, in the same rounds. Processor times are of the \
                server, and of all processes of the database.";
    Ok(Section::new("lists", format!("Lists on {}", run.server.kind()), text, rows))
}

async fn measure_case(run: &Run<'_>, case: Case) -> Outcome<Row> {
    let (status, bytes) = fetch(run.process.address, &case.requests[0]).await?;
    if status != 200 {
        return Err(format!("{status} for {}: {}", case.name, String::from_utf8_lossy(&bytes)).into());
    }
    let ceiling = start_ceiling(&run.tenure.folder, &bytes).await?;
    let candidates = [
        Candidate { process: &run.process, requests: case.requests },
        Candidate::one(&ceiling, get("/", Some(&run.keys.mobilenext))),
    ];
    let all = run.rounds.alternate(&candidates).await?;
    let [own, fixed] = [&all[0], &all[1]];
    let aim = case.aims.map(|[sqlite, postgres]| Aim::AtLeast(run.server.choose(sqlite, postgres)));
    let database_aim = case.reads.then_some(Aim::AtMost(5.0));
    let mut figures = vec![
        Figure::new("ratio", own.ratio(fixed)).aim(aim),
        Figure::new("responses/s", rate(own)),
        Figure::new("ceiling, responses/s", rate(fixed)),
        Figure::new("server, µs", processor(own)),
        Figure::new("ceiling, µs", processor(fixed)),
        Figure::new("ratio of processor time", own.processor_ratio(fixed)),
        Figure::new("bytes", Spread::one(bytes.len() as f64)),
    ];
    if run.rounds.backend.is_some() {
        let database = Spread::new(own.database.iter().copied());
        figures.push(Figure::new("PostgreSQL, µs", database).aim(database_aim));
    }
    Ok(Row::new(case.name, figures))
}

/// Responses per second.
pub fn rate(figures: &Figures) -> Spread {
    Spread::new(figures.rates.iter().copied())
}

/// The server's processor time for a request, in microseconds.
pub fn processor(figures: &Figures) -> Spread {
    Spread::new(figures.processor.iter().copied())
}

/// Measures a page of 100 of each kind against the others.
pub async fn measure_kinds(run: &Run<'_>) -> Outcome<Section> {
    let requests = [
        ("device sessions", device_list(run, 100)),
        ("agent sessions", organization_list(run, "first=100")),
        ("login sessions", get("/frontend/api/v1/auth/session", Some(&run.keys.page))),
    ];
    let candidates = requests.iter().map(|(_, request)| Candidate::one(&run.process, request.clone()));
    let all = run.rounds.alternate(&candidates.collect::<Vec<_>>()).await?;
    let fastest =
        (0..run.rounds.rounds).map(|round| all.iter().map(|own| own.rates[round]).fold(0.0, f64::max));
    let fastest = fastest.collect::<Vec<_>>();
    let rows = requests.iter().zip(&all).map(|((name, _), own)| {
        let slower = Spread::new(own.rates.iter().zip(&fastest).map(|(own, fastest)| fastest / own));
        Row::new(
            *name,
            vec![
                Figure::new("fastest kind to this", slower).aim(Some(Aim::AtMost(1.5))),
                Figure::new("responses/s", rate(own)),
                Figure::new("server, µs", processor(own)),
            ],
        )
    });
    let title = format!("A page of 100 of each kind on {}", run.server.kind());
    Ok(Section::new("kinds", title, "", rows.collect()))
}
