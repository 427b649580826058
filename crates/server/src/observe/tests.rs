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
    let subscriber = subscriber(filter, format, move || writer.clone()).unwrap();
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
fn a_request_is_one_line_with_all_its_fields() {
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

#[test]
fn metrics_are_told_with_bounded_labels() {
    let metrics = Metrics::new();
    let time = Duration::from_millis(3);
    metrics.request("mobilenext", "GET", "/api/v1/sessions", 200, time);
    metrics.request("mobilenext", "BREW", "unmatched".to_owned(), 404, time);
    let socket = metrics.websocket_opened("mobilenext");
    let gone = metrics.websocket_opened("mobilenext");
    drop(gone);
    let host = metrics.host_connected();
    metrics.set_devices(DeviceCounts { free: 3, held: 2, cleaning: 1, offline: 0 });
    metrics.set_holds(2, 5);
    metrics.session_created("device");
    metrics.allocation(AllocationOutcome::Ready);
    metrics.allocation(AllocationOutcome::NoMatch);
    metrics.set_database(WriteCounts { commits: 3, batches: 12 }, true);

    let text = metrics.encode().unwrap();
    for line in [
        r#"tenure_requests_total{wire="mobilenext",method="GET",route="/api/v1/sessions",status="2xx"} 1"#,
        r#"tenure_requests_total{wire="mobilenext",method="other",route="unmatched",status="4xx"} 1"#,
        r#"tenure_request_duration_seconds_count{wire="mobilenext",route="/api/v1/sessions"} 1"#,
        r#"tenure_request_duration_seconds_bucket{le="0.0025",wire="mobilenext",route="/api/v1/sessions"} 0"#,
        r#"tenure_request_duration_seconds_bucket{le="0.005",wire="mobilenext",route="/api/v1/sessions"} 1"#,
        r#"tenure_websockets{wire="mobilenext"} 1"#,
        "tenure_hosts 1",
        r#"tenure_devices{state="free"} 3"#,
        r#"tenure_devices{state="cleaning"} 1"#,
        r#"tenure_holds{state="pending"} 5"#,
        r#"tenure_sessions_created_total{kind="device"} 1"#,
        r#"tenure_allocations_total{outcome="no_match"} 1"#,
        "tenure_commits_total 3",
        "tenure_committed_batches_total 12",
        "tenure_database_damaged 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    drop((socket, host));
    assert!(metrics.encode().unwrap().contains("tenure_hosts 0"));
}
