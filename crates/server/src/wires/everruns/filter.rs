//! Reads the filter of a list of sessions.

use super::ids;
use crate::failure::Failure;
use crate::http::query::Query;
use domain::Refusal;
use domain::agent::{ActivityGroup, AgentState, RunPhase, SessionFilter, TimeRange};
use domain::ids::PrincipalId;

/// The query parameters of a list of sessions.
pub const PARAMETERS: [&str; 13] = [
    "agent_id",
    "search",
    "offset",
    "limit",
    "tag",
    "status",
    "source",
    "mine",
    "created_after",
    "created_before",
    "order",
    "include_archived",
    "archived_only",
];
/// Longest search text, in characters.
const MAX_SEARCH_CHARS: usize = 1_000;
/// Most values of one parameter.
const MAX_VALUES: usize = 100;

/// Reads the filter. `mine` means the sessions of `caller`.
///
/// # Errors
/// [`Refusal::Invalid`] naming the parameter and what was expected.
pub fn read(query: &Query, caller: Option<PrincipalId>) -> Result<SessionFilter, Failure> {
    if !matches!(query.text("order")?, None | Some("created_at")) {
        return Err(Refusal::invalid("order", "created_at").into());
    }
    let owners = if query.flag("mine")? { Some(caller.into_iter().collect()) } else { None };
    Ok(SessionFilter {
        agents: query.text("agent_id")?.map(ids::read_agent_filter).transpose()?,
        search: read_search(query)?,
        tags: read_tags(query)?,
        origins: limit_values(query, "source", query.list("source"))?.map(to_strings),
        owners,
        created: TimeRange { from: query.time("created_after")?, until: query.time("created_before")? },
        archived: read_archived(query)?,
        states: read_states(query)?,
        ..SessionFilter::default()
    })
}

fn read_search(query: &Query) -> Result<Option<String>, Failure> {
    let text = query.text("search")?.map(str::trim).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > MAX_SEARCH_CHARS || text.contains('\0') => {
            Err(Refusal::invalid("search", format!("at most {MAX_SEARCH_CHARS} characters")).into())
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// Reads `tag`, which can be repeated: sessions with any of the tags. Commas do not separate tags, as a tag can have commas.
fn read_tags(query: &Query) -> Result<Option<Vec<String>>, Failure> {
    let tags = limit_values(query, "tag", Some(query.all("tag")))?.unwrap_or_default();
    if tags.iter().any(|tag| tag.contains('\0')) {
        return Err(Refusal::invalid("tag", "a text without NUL").into());
    }
    Ok((!tags.is_empty()).then(|| to_strings(tags)))
}

/// Archived sessions are listed only on request.
fn read_archived(query: &Query) -> Result<Option<bool>, Failure> {
    let (only, too) = (query.flag("archived_only")?, query.flag("include_archived")?);
    Ok(match (only, too) {
        (true, _) => Some(true),
        (false, true) => None,
        (false, false) => Some(false),
    })
}

/// Reads `status`: the statuses that sessions show, and the words of the newest clients' filters.
fn read_states(query: &Query) -> Result<Option<Vec<AgentState>>, Failure> {
    let Some(words) = limit_values(query, "status", query.list("status"))? else { return Ok(None) };
    let mut states = Vec::new();
    for word in words {
        let expected = "started, active, idle, running, paused, failed or completed";
        let matching = states_for_word(word).ok_or_else(|| Refusal::invalid("status", expected))?;
        states.extend(matching.into_iter().filter(|state| !states.contains(state)).collect::<Vec<_>>());
    }
    Ok(Some(states))
}

fn states_for_word(word: &str) -> Option<Vec<AgentState>> {
    let all = AgentState::ALL.into_iter();
    Some(match word {
        "running" => all
            .filter(|state| state.group() == ActivityGroup::Active || *state == AgentState::Claimed)
            .collect(),
        "paused" => all.filter(|state| matches!(state, AgentState::Suspended(_))).collect(),
        "failed" => vec![AgentState::Error],
        "completed" => vec![AgentState::Running(RunPhase::Finished), AgentState::Exit],
        word => ActivityGroup::parse(word)?.states().collect(),
    })
}

/// Refuses too many values, counted both as repeated parameters and after commas are split.
fn limit_values<'a>(
    query: &Query,
    name: &str,
    values: Option<Vec<&'a str>>,
) -> Result<Option<Vec<&'a str>>, Failure> {
    if query.all(name).len().max(values.as_ref().map_or(0, Vec::len)) > MAX_VALUES {
        return Err(Refusal::invalid(name, format!("at most {MAX_VALUES} values")).into());
    }
    Ok(values)
}

