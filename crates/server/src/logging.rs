//! The log: on standard error, with one line for each request.
//!
//! Secrets cannot get into the line of a request: it has only the fields of [`RequestLine`].

use crate::settings::LogFormat;
use std::time::Duration;
use tracing::{Span, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The target of a request's line, for filters such as `info,access=off`.
pub const ACCESS_TARGET: &str = "access";

/// Starts logging to standard error for the whole process. `filter` is the setting `log`.
///
/// # Errors
/// The filter cannot be read, or logging was started before.
pub fn start_logging(
    filter: &str,
    format: LogFormat,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let subscriber = make_subscriber(filter, format, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(())
}

/// Makes the subscriber that writes the log. Tests write it elsewhere.
///
/// # Errors
/// The filter cannot be read.
pub fn make_subscriber<W>(
    filter: &str,
    format: LogFormat,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, tracing_subscriber::filter::ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    Ok(match format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

/// A request's line in the log. It has no field for headers, query strings and bodies, since they can hold secrets.
#[derive(Debug, Clone)]
pub struct RequestLine<'a> {
    /// The request's id, which the response also carries.
    pub id: &'a str,
    /// The wire; `house` for `/healthz`, `/readyz` and `/metrics`.
    pub wire: &'static str,
    /// The method.
    pub method: &'a str,
    /// The route's pattern, such as `/api/v1/sessions/{id}`; not the path, which the caller wrote.
    pub route: &'a str,
    /// Id of the organization that was chosen, when one was.
    pub organization: Option<String>,
    /// Id of the user or service user, when the caller was recognized.
    pub principal: Option<String>,
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
        macro_rules! line {
            ($target:expr, $level:ident, $($more:tt)+) => {
                tracing::$level!(
                    target: $target,
                    id = self.id,
                    wire = self.wire,
                    method = self.method,
                    route = self.route,
                    organization = self.organization.as_deref().unwrap_or("-"),
                    principal = self.principal.as_deref().unwrap_or("-"),
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

/// Makes the span of a request. All lines that are logged in it carry its fields, at every log level.
pub fn request_span(id: &str, wire: &'static str, method: &str, route: &str) -> Span {
    tracing::error_span!("request", id, wire, method, route, principal = tracing::field::Empty)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A log that is kept in memory.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogFormat, status: u16) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = make_subscriber(filter, format, move || writer.clone()).unwrap();
        let line = RequestLine {
            id: "r1",
            wire: "mobilenext",
            method: "GET",
            route: "/api/v1/sessions/{id}",
            organization: Some("o1".to_owned()),
            principal: None,
            status,
            duration: Duration::from_micros(1_250),
            cause: None,
        };
        tracing::subscriber::with_default(subscriber, || line.log());
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_request_has_one_log_entry_with_all_fields() {
        let text = logged("info", LogFormat::Text, 200);
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in
            ["INFO", "access", "id=\"r1\"", "wire=\"mobilenext\"", "organization=\"o1\"", "principal=\"-\""]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(text.contains("status=200") && text.contains("duration_us=1250"), "{text}");

        let json: serde_json::Value = serde_json::from_str(&logged("info", LogFormat::Json, 404)).unwrap();
        assert_eq!((&json["status"], &json["target"]), (&404.into(), &"access".into()));
        assert_eq!(json["route"], "/api/v1/sessions/{id}");

        assert_eq!(logged("info,access=off", LogFormat::Text, 200), "");
        assert_eq!(logged("warn", LogFormat::Text, 200), "");
    }
}
