//! What the index costs: `cargo bench -p index`. `INDEX_BENCH_SESSIONS` is how many sessions it holds (1,000,000).
#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

use criterion::{Criterion, criterion_group, criterion_main};
use domain::agent::{Acus, AgentState, RunPhase, SuspendReason, TimeRange, Usage};
use domain::ids::{AgentId, DeviceId, OrganizationId, PrincipalId, SessionId};
use domain::network::Network;
use domain::page::{ListRange, OrderedRange, PageDirection};
use domain::principal::PrincipalKind;
use domain::session::{
    AgentSummary, DeviceState, DeviceSummary, EndReason, Filter, KindSummary, ListScope, LoginState,
    LoginSummary, NumberField, NumberRange, OrderField, SessionKey, SessionKind, SessionOrder, SessionState,
    SpanField, Summary, TimeField, ValueField, ValueTest,
};
use domain::time::Micros;
use index::{HistogramSplit, Index};
use std::hint::black_box;
use std::time::Instant;
use uuid::Uuid;

const START: i64 = 1_772_366_400_000_000;
/// The time between two sessions.
const STEP: i64 = 3_000_000;

/// A pseudo-random number for a session: the same sessions in every run.
fn random(number: u64, purpose: u64) -> u64 {
    let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd134_2543_de82_ef95);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn uuid(number: u64) -> Uuid {
    Uuid::from_u128(0xabcd_0000 + u128::from(number))
}

/// The largest organization has a tenth of all sessions, the others ever fewer.
fn organization(number: u64) -> u64 {
    let share = random(number, 1) % 1_000;
    if share < 100 { 0 } else { 1 + (random(number, 2) % 999) * (random(number, 3) % 999) / 999 }
}

/// What only an agent session has, of the organization with this number.
fn agent(organization: u64, created: i64, pick: u64, open: bool) -> (SessionState, KindSummary) {
    let tag = |at| format!("tag-{}", random(organization, 6 + at) % 40);

    let states = match open {
        true => [
            AgentState::New,
            AgentState::Running(RunPhase::Working),
            AgentState::Running(RunPhase::WaitingForUser),
        ],
        false => [AgentState::Exit, AgentState::Error, AgentState::Suspended(SuspendReason::Inactivity)],
    };
    let agent = AgentSummary {
        agent: Some(AgentId(uuid(organization * 10 + pick % 10))),
        titled: true,
        archived: pick.is_multiple_of(10),
        tags: vec![tag(pick % 40), tag(pick / 40 % 40)],
        origin: ["api", "cli", "slack", "webapp"][(pick % 4) as usize].into(),
        model: Some(["opus", "sonnet", "haiku"][(pick % 3) as usize].into()),
        category: pick.is_multiple_of(3).then(|| "code_review".into()),
        playbook: pick.is_multiple_of(9).then(|| format!("playbook-{}", pick % 50)),
        repos: vec![format!("acme-{organization}/repo-{}", pick % 20)],
        parent: pick.is_multiple_of(20).then(|| SessionId::new(Micros(created - STEP), 7)),
        usage: Usage {
            acus: Acus((pick % 9_000_000) as i64),
            input_tokens: (pick % 90_000) as i64,
            ..Usage::default()
        },
        ..AgentSummary::default()
    };
    (SessionState::Agent(states[(pick % 3) as usize]), KindSummary::Agent(agent))
}

fn device(pick: u64, open: bool) -> (SessionState, KindSummary) {
    let device = DeviceSummary {
        platform: Some(["android", "ios"][(pick % 2) as usize].into()),
        device: Some(DeviceId(uuid(pick % 500))),
        device_type: Some("real".into()),
        name: Some(format!("Pixel {}", pick % 30)),
        version: Some(format!("{}", pick % 9)),
    };
    let state = if open { DeviceState::Holding } else { DeviceState::Ended };
    (SessionState::Device(state), KindSummary::Device(device))
}

