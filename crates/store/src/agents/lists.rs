//! Lists and counts of agent sessions.

use crate::access::lane::Scan;
use crate::access::{Granted, GrantedAccount, ViewSessions};
use crate::agents::filter::{
    Conditions, ListReach, account_existing_tags_query, conditions, existing_tags_query, intern_sql,
};
use crate::agents::session_body::read_session;
use crate::database::{Columns, Database, Rows, Value};
use crate::rows::{MAX_PAGE_BYTES, parse_word, read_page, values};
use crate::{Result, Store};
use domain::agent::{AgentSession, AgentState, SessionFilter};
use domain::ids::AgentId;
use domain::page::{ListRange, ListSlice};
use std::collections::HashMap;

/// Session counts of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// All of its sessions.
    pub total: u64,
    /// Session count per state; states with no sessions are omitted.
    pub by_state: Vec<(AgentState, u64)>,
    /// Number of archived sessions.
    pub archived: u64,
}

/// Session counts by agent, state, tag and origin, for the sessions of a filter; highest count first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFacets {
    /// By agent.
    pub agents: Vec<(AgentId, u64)>,
    /// By state.
    pub states: Vec<(AgentState, u64)>,
    /// By tag; at most 100.
    pub tags: Vec<(String, u64)>,
    /// By origin.
    pub origins: Vec<(String, u64)>,
}

/// A statement and its values.
pub(crate) type ListQuery = (Scan, Vec<Value>);

impl Store {
    /// A page of the organization's agent sessions that match a filter, newest first, and the number of all matches,
    /// in one snapshot.
    pub async fn list_agent_sessions(
        &self,
        granted: &Granted<ViewSessions>,
        filter: &SessionFilter,
        select: ListRange,
    ) -> Result<ListSlice<AgentSession>> {
        let queries = self.list_queries(ListReach::Organization, filter, select);
        let [rows, total] = self.read_snapshot(granted, queries).await?;
        read_sessions(rows, total, select).await
    }

    /// A page of all agent sessions of the account that match a filter. Sessions of deleted organizations are
    /// included when the filter says so.
    pub async fn list_account_agent_sessions(
        &self,
        granted: &GrantedAccount<ViewSessions>,
        filter: &SessionFilter,
        select: ListRange,
    ) -> Result<ListSlice<AgentSession>> {
        let queries = self.list_queries(ListReach::Account, filter, select);
        let [rows, total] = self.read_account(granted, queries).await?;
        read_sessions(rows, total, select).await
    }

    /// The two queries of a list: its rows and its total.
    pub(crate) fn list_queries(
        &self,
        reach: ListReach,
        filter: &SessionFilter,
        select: ListRange,
    ) -> [ListQuery; 2] {
        let sqlite = matches!(self.database, Database::Sqlite(_));
        let (position, offset, limit) = match select {
            ListRange::Offset { offset, limit } => (None, i64::try_from(offset).unwrap_or(i64::MAX), limit),
            ListRange::Before { position, limit } => (position, 0, limit),
        };
        // One more than requested shows whether others follow.
        let limit = i64::from(limit) + 1;
        [
            page_query(conditions(sqlite, page_reach(reach, filter), filter, position), limit, offset),
            count_query(conditions(sqlite, reach, filter, None)),
        ]
    }

    /// Session counts of the organization.
    pub async fn load_agent_session_stats(&self, granted: &Granted<ViewSessions>) -> Result<SessionStats> {
        let sql = "SELECT state, COUNT(*), COUNT(archived_us) FROM agent_sessions
                   WHERE organization = $1 GROUP BY state ORDER BY state";
        let rows = self.read(granted, Scan(sql), values![]).await?;
        let counts = rows
            .read_all(|columns| Ok((columns.word(AgentState::parse)?, columns.count()?, columns.count()?)))?;
        let mut stats = SessionStats::default();
        for (state, count, archived) in counts {
            stats.total += count;
            stats.by_state.push((state, count));
            stats.archived += archived;
        }
        Ok(stats)
    }

