//! Sessions as the wires write them. Each is encoded once for each revision, and kept as long as there is room.

use domain::session::SessionKey;
use domain::time::Micros;
use foldhash::quality::FixedState;
use index::SessionRef;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// How large a body is, about, to begin with.
const TYPICAL: u64 = 1_024;
/// What an entry takes beside its text, in bytes.
const OVERHEAD: u64 = 240;

/// A session as JSON, with a hash of its text.
#[derive(Debug, Clone)]
pub struct SessionBody {
    json: Arc<RawValue>,
    hash: u64,
}

impl SessionBody {
    /// A body with this JSON.
    pub fn new(json: Box<RawValue>) -> SessionBody {
        SessionBody { hash: FixedState::default().hash_one(json.get()), json: json.into() }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.json.get()
    }
}

/// Two bodies with the same text have the same hash on every server.
impl Hash for SessionBody {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

impl Serialize for SessionBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

/// How a session is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyShape {
    /// In lists of Mobile Next's wire: with the newest devices.
    MobileNext,
    /// On Mobile Next's wire, with all devices.
    MobileNextWhole,
    /// On Everruns' wire.
    Everruns,
    /// On Devin's wire.
    Devin,
    /// On Devin's wire, with insights.
    DevinInsights,
    /// On Probe.dev's wire.
    Probe,
    /// On Tenure's own wire.
    Tenure,
}

/// Until when a body that was kept is right, beside the revision of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyVersion {
    /// How often nobody could say what has changed. Bodies of earlier generations are not right.
    pub generation: u64,
    /// The version of the names that it has; see [`CallerCache::names_version`].
    ///
    /// [`CallerCache::names_version`]: crate::services::caller_cache::CallerCache::names_version
    pub names: u64,
}

/// The bodies that were encoded last.
pub struct SessionBodies(Cache<(BodyShape, SessionKey), KnownBody, Weight>);

/// A body, and for how long it is right.
#[derive(Clone)]
struct KnownBody {
    version: BodyVersion,
    revision: i64,
    expires: Option<Micros>,
    body: SessionBody,
}

#[derive(Clone)]
struct Weight;

impl Weighter<(BodyShape, SessionKey), KnownBody> for Weight {
    fn weight(&self, _: &(BodyShape, SessionKey), known: &KnownBody) -> u64 {
        OVERHEAD + known.body.text().len() as u64
    }
}

impl SessionBodies {
    /// Keeps at most this many bytes.
    pub fn new(bytes: u64) -> SessionBodies {
        let items = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        SessionBodies(Cache::with_weighter(items, bytes, Weight))
    }

    /// The body of a session in this revision.
    pub fn find(
        &self,
        shape: BodyShape,
        session: &SessionRef,
        version: BodyVersion,
        now: Micros,
    ) -> Option<SessionBody> {
        let known = self.0.get(&(shape, session.key))?;
        let is_right = known.version == version
            && known.revision == session.revision
            && known.expires.is_none_or(|expires| now < expires);
        is_right.then_some(known.body)
    }

    /// Keeps a body. It is right for this revision, until `expires`.
    pub fn keep(
        &self,
        shape: BodyShape,
        session: &SessionRef,
        version: BodyVersion,
        expires: Option<Micros>,
        body: SessionBody,
    ) {
        let known = KnownBody { version, revision: session.revision, expires, body };
        self.0.insert((shape, session.key), known);
    }

    /// The bytes that are kept, about.
    pub fn bytes(&self) -> u64 {
        self.0.weight()
    }
}