fn login(pick: u64, open: bool) -> (SessionState, KindSummary) {
    let login = LoginSummary {
        address: Some(format!("10.{}.{}.{}", pick % 8, pick / 8 % 250, pick / 2_000 % 250)),
        client: "pc".into(),
        methods: vec!["pwd".into()],
    };
    let state = if open { LoginState::Open } else { LoginState::Ended };
    (SessionState::Login(state), KindSummary::Login(login))
}

fn summary(number: u64, newest: u64) -> Summary {
    let created = START + number as i64 * STEP;
    let place = organization(number);
    let kind = [SessionKind::Agent, SessionKind::Agent, SessionKind::Device, SessionKind::Login]
        [(random(number, 4) % 4) as usize];
    let organization =
        if kind == SessionKind::Login { OrganizationId::PEOPLE } else { OrganizationId(uuid(place)) };
    let lasted = (random(number, 5) % 7_200_000_000) as i64;
    let open = newest - number < 20_000;
    let pick = random(number, 8);
    let (state, of_kind) = match kind {
        SessionKind::Agent => agent(place, created, pick, open),
        SessionKind::Device => device(pick, open),
        SessionKind::Login => login(pick, open),
    };
    Summary {
        key: SessionKey { organization, kind, id: SessionId::new(Micros(created), random(number, 9)) },
        revision: 5,
        owner: PrincipalId(uuid(place * 50 + pick % 50)),
        owner_kind: Some(PrincipalKind::User),
        state,
        updated: Micros(created + lasted),
        ended: (!open).then(|| (Micros(created + lasted), EndReason::Idle)),
        expires: (open && kind == SessionKind::Login).then_some(Micros(i64::MAX / 2)),
        of_kind,
    }
}

fn load(sessions: u64) -> Index {
    let (mut index, begin) = (Index::default(), Instant::now());
    let mut made = std::time::Duration::ZERO;
    for number in 0..sessions {
        let began = Instant::now();
        let summary = summary(number, sessions);
        made += began.elapsed();
        index.append(summary);
    }
    index.shrink();
    let (took, memory) = (begin.elapsed() - made, index.memory());
    println!(
        "{sessions} sessions: loaded in {took:.1?}, {:.2} µs each",
        took.as_secs_f64() * 1e6 / sessions as f64
    );
    println!("memory: {memory:?}, {:.1} bytes a session", memory.bytes() as f64 / sessions as f64);
    println!("resident: {}", resident());
    index
}

/// What the operating system says that this process holds.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("unknown").to_owned()
}

