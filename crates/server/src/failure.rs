//! Why something was not done, before any wire words it.
//!
//! Each wire has exactly one `impl From<Failure>` and it has no `_` arm: a new failure breaks the build
//! until every wire says it in its own words.

use axum::http::StatusCode;
use domain::Refusal;
use store::DatabaseError;

/// What callers are told while the database is damaged; the log says what the damage is.
const DAMAGED: &str = "the server's database is damaged and has to be restored: try again later";

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A rule stands against it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no credential, or it is no good; nobody is told which.
    #[error(
        "missing or invalid authentication credentials: send a key that exists, has not expired and was not revoked"
    )]
    Unauthenticated,
    /// The request cannot be read.
    #[error(transparent)]
    Request(#[from] RequestFailure),
    /// The device's own driver refused the command.
    #[error("{message}")]
    Device {
        /// JSON-RPC code.
        code: i64,
        /// The kind of failure.
        message: String,
        /// One sentence for people.
        data: Option<String>,
    },
    /// Too many others changed the same thing at the same time.
    #[error("too many changes of the same session at once; try again")]
    Busy,
    /// Somebody else is needed for it, who cannot be asked.
    #[error("{0}")]
    Away(&'static str),
    /// The database gave a read no answer; it may be tried again.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The server itself failed: the cause is for the log, never for the caller.
    #[error("internal error{}", named(.request.as_deref()))]
    Internal {
        /// What went wrong.
        cause: String,
        /// The id of the request that it happened in.
        request: Option<String>,
    },
}

/// How a caller can name a failed request to whoever runs the server.
fn named(request: Option<&str>) -> String {
    request.map_or_else(String::new, |id| format!("; the server's log says more of request {id}"))
}

/// Why the server failed, in the extensions of its answer: for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause(pub String);

tokio::task_local! {
    /// The id of the request that is answered.
    pub static REQUEST: String;
}

/// Why the database gave a read no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It took too long.
    #[error(
        "this took longer than {seconds} seconds: ask for less, for example by a filter for the time of creation"
    )]
    Slow {
        /// How long it may take.
        seconds: u64,
    },
    /// The caller has too many lists, searches and counts under way.
    #[error("you have too many lists, searches and counts under way: wait for some of them, then try again")]
    TooMany,
    /// All together have too many lists, searches and counts under way.
    #[error("the server is busy with other lists, searches and counts: try again in a few seconds")]
    Crowded,
    /// It cannot be reached.
    #[error("the database cannot be reached at the moment: try again in a few seconds")]
    Away,
}

impl Unanswered {
    /// The status over HTTP; each of them comes with `Retry-After`.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Unanswered::Slow { .. } => StatusCode::GATEWAY_TIMEOUT,
            Unanswered::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Unanswered::Crowded | Unanswered::Away => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What is wrong with a request before anything is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// No such path.
    #[error("no such endpoint")]
    NoRoute,
    /// The path does not know the method.
    #[error("this endpoint does not know that method")]
    Method,
    /// The body is larger than `limit` bytes.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body is not what the endpoint reads.
    #[error("body: {0}")]
    Body(String),
    /// The address has expired, or was never given out.
    #[error("{0}")]
    Conflict(String),
    /// A page of another site made a browser send this with the cookie of whoever is signed in.
    #[error(
        "this was sent by a page of another site: send it from this one, or with a key instead of a cookie"
    )]
    CrossSite,
    /// What is asked for is longer than `limit` bytes.
    #[error("the path and the query are longer than {limit} bytes")]
    TargetTooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// The headers are larger, or more, than is read.
    #[error("the headers are larger than {bytes} bytes, or more than {count}")]
    HeadTooLarge {
        /// The limit in bytes.
        bytes: u64,
        /// The most headers.
        count: u32,
    },
    /// The head is not what HTTP asks for.
    #[error("{0}")]
    Head(String),
    /// More requests than a caller or an address may send.
    #[error("too many requests: try again in {seconds} seconds")]
    TooManyRequests {
        /// After how long the next one is answered.
        seconds: u64,
    },
    /// The answer took too long.
    #[error("the request took too long")]
    Timeout,
    /// The credential, its owner, or strangers at one address have too many WebSockets open.
    #[error("{limit} connections are already open for this key, its user, or this address; close one first")]
    TooManyConnections {
        /// The limit.
        limit: u32,
    },
}

impl Failure {
    /// Why the server failed, if it did.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Failure::Internal { cause, .. } => Some(Cause(cause.clone())),
            _ => None,
        }
    }

    /// What the log says of it where no request carries it: the cause, or what a caller would be told.
    pub fn for_log(&self) -> String {
        match self {
            Failure::Internal { cause, .. } => cause.clone(),
            told => told.to_string(),
        }
    }

    /// An internal failure with its cause.
    pub fn internal(cause: impl std::fmt::Display) -> Failure {
        Failure::Internal { cause: cause.to_string(), request: REQUEST.try_with(String::clone).ok() }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        match error {
            store::Error::Refused(refusal) => Failure::Refused(refusal),
            store::Error::Unauthenticated => Failure::Unauthenticated,
            store::Error::Stale => Failure::Busy,
            store::Error::Database(error) => match error {
                DatabaseError::Damaged(_) => Failure::Away(DAMAGED),
                DatabaseError::Slow { seconds } => Unanswered::Slow { seconds }.into(),
                DatabaseError::Crowded { own: true } => Unanswered::TooMany.into(),
                DatabaseError::Crowded { own: false } => Unanswered::Crowded.into(),
                DatabaseError::Away(cause) => {
                    tracing::warn!(cause, "the database cannot be reached");
                    Unanswered::Away.into()
                }
                DatabaseError::Unmet { .. }
                | DatabaseError::Taken { .. }
                | DatabaseError::Schema(_)
                | DatabaseError::Failed(_) => Failure::internal(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::{devin, everruns, mobilenext, probe, tenure};
    use axum::response::{IntoResponse, Response};

    #[test]
    fn who_gets_no_answer_is_told_when_to_come_back_on_every_wire() {
        type Worded = (&'static str, fn(Failure) -> Response);
        let wires: [Worded; 5] = [
            ("devin", |failure| devin::errors::DevinError::from(failure).into_response()),
            ("everruns", |failure| everruns::errors::EverrunsError::from(failure).into_response()),
            ("mobilenext", |failure| mobilenext::errors::MobileError::from(failure).into_response()),
            ("probe", |failure| probe::errors::ProbeError::from(failure).into_response()),
            ("tenure", |failure| tenure::errors::TenureError::from(failure).into_response()),
        ];
        for (error, status) in [
            (DatabaseError::Slow { seconds: 10 }, 504),
            (DatabaseError::Crowded { own: true }, 429),
            (DatabaseError::Crowded { own: false }, 503),
            (DatabaseError::Away("a text for the log".into()), 503),
        ] {
            let again = error.to_string();
            let failure = Failure::from(store::Error::Database(error));
            let Failure::Unanswered(unanswered) = failure else { panic!("{again}: {failure}") };
            for (name, word) in wires {
                let response = word(unanswered.into());
                assert_eq!(response.status(), status, "{name}: {again}");
                assert_eq!(response.headers()["retry-after"], "5", "{name}: {again}");
            }
        }
    }
}
