//! Metrics for Prometheus.
//!
//! Labels are fixed words and route patterns, never anything that a caller wrote.

use crate::services::session_index::IndexState;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::WriteCounts;

/// Content type of [`Metrics::encode`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    wire: &'static str,
    route: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    wire: &'static str,
    method: &'static str,
    route: Cow<'static, str>,
    status: &'static str,
}

/// A kind of reader that a commit wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WokenReader {
    /// A WebSocket that subscribes to its devices.
    Subscriber,
    /// A stream of an agent session's events.
    Stream,
    /// A worker that waits for a turn.
    Worker,
}

impl WokenReader {
    fn label(self) -> &'static str {
        match self {
            Self::Subscriber => "subscriber",
            Self::Stream => "stream",
            Self::Worker => "worker",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReaderLabel {
    who: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WireLabel {
    wire: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabel {
    part: &'static str,
}

/// How many devices the server knows, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// Free.
    pub free: i64,
    /// Held by a session.
    pub held: i64,
    /// Being cleaned after a hold.
    pub cleaning: i64,
    /// Known but not reachable now.
    pub offline: i64,
}

/// The outcome of a request for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationOutcome {
    /// A device was granted at once.
    Ready,
    /// The request waits in the queue.
    Queued,
    /// No known device can match.
    NoMatch,
    /// The organization has reached its limit of devices.
    Limited,
}

impl AllocationOutcome {
    fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Queued => "queued",
            Self::NoMatch => "no_match",
            Self::Limited => "limited",
        }
    }
}

/// The buckets: from half a millisecond to the longest request.
const REQUEST_SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

