//! Direct access to the database for an administrator. A server may run on it at the same time.

use domain::ids::{OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::time::Micros;
use server::clock::{Clock, Random, SystemClock, SystemRandom};
use server::services::password_hasher::PasswordHasher;
use server::settings::Settings;
use store::{Database, OpenMode, Store, System};
use uuid::Uuid;

use crate::error::{CommandError, CommandResult};
use crate::values::OrgRef;

/// An open database, with the proof that grants everything in it.
pub struct Administration {
    /// The store.
    pub store: Store,
    /// The proof.
    pub system: System,
}

impl Administration {
    /// Opens the database of the settings.
    ///
    /// # Errors
    /// The database does not exist, cannot be reached, or does not have the schema of this program.
    pub async fn open(settings: &Settings) -> CommandResult<Self> {
        let database =
            Database::open(settings.database.reveal(), OpenMode::Existing, SystemClock.now().0).await?;
        Ok(Self { store: Store::new(database), system: System::administration() })
    }

    /// Uses a store that is open already.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), system: System::administration() }
    }

    /// Closes the database once all writes are done.
    pub async fn close(self) {
        self.store.database().close().await;
    }

    /// Finds an organization that is not deleted.
    ///
    /// # Errors
    /// No organization has this id or name.
    pub async fn find_organization(&self, wanted: &OrgRef) -> CommandResult<Organization> {
        let all = self.store.list_organizations(&self.system).await?;
        let found = all.into_iter().filter(|known| known.deleted.is_none()).find(|known| match wanted {
            OrgRef::Id(id) => known.id == *id,
            OrgRef::Name(name) => known.name == *name,
        });
        found.ok_or_else(|| {
            CommandError::new(format!("there is no organization {wanted}"))
                .hint("`tenure admin org list` shows them all")
        })
    }

    /// Finds a user by e-mail address.
    ///
    /// # Errors
    /// No user has this address.
    pub async fn find_user(&self, email: &str) -> CommandResult<Principal> {
        let known = self.store.find_person_by_email(&self.system, email).await?;
        known.map(|known| known.person.principal).ok_or_else(|| {
            CommandError::new(format!("there is no user {email}"))
                .hint("`tenure admin user list` shows them all")
        })
    }

    /// Finds a service user that is not deleted.
    ///
    /// # Errors
    /// No service user has this id.
    pub async fn find_service_user(&self, id: Uuid) -> CommandResult<Principal> {
        let all = self.store.list_principals(&self.system).await?;
        let found = all.into_iter().find(|known| {
            known.id.0 == id
                && known.kind == PrincipalKind::ServiceUser
                && known.state != PrincipalState::Deleted
        });
        found.ok_or_else(|| {
            CommandError::new(format!("there is no service user {id}"))
                .hint("`tenure admin service-user list` shows them all")
        })
    }

    /// Creates an organization.
    ///
    /// # Errors
    /// Another organization has this name.
    pub async fn create_organization(&self, name: &str) -> CommandResult<Organization> {
        let created = now();
        let id = OrganizationId::new(created, random_bytes());
        let new = Organization { id, name: name.to_owned(), created, deleted: None, max_devices: None };
        self.store.create_organization(&self.system, &new).await?;
        Ok(new)
    }

    /// Creates a user or service user, and returns it with its number.
    ///
    /// # Errors
    /// Another user has this address.
    pub async fn create_principal(
        &self,
        mut new: Principal,
        password_hash: Option<&str>,
        member: Option<(OrganizationId, Role)>,
    ) -> CommandResult<Principal> {
        new.number = self.store.create_principal(&self.system, &new, password_hash, member).await?;
        Ok(new)
    }
}

/// An active principal that is not in the database yet: its number is 0.
pub fn new_principal(kind: PrincipalKind, name: &str, email: Option<&str>) -> Principal {
    let created = now();
    Principal {
        id: PrincipalId::new(created, random_bytes()),
        number: 0,
        kind,
        email: email.map(str::to_owned),
        name: name.to_owned(),
        state: PrincipalState::Active,
        created,
        account_role: None,
        default_organization: None,
    }
}

/// The current time.
pub fn now() -> Micros {
    SystemClock.now()
}

/// Random bytes from the system, suitable for secrets.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom.fill(&mut bytes);
    bytes
}

/// Hashes a new password by the server's rule and parameters.
///
/// # Errors
/// The password is shorter or longer than the settings allow.
pub async fn hash_password(settings: &Settings, password: &str) -> CommandResult<String> {
    let passwords = PasswordHasher::new(settings).map_err(CommandError::new)?;
    passwords.rule.check("password", password).map_err(server::failure::Failure::from)?;
    Ok(passwords.hash(password, random_bytes()).await?)
}

/// A time in RFC 3339, UTC, with microseconds.
pub fn format_time(at: Micros) -> String {
    const PRINTER: jiff::fmt::temporal::DateTimePrinter =
        jiff::fmt::temporal::DateTimePrinter::new().precision(Some(6));
    let timestamp = jiff::Timestamp::from_microsecond(at.0).unwrap_or(jiff::Timestamp::MAX);
    PRINTER.timestamp_to_string(&timestamp)
}

/// A formatted time for a table, cut to the minute; `-` for none.
pub fn format_minute(at: Option<&String>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.get(..16).unwrap_or(at).replace('T', " "))
}
