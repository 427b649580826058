//! What is said of a text that cannot be read.

use super::faults;
use crate::{FaultCode, MAX_BYTES, MAX_FAULTS};

#[test]
fn faults_are_printed_below_their_places() {
    let text = "kind:agent stat:running created > yesterdy";
    let expected = "\
error: there is no field “stat”
  │ kind:agent stat:running created > yesterdy
  │            ^^^^ did you mean “state”?
error: “yesterdy” is no time
  │ kind:agent stat:running created > yesterdy
  │                                   ^^^^^^^^ a time is like 2026-11-19, 2026-11-19T14:32Z, -24h, today, yesterday
hint: tenure sessions fields
";
    assert_eq!(faults(text).render(text), expected);

    let text = "kind:agent state:failed OR state:ended";
    let expected = "\
error: AND and OR side by side need parentheses
  │ kind:agent state:failed OR state:ended
  │                         ^^
  │ either  kind:agent (state:failed OR state:ended)
  │ or      (kind:agent state:failed) OR state:ended
";
    assert_eq!(faults(text).render(text), expected);
}

#[test]
fn faults_are_written_as_json() {
    let found = faults("kind:agent stat:running created > yesterdy");
    let expected = serde_json::json!([
        {"at": 11, "length": 4, "code": "unknown_field", "message": "there is no field “stat”",
         "hint": "did you mean “state”?", "suggestions": ["state"]},
        {"at": 34, "length": 8, "code": "not_a_time", "message": "“yesterdy” is no time",
         "hint": "a time is like 2026-11-19, 2026-11-19T14:32Z, -24h, today, yesterday",
         "suggestions": ["yesterday"]},
    ]);
    assert_eq!(serde_json::to_value(found).unwrap(), expected);
}

#[test]
fn places_count_characters_and_lines_are_printed_alone() {
    let text = "\"né 🦀\"\n  stat:\u{1b}x";
    let found = faults(text);
    assert_eq!((found.as_slice()[0].at, found.as_slice()[0].length), (9, 4));
    let expected = "\
error: there is no field “stat”
  │   stat:\u{fffd}x
  │   ^^^^ did you mean “state”?
hint: tenure sessions fields
";
    assert_eq!(found.render(text), expected);
}

/// The code, the place and what is right there, of each fault of a text.
fn describe(text: &str) -> Vec<(FaultCode, String, String)> {
    let found = faults(text);
    let describe = |fault: &crate::Fault| {
        let place = text.chars().skip(fault.at).take(fault.length).collect::<String>();
        (fault.code, place, fault.suggestions.join("|"))
    };
    found.as_slice().iter().map(describe).collect()
}

