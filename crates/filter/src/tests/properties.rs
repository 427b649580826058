//! Properties of all texts and all queries.

use super::local;
use crate::span::byte_at;
use crate::{MAX_BYTES, read};
use domain::session::Field;
use proptest::prelude::*;

/// A value of any kind, as a text.
fn value() -> impl Strategy<Value = String> {
    let words = Field::all().flat_map(Field::words).map(|word| word.name).collect::<Vec<_>>();
    prop_oneof![
        proptest::sample::select(words).prop_map(str::to_owned),
        "[a-zA-Z0-9_./@:+-]{1,6}[*]?",
        "[0-9]{1,4}(\\.[0-9]{1,3})?[kM]?",
        "[+-]?[0-9]{1,3}[smhdw]",
        "2026-1[12]-[012][0-9](T1[0-9]:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,6})?)?(Z|[+-]0[0-9]:00)?)?",
        "10\\.[0-9]\\.0\\.0/[0-9]{1,2}",
        Just("0192f3a4-0000-7000-8000-000000000001".to_owned()),
        proptest::sample::select(vec!["me", "today", "yesterday", "true", "false", "*", "and", "::1"])
            .prop_map(str::to_owned),
        "[ a-z\"\\\\*'(),\n\u{1}é🦀]{0,6}".prop_map(|text| crate::print::quote(&text)),
    ]
}

fn term() -> impl Strategy<Value = String> {
    let fields = Field::all().map(Field::name).chain(["is", "has"]).collect::<Vec<_>>();
    let operators = vec![":", ":", ":", "=", "!=", "<", "<=", ">", ">=", " > ", " IN "];
    let list = proptest::collection::vec(value(), 1..4).prop_map(|values| format!("({})", values.join(", ")));
    let range = (proptest::option::of(value()), proptest::option::of(value()))
        .prop_map(|(from, until)| format!("{}..{}", from.unwrap_or_default(), until.unwrap_or_default()));
    let any_value = prop_oneof![6 => value(), 1 => list, 1 => range];
    prop_oneof![
        6 => (proptest::sample::select(fields), proptest::sample::select(operators), any_value)
            .prop_map(|(field, operator, value)| format!("{field}{operator}{value}")),
        1 => value(),
        1 => proptest::sample::select(vec!["is:running", "is:needs-me", "has:children"]).prop_map(str::to_owned),
    ]
}

/// A text with the structure of a filter. Most have no fault.
fn text() -> impl Strategy<Value = String> {
    // A term with a fault would hide all others.
    let term = (term(), "[a-z]{1,3}")
        .prop_map(|(term, word)| if read(&term, &local()).is_ok() { term } else { word });
    term.prop_recursive(5, 24, 4, |inner| {
        let several = proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            several.clone().prop_map(|terms| format!("({})", terms.join(" "))),
            several.prop_map(|terms| format!("({})", terms.join(" OR "))),
            inner.clone().prop_map(|term| format!("-{term}")),
            inner.prop_map(|term| format!("NOT {term}")),
        ]
    })
}

proptest! {
    #[test]
    fn a_written_query_is_read_as_the_same(text in text()) {
        let Ok(query) = read(&text, &local()) else { return Ok(()) };
        let written = query.to_string();
        let again = read(&written, &local());
        prop_assert_eq!(again.as_ref(), Ok(&query), "{} as {}", text, written);
        prop_assert_eq!(again.unwrap().to_string(), written);
    }

    #[test]
    fn any_text_is_read_or_has_faults_in_it(
        text in prop_oneof!["\\PC{0,40}", "[a-z:=<>!&|()\"'*., -]{0,40}", term(), any::<String>()],
    ) {
        match read(&text, &local()) {
            Ok(query) => prop_assert_eq!(read(&query.to_string(), &local()), Ok(query)),
            Err(faults) => {
                prop_assert!(!faults.as_slice().is_empty());
                prop_assert!(faults.as_slice().is_sorted_by_key(|fault| fault.at));
                let length = text.chars().count();
                for fault in faults.as_slice() {
                    prop_assert!(fault.at + fault.length <= length, "{:?}", fault);
                }
                prop_assert_eq!(faults.render(&text).matches("error: ").count() >= faults.as_slice().len(), true);
            }
        }
    }

    /// A suggestion for a place repairs that place.
    #[test]
    fn a_suggestion_is_understood(field in "[a-z]{2,8}", word in "[a-z]{2,8}") {
        for text in [format!("{field}:x"), format!("state:{word}"), format!("is:{word}"), format!("created > {word}")] {
            let Err(faults) = read(&text, &local()) else { continue };
            let fault = &faults.as_slice()[0];
            for suggestion in &fault.suggestions {
                let (start, end) = (byte_at(&text, fault.at), byte_at(&text, fault.at + fault.length));
                let repaired = format!("{}{suggestion}{}", &text[..start], &text[end..]);
                let same = read(&repaired, &local()).is_err_and(|faults| {
                    faults.as_slice().iter().any(|other| other.code == fault.code && other.at == fault.at)
                });
                prop_assert!(!same, "{} as {}", text, repaired);
            }
        }
    }
}

#[test]
fn the_longest_texts_are_read_quickly() {
    for part in ["(", "-", "a ", "a:b ", "tags:(", "\"", "a OR ", "NOT ", ")", "..", "((a OR b) ", ",", "\\"]
    {
        let text = part.repeat(MAX_BYTES / part.len());
        let _ = read(&text, &local()).map_err(|faults| faults.render(&text).len());
    }
}
