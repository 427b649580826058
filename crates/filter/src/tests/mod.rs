//! The language as tables of texts, and as properties of all texts.

mod completion;
mod faults;
mod filters;
mod pages;
mod properties;
mod queries;
mod rules;
mod terms;

use crate::{Faults, LocalTime, SessionQuery, read};
use domain::time::Micros;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A caller in Berlin, one hour ahead of UTC, at 11:00 on 20 November 2026.
fn local() -> LocalTime {
    let now = "2026-11-20T10:00:00Z".parse::<Timestamp>().unwrap();
    LocalTime { now: Micros(now.as_microsecond()), zone: TimeZone::get("Europe/Berlin").unwrap() }
}

fn query(text: &str) -> SessionQuery {
    read(text, &local()).unwrap_or_else(|faults| panic!("{}", faults.render(text)))
}

fn canonical(text: &str) -> String {
    query(text).to_string()
}

fn faults(text: &str) -> Faults {
    read(text, &local()).expect_err(text)
}

/// Checks texts against their canonical form, which is read as the same query.
fn check_canonical(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(canonical(text), *expected, "{text}");
        assert_eq!(query(expected), query(text), "{text}");
    }
}