#[test]
fn each_fault_has_its_place() {
    use FaultCode::*;
    for (text, code, place, suggestions) in [
        ("state:", Incomplete, ":", ""),
        ("state: AND tags:a", Incomplete, ":", ""),
        (":x", Incomplete, ":", ""),
        ("kind:()", Incomplete, ")", ""),
        ("kind:(agent,)", Incomplete, ")", ""),
        ("kind:(agent login)", Unexpected, "login", ""),
        ("kind:(agent", Parenthesis, "(", ""),
        ("(kind:agent", Parenthesis, "(", ""),
        ("kind:agent)", Parenthesis, ")", ""),
        ("()", Parenthesis, "()", ""),
        ("tags:a,b", Unexpected, ",", ""),
        ("AND kind:agent", MissingTerm, "AND", ""),
        ("kind:agent OR", MissingTerm, "OR", ""),
        ("kind:agent AND OR tags:a", MissingTerm, "OR", ""),
        ("NOT", MissingTerm, "NOT", ""),
        ("flaky - test", MissingTerm, "-", ""),
        ("\"flaky", Quotation, "\"", ""),
        (r#""a\qb""#, Quotation, "\\", ""),
        ("tags:\"a\"b", Quotation, "", ""),
        ("kind:agent && tags:a", ForeignOperator, "&&", "AND"),
        ("kind:agent || tags:a", ForeignOperator, "||", "OR"),
        ("kind == agent", ForeignOperator, "==", "="),
        ("created:>2026-11-19", ForeignOperator, ":>", ">"),
        ("model =~ claude", ForeignOperator, "=~", ":"),
        ("kind <> agent", ForeignOperator, "<>", "!="),
        ("state:!running", Unexpected, "!running", ""),
        ("login in berlin", Incomplete, "in", "\"in\""),
        ("kind:agent ..5", Unexpected, "..5", ""),
        ("staet:new", UnknownField, "staet", "state"),
        ("is:runing", UnknownCondition, "runing", "running"),
        ("is:*", UnknownCondition, "*", ""),
        ("state:runing", UnknownValue, "runing", "running"),
        ("kind:session", UnknownValue, "session", ""),
        ("archived:maybe", UnknownValue, "maybe", "true|false"),
        ("id:*", UnknownValue, "*", ""),
        ("tags = a", WrongOperator, "=", ""),
        ("model > a", WrongOperator, ">", ""),
        ("model:a..b", WrongOperator, "a..b", ""),
        ("created > -7d..", WrongOperator, "-7d..", ""),
        ("created > (today, now)", WrongOperator, "(today, now)", ""),
        ("created:-24h", WrongOperator, "-24h", ""),
        ("duration:5m", WrongOperator, "5m", ""),
        ("is = running", WrongOperator, "=", ""),
        ("model:*claude", Wildcard, "*claude", ""),
        ("model:cl*ude", Wildcard, "cl*ude", ""),
        ("model = claude*", Wildcard, "claude*", ""),
        ("model:(a, *)", Wildcard, "*", ""),
        ("model = *", Wildcard, "*", "model:*|\"*\""),
        ("flak*", Wildcard, "flak*", "flak"),
        ("created > 5", NotATime, "5", ""),
        ("created:-7d..x", NotATime, "x", ""),
        ("usage.input_tokens > 1.5", NotANumber, "1.5", ""),
        ("usage.acus > -1", NotANumber, "-1", ""),
        ("lease < 5", NotADuration, "5", ""),
        ("parent:x", NotAnId, "x", ""),
        ("login.address:home", NotAnAddress, "home", ""),
        ("usage.acus:5..1", EmptyRange, "5..1", ""),
        ("created:..", Incomplete, "..", ""),
        ("created:a..b..c", Incomplete, "..", ""),
    ] {
        let expected = [(code, place.to_owned(), suggestions.to_owned())];
        assert_eq!(describe(text), expected, "{text}\n{}", faults(text).render(text));
    }
}

#[test]
fn all_faults_are_reported_in_order() {
    let text = "(stat:x kind:agnt) && created > yesterdy OR model > 5 lease < x";
    let codes = describe(text).into_iter().map(|(code, ..)| code).collect::<Vec<_>>();
    use FaultCode::*;
    assert_eq!(
        codes,
        [UnknownField, UnknownValue, ForeignOperator, NotATime, MixedAndOr, WrongOperator, NotADuration]
    );
}

#[test]
fn a_text_has_limits() {
    use FaultCode::*;
    let code = |text: &str| faults(text).as_slice().iter().map(|fault| fault.code).collect::<Vec<_>>();
    assert_eq!(code(&"é".repeat(MAX_BYTES / 2 + 1)), [TooLong]);
    super::query(&"é".repeat(MAX_BYTES / 2 - 3));
    let nested = |depth: usize| format!("{}kind:agent{}", "(".repeat(depth), ")".repeat(depth));
    super::query(&nested(32));
    assert_eq!(code(&nested(33)), [TooDeep]);
    super::query(&format!("{}kind:agent", "-".repeat(32)));
    assert_eq!(code(&format!("{}kind:agent", "-".repeat(33))), [TooDeep]);
    super::query(&"tags:a ".repeat(64));
    assert_eq!(code(&"tags:a ".repeat(65)), [TooManyTerms]);
    assert_eq!(code(&"usage.acus:1..2 ".repeat(33)), [TooManyTerms]);
    let list = |count: usize| format!("tags:({})", vec!["a"; count].join(","));
    super::query(&list(200));
    assert_eq!(code(&list(201)), [TooManyValues]);
    assert_eq!(code(&format!("\"{}\"", "\u{1}".repeat(2_000))), [TooLong]);
    assert_eq!(code(&")".repeat(MAX_BYTES)).len(), MAX_FAULTS);
}

#[test]
fn both_readings_are_shown() {
    for (text, either, or) in [
        ("a b OR c", "a (b OR c)", "(a b) OR c"),
        ("a OR b AND c", "(a OR b) AND c", "a OR (b AND c)"),
        ("a OR b c OR -(d e)", "(a OR b) (c OR -(d e))", "a OR (b c) OR -(d e)"),
    ] {
        let found = faults(text);
        assert_eq!(found.as_slice()[0].suggestions, [either, or], "{text}");
        for reading in [either, or] {
            super::query(reading);
        }
    }
}
