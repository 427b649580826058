//! The filters that the index answers.

use super::{local, query};
use crate::{Lookup, LookupResult, Resolved, TextPattern};
use domain::agent::{AgentState, RunPhase, TimeRange};
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::network::Network;
use domain::session::{
    AgentSummary, DeviceState, DeviceSummary, EndReason, Filter, KindSummary, LoginState, LoginSummary,
    NumberField, NumberRange, SessionKey, SessionKind, SessionState, SpanField, Summary, TimeField,
    ValueField, ValueTest,
};
use domain::time::{Micros, Span};
use uuid::Uuid;

const ME: PrincipalId = PrincipalId(Uuid::from_u128(1));
const ALICE: Uuid = Uuid::from_u128(2);

fn resolved() -> Resolved {
    let exact = |text: &str| TextPattern::Exact(text.to_owned());
    let owner = LookupResult { ids: [ALICE].into(), ..LookupResult::default() };
    let sessions =
        LookupResult { sessions: [SessionId::new(Micros(7), 7)].into(), ..LookupResult::default() };
    let word =
        LookupResult { ids: [ALICE].into(), device_names: ["Pixel 8".into()].into(), ..sessions.clone() };
    let results = [
        (Lookup::Owner(exact("alice@example.com")), owner),
        (Lookup::Title(TextPattern::Contains("flaky".into())), sessions.clone()),
        (Lookup::Word("pixel".into()), word),
        (Lookup::Parents, sessions),
    ];
    Resolved { me: ME, results: results.into() }
}

#[test]
fn queries_become_filters() {
    use ValueField as F;
    let found = || Filter::Ids([SessionId::new(Micros(7), 7)].into());
    let prefix = |field, text: &str| Filter::HasMatching(field, ValueTest::Prefix(text.into()));
    let now = local().now;
    for (text, expected) in [
        ("", Filter::EVERY),
        ("kind:(agent, login)", Filter::has_text(F::Kind, ["agent", "login"])),
        ("state:failed", Filter::has_text(F::State, ["error", "suspended.error", "suspended.worker_lost"])),
        ("state:queued", Filter::has_text(F::State, ["device.queued"])),
        ("end_reason:lost", Filter::has_text(F::EndReason, ["host_lost"])),
        ("owner:me", Filter::has_id(F::Owner, [ME.0])),
        ("owner:(me, alice@example.com)", Filter::has_id(F::Owner, [ME.0, ALICE])),
        ("owner:nobody", Filter::has_id(F::Owner, [])),
        ("tags:(a, b*)", Filter::Or(vec![Filter::has_text(F::Tag, ["a"]), prefix(F::Tag, "b")])),
        ("model:claude*", prefix(F::Model, "claude")),
        ("model = \"a*\"", Filter::has_text(F::Model, ["a*"])),
        ("device:\"Pixel 8*\"", prefix(F::DeviceName, "Pixel 8")),
        ("device:Pixel", Filter::has_text(F::DeviceName, ["Pixel"])),
        (
            "device:(00000000-0000-0000-0000-000000000002, Pixel)",
            Filter::Or(vec![Filter::has_id(F::Device, [ALICE]), Filter::has_text(F::DeviceName, ["Pixel"])]),
        ),
        (
            "login.address:10.0.0.0/8",
            Filter::HasMatching(F::Address, ValueTest::Network(Network::parse("10.0.0.0/8").unwrap())),
        ),
        ("archived:false", Filter::Not(Box::new(Filter::Has(F::Archived)))),
        ("title:*", Filter::Has(F::Titled)),
        ("title:flaky", found()),
        ("has:children", found()),
        (
            "pixel",
            Filter::Or(vec![
                found(),
                Filter::has_id(F::Owner, [ALICE]),
                Filter::has_text(F::DeviceName, ["Pixel 8"]),
            ]),
        ),
        (
            "created <= now",
            Filter::Time(TimeField::Created, TimeRange { from: None, until: Some(now + Span(1)) }),
        ),
        (
            "usage.acus > 1.5",
            Filter::Number(NumberField::Acus, NumberRange { from: Some(1_500_001), until: None }),
        ),
        ("lease < 5m", Filter::Span(SpanField::Lease, NumberRange { from: None, until: Some(300_000_000) })),
    ] {
        assert_eq!(query(text).compile(&resolved()), expected, "{text}");
    }
}

