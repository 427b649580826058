//! Sessions of all kinds as this wire writes them.

use crate::operations::sessions::visible::NamedSession;
use domain::agent::AgentSession;
use domain::device::DeviceSession;
use domain::ids::{OrganizationId, PrincipalId};
use domain::login::{Login, Method};
use domain::session::SessionKind;
use domain::time::Micros;
use protocol::sessions::{
    Kind, Links, Named, Principal, Session, SessionDevice, SessionEnd, SessionPullRequest, SessionUsage,
    SignIn,
};
use protocol::time::Time;
use store::{AnySession, SessionNames};

/// The name of a kind on this wire.
pub fn kind(kind: SessionKind) -> Kind {
    match kind {
        SessionKind::Device => Kind::Device,
        SessionKind::Agent => Kind::Agent,
        SessionKind::Login => Kind::Login,
    }
}

/// A session as it is at `now`. `base_url` is the server's public address.
pub fn write_session(named: &NamedSession, base_url: &str, now: Micros) -> Session {
    let (names, key) = (&named.names, named.session.key());
    let owner = named.session.owner();
    // The kind of the owner makes no difference here.
    let summary = match &named.session {
        AnySession::Device(session, _) => session.summary(None),
        AnySession::Agent(session) => session.summary(),
        AnySession::Login(login) => login.summary(None),
    };
    let ended = named.session.ending();
    let session = Session {
        id: key.id.uuid(),
        kind: kind(key.kind),
        organization: (key.organization != OrganizationId::PEOPLE)
            .then(|| write_organization(names, key.organization)),
        owner: write_principal(names, owner),
        state: summary.state_at(now).name().to_owned(),
        title: None,
        tags: Vec::new(),
        origin: None,
        agent: None,
        model: None,
        category: None,
        parent: None,
        device: None,
        login: None,
        created: time(key.id.creation_time()),
        updated: time(summary.updated),
        ended: ended.map(|(at, _)| time(*at)),
        end: ended.map(|(_, ending)| SessionEnd {
            reason: ending.reason.name().to_owned(),
            actor: ending.actor.map(|actor| write_principal(names, actor)),
            evidence: ending.evidence.clone(),
        }),
        expires: summary.expires.map(time),
        archived: summary.is_archived(),
        usage: None,
        pull_requests: Vec::new(),
        revision: named.session.revision().to_string(),
        links: write_links(&named.session, base_url),
    };
    match &named.session {
        AnySession::Device(device, host) => {
            Session { device: write_device(device, host.as_deref()), ..session }
        }
        AnySession::Agent(agent) => with_agent(session, agent),
        AnySession::Login(login) => Session { login: Some(write_sign_in(login)), ..session },
    }
}

/// A time, as this wire writes it.
pub fn time(time: Micros) -> Time {
    Time(time.0)
}

/// An organization whose row is gone has an empty name.
pub fn write_organization(names: &SessionNames, id: OrganizationId) -> Named {
    Named { id: id.0, name: names.organizations.get(&id).cloned().unwrap_or_default() }
}

/// A principal, by the names that are known. One whose row is gone has an empty name.
pub fn write_principal(names: &SessionNames, id: PrincipalId) -> Principal {
    let known = names.principals.get(&id);
    Principal {
        id: id.0,
        kind: known.map_or("user", |known| known.kind.name()).to_owned(),
        name: known.map(|known| known.name.clone()).unwrap_or_default(),
        email: known.and_then(|known| known.email.clone()),
    }
}

fn write_device(session: &DeviceSession, host: Option<&str>) -> Option<SessionDevice> {
    let hold = session.newest_hold()?;
    let held = hold.held.as_ref();
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Some(SessionDevice {
        id: held.map(|held| held.handle.clone()),
        platform: held.map_or(&hold.platform, |held| &held.profile.platform).clone(),
        device_type: held.and_then(|held| known(&held.profile.kind)),
        name: held.and_then(|held| known(&held.profile.name)),
        version: held.and_then(|held| known(&held.profile.version)),
        host: held.and(host).map(str::to_owned),
    })
}

fn with_agent(session: Session, agent: &AgentSession) -> Session {
    let given = &agent.given;
    Session {
        title: given.title.clone(),
        tags: given.tags.clone(),
        origin: Some(given.origin.clone()),
        agent: Some(Named { id: given.agent.0, name: given.agent_name.clone() }),
        model: given.model.clone(),
        category: given.category.clone(),
        parent: given.parent.map(domain::ids::SessionId::uuid),
        usage: Some(SessionUsage {
            acus: agent.usage.acus.units(),
            input_tokens: agent.usage.input_tokens,
            output_tokens: agent.usage.output_tokens,
            cost_usd: None,
        }),
        pull_requests: agent
            .pull_requests
            .iter()
            .map(|request| SessionPullRequest { url: request.url.clone(), state: request.state.clone() })
            .collect(),
        ..session
    }
}

fn write_sign_in(login: &Login) -> SignIn {
    SignIn {
        address: login.origin.remote_ip.map(|ip| ip.to_string()),
        client: login.origin.agent_type.clone(),
        second_factor: login.methods.contains(&Method::MultiFactor),
    }
}

fn write_links(session: &AnySession, base_url: &str) -> Links {
    let key = session.key();
    let (id, hex) = (key.id.uuid(), key.id.uuid().simple());
    let mut links = Links {
        own: format!("{base_url}{}/{id}", protocol::sessions::SESSIONS_PATH),
        console: format!("{base_url}/sessions/{id}"),
        mobilenext: None,
        everruns: None,
        devin: None,
        probe: None,
    };
    match key.kind {
        SessionKind::Device => links.mobilenext = Some(format!("{base_url}/api/v1/sessions/{id}")),
        SessionKind::Agent => {
            let organization = key.organization.0.simple();
            links.everruns = Some(format!("{base_url}/v1/sessions/session_{hex}"));
            links.devin =
                Some(format!("{base_url}/v3/organizations/org-{organization}/sessions/devin-{hex}"));
        }
        SessionKind::Login => {
            links.probe = Some(format!("{base_url}/frontend/api/v1/auth/session/{id}"));
        }
    }
    links
}
