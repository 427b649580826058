//! The current request: what the log says of it, in its own line and in all lines that are logged while it runs.
//!
//! It belongs to the task and is no span of `tracing`: a span would format these fields for each request, although few
//! requests log anything but their own line.

use axum::extract::MatchedPath;
use axum::http::Method;
use futures_util::future::Either;
use serde_json::json;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

/// The target of a request's line, for filters such as `info,access=off`.
const ACCESS_TARGET: &str = "access";
/// The route of requests that match none.
const UNMATCHED: &str = "unmatched";

tokio::task_local! {
    static CURRENT: Arc<CurrentRequest>;
}

/// A request that is being answered.
#[derive(Debug)]
pub struct CurrentRequest {
    /// Its id, which the response also carries.
    pub id: String,
    /// The wire; `house` for `/healthz`, `/readyz` and `/metrics`.
    pub wire: &'static str,
    /// The method.
    pub method: Method,
    /// The route, if one matches.
    pub matched: Option<MatchedPath>,
    /// Id of the user or service user, once the caller is recognized.
    pub principal: OnceLock<Uuid>,
}

impl CurrentRequest {
    /// The route's pattern, such as `/api/v1/sessions/{id}`; not the path, which the caller wrote.
    pub fn route(&self) -> &str {
        self.matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str)
    }
}

/// Runs a future as a part of a request, if there is one.
pub fn run_in<F: Future>(request: Option<Arc<CurrentRequest>>, future: F) -> impl Future<Output = F::Output> {
    match request {
        Some(request) => Either::Left(CURRENT.scope(request, future)),
        None => Either::Right(future),
    }
}

/// Calls a function as a part of a request.
pub fn call_in<T>(request: &Arc<CurrentRequest>, call: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(request.clone(), call)
}

/// The request that the current task answers. A task that it starts is a part of it only by [`run_in`].
pub fn current_request() -> Option<Arc<CurrentRequest>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Records who the caller of the current request is.
pub fn note_principal(principal: Uuid) {
    // It is recognized once; a second time it is the same.
    let _ = CURRENT.try_with(|request| request.principal.set(principal));
}

/// How a request ended: its line in the log. It has no field for headers, query strings and bodies, since they can hold
/// secrets.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The request.
    pub request: &'a CurrentRequest,
    /// Id of the organization that was chosen, when one was.
    pub organization: Option<Uuid>,
    /// The status of the response.
    pub status: u16,
    /// The duration of the request.
    pub duration: Duration,
    /// The cause, if the server failed.
    pub cause: Option<&'a str>,
}

impl RequestLine<'_> {
    /// Writes the line. A server failure is logged as an error with its cause, even where the filter leaves other requests out.
    pub fn log(&self) {
        let text = |id: Option<&Uuid>| id.map_or_else(|| "-".to_owned(), Uuid::to_string);
        // The fields are formatted only if the line is written.
        macro_rules! line {
            ($target:expr, $level:ident, $($more:tt)+) => {
                tracing::$level!(
                    target: $target,
                    id = self.request.id,
                    wire = self.request.wire,
                    method = self.request.method.as_str(),
                    route = self.request.route(),
                    organization = text(self.organization.as_ref()),
                    principal = text(self.request.principal.get()),
                    status = self.status,
                    duration_us = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
                    $($more)+
                )
            };
        }
        match self.cause {
            Some(cause) => line!("server", error, cause, "a request failed"),
            None => line!(ACCESS_TARGET, info, "request"),
        }
    }
}

/// Adds the current request to the lines of another format.
pub(super) struct WithRequest<F> {
    pub(super) format: F,
    /// Whether a line is a JSON object.
    pub(super) is_json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithRequest<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(request) = current_request() else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let (id, wire, method, route) = (&request.id, request.wire, request.method.as_str(), request.route());
        let principal = request.principal.get();
        if self.is_json {
            let line = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
            let request =
                json!({ "id": id, "wire": wire, "method": method, "route": route, "principal": principal });
            return writeln!(writer, "{line},\"request\":{request}}}");
        }
        write!(
            writer,
            "{} request{{id={id:?} wire={wire:?} method={method:?} route={route:?}",
            line.trim_end()
        )?;
        if let Some(principal) = principal {
            write!(writer, " principal={principal}")?;
        }
        writeln!(writer, "}}")
    }
}