fn measure(bench: &mut Criterion) {
    let sessions =
        std::env::var("INDEX_BENCH_SESSIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let index = load(sessions);
    let now = Micros(START + sessions as i64 * STEP);
    let account = ListScope::Account { organizations: None, deleted: false };
    let origin = || Filter::has_text(ValueField::Origin, ["api"]);
    let updated = || {
        let from = Some(Micros(now.0 - now.0.wrapping_sub(START) / 3));
        Filter::Time(TimeField::Updated, TimeRange { from, until: None })
    };
    let state = || Filter::has_text(ValueField::State, ["exit", "error"]);
    let created = || {
        let from = Some(Micros(START + sessions as i64 * STEP / 2));
        Filter::Time(TimeField::Created, TimeRange { from, until: None })
    };
    let owner = || Filter::has_id(ValueField::Owner, [uuid(700)]);
    let first = ListRange::Before { position: None, limit: 100 };
    let middle = SessionId::new(Micros(START + sessions as i64 * STEP / 2), 0);
    let deep = ListRange::Before { position: Some((middle.creation_time(), middle)), limit: 100 };
    let back = ListRange::After { position: (middle.creation_time(), middle), limit: 100 };
    let far = ListRange::Offset { offset: sessions / 40, limit: 20 };
    let farther = ListRange::Offset { offset: sessions / 20, limit: 20 };
    for (name, scope, filter, range) in [
        ("organization of a tenth, 100 with total", organization_scope(0), agents(vec![]), first),
        ("the same from a cursor in the middle", organization_scope(0), agents(vec![]), deep),
        ("the same back from a cursor", organization_scope(0), agents(vec![]), back),
        ("the same at an offset of a fortieth", organization_scope(0), agents(vec![]), far),
        ("account at an offset of a twentieth", account.clone(), agents(vec![]), farther),
        ("small organization, 100 with total", organization_scope(500), agents(vec![]), first),
        ("account, 100 with total", account.clone(), agents(vec![]), first),
        ("account, two tags", account.clone(), agents(vec![tag()]), first),
        ("account, origin", account.clone(), agents(vec![origin()]), first),
        ("account, origin, back from a cursor", account.clone(), agents(vec![origin()]), back),
        ("account, states", account.clone(), agents(vec![state()]), first),
        ("account, owner", account.clone(), agents(vec![owner()]), first),
        ("account, updated in the last third", account.clone(), agents(vec![updated()]), first),
        ("account, created in the last half", account.clone(), agents(vec![created()]), first),
        ("account, tags and origin", account.clone(), agents(vec![tag(), origin()]), first),
        ("account, updated and origin", account.clone(), agents(vec![updated(), origin()]), first),
        ("account, lasted two hours", account.clone(), lasted(), first),
        ("account, addresses of a network", account.clone(), in_network(), first),
        ("account, repositories of an owner", account.clone(), agents(vec![of_owner()]), first),
        ("account, updated and created", account.clone(), agents(vec![updated(), created()]), first),
    ] {
        let found = index.select(&scope, &filter, now, range);
        println!("{name}: {} of {}", found.sessions.len(), found.total);
        bench.bench_function(name, |bench| {
            bench.iter(|| black_box(index.select(&scope, &filter, now, range)));
        });
    }
    measure_facets(bench, &index, now);
    measure_orders(bench, &index, now);
    measure_histograms(bench, &index, now, sessions);
    measure_changes(bench, index, sessions);
}

fn agents(filters: Vec<Filter>) -> Filter {
    let kind = Filter::has_text(ValueField::Kind, ["agent"]);
    Filter::And([kind, Filter::flag(ValueField::Archived, false)].into_iter().chain(filters).collect())
}

fn lasted() -> Filter {
    let range = NumberRange { from: Some(7_200_000_000), until: None };
    agents(vec![Filter::Span(SpanField::Duration, range)])
}

fn in_network() -> Filter {
    let network = Network::parse("10.1.0.0/16").expect("a network");
    Filter::HasMatching(ValueField::Address, ValueTest::Network(network))
}

fn of_owner() -> Filter {
    Filter::HasMatching(ValueField::Repository, ValueTest::Prefix("acme-7/".into()))
}

fn tag() -> Filter {
    Filter::has_text(ValueField::Tag, ["tag-3", "tag-7"])
}

fn organization_scope(number: u64) -> ListScope {
    ListScope::Organization(OrganizationId(uuid(number)))
}

fn measure_facets(bench: &mut Criterion, index: &Index, now: Micros) {
    let fields = [ValueField::State, ValueField::Origin, ValueField::Agent, ValueField::Tag];
    for (name, filter) in [
        ("facets of the organization of a tenth", agents(vec![])),
        ("facets with a tag", agents(vec![tag()])),
        ("facets of two of six states", agents(vec![Filter::has_text(ValueField::State, ["exit", "error"])])),
        ("facets without a tag", agents(vec![Filter::Not(Box::new(tag()))])),
        ("facets with an owner", agents(vec![Filter::has_id(ValueField::Owner, [uuid(7)])])),
    ] {
        let scope = organization_scope(0);
        bench.bench_function(name, |bench| {
            bench.iter(|| black_box(index.facets(&scope, &filter, now, fields)));
        });
    }
}

fn measure_orders(bench: &mut Criterion, index: &Index, now: Micros) {
    let account = ListScope::Account { organizations: None, deleted: false };
    let fields = [
        ("updated", OrderField::Time(TimeField::Updated)),
        ("usage", OrderField::Number(NumberField::Acus)),
        ("duration", OrderField::Span(SpanField::Duration)),
        ("tags", OrderField::Value(ValueField::Tag)),
        ("state", OrderField::Value(ValueField::State)),
        ("address", OrderField::Value(ValueField::Address)),
    ];
    let range = |anchor, direction| OrderedRange { anchor, direction, limit: 100, measured: now };
    let mut run = |name: String, scope: &ListScope, order, range: &OrderedRange| {
        bench.bench_function(&name, |bench| {
            bench.iter(|| black_box(index.select_ordered(scope, &Filter::EVERY, now, order, range)));
        });
    };
    for (name, field) in fields {
        let order = SessionOrder { field, descending: true };
        let first = range(None, PageDirection::Forward);
        run(format!("account by {name}"), &account, order, &first);
        run(format!("organization of a tenth by {name}"), &organization_scope(0), order, &first);
        run(format!("small organization by {name}"), &organization_scope(500), order, &first);
        // From the middle of the list.
        let half = OrderedRange { limit: 500_000, ..first };
        let found = index.select_ordered(&account, &Filter::EVERY, now, order, &half);
        let anchor = found.sessions.last().map(|session| session.position.clone());
        let middle = range(anchor.clone(), PageDirection::Forward);
        run(format!("account by {name}, from the middle"), &account, order, &middle);
        let back = range(anchor, PageDirection::Backward);
        run(format!("account by {name}, back from the middle"), &account, order, &back);
    }
}

fn measure_histograms(bench: &mut Criterion, index: &Index, now: Micros, sessions: u64) {
    const HOUR: i64 = 3_600_000_000;
    let account = ListScope::Account { organizations: None, deleted: false };
    let hours = (sessions as i64 * STEP / HOUR).min(999);
    let last = |buckets: i64, length: i64| {
        (0..=buckets).rev().map(|at| Micros(now.0 + 1 - at * length)).collect::<Vec<_>>()
    };
    let organization = organization_scope(0);
    let days = last(hours / 24, 24 * HOUR);
    let (hours, week) = (last(hours, HOUR), last(hours.min(7 * 24), HOUR));
    for (name, scope, boundaries, split) in [
        ("account, all by hour", &account, &hours, None),
        ("account, all by hour and kind", &account, &hours, Some(HistogramSplit::Kind)),
        ("account, all by hour and state", &account, &hours, Some(HistogramSplit::State)),
        ("account, all by day and state", &account, &days, Some(HistogramSplit::State)),
        ("account, a week by hour and state", &account, &week, Some(HistogramSplit::State)),
        (
            "organization of a tenth, all by hour and state",
            &organization,
            &hours,
            Some(HistogramSplit::State),
        ),
    ] {
        let ask = || index.histogram(scope, &Filter::EVERY, now, boundaries, split);
        bench.bench_function(&format!("histogram of {name}"), |bench| bench.iter(|| black_box(ask())));
    }
}

fn measure_changes(bench: &mut Criterion, mut index: Index, sessions: u64) {
    let mut number = 0;
    bench.bench_function("a change of a session", |bench| {
        bench.iter_batched(
            || {
                number = (number + 7_919) % sessions;
                let mut summary = summary(number, sessions);
                summary.revision = 6 + number as i64;
                summary.state = SessionState::Agent(AgentState::ALL[(number % 15) as usize]);
                summary
            },
            |summary| index.apply(summary),
            criterion::BatchSize::SmallInput,
        );
    });
    let mut number = sessions;
    bench.bench_function("a new session", |bench| {
        bench.iter_batched(
            || {
                number += 1;
                summary(number, number)
            },
            |summary| index.apply(summary),
            criterion::BatchSize::SmallInput,
        );
    });
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_secs(1)); targets = measure }
criterion_main!(benches);
