//! The demo's two organizations, five people, three service users, and their keys.

use domain::credential::Wire;
use domain::ids::OrganizationId;
use domain::permission::{AccountRole, Role};
use domain::principal::Principal;
use serde::{Deserialize, Serialize};
use server::operations::access::issued_keys;
use server::operations::access::service_users::{self, KeyTerms, ServiceUserHome, ServiceUserRole};
use server::operations::directory::administration::{self, OrganizationUpdate};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::administration::Administration;
use crate::commands::demo::{agents, past};
use crate::error::{CommandError, CommandResult};

/// The keys of the demo. The database has only their hashes; a second start reads them from a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DemoKeys {
    /// Of Ana, readwrite in Acme Mobile.
    pub ana: String,
    /// Of Ben, admin in Acme Mobile.
    pub ben: String,
    /// Of Cleo, readonly in Acme Mobile.
    pub cleo: String,
    /// Of Dora, readwrite in Globex.
    pub dora: String,
    /// Of the simulated host, a service user of Acme Mobile.
    pub host: String,
    /// Of the scripted worker, a service user of the account.
    pub worker: String,
    /// Of a service user of the account that sees all organizations.
    pub viewer: String,
}

/// The file of the keys.
pub struct DemoKeyFile(PathBuf);

impl DemoKeyFile {
    /// The file in the demo's folder.
    pub fn new(folder: &Path) -> Self {
        Self(folder.join("keys.json"))
    }

    /// Reads the keys of an earlier start; `None` if there was none.
    ///
    /// # Errors
    /// The file cannot be read, or is malformed.
    pub fn read(&self) -> CommandResult<Option<DemoKeys>> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.read_error(&error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| self.read_error(&error))
    }

    /// Writes the keys so that only the owner can read them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, keys: &DemoKeys) -> CommandResult<()> {
        if let Some(folder) = self.0.parent() {
            server::private_files::make_folder(folder)?;
        }
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.0)?;
        file.write_all(serde_json::to_string_pretty(keys).unwrap_or_default().as_bytes())?;
        Ok(())
    }

    fn read_error(&self, error: &dyn std::fmt::Display) -> CommandError {
        CommandError::new(format!("{} cannot be read: {error}", self.0.display()))
            .hint("`tenure demo --fresh` starts over")
    }
}

/// Creates organizations, people and service users, and their sessions of the last 30 days.
///
/// # Errors
/// The database refuses.
pub async fn create_demo_data(admin: &Administration) -> CommandResult<DemoKeys> {
    let acme = create_organization(admin, "Acme Mobile").await?;
    let globex = create_organization(admin, "Globex").await?;
    let ana = create_user(admin, "ana@acme.example", acme, Role::Readwrite).await?;
    let ben = create_user(admin, "ben@acme.example", acme, Role::Admin).await?;
    let cleo = create_user(admin, "cleo@acme.example", acme, Role::Readonly).await?;
    let dora = create_user(admin, "dora@globex.example", globex, Role::Readwrite).await?;
    create_user(admin, "emil@globex.example", globex, Role::Admin).await?;
    let (organization, account) = (
        ServiceUserHome::Organization(admin.system.grant(acme)),
        ServiceUserHome::Account(admin.system.grant_account()),
    );
    let host = ServiceUserRole::Organization(Role::Host);
    let host = create_service_user(admin, &organization, "device rack", host).await?;
    let worker = ServiceUserRole::Account(AccountRole::Worker);
    let worker = create_service_user(admin, &account, "agent worker", worker).await?;
    let viewer = ServiceUserRole::Account(AccountRole::Viewer);
    let viewer = create_service_user(admin, &account, "security dashboard", viewer).await?;
    past::create_device_sessions(admin, acme, &[ana.id, ben.id], 220).await?;
    past::create_device_sessions(admin, globex, &[dora.id], 80).await?;
    let team = agents::create_past_sessions(admin, acme, &[ana.id, ben.id], 60).await?;
    agents::create_past_sessions(admin, globex, &[dora.id], 25).await?;
    agents::create_current_sessions(admin, acme, ana.id, &team).await?;
    Ok(DemoKeys {
        ana: create_key(admin, &ana, Some(acme), Wire::MobileNext, "ana's laptop").await?,
        ben: create_key(admin, &ben, Some(acme), Wire::MobileNext, "ben's laptop").await?,
        cleo: create_key(admin, &cleo, Some(acme), Wire::MobileNext, "dashboard").await?,
        dora: create_key(admin, &dora, Some(globex), Wire::MobileNext, "dora's laptop").await?,
        host: create_key(admin, &host, Some(acme), Wire::Tenure, "demo-host").await?,
        worker: create_key(admin, &worker, None, Wire::Tenure, "demo-worker").await?,
        viewer: create_key(admin, &viewer, None, Wire::Devin, "dashboard").await?,
    })
}

async fn create_organization(admin: &Administration, name: &str) -> CommandResult<OrganizationId> {
    let (granted, update) = (admin.system.grant_account(), OrganizationUpdate::default());
    Ok(administration::create_organization(admin, &granted, name, update).await?.0.id)
}

async fn create_user(
    admin: &Administration,
    email: &str,
    org: OrganizationId,
    role: Role,
) -> CommandResult<Principal> {
    Ok(administration::create_person(admin, &admin.system.grant(org), email, None, role).await?)
}

async fn create_service_user(
    admin: &Administration,
    home: &ServiceUserHome,
    name: &str,
    role: ServiceUserRole,
) -> CommandResult<Principal> {
    Ok(service_users::create_service_user_without_key(admin, home, name, role).await?.principal)
}

async fn create_key(
    admin: &Administration,
    owner: &Principal,
    organization: Option<OrganizationId>,
    wire: Wire,
    name: &str,
) -> CommandResult<String> {
    let terms = KeyTerms { organization, ..KeyTerms::new(name, wire, None) };
    let new = issued_keys::issue_key(admin, &admin.system, owner, &terms).await?;
    Ok(new.secret.map(|secret| secret.reveal().to_owned()).unwrap_or_default())
}
