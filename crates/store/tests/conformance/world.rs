//! People, devices and helpers for the tests of sessions.

use domain::credential::{Credential, KeySecret, Wire};
use domain::device::{
    DeviceChange, DeviceCommand, DeviceFilter, DeviceFilters, DeviceProfile, DeviceSession, HeldDevice,
    decide,
};
use domain::ids::{CredentialId, DeviceId, HoldId, HostId, NodeId, OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::session::{EndReason, SessionKey, SessionKind};
use domain::time::Micros;
use std::sync::atomic::{AtomicU64, Ordering};
use store::access::{UseSessions, ViewSessions};
use store::{DeviceUpdate, Error, Granted, HostLink, OrganizationChoice, Store, System};

/// 2026-01-01.
pub const NOW: Micros = Micros(1_767_225_600_000_000);

/// Different bytes at each call.
pub fn bytes() -> [u8; 10] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

pub fn system() -> System {
    System::for_administration()
}

/// A new organization with one member.
pub async fn organization(store: &Store) -> (OrganizationId, PrincipalId) {
    let id = OrganizationId::new(NOW, bytes());
    let new = Organization { id, name: id.to_string(), created: NOW, deleted: None, max_devices: None };
    store.create_organization(&system(), &new).await.unwrap();
    let owner = PrincipalId::new(NOW, bytes());
    let principal = Principal {
        id: owner,
        number: 0,
        kind: PrincipalKind::User,
        email: Some(format!("{owner}@example.com")),
        name: "Somebody".into(),
        state: PrincipalState::Active,
        created: NOW,
        account_role: None::<AccountRole>,
        default_organization: None,
    };
    store.create_principal(&system(), &principal, None, Some((id, Role::Readwrite))).await.unwrap();
    (id, owner)
}

pub fn user(organization: OrganizationId) -> Granted<UseSessions> {
    system().grant(organization)
}

pub fn viewer(organization: OrganizationId) -> Granted<ViewSessions> {
    system().grant(organization)
}

pub async fn create(
    store: &Store,
    organization: OrganizationId,
    owner: PrincipalId,
    at: Micros,
) -> DeviceSession {
    let tail = domain::ids::random_tail(bytes());
    store.create_device_session(&user(organization), owner, at, tail).await.unwrap()
}

/// Decides a command and applies it once.
pub async fn change(
    store: &Store,
    session: DeviceSession,
    command: DeviceCommand,
    now: Micros,
) -> Result<DeviceSession, Error> {
    let granted = user(session.organization);
    let changes: Vec<DeviceChange> = decide(&session, granted.actor(), command, now)?;
    store.change_device_session(&granted, session, &changes, now).await
}

pub fn android() -> DeviceFilters {
    let platform =
        DeviceFilter { attribute: "platform".into(), operator: "EQUALS".into(), value: "android".into() };
    DeviceFilters::new(vec![platform]).unwrap()
}

pub fn request() -> (HoldId, DeviceCommand) {
    let hold = HoldId::new(NOW, bytes());
    (hold, DeviceCommand::Request { hold, filters: android() })
}

pub fn release(hold: HoldId) -> DeviceCommand {
    DeviceCommand::Release { hold, reason: EndReason::Released, evidence: "test".into() }
}

/// A new principal without memberships or a role.
pub async fn principal(store: &Store, account_role: Option<AccountRole>) -> Principal {
    let new = Principal {
        id: PrincipalId::new(NOW, bytes()),
        number: 0,
        kind: PrincipalKind::ServiceUser,
        email: None,
        name: "machine".into(),
        state: PrincipalState::Active,
        created: NOW,
        account_role,
        default_organization: None,
    };
    store.create_principal(&system(), &new, None, None).await.unwrap();
    new
}

/// A new key; without expiry unless `expires` is given.
pub async fn key(
    store: &Store,
    principal: PrincipalId,
    organization: Option<OrganizationId>,
    expires: Option<Micros>,
) -> (CredentialId, KeySecret) {
    let mut random = [0; 28];
    random[..10].copy_from_slice(&bytes());
    let secret = KeySecret::new(Wire::Tenure, random);
    let key = Credential {
        organization,
        expires,
        ..Credential::new(&secret, Wire::Tenure, principal, NOW, bytes())
    };
    store.create_credential(&system(), &key, &secret.hash()).await.unwrap();
    (key.id, secret)
}

/// A host of an organization or of the pool, connected to a new server.
pub async fn host(store: &Store, organization: Option<OrganizationId>, name: &str) -> (HostLink, NodeId) {
    let (host, node) = (HostId::new(NOW, bytes()), NodeId::new(NOW, bytes()));
    let link = match organization {
        Some(organization) => {
            store.connect_host(&system().grant(organization), host, name, "1", node, NOW).await.unwrap()
        }
        None => {
            let account = principal(store, Some(AccountRole::Admin)).await;
            let (_, secret) = key(store, account.id, None, None).await;
            let caller =
                store.authenticate_key(&secret.hash(), OrganizationChoice::ByDefault, NOW).await.unwrap();
            let granted = caller.authorize_in_account().unwrap();
            store.connect_pool_host(&granted, host, name, "1", node, NOW).await.unwrap()
        }
    };
    (link, node)
}

/// An Android device as its host reports it.
pub fn device(serial: &str) -> DeviceUpdate {
    DeviceUpdate {
        new: DeviceId::new(NOW, bytes()),
        serial: serial.into(),
        offer: DeviceProfile {
            platform: "android".into(),
            kind: "real".into(),
            name: "Pixel".into(),
            version: "16".into(),
        },
        model: "Pixel".into(),
        online: true,
    }
}

/// A host of the pool with `count` Android devices.
pub async fn pool(store: &Store, count: usize) -> (HostLink, Vec<DeviceId>) {
    let name = HostId::new(NOW, bytes()).to_string();
    let (link, _) = host(store, None, &name).await;
    let updates = (0..count).map(|number| device(&format!("device-{number}"))).collect::<Vec<_>>();
    store.report_devices(&link, &updates, NOW).await.unwrap();
    (link, updates.into_iter().map(|update| update.new).collect())
}

/// Hands a device over to a request.
pub fn grant(hold: HoldId, device: DeviceId, fence: i64) -> DeviceCommand {
    let offer = DeviceProfile {
        platform: "android".into(),
        kind: "real".into(),
        name: "Pixel".into(),
        version: "16".into(),
    };
    let held = HeldDevice { device, fence, handle: "x".into(), profile: offer, model: String::new() };
    DeviceCommand::Grant { hold, held }
}

/// The key of a session.
pub fn key_of(session: &DeviceSession) -> SessionKey {
    SessionKey { organization: session.organization, kind: SessionKind::Device, id: session.id }
}
