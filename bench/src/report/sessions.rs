//! The sessions of the data set: the session with a number is the same in every run.

use super::dataset::{AGENTS, Place, SPAN, START};
use super::random::Random;
use domain::agent::{Acus, AgentSession, AgentState, CATEGORIES, NewSession, RunPhase, SuspendReason, Usage};
use domain::credential::SecretHash;
use domain::device::{DeviceProfile, DeviceSession, HeldDevice, Hold};
use domain::ids::{DeviceId, HoldId, OrganizationId, PrincipalId, SessionId};
use domain::json::Json;
use domain::login::{Login, Method, Origin};
use domain::principal::PrincipalKind;
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};
use store::NewAgentSession;
use store::testing::bulk::PastSession;

/// The origins of agent sessions.
pub const ORIGINS: [&str; 6] = ["api", "slack", "webapp", "cli", "scheduled", "automation"];
const MODELS: [&str; 4] = ["large-5", "large-4", "medium-3", "small-2"];
const VERBS: [&str; 6] = ["Fix", "Review", "Migrate", "Document", "Refactor", "Test"];
const THINGS: [&str; 8] =
    ["login form", "billing job", "search page", "build", "API client", "import", "cache", "release notes"];
const STATES: [AgentState; 20] = {
    let mut states = [AgentState::Running(RunPhase::WaitingForUser); 20];
    (states[0], states[1]) = (AgentState::New, AgentState::New);
    (states[2], states[3], states[4]) = (AgentState::Exit, AgentState::Exit, AgentState::Error);
    let mut at = 5;
    while at < 9 {
        states[at] = AgentState::Running(RunPhase::Finished);
        states[at + 4] = AgentState::Suspended(SuspendReason::Inactivity);
        at += 1;
    }
    states
};
/// Kind, name, model and version of devices by their platform.
const DEVICES: [(&str, &str, &str, &str, &str); 6] = [
    ("android", "real", "Pixel 9", "Pixel 9", "16"),
    ("android", "real", "Galaxy S25", "SM-S931B", "15"),
    ("android", "emulator", "Pixel 8 API 35", "sdk_gphone64", "15"),
    ("ios", "real", "iPhone 17", "iPhone18,3", "26.1"),
    ("ios", "simulator", "iPhone 16", "iPhone17,3", "26.0"),
    ("ios", "real", "iPad Air", "iPad15,3", "26.1"),
];
const CLIENTS: [(&str, &str); 4] = [
    ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "pc"),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari/605.1.15",
        "pc",
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
        "smartphone",
    ),
    ("curl/8.14.1", "other"),
];

/// A time of one of `count` sessions: they are spread over the whole time, in order, and no two are equal.
fn time_of(number: u64, count: u64, random: &mut Random) -> Micros {
    let step = SPAN.0 as u64 / count.max(1);
    START + Span((number * step + random.below(step * 9 / 10 + 1)) as i64)
}

fn ending(reason: EndReason, evidence: &str) -> Ending {
    Ending { reason, actor: None, evidence: evidence.to_owned() }
}

/// A session of an organization: device sessions and agent sessions alternate. The largest organization has more agent
/// sessions, so that its list has more than 500,000 that are not archived.
pub fn organization_session(place: &Place, number: u64) -> PastSession {
    let mut random = Random::new((place.number << 32) | number);
    let created = time_of(number, place.sessions, &mut random);
    let id = SessionId::new(created, random.next());
    let owner = random.pick(&place.members);
    let is_device = if place.number == 0 { number % 20 < 7 } else { number.is_multiple_of(2) };
    if is_device {
        PastSession::Device(device_session(place.id, id, owner, &mut random))
    } else {
        PastSession::Agent(Box::new(agent_session(place, id, owner, &mut random)))
    }
}

