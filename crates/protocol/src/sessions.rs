//! Sessions of all kinds on Tenure's own wire, below `/tenure/v1`. The server writes these shapes, and clients read them.
//! Absent values are `null`. Clients ignore unknown fields.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Path of the list of sessions, below the server's base URL.
pub const SESSIONS_PATH: &str = "/tenure/v1/sessions";

/// The most sessions on a page.
pub const MAX_LIMIT: u32 = 500;
/// The sessions on a page, unless a request says otherwise.
pub const DEFAULT_LIMIT: u32 = 50;
/// The most ids of one request for several sessions.
pub const MAX_BATCH: usize = 200;

/// The kind of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It holds devices, or waits for one.
    Device,
    /// An agent answers its messages.
    Agent,
    /// A person is signed in.
    Login,
}

/// A page of sessions, newest first unless the request has another order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionPage<S = Session> {
    /// The sessions.
    pub data: Vec<S>,
    /// The number of all sessions of the filter.
    pub total: u64,
    /// The cursor of the next page.
    pub next: Option<String>,
    /// The cursor of the previous page.
    pub prev: Option<String>,
    /// Where a watch of the list begins: see [`WATCH_PATH`].
    pub watch: String,
    /// The filter as the server read it: its times are absolute.
    pub filter_as_read: String,
}

/// Path of the watch of a list, with the `watch` of a page as `token`: a stream of server-sent events. An event `changes`
/// has [`WatchChanges`] and, as its id, a position that `Last-Event-ID` goes on from. After an event `resync` the list must
/// be read again.
pub const WATCH_PATH: &str = "/tenure/v1/watch";

/// What has changed in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchChanges<S = Session> {
    /// Sessions that were not in the list before.
    pub entered: Vec<S>,
    /// Sessions that are in the list, as they are now. After a connection was lost, those that entered meanwhile are here.
    pub changed: Vec<S>,
    /// The ids of sessions that are not in the list. The reader may never have seen some of them.
    pub left: Vec<Uuid>,
    /// The number of all sessions of the list.
    pub total: u64,
}

/// Sessions that were asked for by their ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionBatch<S = Session> {
    /// Those that the caller may see, in the order of the request.
    pub data: Vec<S>,
    /// The ids without such a session.
    pub missing: Vec<String>,
}

/// A request for sessions by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// At most [`MAX_BATCH`] ids, in the form of any wire.
    pub ids: Vec<String>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// Its kind.
    pub kind: Kind,
    /// Its organization. A login session belongs to the account and has none.
    pub organization: Option<Named>,
    /// Who holds it.
    pub owner: Principal,
    /// Its state, by the full name that filters have for it.
    pub state: String,
    /// Its title.
    pub title: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Where it was created: `api`, `cli`, `slack`.
    pub origin: Option<String>,
    /// The agent that it is addressed to, by the name that it had when the session was created.
    pub agent: Option<Named>,
    /// Its preferred model.
    pub model: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// The session that started it.
    pub parent: Option<Uuid>,
    /// The device of its newest hold, or what was asked for.
    pub device: Option<SessionDevice>,
    /// How a person signed in.
    pub login: Option<SignIn>,
    /// When it was created.
    pub created: Time,
    /// When it last changed.
    pub updated: Time,
    /// When it ended.
    pub ended: Option<Time>,
    /// Why it ended.
    pub end: Option<SessionEnd>,
    /// When it ends at the latest.
    pub expires: Option<Time>,
    /// Whether it is archived.
    pub archived: bool,
    /// Its usage.
    pub usage: Option<SessionUsage>,
    /// The pull requests that were created in it.
    pub pull_requests: Vec<SessionPullRequest>,
    /// Its version number.
    pub revision: String,
    /// Where it is.
    pub links: Links,
}

/// Something with an id and a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The id.
    pub id: Uuid,
    /// The name.
    pub name: String,
}

/// A user or a service user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The id.
    pub id: Uuid,
    /// `user` or `service_user`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The address of a user.
    pub email: Option<String>,
}

