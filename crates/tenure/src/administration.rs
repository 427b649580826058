//! The administrator's way to the database: straight, also while a server runs on it.

use argon2::password_hash::PasswordHasher;
use domain::ids::{OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::time::Micros;
use server::clock::{Clock, Random, SystemClock, SystemRandom};
use server::settings::Settings;
use store::{Database, OpenMode, Store, System};
use uuid::Uuid;

use crate::error::{CommandError, CommandResult};
use crate::values::OrgRef;

/// Shorter passwords are guessed.
const MIN_PASSWORD: usize = 8;

/// An open database and the right to everything in it.
pub struct Administration {
    /// The store.
    pub store: Store,
    /// The right.
    pub system: System,
}

impl Administration {
    /// Opens the database of the settings. It must be there already, in the schema of this program.
    ///
    /// # Errors
    /// It is not.
    pub async fn open(settings: &Settings) -> CommandResult<Self> {
        let database =
            Database::open(settings.database.reveal(), OpenMode::Existing, SystemClock.now().0).await?;
        Ok(Self { store: Store::new(database), system: System::administration() })
    }

    /// Over an open store.
    pub fn from_store(store: &Store) -> Self {
        Self { store: store.clone(), system: System::administration() }
    }

    /// Waits for what is written.
    pub async fn close(self) {
        self.store.database().close().await;
    }

    /// The organization that a person means; not a deleted one.
    ///
    /// # Errors
    /// There is none.
    pub async fn find_organization(&self, wanted: &OrgRef) -> CommandResult<Organization> {
        let all = self.store.list_organizations(&self.system).await?;
        let found = all.into_iter().filter(|known| known.deleted.is_none()).find(|known| match wanted {
            OrgRef::Id(id) => known.id == *id,
            OrgRef::Name(name) => known.name == *name,
        });
        found.ok_or_else(|| {
            CommandError::new(format!("there is no organization {wanted}"))
                .hint("`tenure org list` shows them all")
        })
    }

    /// The person with an address.
    ///
    /// # Errors
    /// There is none.
    pub async fn find_user(&self, email: &str) -> CommandResult<Principal> {
        let known = self.store.find_person_by_email(&self.system, email).await?;
        known.map(|known| known.person.principal).ok_or_else(|| {
            CommandError::new(format!("there is no user {email}")).hint("`tenure user list` shows them all")
        })
    }

    /// The service user with an id.
    ///
    /// # Errors
    /// There is none.
    pub async fn find_service_user(&self, id: Uuid) -> CommandResult<Principal> {
        let all = self.store.list_principals(&self.system).await?;
        let found = all.into_iter().find(|known| {
            known.id.0 == id
                && known.kind == PrincipalKind::ServiceUser
                && known.state != PrincipalState::Deleted
        });
        found.ok_or_else(|| {
            CommandError::new(format!("there is no service user {id}"))
                .hint("`tenure service-user list` shows them all")
        })
    }

    /// Makes an organization.
    ///
    /// # Errors
    /// One of that name is there.
    pub async fn create_organization(&self, name: &str) -> CommandResult<Organization> {
        let created = now();
        let id = OrganizationId::new(created, random_bytes());
        let new = Organization { id, name: name.to_owned(), created, deleted: None, max_devices: None };
        self.store.create_organization(&self.system, &new).await?;
        Ok(new)
    }

    /// Makes a user or service user; gives it with its number.
    ///
    /// # Errors
    /// The address is known.
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

/// A principal that is not kept yet.
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

/// The time.
pub fn now() -> Micros {
    SystemClock.now()
}

/// Random bytes, fit for secrets.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom.fill(&mut bytes);
    bytes
}

/// What is kept of a password: argon2id with the parameters that its crate recommends.
///
/// # Errors
/// The password is too short.
pub fn hash_password(password: &str) -> CommandResult<String> {
    if password.chars().count() < MIN_PASSWORD {
        return Err(CommandError::new(format!(
            "the password is too short: expected at least {MIN_PASSWORD} characters"
        )));
    }
    let hash = argon2::Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &random_bytes::<16>())
        .map_err(|error| CommandError::new(format!("the password cannot be hashed: {error}")))?;
    Ok(hash.to_string())
}

impl From<store::Error> for CommandError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Database(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<store::DatabaseError> for CommandError {
    fn from(error: store::DatabaseError) -> Self {
        Self::new(error.to_string())
    }
}

/// A time as RFC 3339 in UTC with six digits.
pub fn format_time(at: Micros) -> String {
    const PRINTER: jiff::fmt::temporal::DateTimePrinter =
        jiff::fmt::temporal::DateTimePrinter::new().precision(Some(6));
    let timestamp = jiff::Timestamp::from_microsecond(at.0).unwrap_or(jiff::Timestamp::MAX);
    PRINTER.timestamp_to_string(&timestamp)
}

/// A time for a table: to the minute.
pub fn format_minute(at: Option<&String>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.get(..16).unwrap_or(at).replace('T', " "))
}
