//! The rules of the language, one table each.

use super::{canonical, check_canonical, query};
use crate::{NAMED_CONDITIONS, SessionQuery};
use domain::session::Field;

#[test]
fn keywords_are_read_in_any_case() {
    check_canonical(&[
        ("kind:agent and tags:a", "kind:agent AND tags:a"),
        ("kind:agent Or tags:a", "kind:agent OR tags:a"),
        ("not kind:agent", "NOT kind:agent"),
        ("kind in (agent, login)", "kind:(agent, login)"),
        ("KIND:Agent STATE:Running OWNER:ME", "kind:agent AND state:running AND owner:me"),
        ("kind:(agent OR login)", "kind:(agent, login)"),
    ]);
}

#[test]
fn standing_side_by_side_is_and() {
    check_canonical(&[
        ("", ""),
        ("  ", ""),
        ("a b", "a AND b"),
        ("a (b c)", "a AND b AND c"),
        ("a (b OR c)", "a AND (b OR c)"),
        ("(a OR b) OR c", "a OR b OR c"),
        ("(a b) OR c", "(a AND b) OR c"),
        ("((a))", "a"),
    ]);
}

#[test]
fn a_negation_is_written_in_three_ways() {
    check_canonical(&[
        ("-a !b NOT c", "NOT a AND NOT b AND NOT c"),
        ("--a", "a"),
        ("-(a b)", "NOT (a AND b)"),
        ("-created:today", "NOT (created >= 2026-11-19T23:00:00Z AND created < 2026-11-20T23:00:00Z)"),
        ("owner != ci", "NOT owner:ci"),
        ("tags:-24h", "tags:\"-24h\""),
    ]);
}

#[test]
fn values_need_no_quotes() {
    check_canonical(&[
        ("login.address:10.0.0.0/8", "login.address:10.0.0.0/8"),
        ("login.address:::1", "login.address:::1/128"),
        ("login.address:10.20.*", "login.address:10.20.*"),
        ("owner:a@b.c", "owner:a@b.c"),
        ("repo:acme/api", "repo:acme/api"),
        ("repo:acme/*", "repo:acme/*"),
        ("tags:größe", "tags:größe"),
        ("tags:\"a b\"", "tags:\"a b\""),
        ("tags:'a\"b'", r#"tags:"a\"b""#),
        (r#"tags:"\u{1f980}\n\t\\""#, r#"tags:"🦀\n\t\\""#),
        ("tags:a=b", "tags:\"a=b\""),
        ("tags : x", "tags:x"),
        ("tags:or", "tags:\"or\""),
        ("tags:(\"or\", \"a,b\")", "tags:(\"or\", \"a,b\")"),
        ("tags:(a, a, b)", "tags:(a, b)"),
        ("\"and\"", "\"and\""),
        ("\"in\"", "\"in\""),
    ]);
}

#[test]
fn a_star_at_the_end_is_any_rest() {
    check_canonical(&[
        ("model:claude*", "model:claude*"),
        ("device:\"Pixel 8*\"", "device:\"Pixel 8*\""),
        ("model = \"a*\"", "model = \"a*\""),
        ("model IN (\"a*\", b)", "model IN (\"a*\", b)"),
        ("model:(a*, b)", "model:(a*, b)"),
        ("tags:*", "tags:*"),
        ("-title:*", "NOT title:*"),
        ("title:Fix*", "title:Fix*"),
        ("title:\"login test\"", "title:\"login test\""),
        ("title = Nightly", "title = \"Nightly\""),
        ("title:(a, b)", "title:a OR title:b"),
    ]);
}

#[test]
fn times_are_written_out() {
    check_canonical(&[
        ("created > -24h", "created > 2026-11-19T10:00:00Z"),
        ("created >= today", "created >= 2026-11-19T23:00:00Z"),
        ("created < 2026-11-19", "created < 2026-11-18T23:00:00Z"),
        ("created:2026-11-19", "created >= 2026-11-18T23:00:00Z AND created < 2026-11-19T23:00:00Z"),
        ("created = 2026-11-19T14:32Z", "created >= 2026-11-19T14:32:00Z AND created < 2026-11-19T14:33:00Z"),
        (
            "created:(today, yesterday)",
            "(created >= 2026-11-19T23:00:00Z AND created < 2026-11-20T23:00:00Z) \
             OR (created >= 2026-11-18T23:00:00Z AND created < 2026-11-19T23:00:00Z)",
        ),
        ("created:..-1d", "created <= 2026-11-19T10:00:00Z"),
        ("created:\"2026-11-01\"..", "created >= 2026-10-31T23:00:00Z"),
        ("expires < +5m", "expires < 2026-11-20T10:05:00Z"),
        ("ended:*", "ended:*"),
        ("active_at:yesterday", "active_at:2026-11-18T23:00:00Z"),
    ]);
}

#[test]
fn numbers_and_lengths_of_time() {
    check_canonical(&[
        ("usage.acus:1..2.50", "usage.acus >= 1 AND usage.acus <= 2.5"),
        ("usage.acus = 5", "usage.acus = 5"),
        ("usage.acus != 5", "NOT usage.acus = 5"),
        ("usage.input_tokens > 200k", "usage.input_tokens > 200000"),
        ("usage.output_tokens:(1, 1.5k)", "usage.output_tokens = 1 OR usage.output_tokens = 1500"),
        ("duration:5m..90m", "duration >= 5m AND duration <= 1h30m"),
        ("lease:*", "lease:*"),
    ]);
}

#[test]
fn flags_and_ids() {
    let id = "0192f3a4-0000-7000-8000-000000000001";
    let hex = id.replace('-', "");
    check_canonical(&[
        ("archived:TRUE", "archived:true"),
        ("-archived:true", "archived:false"),
        ("archived != true", "archived:false"),
        ("titled:false", "titled:false"),
        (&format!("id:{hex}"), &format!("id:{id}")),
        (&format!("parent:({id})"), &format!("parent:{id}")),
        (&format!("owner:{hex}"), &format!("owner:{id}")),
        (&format!("organization:org_{hex}"), &format!("organization:{id}")),
    ]);
}

#[test]
fn prepared_conditions_have_names() {
    check_canonical(&[
        ("is:running", "is:running"),
        ("IS:Needs-Me", "is:needs-me"),
        ("is:(failed, expiring)", "is:failed OR is:expiring"),
        ("-is:open", "NOT is:open"),
    ]);
    for named in NAMED_CONDITIONS {
        let text = format!("{}:{}", named.prefix, named.name);
        assert_eq!(canonical(&text), text);
        assert!(named.help.ends_with('.'), "{named:?}");
        if let crate::Meaning::Filter(meaning) = named.meaning {
            query(meaning);
        }
    }
}

#[test]
fn the_examples_of_all_fields_are_read() {
    for example in Field::all().flat_map(|field| field.info().examples) {
        assert_ne!(query(example), SessionQuery::EVERY, "{example}");
    }
    for word in Field::all().flat_map(|field| field.words().map(move |word| (field.name(), word.name))) {
        let text = format!("{}:{}", word.0, word.1);
        assert_eq!(canonical(&text), text);
    }
}