#[test]
fn a_query_says_what_it_needs() {
    for (text, expected) in [
        ("kind:agent tags:a device:Pixel owner:me", vec![]),
        ("owner:ci -(agent:tri* OR organization:acme)", {
            let exact = |text: &str| TextPattern::Exact(text.to_owned());
            vec![
                Lookup::Owner(exact("ci")),
                Lookup::Agent(TextPattern::Prefix("tri".into())),
                Lookup::Organization(exact("acme")),
            ]
        }),
        ("flaky flaky \"a b\"", vec![Lookup::Word("a b".into()), Lookup::Word("flaky".into())]),
        ("has:children", vec![Lookup::Parents]),
        ("owner:00000000-0000-0000-0000-000000000002", vec![]),
    ] {
        assert_eq!(query(text).names_to_resolve().into_iter().collect::<Vec<_>>(), expected, "{text}");
    }
}

fn summary(state: SessionState, of_kind: KindSummary) -> Summary {
    let kind = match of_kind {
        KindSummary::Agent(_) => SessionKind::Agent,
        KindSummary::Device(_) => SessionKind::Device,
        KindSummary::Login(_) => SessionKind::Login,
    };
    let created = Micros(local().now.0 - Span::minutes(60).0);
    Summary {
        key: SessionKey { organization: OrganizationId::PEOPLE, kind, id: SessionId::new(created, 1) },
        revision: 1,
        owner: ME,
        owner_kind: None,
        state,
        updated: created,
        ended: None,
        expires: None,
        of_kind,
    }
}

/// Which of some texts match a session.
fn matching<'t>(summary: &Summary, texts: &[&'t str]) -> Vec<&'t str> {
    let filter = |text: &str| query(text).compile(&resolved());
    texts.iter().copied().filter(|text| filter(text).matches(summary, local().now)).collect()
}

#[test]
fn filters_match_sessions() {
    let waiting = SessionState::Agent(AgentState::Running(RunPhase::WaitingForUser));
    let agent = AgentSummary { tags: vec!["nightly".into()], ..AgentSummary::default() };
    let agent = summary(waiting, KindSummary::Agent(agent));
    let texts = ["state:running", "is:running", "is:needs-me", "is:open", "tags:night*", "duration > 59m"];
    assert_eq!(
        matching(&agent, &texts),
        ["state:running", "is:needs-me", "is:open", "tags:night*", "duration > 59m"]
    );

    let device = DeviceSummary { name: Some("Pixel 8".into()), ..DeviceSummary::default() };
    let queued = summary(SessionState::Device(DeviceState::Queued), KindSummary::Device(device));
    let texts = ["wait > 10m", "wait > 2h", "device:\"Pixel 8*\"", "is:running", "pixel"];
    assert_eq!(matching(&queued, &texts), ["wait > 10m", "device:\"Pixel 8*\"", "pixel"]);

    let address = LoginSummary { address: Some("10.20.3.4".into()), ..LoginSummary::default() };
    let mut login = summary(SessionState::Login(LoginState::Open), KindSummary::Login(address));
    login.expires = Some(local().now + Span::minutes(4));
    let texts = ["is:expiring", "lease < 1m", "login.address:10.20.0.0/16", "login.address:10.21.*"];
    assert_eq!(matching(&login, &texts), ["is:expiring", "login.address:10.20.0.0/16"]);

    login.ended = Some((Micros(local().now.0 - Span::minutes(30).0), EndReason::Idle));
    let texts = ["active_at:-45m", "active_at:-30m", "active_at:-61m", "duration:30m..31m", "ended > -1h"];
    assert_eq!(matching(&login, &texts), ["active_at:-45m", "duration:30m..31m", "ended > -1h"]);
}
