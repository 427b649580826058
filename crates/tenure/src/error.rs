//! The error of a command, as it is printed.

use std::fmt;

use server::settings::SettingsError;

/// The result of a command.
pub type CommandResult<T> = std::result::Result<T, CommandError>;

/// A sentence that says what is wrong, and often a hint that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    message: String,
    hint: Option<String>,
}

impl CommandError {
    /// An error without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds a sentence that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the error to standard error: scripts read standard output.
    pub fn print(&self) {
        eprintln!("{self}");
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<SettingsError> for CommandError {
    fn from(error: SettingsError) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
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

impl From<server::failure::Failure> for CommandError {
    /// With the cause of an internal error, which a server does not tell its callers.
    fn from(failure: server::failure::Failure) -> Self {
        match failure {
            server::failure::Failure::Internal { cause, .. } => Self::new(cause),
            other => Self::new(other.to_string()),
        }
    }
}
