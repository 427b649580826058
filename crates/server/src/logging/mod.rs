//! The log: on standard error, with one line for each request.
//!
//! Secrets cannot get into the line of a request: it has only the fields of [`RequestLine`].

mod request;

pub use request::{CurrentRequest, RequestLine, call_in, current_request, note_principal, run_in};

use crate::settings::LogFormat;
use request::WithRequest;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

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
        LogFormat::Text => {
            Box::new(builder.map_event_format(|format| WithRequest { format, is_json: false }).finish())
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
            Box::new(builder.map_event_format(|format| WithRequest { format, is_json: true }).finish())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Method;
    use std::io::Write;
    use std::sync::{Arc, Mutex, OnceLock};
    use std::time::Duration;
    use uuid::Uuid;

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
        let request = CurrentRequest {
            id: "r1".to_owned(),
            wire: "mobilenext",
            method: Method::GET,
            matched: None,
            principal: OnceLock::new(),
        };
        let line = RequestLine {
            request: &request,
            organization: Some(Uuid::nil()),
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
            ["INFO", "access", "id=\"r1\"", "wire=\"mobilenext\"", "organization=\"0000", "principal=\"-\""]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(text.contains("status=200") && text.contains("duration_us=1250"), "{text}");

        let json: serde_json::Value = serde_json::from_str(&logged("info", LogFormat::Json, 404)).unwrap();
        assert_eq!((&json["status"], &json["target"]), (&404.into(), &"access".into()));
        assert_eq!(json["route"], "unmatched");

        assert_eq!(logged("info,access=off", LogFormat::Text, 200), "");
        assert_eq!(logged("warn", LogFormat::Text, 200), "");
    }
}