    /// Counts of the organization's sessions that match a filter, in one snapshot.
    pub async fn load_agent_session_facets(
        &self,
        granted: &Granted<ViewSessions>,
        filter: &SessionFilter,
    ) -> Result<SessionFacets> {
        let sqlite = matches!(self.database, Database::Sqlite(_));
        let conditions = |reach| conditions(sqlite, reach, filter, None);
        let statements = [
            count_by_columns(conditions(ListReach::Organization)),
            count_by_tag(conditions(ListReach::Known)),
        ];
        let [groups, tags] = self.read_snapshot(granted, statements).await?;
        let (mut agents, mut states, mut origins) = (HashMap::new(), HashMap::new(), HashMap::new());
        let groups = groups
            .read_all(|columns| Ok((columns.id()?, columns.text()?, columns.text()?, columns.count()?)))?;
        for (agent, state, origin, count) in groups {
            *agents.entry(AgentId(agent)).or_default() += count;
            *states.entry(state).or_default() += count;
            *origins.entry(origin).or_default() += count;
        }
        let state = |(state, count): (String, u64)| Ok((parse_word(&state, AgentState::parse)?, count));
        Ok(SessionFacets {
            agents: sort_counts(agents),
            states: sort_counts(states).into_iter().map(state).collect::<Result<_>>()?,
            tags: tags.read_all(|columns| Ok((columns.text()?, columns.count()?)))?,
            origins: sort_counts(origins),
        })
    }

    /// Those of the tags that some session of the organization has.
    pub async fn list_existing_tags(
        &self,
        granted: &Granted<ViewSessions>,
        tags: &[String],
    ) -> Result<Vec<String>> {
        let sqlite = matches!(self.database, Database::Sqlite(_));
        let query = existing_tags_query(sqlite, tags);
        let [rows] = self.read_snapshot(granted, [query]).await?;
        Ok(rows.read_all(Columns::text)?)
    }

    /// Those of the tags that some session has in the organizations of a filter.
    pub async fn list_account_existing_tags(
        &self,
        granted: &GrantedAccount<ViewSessions>,
        filter: &SessionFilter,
        tags: &[String],
    ) -> Result<Vec<String>> {
        let sqlite = matches!(self.database, Database::Sqlite(_));
        let query = account_existing_tags_query(sqlite, filter, tags);
        let [rows] = self.read_account(granted, [query]).await?;
        Ok(rows.read_all(Columns::text)?)
    }
}

/// Otherwise all sessions of the organizations would be read and sorted. The newest of each are enough.
pub(crate) fn page_reach(reach: ListReach, filter: &SessionFilter) -> ListReach {
    if reach == ListReach::Account && filter.organizations.is_some() { ListReach::Each } else { reach }
}