fn to_strings(values: Vec<&str>) -> Vec<String> {
    values.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<SessionFilter, String> {
        read(&Query::read(text), None).map_err(|failure| failure.to_string())
    }

    #[test]
    fn archived_sessions_are_left_out_unless_requested() {
        assert_eq!(of("").unwrap(), SessionFilter { archived: Some(false), ..SessionFilter::default() });
        assert_eq!(of("include_archived=true").unwrap(), SessionFilter::default());
        assert_eq!(of("archived_only=true&include_archived=true").unwrap().archived, Some(true));
    }

    #[test]
    fn values_of_a_filter_are_limited() {
        for name in ["source", "status", "tag"] {
            let many = |value: &str, count: usize| of(&vec![format!("{name}={value}"); count].join("&"));
            assert!(many("", MAX_VALUES).is_ok(), "{name}");
            let refused = format!("{name}: expected at most {MAX_VALUES} values");
            assert_eq!(many("", MAX_VALUES + 1), Err(refused.clone()));
            let joined = format!("{name}={}", vec!["idle"; MAX_VALUES + 1].join(","));
            assert_eq!(of(&joined).err(), (name != "tag").then_some(refused));
        }
    }

    #[test]
    fn every_state_has_one_status_and_at_most_one_activity() {
        let count = |word: &'static str, state: AgentState| {
            states_for_word(word).unwrap().contains(&state).then_some(word)
        };
        for state in AgentState::ALL {
            let groups = ["started", "active", "idle"].map(|word| count(word, state)).into_iter().flatten();
            assert_eq!(groups.collect::<Vec<_>>(), [state.group().name()]);
            let activities = ["running", "paused", "failed", "completed"].map(|word| count(word, state));
            assert!(activities.into_iter().flatten().count() <= 1, "{state:?}");
        }
    }

    #[test]
    fn unreadable_values_are_named() {
        for (text, expected) in [
            ("agent_id=x", "invalid agent ID: expected agent_ and 32 lower-case hexadecimal digits"),
            ("mine=yes", "mine: expected true or false"),
            (
                "status=paused,odd",
                "status: expected started, active, idle, running, paused, failed or completed",
            ),
            ("order=last_activity", "order: expected created_at"),
            (
                "created_after=yesterday",
                "created_after: expected an RFC 3339 time such as 2026-01-01T00:00:00Z",
            ),
            ("search=a&search=b", "search: expected at most one value"),
            ("tag=%00", "tag: expected a text without NUL"),
        ] {
            assert!(of(text).unwrap_err().ends_with(expected), "{text}: {:?}", of(text));
        }
        assert!(of(&"tag=x&".repeat(101)).unwrap_err().contains("at most 100 values"));
        assert!(of(&format!("search={}", "x".repeat(1_001))).is_err());
    }

    #[test]
    fn an_empty_status_filter_matches_nothing() {
        assert_eq!(of("status=").unwrap().states, Some(Vec::new()));
        assert_eq!(of("source=chat,api").unwrap().origins, Some(vec!["chat".into(), "api".into()]));
        assert_eq!(of("tag=a,b&tag=c").unwrap().tags, Some(vec!["a,b".into(), "c".into()]));
    }
}
