//! Direct access to the database for an administrator. A server may run on it at the same time.

use std::ops::Deref;
use std::sync::Arc;

use domain::ids::PrincipalId;
use domain::organization::Organization;
use domain::principal::{Principal, PrincipalKind};
use domain::time::Micros;
use server::clock::{Clock, Random, SystemClock, SystemRandom};
use server::services::Services;
use server::settings::Settings;
use store::{Database, OpenMode, Store, System};
use uuid::Uuid;

use crate::error::{CommandError, CommandResult};
use crate::values::OrgRef;

/// The services over an open database, with the proof that grants everything in it. What the server does too runs as its
/// operation, so that the same rules hold and the audit log gets the same entries.
pub struct Administration {
    services: Services,
    /// The proof. The audit log names nobody for what it is used for.
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
        Ok(Self::from_database(database, settings))
    }

    /// Uses a database that is open already.
    pub fn from_database(database: Database, settings: &Settings) -> Self {
        Self::from_services(&Services {
            store: Store::new(database),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            settings: settings.clone(),
        })
    }

    /// Uses the services of a server in this process.
    pub fn from_services(services: &Services) -> Self {
        Self { services: services.clone(), system: System::for_administration() }
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
        let found = match wanted {
            OrgRef::Id(id) => self.store.load_organization(&self.system, *id).await,
            OrgRef::Name(name) => self.store.find_organization(&self.system, name).await,
        };
        found.map_err(|error| match error {
            store::Error::Refused(_) => CommandError::new(format!("there is no organization {wanted}"))
                .hint("`tenure admin org list` shows them all"),
            error => error.into(),
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
        match self.store.load_principal(&self.system, PrincipalId(id)).await {
            Ok(found) if found.kind == PrincipalKind::ServiceUser => Ok(found),
            Ok(_) | Err(store::Error::Refused(_)) => {
                Err(CommandError::new(format!("there is no service user {id}"))
                    .hint("`tenure admin service-user list` shows them all"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Deref for Administration {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
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
