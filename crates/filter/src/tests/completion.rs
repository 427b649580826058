//! What can stand at a cursor.

use crate::{CompletionKind, CountedValue, ValueSource, complete, find_completed_field};
use domain::session::{Field, ValueField};
use proptest::prelude::*;

struct Values;

impl ValueSource for Values {
    fn find_values(&self, field: Field, text: &str) -> Vec<CountedValue> {
        let values: &[(&str, u64)] = match field {
            Field::Value(ValueField::State) => {
                &[("running.working", 5), ("running.waiting_for_user", 7), ("device.queued", 2)]
            }
            Field::Value(ValueField::Tag) => &[("nightly", 30), ("night shift", 4), ("odd*", 1)],
            Field::Value(ValueField::Owner) => &[("alice@example.com", 3)],
            _ => &[],
        };
        let found = values.iter().filter(|(value, _)| value.contains(text));
        found
            .map(|(value, count)| CountedValue { text: (*value).into(), help: None, count: Some(*count) })
            .collect()
    }
}

/// The items at the `|` of a text, and the text with the first item put there.
fn items(text: &str) -> (Vec<String>, String) {
    let cursor = text.chars().position(|c| c == '|').unwrap();
    let text = text.replace('|', "");
    let completion = complete(&text, cursor, &Values);
    let chars = text.chars().collect::<Vec<_>>();
    let (start, end) = (completion.at, completion.at + completion.length);
    let first = completion.items.first().map(|item| item.text.clone()).unwrap_or_default();
    let [before, after] = [&chars[..start], &chars[end..]].map(|part| part.iter().collect::<String>());
    (completion.items.into_iter().map(|item| item.text).collect(), before + &first + &after)
}

#[test]
fn items_stand_at_the_cursor() {
    for (text, first, completed) in [
        ("|", "is:", "is:"),
        ("sta|", "state:", "state:"),
        ("kind:agent sta|", "state:", "kind:agent state:"),
        ("sta| kind:agent", "state:", "state: kind:agent"),
        ("sta|:running", "state", "state:running"),
        ("-sta|", "state:", "-state:"),
        ("-|", "is:", "-is:"),
        ("(crea|", "created ", "(created "),
        ("created |", "> ", "created > "),
        ("state |", ":", "state :"),
        ("created > |", "-1h", "created > -1h"),
        ("created > -|", "-1h", "created > -1h"),
        ("created:-7|", "-7d..", "created:-7d.."),
        ("state:|", "running", "state:running"),
        ("state:wai|", "waiting_for_user", "state:waiting_for_user"),
        ("state:wai| tags:a", "waiting_for_user", "state:waiting_for_user tags:a"),
        ("state:wai|ting", "waiting_for_user", "state:waiting_for_user"),
        ("state:(new, wai|", "waiting_for_user", "state:(new, waiting_for_user"),
        ("state:(|", "running", "state:(running"),
        ("state:(new, |)", "running", "state:(new, running)"),
        ("state IN (que|)", "queued", "state IN (queued)"),
        ("tags:night|", "nightly", "tags:nightly"),
        ("tags:\"night s|", "\"night shift\"", "tags:\"night shift\""),
        ("tags:\"night s| kind:agent", "\"night shift\"", "tags:\"night shift\" kind:agent"),
        ("tags:\"night s|x\" kind:agent", "\"night shift\"", "tags:\"night shift\" kind:agent"),
        ("owner:|", "me", "owner:me"),
        ("owner:ali|", "alice@example.com", "owner:alice@example.com"),
        ("is:|", "running", "is:running"),
        ("is:ne|", "needs-me", "is:needs-me"),
        ("has:|", "children", "has:children"),
        ("archived:|", "true", "archived:true"),
        ("kind:agent OR |", "is:", "kind:agent OR is:"),
        ("kind:agent (|", "is:", "kind:agent (is:"),
        ("kind:(agent) (tags:a OR |", "is:", "kind:(agent) (tags:a OR is:"),
        ("kind:(agent OR |", "device", "kind:(agent OR device"),
        ("lease < |", "5m", "lease < 5m"),
        ("kind:agent |", "AND ", "kind:agent AND "),
        ("kind:agent o|", "organization:", "kind:agent organization:"),
        ("kind:agent or|", "OR ", "kind:agent OR "),
        ("kind:agent not|", "NOT ", "kind:agent NOT "),
        ("tokens|", "usage.input_tokens ", "usage.input_tokens "),
        ("é🦀 sta|", "state:", "é🦀 state:"),
        ("x && stat:y sta|", "state:", "x && stat:y state:"),
    ] {
        let (found, result) = items(text);
        assert_eq!(found.first().map(String::as_str), Some(first), "{text}: {found:?}");
        assert_eq!(result, completed, "{text}");
    }
    for text in ["\"sta|", "stat:|", "kind:agent)|", "usage.acus > |", "state:(new |", "tags:odd|"] {
        assert_eq!(items(text).0, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn values_have_counts_and_help() {
    let completion = complete("kind:agent state:wai", 20, &Values);
    assert_eq!((completion.at, completion.length), (17, 3));
    let first = &completion.items[0];
    assert_eq!((first.kind, first.count), (CompletionKind::Value, Some(7)));
    assert_eq!(first.help.as_deref(), Some("The agent has answered and waits for a person."));
    let running = &complete("state:run", 9, &Values).items[0];
    assert_eq!((running.text.as_str(), running.count), ("running", Some(12)));
    let json = serde_json::to_value(running).unwrap();
    assert_eq!(json["kind"], "value");
}

#[test]
fn the_caller_learns_whose_values_are_needed() {
    for (text, expected) in [
        ("tags:ni", Some((Field::Value(ValueField::Tag), "ni"))),
        ("tags:", Some((Field::Value(ValueField::Tag), ""))),
        ("tags:(a, \"b c", Some((Field::Value(ValueField::Tag), "b c"))),
        ("tags", None),
        ("is:r", None),
    ] {
        let found = find_completed_field(text, text.len());
        assert_eq!(found, expected.map(|(field, typed)| (field, typed.to_owned())), "{text}");
    }
}

/// The texts of a text with each of some items at its end.
fn extend(text: &str, kind: CompletionKind) -> Vec<String> {
    let completion = complete(text, text.chars().count(), &Values);
    let items = completion.items.into_iter().filter(|item| item.kind == kind);
    items.map(|item| format!("{text}{}", item.text)).collect()
}

#[test]
fn what_is_offered_is_understood() {
    for name in Field::all().map(Field::name) {
        let operators = extend(&format!("{name} "), CompletionKind::Operator);
        assert!(!operators.is_empty(), "{name}");
        for text in operators {
            let text = if text.ends_with("IN ") { text + "(" } else { text };
            for text in extend(&text, CompletionKind::Value) {
                let text = if text.contains('(') { text + ")" } else { text };
                super::query(&text);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_place_of_any_text_can_be_completed(text in "[a-z:=<>!&|()\"'*., é-]{0,40}", cursor in 0usize..50) {
        let completion = complete(&text, cursor, &Values);
        let length = text.chars().count();
        prop_assert!(completion.at + completion.length <= length);
        prop_assert!(completion.at <= cursor.min(length));
    }
}