/// All values of `/metrics`. Each server has its own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    websockets: Family<WireLabel, Gauge>,
    hosts: Gauge,
    devices: Family<StateLabel, Gauge>,
    holds: Family<StateLabel, Gauge>,
    sessions_created: Family<KindLabel, Counter>,
    allocations: Family<OutcomeLabel, Counter>,
    looks: Family<ReaderLabel, Counter>,
    bodies_kept: Counter,
    bodies_loaded: Counter,
    callers: Family<OutcomeLabel, Counter>,
    commits: Counter,
    committed_batches: Counter,
    database_damaged: Gauge,
    clock_doubted: Gauge,
    index_ready: Gauge,
    index_loaded: Gauge,
    index_sessions: Gauge,
    index_memory: Family<PartLabel, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that are all zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tenure"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_histogram),
            websockets: Family::default(),
            hosts: Gauge::default(),
            devices: Family::default(),
            holds: Family::default(),
            sessions_created: Family::default(),
            allocations: Family::default(),
            looks: Family::default(),
            bodies_kept: Counter::default(),
            bodies_loaded: Counter::default(),
            callers: Family::default(),
            commits: Counter::default(),
            committed_batches: Counter::default(),
            database_damaged: Gauge::default(),
            clock_doubted: Gauge::default(),
            index_ready: Gauge::default(),
            index_loaded: Gauge::default(),
            index_sessions: Gauge::default(),
            index_memory: Family::default(),
        };
        metrics.register_requests();
        metrics.register_sessions();
        metrics.register_writes();
        metrics.register_index();
        metrics
    }

    fn register_requests(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests answered", self.requests.clone());
        let help = "Time from a request to its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, self.request_seconds.clone());
        let help = "Uses of credentials: their callers were remembered or read from the database";
        registry.register("callers", help, self.callers.clone());
        registry.register("websockets", "WebSockets open", self.websockets.clone());
    }

    fn register_sessions(&mut self) {
        let registry = &mut self.registry;
        registry.register("hosts", "Hosts connected", self.hosts.clone());
        registry.register("devices", "Known devices by state", self.devices.clone());
        registry.register("holds", "Holds that are open or wait in the queue", self.holds.clone());
        registry.register("sessions_created", "Sessions created", self.sessions_created.clone());
        registry.register("allocations", "Requests for a device by outcome", self.allocations.clone());
        let help = "Sessions in answers that were still in memory as their wire writes them";
        registry.register("session_bodies_kept", help, self.bodies_kept.clone());
        let help = "Sessions in answers that were read from the database";
        registry.register("session_bodies_loaded", help, self.bodies_loaded.clone());
    }

    fn register_writes(&mut self) {
        let registry = &mut self.registry;
        let help = "Looks at the database by clients that wait and were woken by a commit";
        registry.register("looks", help, self.looks.clone());
        registry.register("commits", "Commits of a group of batches", self.commits.clone());
        let help = "Batches in all groups: more of them for each commit when there is more to write";
        registry.register("committed_batches", help, self.committed_batches.clone());
        let help = "1 when the database was found damaged: restore a backup";
        registry.register("database_damaged", help, self.database_damaged.clone());
        let help = "1 while nothing is deleted for its age, because the clock is ahead";
        registry.register("clock_doubted", help, self.clock_doubted.clone());
    }

    fn register_index(&mut self) {
        let registry = &mut self.registry;
        let help = "1 when all sessions are in the index of sessions";
        registry.register("index_ready", help, self.index_ready.clone());
        let help = "Sessions that were read into the index since the server began to load them";
        registry.register("index_loaded", help, self.index_loaded.clone());
        registry.register("index_sessions", "Sessions in the index", self.index_sessions.clone());
        let help = "Memory that the index holds, about, when its size last changed much";
        registry.register_with_unit("index_memory", help, Unit::Bytes, self.index_memory.clone());
    }

    /// Counts one request with its response. `route` is the pattern that matched, never the path; pass
    /// `unmatched` when none did.
    pub fn request(
        &self,
        wire: &'static str,
        method: &str,
        route: impl Into<Cow<'static, str>>,
        status: u16,
        duration: Duration,
    ) {
        let route = route.into();
        let labels = RequestLabels {
            wire,
            method: method_label(method),
            route: route.clone(),
            status: status_class(status),
        };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&RouteLabels { wire, route }).observe(duration.as_secs_f64());
    }

    /// Counts an open WebSocket, until the guard is dropped.
    #[must_use]
    pub fn websocket_opened(&self, wire: &'static str) -> OpenGuard {
        OpenGuard::new(self.websockets.get_or_create(&WireLabel { wire }).clone())
    }

    /// Counts a connected host, until the guard is dropped.
    #[must_use]
    pub fn host_connected(&self) -> OpenGuard {
        OpenGuard::new(self.hosts.clone())
    }

    /// Sets the numbers of devices.
    pub fn set_devices(&self, counts: DeviceCounts) {
        let DeviceCounts { free, held, cleaning, offline } = counts;
        for (state, count) in [("free", free), ("held", held), ("cleaning", cleaning), ("offline", offline)] {
            self.devices.get_or_create(&StateLabel { state }).set(count);
        }
    }

    /// Sets the numbers of open holds and of requests in the queue.
    pub fn set_holds(&self, open: i64, pending: i64) {
        for (state, count) in [("open", open), ("pending", pending)] {
            self.holds.get_or_create(&StateLabel { state }).set(count);
        }
    }

    /// Counts a created session; `kind` is `device`, `agent` or `login`.
    pub fn session_created(&self, kind: &'static str) {
        self.sessions_created.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a request for a device.
    pub fn allocation(&self, outcome: AllocationOutcome) {
        self.allocations.get_or_create(&OutcomeLabel { outcome: outcome.label() }).inc();
    }

    /// Counts the sessions of an answer: those whose bodies were kept, and those that were loaded.
    pub fn count_bodies(&self, kept: usize, loaded: usize) {
        self.bodies_kept.inc_by(kept as u64);
        self.bodies_loaded.inc_by(loaded as u64);
    }

    /// Counts a read of the database after a commit.
    pub fn count_woken_read(&self, reader: WokenReader) {
        self.looks.get_or_create(&ReaderLabel { who: reader.label() }).inc();
    }

    /// Number of reads of the database after commits, since the server started.
    pub fn woken_reads(&self, reader: WokenReader) -> u64 {
        self.looks.get_or_create(&ReaderLabel { who: reader.label() }).get()
    }

    /// Sets the counts of writes since the server started, and whether the database is damaged.
    pub fn set_database(&self, written: WriteCounts, damaged: bool) {
        self.database_damaged.set(damaged.into());
        self.commits.inner().store(written.commits, Ordering::Relaxed);
        self.committed_batches.inner().store(written.batches, Ordering::Relaxed);
    }

    /// Sets how many uses of credentials had callers that were remembered, and how many had not, since the server
    /// started.
    pub fn set_callers(&self, remembered: u64, read: u64) {
        for (outcome, count) in [("remembered", remembered), ("read", read)] {
            self.callers.get_or_create(&OutcomeLabel { outcome }).inner().store(count, Ordering::Relaxed);
        }
    }

    /// Sets how far the index of sessions is.
    pub fn set_index(&self, state: IndexState) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.index_ready.set(state.ready.into());
        self.index_loaded.set(gauge(state.loaded));
        self.index_sessions.set(gauge(state.sessions));
        let Some(memory) = state.memory else { return };
        let parts =
            [("blocks", memory.blocks), ("postings", memory.postings), ("dictionary", memory.dictionary)];
        for (part, bytes) in parts {
            self.index_memory.get_or_create(&PartLabel { part }).set(gauge(bytes as u64));
        }
    }

    /// Sets whether the clock is trusted.
    pub fn set_clock_trusted(&self, trusted: bool) {
        self.clock_doubted.set((!trusted).into());
    }

    /// All metrics as OpenMetrics text, of [`METRICS_CONTENT_TYPE`].
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// Counts something as open until it is dropped.
#[derive(Debug)]
pub struct OpenGuard(Gauge);

impl OpenGuard {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The class of a status. A caller cannot cause more labels than these.
fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// The label of a method. HTTP lets a caller invent methods, which share one label.
fn method_label(method: &str) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS.into_iter().find(|known| *known == method).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_bounded_labels() {
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
        metrics.set_callers(7, 2);
        metrics.set_database(WriteCounts { commits: 3, batches: 12 }, true);
        let memory = index::Memory { sessions: 7, blocks: 400, postings: 30, dictionary: 2 };
        metrics.set_index(IndexState { ready: true, loaded: 6, sessions: 7, memory: Some(memory) });

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
            r#"tenure_callers_total{outcome="remembered"} 7"#,
            "tenure_commits_total 3",
            "tenure_committed_batches_total 12",
            "tenure_database_damaged 1",
            "tenure_index_ready 1",
            "tenure_index_loaded 6",
            "tenure_index_sessions 7",
            r#"tenure_index_memory_bytes{part="blocks"} 400"#,
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        drop((socket, host));
        assert!(metrics.encode().unwrap().contains("tenure_hosts 0"));
    }
}
