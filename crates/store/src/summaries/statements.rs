//! The statements that read summaries.
//!
//! A page walks an index over all organizations. Sessions by key are found by the primary keys. The keys are bound as
//! one JSON text, so that the text of a statement does not depend on their number; the two databases differ in how such
//! a text becomes rows. Each key is the left side of a LEFT JOIN, with which both databases begin.

use crate::database::{Statement, Value};
use crate::rows::{any_rows, values};
use domain::ids::OrganizationId;
use domain::session::{SessionKey, SessionKind};
use serde_json::json;
use std::sync::LazyLock;

/// The texts of the statements that read the sessions of one source.
struct Texts {
    agents: String,
    /// Agent sessions by their bodies.
    bodies: String,
    devices: String,
    logins: String,
}

/// Where the rows `s` of sessions come from.
#[derive(Clone, Copy)]
enum Source {
    /// After the session `$1`, `$2`, `$3`, at most `$4`.
    Page,
    /// The keys in `$1`, of which there are `$2`. A key without a row is a row of NULL.
    Keys(&'static str),
}

const SQLITE_KEYS: Source = Source::Keys(
    "SELECT unhex(value ->> 0) AS organization, value ->> 1 AS created_us, value ->> 2 AS tail FROM json_each($1)",
);
const POSTGRES_KEYS: Source = Source::Keys(
    "SELECT CAST(value ->> 0 AS UUID) AS organization, CAST(value ->> 1 AS BIGINT) AS created_us,
            CAST(value ->> 2 AS BIGINT) AS tail
     FROM jsonb_array_elements(CAST(CAST($1 AS TEXT) AS jsonb)) value",
);

static PAGE: LazyLock<Texts> = LazyLock::new(|| Texts::new(Source::Page));
static OF_SQLITE_KEYS: LazyLock<Texts> = LazyLock::new(|| Texts::new(SQLITE_KEYS));
static OF_POSTGRES_KEYS: LazyLock<Texts> = LazyLock::new(|| Texts::new(POSTGRES_KEYS));

impl Source {
    /// The rows `s`, as a query. The limit also keeps SQLite from merging it with the statement around it, which would
    /// compute `columns` for every row that is joined.
    fn select(self, table: &str, which: &str, columns: &str) -> String {
        match self {
            Source::Page => format!(
                "SELECT {columns} FROM {table} s
                 WHERE {which} s.created_us >= $1 AND (s.created_us, s.tail, s.organization) > ($1, $2, $3)
                 ORDER BY s.created_us, s.tail, s.organization LIMIT $4"
            ),
            Source::Keys(keys) => format!(
                "SELECT {columns} FROM ({keys}) k
                 LEFT JOIN {table} s
                     ON {which} s.organization = k.organization AND s.created_us = k.created_us AND s.tail = k.tail
                 LIMIT $2"
            ),
        }
    }
}

impl Texts {
    fn new(source: Source) -> Texts {
        let newest = "(SELECT MAX(h.position) FROM holds h
                       WHERE h.organization = s.organization AND h.session_us = s.created_us) AS newest";
        let shared = "s.organization, s.created_us, s.tail, s.revision, s.principal, s.ended_us, s.end_reason, s.activity_us";
        let keys = "s.organization, s.created_us, s.lease_us";
        let bodies = source.select("agent_sessions", "", keys);
        let devices = source.select("sessions", "s.kind = 'device' AND", &format!("{shared}, {newest}"));
        let logins = source.select("sessions", "s.kind = 'login' AND", shared);
        Texts {
            agents: source.select(
                "agent_sessions",
                "",
                "s.organization, s.created_us, s.tail, s.revision, s.owner, s.agent, s.state, s.origin, s.category,
                 s.playbook, s.schedule, s.automation, s.parent_us, s.parent_tail, s.archived_us, s.updated_us, s.labels",
            ),
            bodies: format!(
                "SELECT b.created_us, s.lease_us, b.body FROM ({bodies}) s
                 LEFT JOIN agent_bodies b ON b.organization = s.organization AND b.created_us = s.created_us"
            ),
            // The open holds and the newest one: a session can have had a thousand.
            devices: format!(
                "SELECT s.organization, s.created_us, s.tail, s.revision, s.principal, p.kind, s.ended_us, s.end_reason,
                        s.activity_us, h.position, h.released_us, h.platform, h.device, h.device_kind, h.device_name,
                        h.version
                 FROM ({devices}) s
                 LEFT JOIN principals p ON p.id = s.principal
                 LEFT JOIN holds h ON h.organization = s.organization AND h.session_us = s.created_us
                     AND (h.released_us IS NULL OR h.position = s.newest)"
            ),
            logins: format!(
                "SELECT s.organization, s.created_us, s.tail, s.revision, s.principal, p.kind, s.ended_us, s.end_reason,
                        l.authenticated_us, l.expires_us, l.remote_ip, l.agent_type, l.methods
                 FROM ({logins}) s
                 LEFT JOIN principals p ON p.id = s.principal
                 LEFT JOIN logins l ON l.created_us = s.created_us"
            ),
        }
    }

    fn text_for(&'static self, kind: SessionKind) -> &'static str {
        match kind {
            SessionKind::Agent => &self.agents,
            SessionKind::Device => &self.devices,
            SessionKind::Login => &self.logins,
        }
    }
}

/// The statements of one database.
#[derive(Clone, Copy)]
pub(crate) struct SummaryStatements {
    by_key: &'static LazyLock<Texts>,
}

impl SummaryStatements {
    pub(crate) fn new(sqlite: bool) -> SummaryStatements {
        SummaryStatements { by_key: if sqlite { &OF_SQLITE_KEYS } else { &OF_POSTGRES_KEYS } }
    }

    /// The text that reads a page of a kind.
    pub(crate) fn page(kind: SessionKind) -> &'static str {
        PAGE.text_for(kind)
    }

    /// Reads the sessions of one kind with these keys.
    pub(crate) fn look_up(self, kind: SessionKind, keys: &[SessionKey]) -> Statement {
        any_rows(self.by_key.text_for(kind), keys_values(keys))
    }

    /// Reads agent sessions with these keys by their bodies.
    pub(crate) fn bodies(self, keys: &[SessionKey]) -> Statement {
        let texts: &'static Texts = self.by_key;
        any_rows(&texts.bodies, keys_values(keys))
    }
}

/// The values of a page after a session.
pub(crate) fn page_values(after: Option<SessionKey>, limit: u32) -> Vec<Value> {
    let before_all = (i64::MIN, -1, OrganizationId::ACCOUNT);
    let (at, tail, organization) =
        after.map_or(before_all, |key| (key.id.creation_time().0, key.id.tail() as i64, key.organization));
    values![at, tail, organization, limit]
}

fn keys_values(keys: &[SessionKey]) -> Vec<Value> {
    let rows = keys
        .iter()
        .map(|key| (key.organization.0.simple().to_string(), key.id.creation_time().0, key.id.tail() as i64));
    values![json!(rows.collect::<Vec<_>>()).to_string(), i64::try_from(keys.len()).unwrap_or(i64::MAX)]
}
