//! Device sessions of the demo's organizations before its start.

use domain::device::{DeviceProfile, DeviceSession, HeldDevice, Hold};
use domain::ids::{DeviceId, HoldId, OrganizationId, PrincipalId, SessionId, random_tail};
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};

use crate::administration::{Administration, now, random_bytes};
use crate::error::CommandResult;

const DAYS: u64 = 30;

/// Name, model, platform and version of devices.
const MODELS: [(&str, &str, &str, &str); 10] = [
    ("Pixel 9", "Pixel 9", "android", "16"),
    ("Pixel 8a", "Pixel 8a", "android", "15"),
    ("Galaxy S24", "SM-S921B", "android", "15"),
    ("Galaxy A55", "SM-A556B", "android", "14"),
    ("Xperia 1 V", "XQ-DQ72", "android", "14"),
    ("iPhone 16 Pro", "iPhone17,1", "ios", "18.5"),
    ("iPhone 16", "iPhone17,3", "ios", "18.4.1"),
    ("iPhone 15", "iPhone15,4", "ios", "17.7"),
    ("iPhone SE", "iPhone14,6", "ios", "17.6.1"),
    ("iPad Air", "iPad14,8", "ios", "18.3"),
];

/// Imports `count` sessions of an organization, spread over working hours of the last 30 days.
///
/// # Errors
/// The database refuses.
pub async fn create_device_sessions(
    admin: &Administration,
    organization: OrganizationId,
    people: &[PrincipalId],
    count: u32,
) -> CommandResult<()> {
    let today = now();
    for _ in 0..count {
        let owner = people[random_below(people.len() as u64) as usize];
        let session = random_session(organization, owner, random_working_time(today));
        admin.store.import_device_session(&admin.system, session).await?;
    }
    Ok(())
}

/// A random number below `below`.
pub fn random_below(below: u64) -> u64 {
    u64::from_be_bytes(random_bytes()) % below
}

/// A time between 8 and 18 o'clock UTC, mostly on a weekday, at least one day before `today`.
pub fn random_working_time(today: Micros) -> Micros {
    const DAY: i64 = 86_400;
    let mut day = today.0 / 1_000_000 / DAY - 1 - random_below(DAYS - 1) as i64;
    // 1970-01-01 was a Thursday: days 2 and 3 of each week since are Saturday and Sunday.
    if (day + 3).rem_euclid(7) >= 5 && random_below(5) > 0 {
        day -= 2;
    }
    let second = 8 * 3_600 + random_below(10 * 3_600) as i64;
    Micros((day * DAY + second) * 1_000_000 + random_below(1_000_000) as i64)
}

fn random_session(organization: OrganizationId, owner: PrincipalId, created: Micros) -> DeviceSession {
    let mut session =
        DeviceSession::new(organization, SessionId::new(created, random_tail(random_bytes())), owner);
    let count = [1, 1, 1, 1, 1, 1, 2, 2, 3][random_below(9) as usize];
    let mut at = created + Span::seconds(1);
    for _ in 0..count {
        let (hold, over) = random_hold(owner, at);
        session.holds.push(hold);
        session.revision += 3;
        at = over + Span::seconds(random_below(120) as i64 + 1);
    }
    let last = session.holds.last().and_then(|hold| hold.ended.as_ref()).map_or(created, |(over, _)| *over);
    session.released = Some(last);
    session.activity = last;
    let ending =
        Ending { reason: EndReason::Idle, actor: None, evidence: "nothing held for 15 min".to_owned() };
    session.ended = Some((last + Span::minutes(15), ending));
    session
}

fn random_hold(owner: PrincipalId, requested: Micros) -> (Hold, Micros) {
    let (name, model, platform, version) = MODELS[random_below(MODELS.len() as u64) as usize];
    let granted = requested + Span::seconds(random_below(40) as i64);
    let over = granted + Span::seconds(60 + random_below(45 * 60) as i64);
    let (reason, evidence) = match random_below(20) {
        0 | 1 => (EndReason::Idle, "idle 10 min, no command since"),
        2 => (EndReason::HostLost, "host rack-2 away for more than 60 s"),
        3 => (EndReason::Expired, "no device within 15 min"),
        _ => (EndReason::Released, "released by its user"),
    };
    let actor = (reason == EndReason::Released).then_some(owner);
    let had_device = reason != EndReason::Expired;
    let offer = DeviceProfile {
        platform: platform.into(),
        kind: "real".into(),
        name: name.into(),
        version: version.into(),
    };
    let held = HeldDevice {
        device: DeviceId::new(granted, random_bytes()),
        fence: 1,
        handle: format!("{:08X}", random_below(1 << 32)),
        profile: offer,
        model: model.into(),
    };
    let hold = Hold {
        id: HoldId::new(requested, random_bytes()),
        principal: owner,
        platform: platform.to_owned(),
        requested,
        held: had_device.then_some(held),
        granted: had_device.then_some(granted),
        activity: granted,
        ended: Some((over, Ending { reason, actor, evidence: evidence.to_owned() })),
    };
    (hold, over)
}
