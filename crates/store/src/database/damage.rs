//! Whether a database was found damaged.

use super::DatabaseError;
use std::sync::{Arc, OnceLock};

/// What is done about damage, for the log and for people.
const TODO: &str = "nothing is written any more: stop the server, keep a copy of the database, and restore the last backup \
                    with `tenure restore FILE --force`";

/// The first damage that was found, kept until the program ends. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Damage(Arc<OnceLock<String>>);

impl Damage {
    /// What was found, if anything was.
    pub(super) fn message(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Refuses what would change a damaged database.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`].
    pub(super) fn refuse_writes(&self) -> Result<(), DatabaseError> {
        self.message().map_or(Ok(()), |what| Err(DatabaseError::Damaged(what.to_owned())))
    }

    /// Remembers damage that an outcome tells of, and logs it the first time.
    pub(super) fn record<T>(&self, outcome: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
        if let Err(DatabaseError::Damaged(what)) = &outcome
            && self.0.set(what.clone()).is_ok()
        {
            tracing::error!(error = what, "the database is damaged: {TODO}");
        }
        outcome
    }
}