/// A device session that has ended. Of a hundred, 92 have held one device, 4 waited in vain and 4 asked for nothing.
fn device_session(
    organization: OrganizationId,
    id: SessionId,
    owner: PrincipalId,
    random: &mut Random,
) -> DeviceSession {
    let created = id.creation_time();
    let mut session = DeviceSession::new(organization, id, owner);
    let luck = random.below(100);
    let mut over = created;
    if luck < 96 {
        let (platform, kind, name, model, version) = random.pick(&DEVICES);
        let granted = (luck < 92).then(|| created + Span::seconds(2));
        over = created + Span::seconds(if luck < 92 { 60 + random.below(1_800) as i64 } else { 900 });
        let reason = match luck {
            0..84 => ending(EndReason::Released, "released by its user"),
            84..92 => ending(EndReason::Idle, "no command for 10 min"),
            _ => ending(EndReason::Expired, "not granted within 15 min"),
        };
        let serial = random.below(5_000);
        let profile = DeviceProfile {
            platform: platform.into(),
            kind: kind.into(),
            name: name.into(),
            version: version.into(),
        };
        session.holds.push(Hold {
            id: HoldId::new(created, random.bytes()),
            principal: owner,
            platform: platform.into(),
            requested: created + Span::seconds(1),
            held: granted.map(|_| HeldDevice {
                device: DeviceId::new(START, Random::new(serial).bytes()),
                fence: 1 + (id.tail() % 10_000) as i64,
                handle: format!("{:016X}", serial.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                profile,
                model: model.into(),
            }),
            granted,
            activity: over,
            ended: Some((over, reason)),
        });
        session.revision = if luck < 92 { 4 } else { 3 };
        session.released = Some(over);
    }
    session.activity = over;
    session.revision += i64::from(session.holds.is_empty());
    session.ended = Some((over + Span::minutes(15), ending(EndReason::Idle, "nothing held for 15 min")));
    session
}

fn agent_session(place: &Place, id: SessionId, owner: PrincipalId, random: &mut Random) -> NewAgentSession {
    let created = id.creation_time();
    let agent = random.below(AGENTS.len() as u64) as usize;
    let origin = random.pick(&ORIGINS);
    let title = format!("{} the {} ({})", random.pick(&VERBS), random.pick(&THINGS), random.below(100_000));
    let given = NewSession {
        owner,
        owner_kind: PrincipalKind::User,
        created_by: owner,
        agent: place.agents[agent],
        agent_name: AGENTS[agent].to_owned(),
        title: Some(title),
        tags: vec![format!("tag-{}", random.below(50)), format!("team-{}", random.below(8))],
        model: Some(random.pick(&MODELS).to_owned()),
        capabilities: Json::encode(&[(); 0]),
        origin: origin.to_owned(),
        category: Some(random.pick(&CATEGORIES).to_owned()),
        subcategory: None,
        playbook: (random.below(10) == 0).then(|| format!("playbook-{}", random.below(10))),
        schedule: (origin == "scheduled").then(|| format!("schedule-{}", random.below(20))),
        automation: (origin == "automation").then(|| format!("automation-{}", random.below(20))),
        repos: vec![format!("acme/repo-{}", random.below(40))],
        parent: None,
        output_schema: None,
        max_acus: None,
        extra: Json::default(),
    };
    let mut session = AgentSession::new(place.id, id, given);
    session.state = random.pick(&STATES);
    if session.state != AgentState::New {
        work(&mut session, created, random);
    }
    if random.below(10) == 0 {
        session.archived = Some(session.updated + Span::minutes(60));
        session.updated = session.updated + Span::minutes(60);
        session.revision += 1;
    }
    NewAgentSession { session, changes: Vec::new(), parent: None, secrets: Vec::new() }
}

/// What a worker has done in a session.
fn work(session: &mut AgentSession, created: Micros, random: &mut Random) {
    let finished = created + Span::seconds(30 + random.below(7_200) as i64);
    session.preview =
        Some("Please look at the failing job of last night and find out what has changed.".into());
    session.output_preview =
        Some("The job failed because a test reads the clock. I have opened a pull request.".into());
    session.started = Some(created + Span::seconds(3));
    session.finished = Some(finished);
    session.updated = finished;
    session.revision = 5;
    session.usage = Usage {
        input_tokens: random.below(200_000) as i64,
        output_tokens: random.below(20_000) as i64,
        acus: Acus(random.below(5_000_000) as i64),
        ..Usage::default()
    };
    if session.state == AgentState::Exit {
        session.ended = Some((finished, ending(EndReason::Released, "ended by its owner")));
    }
}

/// A login session. One of twenty of the members is open; all of the people with a given number are.
pub fn login(number: u64, count: u64, owner: Option<PrincipalId>, members: &[PrincipalId]) -> PastSession {
    let mut random = Random::new((1 << 60) | number);
    let created = time_of(number, count, &mut random);
    let (agent, agent_type) = random.pick(&CLIENTS);
    let is_open = owner.is_some() || random.below(20) == 0;
    let methods = match random.below(3) {
        0 => vec![Method::Password, Method::OneTime, Method::MultiFactor],
        _ => vec![Method::Password],
    };
    let address = [10, random.below(4) as u8, random.below(256) as u8, random.below(256) as u8];
    let mut hash = [0; 32];
    hash.chunks_mut(8).for_each(|part| part.copy_from_slice(&random.next().to_le_bytes()));
    let over = created + Span::minutes(5 + random.below(20_000) as i64);
    let reason = random.pick(&[EndReason::SignedOut, EndReason::Idle, EndReason::Expired]);
    // For ever: a server that measures must not end them.
    let years = Span::minutes(50 * 365 * 24 * 60);
    let login = Login {
        id: SessionId::new(created, random.next()),
        owner: owner.unwrap_or_else(|| random.pick(members)),
        revision: if is_open { 1 } else { 2 },
        seen: if is_open { created } else { over },
        idle: years,
        expires: created + years,
        authenticated: created,
        methods,
        origin: Origin {
            remote_ip: Some(address.into()),
            agent: agent.into(),
            agent_type: agent_type.into(),
        },
        credential: None,
        scopes: None,
        ended: (!is_open).then(|| (over, ending(reason, "as its owner or time ended it"))),
    };
    PastSession::Login(Box::new(login), SecretHash(hash))
}
