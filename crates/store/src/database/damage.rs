//! Whether the database was found damaged.

use super::DatabaseError;
use std::sync::{Arc, OnceLock};

/// What follows from damage, and what to do about it.
const TODO: &str = "writes are refused from now on: stop the server, keep a copy of the database, and restore the last backup \
                    with `tenure restore FILE --force`";

/// The first damage found. It is kept until the program ends; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Damage(Arc<OnceLock<String>>);

impl Damage {
    /// A description of the damage, if any.
    pub(super) fn message(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Refuses writes to a damaged database.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`].
    pub(super) fn refuse_writes(&self) -> Result<(), DatabaseError> {
        self.message().map_or(Ok(()), |message| Err(DatabaseError::Damaged(message.to_owned())))
    }

    /// Records damage that an outcome reports, and logs it the first time.
    pub(super) fn record<T>(&self, outcome: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
        if let Err(DatabaseError::Damaged(message)) = &outcome
            && self.0.set(message.clone()).is_ok()
        {
            tracing::error!(error = message, "the database is damaged: {TODO}");
        }
        outcome
    }
}
