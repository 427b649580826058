//! Fills a database through the store.

use crate::Outcome;
use clap::Args;
use domain::credential::{Credential, KeySecret, Wire};
use domain::device::{DeviceProfile, DeviceSession, HeldDevice, Hold};
use domain::ids::{DeviceId, HoldId, OrganizationId, PrincipalId, SessionId};
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};
use futures_util::stream::{self, StreamExt};
use store::{Database, OpenMode, Store, System};

/// Number of concurrent writes: enough to fill the batches of the writer.
const AT_ONCE: usize = 256;
/// 2026-01-01. Each session is one second later than the one before.
const START_US: i64 = 1_767_225_600_000_000;

/// The content of the database.
#[derive(Debug, Args)]
pub struct Seed {
    /// Database URL as in `tenure serve`
    #[arg(long)]
    pub database: String,
    /// Sessions of the organization
    #[arg(long, default_value_t = 1_000)]
    pub sessions: u32,
    /// Name of the organization
    #[arg(long, default_value = "bench")]
    pub name: String,
}

/// The filled organization.
pub struct Place {
    /// The organization.
    pub organization: OrganizationId,
    /// The API key of a member.
    pub key: String,
    /// The cursor of the thousandth page, or of the last page of a smaller organization.
    pub late_cursor: String,
}

/// Creates an organization with its sessions.
pub async fn run(seed: &Seed) -> Outcome<Place> {
    let now = Micros(START_US);
    let store = Store::new(Database::open(&seed.database, OpenMode::Migrate, now.0).await?);
    let system = System::for_administration();
    let organization = create_organization(&store, &system, &seed.name).await?;
    let owner = create_member(&store, &system, organization, &seed.name, Role::Readwrite).await?;
    let key = create_key(&store, &system, organization, owner).await?;
    let (store_ref, system_ref) = (&store, &system);
    let mut creates = stream::iter(0..seed.sessions)
        .map(|number| async move {
            let at = Micros(START_US + i64::from(number) * 1_000_000);
            store_ref.import_device_session(system_ref, ended_session(organization, owner, at)).await
        })
        .buffer_unordered(AT_ONCE);
    while let Some(outcome) = creates.next().await {
        outcome?;
    }
    drop(creates);
    let from_start = i64::from(seed.sessions).saturating_sub(999 * 100).max(100);
    let late_cursor = jiff::Timestamp::from_microsecond(START_US + from_start * 1_000_000)?.to_string();
    store.database().close().await;
    Ok(Place { organization, key, late_cursor })
}

/// A session that held one device for five minutes.
fn ended_session(organization: OrganizationId, owner: PrincipalId, at: Micros) -> DeviceSession {
    let [granted, over] = [2, 300].map(|seconds| at + Span::seconds(seconds));
    let ending = |reason, evidence: &str| Ending { reason, actor: None, evidence: evidence.to_owned() };
    let offer = DeviceProfile {
        platform: "android".into(),
        kind: "real".into(),
        name: "Pixel 9".into(),
        version: "16".into(),
    };
    let device = DeviceId::new(at, rand::random());
    let hold = Hold {
        id: HoldId::new(at, rand::random()),
        principal: owner,
        platform: "android".into(),
        requested: at,
        held: Some(HeldDevice {
            device,
            fence: 1,
            handle: "4A1F09C2".into(),
            profile: offer,
            model: "Pixel 9".into(),
        }),
        granted: Some(granted),
        activity: over,
        ended: Some((over, ending(EndReason::Released, "released by its user"))),
    };
    let mut session = DeviceSession::new(organization, SessionId::new(at, rand::random()), owner);
    session.holds.push(hold);
    session.revision = 4;
    (session.released, session.activity) = (Some(over), over);
    session.ended = Some((over + Span::minutes(15), ending(EndReason::Idle, "nothing held for 15 min")));
    session
}

/// Creates an organization.
pub async fn create_organization(store: &Store, system: &System, name: &str) -> Outcome<OrganizationId> {
    let now = Micros(START_US);
    let id = OrganizationId::new(now, rand::random());
    let new = Organization { id, name: name.to_owned(), created: now, deleted: None, max_devices: None };
    store.create_organization(system, &new).await?;
    Ok(id)
}

/// Creates a member of an organization.
pub async fn create_member(
    store: &Store,
    system: &System,
    organization: OrganizationId,
    name: &str,
    role: Role,
) -> Outcome<PrincipalId> {
    let now = Micros(START_US);
    let new = Principal {
        id: PrincipalId::new(now, rand::random()),
        number: 0,
        kind: PrincipalKind::User,
        email: Some(format!("{name}@example.com")),
        name: name.to_owned(),
        state: PrincipalState::Active,
        created: now,
        account_role: None,
        default_organization: None,
    };
    store.create_principal(system, &new, None, Some((organization, role))).await?;
    Ok(new.id)
}

/// Creates an API key of a member.
pub async fn create_key(
    store: &Store,
    system: &System,
    organization: OrganizationId,
    owner: PrincipalId,
) -> Outcome<String> {
    let now = Micros(START_US);
    let bytes: [[u8; 14]; 2] = rand::random();
    let mut random = [0; 28];
    random[..14].copy_from_slice(&bytes[0]);
    random[14..].copy_from_slice(&bytes[1]);
    let secret = KeySecret::new(Wire::MobileNext, random);
    let credential = Credential {
        organization: Some(organization),
        name: "bench".to_owned(),
        ..Credential::new(&secret, Wire::MobileNext, owner, now, rand::random())
    };
    store.create_credential(system, &credential, &secret.hash()).await?;
    Ok(secret.reveal().to_owned())
}