/// Narrow rows select the sessions, and only those of the page are joined with their bodies. Leases are left out: no
/// list shows them, and without them the account's index has all columns. The page ends early when its bodies are
/// large; `found` is the number of sessions without that limit.
pub(crate) fn page_query(mut conditions: Conditions, limit: i64, offset: i64) -> ListQuery {
    let (limit, offset) = (conditions.bind(limit), conditions.bind(offset));
    let found = match (conditions.reach, conditions.sqlite) {
        (ListReach::Each, true) => merge_organizations(&conditions, &limit, &offset),
        (ListReach::Each, false) => {
            let Conditions { sql, each, .. } = &conditions;
            format!(
                "SELECT s.* FROM ({each}) o CROSS JOIN LATERAL
                     (SELECT s.organization, s.created_us, s.tail FROM agent_sessions s WHERE {sql}
                      ORDER BY {order} LIMIT CAST({limit} AS BIGINT) + CAST({offset} AS BIGINT)) s
                 ORDER BY s.created_us DESC, s.tail DESC LIMIT {limit} OFFSET {offset}",
                order = conditions.order()
            )
        }
        _ => format!(
            "SELECT s.organization, s.created_us, s.tail FROM agent_sessions s WHERE {}
             ORDER BY {} LIMIT {limit} OFFSET {offset}",
            conditions.sql,
            conditions.order()
        ),
    };
    let bytes = conditions.bind(MAX_PAGE_BYTES);
    let sql = format!(
        "SELECT CAST(NULL AS BIGINT), body, found FROM
             (SELECT s.created_us, s.tail, b.body, COUNT(*) OVER () AS found,
                  SUM(OCTET_LENGTH(b.body)) OVER (ORDER BY s.created_us DESC, s.tail DESC)
                      - OCTET_LENGTH(b.body) AS before
              FROM ({found}) s
              JOIN agent_bodies b ON b.organization = s.organization AND b.created_us = s.created_us) w
         WHERE before < CAST({bytes} AS BIGINT) ORDER BY created_us DESC, tail DESC"
    );
    (Scan(intern_sql(sql)), conditions.values)
}

/// Merges the lists of some organizations. SQLite has no lateral joins, so a recursive query takes the newest session
/// from its queue and adds the next one of the same organization.
fn merge_organizations(conditions: &Conditions, limit: &str, offset: &str) -> String {
    let Conditions { sql, each, .. } = conditions;
    let next = format!(
        "CROSS JOIN agent_sessions n ON n.organization = o.id AND n.created_us =
             (SELECT s.created_us FROM agent_sessions s WHERE {sql} ORDER BY s.created_us DESC LIMIT 1)"
    );
    format!(
        "WITH RECURSIVE o (id, before_us, tail) AS
             (SELECT n.organization, n.created_us, n.tail FROM ({each}) o {next}
              UNION ALL SELECT n.organization, n.created_us, n.tail FROM o {next}
              ORDER BY 2 DESC, 3 DESC LIMIT {limit} OFFSET {offset})
         SELECT id AS organization, before_us AS created_us, tail FROM o"
    )
}

pub(crate) fn count_query(Conditions { sql, values, .. }: Conditions) -> ListQuery {
    (Scan(intern_sql(format!("SELECT COUNT(*) FROM agent_sessions s WHERE {sql}"))), values)
}

/// Counts sessions by agent, state and origin in one search.
pub(crate) fn count_by_columns(Conditions { sql, values, .. }: Conditions) -> ListQuery {
    let sql = format!(
        "SELECT s.agent, s.state, s.origin, COUNT(*) FROM agent_sessions s WHERE {sql}
         GROUP BY s.agent, s.state, s.origin"
    );
    (Scan(intern_sql(sql)), values)
}

/// The tags lead to the sessions.
pub(crate) fn count_by_tag(Conditions { sql, values, .. }: Conditions) -> ListQuery {
    let sql = format!(
        "SELECT x.tag, COUNT(*) FROM session_tags x WHERE x.organization = $1 AND
             (SELECT s.created_us FROM agent_sessions s
              WHERE s.organization = $1 AND s.created_us = x.session_us AND {sql}) IS NOT NULL
         GROUP BY x.tag ORDER BY COUNT(*) DESC, x.tag LIMIT 100"
    );
    (Scan(intern_sql(sql)), values)
}

/// Highest count first.
fn sort_counts<T: Ord>(counts: HashMap<T, u64>) -> Vec<(T, u64)> {
    let mut counts = counts.into_iter().collect::<Vec<_>>();
    counts.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
    counts
}

async fn read_sessions(rows: Rows, total: Rows, select: ListRange) -> Result<ListSlice<AgentSession>> {
    let (ListRange::Offset { limit, .. } | ListRange::Before { limit, .. }) = select;
    read_page(rows, total, limit, |columns| Ok(read_session(columns)?.into_session())).await
}
