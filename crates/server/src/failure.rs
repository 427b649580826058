//! Failures of operations, before a wire words them.
//!
//! `class` says what each means to a caller. Wires word classes, so a new failure has an answer on each of them.

mod class;

pub use class::Class;

use crate::logging;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use domain::Refusal;
use store::DatabaseError;

/// The message to callers while the database is damaged. The log has the details.
const DAMAGED: &str = "the server's database is damaged and has to be restored: try again later";

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A rule of the domain refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The credential is missing or invalid. The caller is not told which.
    #[error(
        "missing or invalid authentication credentials: send a key that exists, has not expired and was not revoked"
    )]
    Unauthenticated,
    /// A filter of a list cannot be read.
    #[error("{}", .faults.as_slice().first().map_or("the filter cannot be read", |fault| &fault.message))]
    Filter {
        /// The filter.
        text: String,
        /// All that is wrong with it.
        faults: Box<filter::Faults>,
    },
    /// The request cannot be read.
    #[error(transparent)]
    Request(#[from] RequestFailure),
    /// The device's driver refused the command.
    #[error("{message}")]
    Device {
        /// JSON-RPC code.
        code: i64,
        /// The kind of failure.
        message: String,
        /// A sentence for people.
        data: Option<String>,
    },
    /// Too many concurrent changes of the same object.
    #[error("too many changes of the same object at once; try again")]
    Busy,
    /// A service that it needs does not respond.
    #[error("{0}")]
    Away(&'static str),
    /// The database did not complete a read. The caller may retry.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The server failed. The cause is for the log, never for the caller.
    #[error("internal error{}", request_suffix(.request.as_deref()))]
    Internal {
        /// The cause.
        cause: String,
        /// The id of the failed request.
        request: Option<String>,
    },
}

/// The part of a message that names the failed request to an operator.
fn request_suffix(request: Option<&str>) -> String {
    request.map_or_else(String::new, |id| format!("; the server's log says more of request {id}"))
}

/// The cause of a server error. It is an extension of the response, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause(pub String);

/// Why the database did not complete a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It exceeded its deadline.
    #[error(
        "this took longer than {seconds} seconds: ask for less, for example by a filter for the time of creation"
    )]
    Slow {
        /// The deadline.
        seconds: u64,
    },
    /// The caller runs too many lists, searches and counts at once.
    #[error("you have too many lists, searches and counts under way: wait for some of them, then try again")]
    TooMany,
    /// All callers together run too many lists, searches and counts at once.
    #[error("the server is busy with other lists, searches and counts: try again in a few seconds")]
    Crowded,
    /// The server has just started.
    #[error("the server is loading its sessions: try again in a few seconds")]
    Loading,
    /// The database cannot be reached.
    #[error("the database cannot be reached at the moment: try again in a few seconds")]
    Away,
}

/// What is wrong with a request before an operation begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// No such path.
    #[error("no such endpoint")]
    NoRoute,
    /// The object of the path has no such action.
    #[error("there is no such action")]
    NoAction {
        /// The actions that it has.
        known: &'static [&'static str],
    },
    /// The path does not support the method.
    #[error("this endpoint does not know that method")]
    Method,
    /// The body is larger than `limit` bytes.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body is not of the expected type or form.
    #[error("body: {0}")]
    Body(String),
    /// The link has expired or was never issued.
    #[error("{0}")]
    Conflict(String),
    /// It is not as the request demands by `If-Match`.
    #[error("it has changed since you read it: its tag is not one of If-Match")]
    Precondition,
    /// A page of another site made the browser send it with the user's cookie.
    #[error(
        "this was sent by a page of another site: send it from this one, or with a key instead of a cookie"
    )]
    CrossSite,
    /// The request target is longer than `limit` bytes.
    #[error("the path and the query are longer than {limit} bytes")]
    TargetTooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// The headers are too large or too many.
    #[error("the headers are larger than {bytes} bytes, or more than {count}")]
    HeadTooLarge {
        /// The limit in bytes.
        bytes: u64,
        /// The limit of their number.
        count: u32,
    },
    /// The head violates HTTP.
    #[error("{0}")]
    Head(String),
    /// The rate limit of the caller or the address is exceeded.
    #[error("too many requests: try again in {seconds} seconds")]
    TooManyRequests {
        /// Seconds until the next request is allowed.
        seconds: u64,
    },
    /// The request exceeded its time limit.
    #[error("the request took too long")]
    Timeout,
    /// The credential, its owner, or the anonymous callers of one address have too many WebSockets open.
    #[error("{limit} connections are already open for this key, its user, or this address; close one first")]
    TooManyConnections {
        /// The limit.
        limit: u32,
    },
}

/// Adds what the error responses of all wires have: the cause for the log, and the headers of their status.
pub fn complete_response(response: &mut Response, cause: Option<Cause>) {
    cause.map(|cause| response.extensions_mut().insert(cause));
    let (name, value) = match response.status() {
        StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer"),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT => {
            (header::RETRY_AFTER, "5")
        }
        // The rest of a refused body is not read, so the connection cannot be used again.
        StatusCode::PAYLOAD_TOO_LARGE => (header::CONNECTION, "close"),
        _ => return,
    };
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

impl Failure {
    /// The cause, if the server failed.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Failure::Internal { cause, .. } => Some(Cause(cause.clone())),
            _ => None,
        }
    }

    /// The text for the log outside of a request: the cause, or the message to a caller.
    pub fn log_text(&self) -> String {
        match self {
            Failure::Internal { cause, .. } => cause.clone(),
            other => other.to_string(),
        }
    }

    /// An internal failure with its cause.
    pub fn internal(cause: impl std::fmt::Display) -> Failure {
        let request = logging::current_request().map(|request| request.id.clone());
        Failure::Internal { cause: cause.to_string(), request }
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
mod tests;
