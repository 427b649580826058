//! The places of terms.

use crate::{TermPlace, find_terms};

#[test]
fn terms_have_places() {
    let text = "é state:new -(kind : agent stat:) NOT -x (y) && tags:(a, \"b c\")";
    let chars = text.chars().collect::<Vec<_>>();
    let describe = |term: TermPlace| {
        let slice = |from: usize, until: usize| chars[from..until].iter().collect::<String>();
        let end = term.at + term.length;
        (slice(term.at, end), term.value_at.map(|at| slice(at, end)), term.is_negated)
    };
    let found = find_terms(text).into_iter().map(describe).collect::<Vec<_>>();
    let expected = [
        ("é", None, false),
        ("state:new", Some("new"), false),
        ("kind : agent", Some("agent"), true),
        ("x", None, false),
        ("(y)", None, false),
        ("tags:(a, \"b c\")", Some("(a, \"b c\")"), false),
    ];
    let expected = expected.map(|(term, value, not)| (term.to_owned(), value.map(str::to_owned), not));
    assert_eq!(found, expected);
}