/// The device of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDevice {
    /// Its name on the wires; `None` while the session waits for one.
    pub id: Option<String>,
    /// Its platform, such as `ios`.
    pub platform: String,
    /// Its type, such as `real` or `emulator`.
    #[serde(rename = "type")]
    pub device_type: Option<String>,
    /// Its name, such as `Pixel 9`.
    pub name: Option<String>,
    /// The version of its operating system.
    pub version: Option<String>,
    /// The name of its host.
    pub host: Option<String>,
}

/// How a person signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The address of the client.
    pub address: Option<String>,
    /// The kind of the client, such as `pc` or `smartphone`.
    pub client: String,
    /// Whether a second factor was shown.
    pub second_factor: bool,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// The reason.
    pub reason: String,
    /// Who ended it; `None` when Tenure did.
    pub actor: Option<Principal>,
    /// The facts behind the reason, for people.
    pub evidence: String,
}

/// The usage of a session.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SessionUsage {
    /// Agent compute units.
    pub acus: f64,
    /// Tokens that the model read.
    pub input_tokens: i64,
    /// Tokens that the model wrote.
    pub output_tokens: i64,
    /// What it cost. Tenure does not know it yet.
    pub cost_usd: Option<f64>,
}

/// A pull request of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPullRequest {
    /// Its URL.
    pub url: String,
    /// Its state, such as `open` or `merged`.
    pub state: Option<String>,
}

/// Where a session is on each wire that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// On this wire.
    #[serde(rename = "self")]
    pub own: String,
    /// The page for people.
    pub console: String,
    /// On Mobile Next's wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobilenext: Option<String>,
    /// On Everruns' wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everruns: Option<String>,
    /// On Devin's wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devin: Option<String>,
    /// On Probe.dev's wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
}

/// Counts of the values that the sessions of a filter have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets {
    /// The number of sessions of the filter.
    pub total: u64,
    /// The values of each field, the most frequent first, over the filter without the field's own conditions.
    pub facets: std::collections::BTreeMap<String, Vec<FacetValue>>,
    /// How many more values each field has, of those that have more.
    pub others: std::collections::BTreeMap<String, u64>,
    /// The filter as the server read it.
    pub filter_as_read: String,
}

/// A value of a field, and how many sessions have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetValue {
    /// The value, as a filter has it.
    pub value: String,
    /// What people call it, if that is something else.
    pub name: Option<String>,
    /// The number of sessions.
    pub count: u64,
}

/// How many sessions started, ended and were open over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionHistogram {
    /// The boundaries of the buckets: each ends one and begins the next, so there is one bucket less.
    pub boundaries: Vec<Time>,
    /// A line for each value that has sessions, or one without a split.
    pub series: Vec<HistogramLine>,
    /// The filter as the server read it.
    pub filter_as_read: String,
}

/// Counts of the buckets of a histogram, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistogramLine {
    /// The value that the sessions have; `None` without a split.
    pub value: Option<String>,
    /// How many were created in each bucket.
    pub started: Vec<u64>,
    /// How many ended in each bucket.
    pub ended: Vec<u64>,
    /// How many were open at the end of each bucket, or now if that is earlier.
    pub running: Vec<u64>,
}

/// A field of the filter language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterField {
    /// Its name.
    pub name: String,
    /// How its values are written: `word`, `text`, `time`, …
    #[serde(rename = "type")]
    pub field_type: String,
    /// The kinds of sessions that have it.
    pub kinds: Vec<Kind>,
    /// What it is.
    pub help: String,
    /// Examples of its use.
    pub examples: Vec<String>,
    /// Its words, if its values are words.
    pub words: Vec<FilterWord>,
    /// The most frequent values that visible sessions have; empty for a field that is not counted.
    pub values: Vec<FacetValue>,
}

/// A word of a field, or a condition with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterWord {
    /// The word.
    pub name: String,
    /// What it means.
    pub help: String,
}

/// What filters are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterFields {
    /// The fields.
    pub fields: Vec<FilterField>,
    /// The conditions with a name, such as `is:running`.
    pub conditions: Vec<FilterWord>,
}
