//! The agent sessions of a page, by their keys. The index of the server knows which sessions a list has.

use crate::access::{Granted, GrantedAccount, System, ViewSessions};
use crate::agents::session_body::read_session;
use crate::database::{Columns, Rows};
use crate::devices::sessions::{keys_json, times_json};
use crate::rows::{LoadedSessions, MAX_PAGE_BYTES, read_by_size, values};
use crate::{Result, Store};
use domain::agent::AgentSession;
use domain::ids::SessionId;
use domain::session::SessionKey;
use std::sync::LazyLock;

/// The bodies of agent sessions by keys that are bound as one JSON text, so that the text of the statement does not
/// depend on their number. The two databases differ in how such a text becomes rows.
pub(crate) struct BodiesQuery {
    pub(crate) sqlite: String,
    pub(crate) postgres: String,
}

impl BodiesQuery {
    /// `keys` gives the rows (organization, created_us) in each database; `size` is the parameter of the size at which
    /// the page ends.
    fn new([sqlite_keys, postgres_keys]: [&str; 2], size: &str) -> BodiesQuery {
        let query = |rows: String| {
            format!(
                "SELECT CAST(NULL AS BIGINT), body, found FROM
                     (SELECT r.created_us, r.tail, r.body, COUNT(*) OVER () AS found,
                          SUM(OCTET_LENGTH(r.body)) OVER (ORDER BY r.created_us DESC, r.tail DESC)
                              - OCTET_LENGTH(r.body) AS before
                      FROM ({rows}) r) w
                 WHERE before < CAST({size} AS BIGINT) ORDER BY created_us DESC, tail DESC"
            )
        };
        let (by_key, same) = (
            "s.organization = k.organization AND s.created_us = k.created_us",
            "b.organization = s.organization AND b.created_us = s.created_us",
        );
        BodiesQuery {
            // SQLite keeps the order of a cross join.
            sqlite: query(format!(
                "SELECT s.created_us, s.tail, b.body FROM ({sqlite_keys}) k
                 CROSS JOIN agent_sessions s ON {by_key} JOIN agent_bodies b ON {same}"
            )),
            // The limit keeps PostgreSQL from turning this into a join, which would read all sessions of an organization.
            postgres: query(format!(
                "SELECT s.created_us, s.tail, s.body FROM ({postgres_keys}) k CROSS JOIN LATERAL
                     (SELECT s.created_us, s.tail, b.body FROM agent_sessions s JOIN agent_bodies b ON {same}
                      WHERE {by_key} LIMIT 1) s"
            )),
        }
    }

    fn text(&'static self, store: &Store) -> &'static str {
        if store.database.kind() == "sqlite" { &self.sqlite } else { &self.postgres }
    }
}

/// Those of the organization `$1` with the times in `$2`.
pub(crate) static BY_TIMES: LazyLock<BodiesQuery> = LazyLock::new(|| {
    let keys = [
        "SELECT $1 AS organization, value AS created_us FROM json_each($2)",
        "SELECT CAST($1 AS UUID) AS organization, CAST(value AS BIGINT) AS created_us
         FROM jsonb_array_elements_text(CAST(CAST($2 AS TEXT) AS jsonb)) value",
    ];
    BodiesQuery::new(keys, "$3")
});

/// Those with the organizations and times in `$1`.
pub(crate) static BY_KEYS: LazyLock<BodiesQuery> = LazyLock::new(|| {
    let keys = [
        "SELECT unhex(value ->> 0) AS organization, value ->> 1 AS created_us FROM json_each($1)",
        "SELECT CAST(value ->> 0 AS UUID) AS organization, CAST(value ->> 1 AS BIGINT) AS created_us
         FROM jsonb_array_elements(CAST(CAST($1 AS TEXT) AS jsonb)) value",
    ];
    BodiesQuery::new(keys, "$2")
});

impl Store {
    /// The organization's agent sessions with these ids, newest first, up to the size of a page.
    pub async fn load_agent_sessions(
        &self,
        granted: &Granted<ViewSessions>,
        ids: &[SessionId],
    ) -> Result<LoadedSessions<AgentSession>> {
        let values = values![times_json(ids), MAX_PAGE_BYTES];
        read_loaded(self.read(granted, BY_TIMES.text(self), values).await?).await
    }

    /// The agent sessions with these keys, newest first, up to the size of a page.
    pub async fn load_account_agent_sessions(
        &self,
        granted: &GrantedAccount<ViewSessions>,
        keys: &[SessionKey],
    ) -> Result<LoadedSessions<AgentSession>> {
        let values = values![keys_json(keys), MAX_PAGE_BYTES];
        let [rows] = self.read_account(granted, [(BY_KEYS.text(self), values)]).await?;
        read_loaded(rows).await
    }
}

/// The agent sessions with these keys, newest first, up to the size of a page.
pub(crate) async fn read_agents_by_keys(
    store: &Store,
    system: &System,
    keys: &[SessionKey],
) -> Result<LoadedSessions<AgentSession>> {
    let values = values![keys_json(keys), MAX_PAGE_BYTES];
    read_loaded(store.read_unscoped(system, BY_KEYS.text(store), values).await?).await
}

async fn read_loaded(rows: Rows) -> Result<LoadedSessions<AgentSession>> {
    let read = |columns: &mut Columns| Ok((read_session(columns)?.into_session(), columns.count()?));
    let rows = read_by_size(rows, read).await?;
    let found = rows.first().map_or(0, |(_, found)| usize::try_from(*found).unwrap_or(usize::MAX));
    Ok(LoadedSessions { items: rows.into_iter().map(|(session, _)| session).collect(), found })
}
