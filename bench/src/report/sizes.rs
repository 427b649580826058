//! The large data set against the small one.

use super::Run;
use super::lists::rate;
use super::load::get;
use super::measure::Candidate;
use super::output::{Aim, Figure, Row, Section};
use super::setup::{Tenure, folder_of};
use crate::Outcome;

/// Measures the same requests to both data sets in turn.
pub async fn measure(run: &Run<'_>) -> Outcome<Section> {
    let folder = folder_of(&run.arguments.data, run.server, run.small.sessions);
    let tenure = Tenure::new(&run.arguments.program, folder, run.small);
    let keys = tenure.make_keys(run.small)?;
    let (process, _) = tenure.serve().await?;
    let most = run.server.choose(1.2, 1.3);
    let organization = |id: &domain::ids::OrganizationId| format!("org-{}", id.0.simple());
    let [own, small] = [organization(&run.manifest.largest), organization(&run.small.largest)];
    let devin =
        |organization: &str, first| format!("/v3/organizations/{organization}/sessions?first={first}");
    let same = |path: &str| [path.to_owned(), path.to_owned()];
    let cases = [
        (
            "Mobile Next, list of 100",
            same("/api/v1/sessions?limit=100"),
            [&run.keys.mobilenext, &keys.mobilenext],
        ),
        (
            "Mobile Next, list of 20",
            same("/api/v1/sessions?limit=20"),
            [&run.keys.mobilenext, &keys.mobilenext],
        ),
        ("Devin, list of 100", [devin(&own, 100), devin(&small, 100)], [&run.keys.devin, &keys.devin]),
        (
            "Devin, account's list of 100",
            same("/v3/enterprise/sessions?first=100"),
            [&run.keys.account, &keys.account],
        ),
        ("Everruns, list of 20", same("/v1/sessions?limit=20"), [&run.keys.everruns, &keys.everruns]),
        (
            "Probe.dev, 20 login sessions",
            same("/frontend/api/v1/auth/session"),
            [&run.keys.probe, &keys.probe],
        ),
    ];
    let mut rows = Vec::new();
    for (name, [path, small_path], [key, small_key]) in cases {
        let candidates = [
            Candidate::one(&run.process, get(&path, Some(key))),
            Candidate::one(&process, get(&small_path, Some(small_key))),
        ];
        let all = run.rounds.alternate(&candidates).await?;
        rows.push(Row::new(
            name,
            vec![
                Figure::new("small to large", all[1].ratio(&all[0])).aim(Some(Aim::AtMost(most))),
                Figure::new("large, responses/s", rate(&all[0])),
                Figure::new("small, responses/s", rate(&all[1])),
            ],
        ));
    }
    let title =
        format!("{} sessions against {} on {}", run.manifest.sessions, run.small.sessions, run.server.kind());
    Ok(Section::new("sizes", title, "Two servers on the same core, in turn.", rows))
}
