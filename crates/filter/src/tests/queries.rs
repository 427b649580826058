//! The twenty queries that people asked for.

use super::{check_canonical, faults};

#[test]
fn twenty_queries_mean_what_people_mean() {
    check_canonical(&[
        ("state:running", "state:running"),
        ("is:needs-me", "is:needs-me"),
        ("owner:me -state:ended", "owner:me AND NOT state:ended"),
        (
            "kind:agent state:(running, waiting_for_user) created > -24h",
            "kind:agent AND state:(running, waiting_for_user) AND created > 2026-11-19T10:00:00Z",
        ),
        ("kind:device platform:ios lease < 5m", "kind:device AND platform:ios AND lease < 5m"),
        ("tags:nightly usage.acus > 5", "tags:nightly AND usage.acus > 5"),
        ("repo:acme/api ended:-7d..", "repo:acme/api AND ended >= 2026-11-13T10:00:00Z"),
        (
            "kind:agent created:2026-11-01..2026-11-08",
            "kind:agent AND created >= 2026-10-31T23:00:00Z AND created < 2026-11-08T23:00:00Z",
        ),
        (
            "active_at:2026-11-19T14:32Z device:\"Pixel 8*\"",
            "active_at:2026-11-19T14:32:00Z AND device:\"Pixel 8*\"",
        ),
        (
            "end_reason:(expired, lost) ended > yesterday",
            "end_reason:(expired, lost) AND ended > 2026-11-18T23:00:00Z",
        ),
        ("duration > 2h kind:login", "duration > 2h AND kind:login"),
        (
            "kind:login login.address:10.20.0.0/16 login.client:curl*",
            "kind:login AND login.address:10.20.0.0/16 AND login.client:curl*",
        ),
        ("\"flaky login test\"", "\"flaky login test\""),
        ("flaky login -tags:smoke", "flaky AND login AND NOT tags:smoke"),
        (
            "(state:failed OR end_reason:lost) created > -1d",
            "(state:failed OR end_reason:lost) AND created > 2026-11-19T10:00:00Z",
        ),
        (
            "owner:(alice@example.com, bob@example.com) has:children",
            "owner:(alice@example.com, bob@example.com) AND has:children",
        ),
        ("NOT kind:login NOT owner:ci", "NOT kind:login AND NOT owner:ci"),
        (
            "kind = \"agent\" AND state = \"waiting_for_user\" AND tags : \"nightly\" AND NOT owner = \"ci\"",
            "kind:agent AND state:waiting_for_user AND tags:nightly AND NOT owner:ci",
        ),
        ("usage.acus >= 1.50 model:claude* origin:api", "usage.acus >= 1.5 AND model:claude* AND origin:api"),
        (
            "device:lab-berlin-* state:queued wait > 10m",
            "device:lab-berlin-* AND state:queued AND wait > 10m",
        ),
    ]);
}

/// Some of the twenty were written for other names, and for facts that no session has.
#[test]
fn what_sessions_do_not_have_is_said() {
    for (text, expected) in [
        ("kind:login login.ip:10.20.0.0/16", "there is no field “login.ip”"),
        ("kind:login login.agent:curl*", "there is no field “login.agent”"),
        ("(state:failed OR end_reason:crashed) created > -1d", "there is no end reason “crashed”"),
        ("usage.cost_usd >= 1.50", "there is no field “usage.cost_usd”"),
        ("source:otlp", "there is no field “source”"),
        ("host:lab-berlin-*", "there is no field “host”"),
        ("has:pull-request", "there is no condition “has:pull-request”"),
    ] {
        let faults = faults(text);
        assert_eq!(faults.as_slice().len(), 1, "{text}");
        assert_eq!(faults.as_slice()[0].message, expected, "{text}");
    }
}
