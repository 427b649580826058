//! [`SessionFilter`] in SQL. The conditions select the sessions for which [`SessionFilter::matches`] is true.
//!
//! Each list of values is bound as one JSON text, so that the text of a statement does not depend on its length. The
//! two databases differ in how such a text becomes rows. Conditions that lead to rows by a key (tags, sessions,
//! organizations) are present only when the filter has them. All other conditions are one group, which is present as
//! a whole or not at all. So there are only a few statements, and each is prepared once.

use crate::access::lane::Scan;
use crate::agents::lists::ListQuery;
use crate::database::Value;
use domain::agent::SessionFilter;
use domain::ids::{OrganizationId, SessionId};
use domain::time::Micros;
use std::collections::HashSet;
use std::sync::Mutex;
use uuid::Uuid;

/// No session's title or preview is longer.
const MAX_SEARCH_CHARS: usize = 8_000;

/// The sessions that a list is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListReach {
    /// Those of one organization, which is `$1`.
    Organization,
    /// Those of one organization, which is `$1`, when another table leads to each session and the conditions check
    /// it.
    Known,
    /// Those of all organizations.
    Account,
    /// Those of the listed organizations, each by its own range of the key: organization `o.id`, before
    /// `o.before_us`.
    Each,
}

/// Conditions on `agent_sessions s`, and the values of their parameters.
pub(crate) struct Conditions {
    pub(crate) sqlite: bool,
    pub(crate) reach: ListReach,
    /// The expression for the time of a session, in comparisons and in the order.
    at: &'static str,
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
    /// The rows `o` of [`ListReach::Each`], as a query; empty otherwise.
    pub(crate) each: String,
}

/// The type of the values of a list.
#[derive(Clone, Copy)]
enum ListKind {
    Text,
    Int,
    Id,
}

/// The conditions of a filter, for the sessions after a position in the list.
pub(crate) fn conditions(
    sqlite: bool,
    reach: ListReach,
    filter: &SessionFilter,
    position: Option<(Micros, SessionId)>,
) -> Conditions {
    let other_keys = match reach {
        ListReach::Organization => filter.sessions.is_some() || filter.tags.is_some(),
        ListReach::Known | ListReach::Each => false,
        ListReach::Account => filter.organizations.is_some(),
    };
    // Otherwise PostgreSQL would walk the times and compare each with all rows that the other keys lead to. No index
    // has a sum.
    let at = if other_keys && !sqlite { "s.created_us + 0" } else { "s.created_us" };
    let mut conditions =
        Conditions { sqlite, reach, at, sql: String::new(), values: Vec::new(), each: String::new() };
    conditions.add_range(filter, position);
    if let Some(list) = filter.organizations.as_ref().filter(|_| reach != ListReach::Each) {
        let number = conditions.bind(json_organizations(list));
        let condition = conditions.is_in("s.organization", number, ListKind::Id);
        conditions.add(&condition);
    }
    if let Some(sessions) = &filter.sessions {
        conditions.add_sessions(sessions);
    }
    if let Some(tags) = &filter.tags {
        let number = conditions.bind(json_texts(tags));
        let condition = conditions.has_tag(number);
        conditions.add(&condition);
    }
    if has_remaining_conditions(filter) {
        conditions.add_remaining(filter);
    }
    conditions
}

/// Whether the filter has any condition of the group.
fn has_remaining_conditions(filter: &SessionFilter) -> bool {
    let by_key = SessionFilter {
        organizations: filter.organizations.clone(),
        include_deleted_organizations: filter.include_deleted_organizations,
        sessions: filter.sessions.clone(),
        tags: filter.tags.clone(),
        created: filter.created,
        ..SessionFilter::default()
    };
    by_key != *filter
}

impl Conditions {
    /// Adds a value. Returns its parameter.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        let before = usize::from(matches!(self.reach, ListReach::Organization | ListReach::Known));
        format!("${}", self.values.len() + before)
    }

    /// The order of the list.
    pub(crate) fn order(&self) -> String {
        match self.reach {
            ListReach::Organization | ListReach::Known | ListReach::Each => {
                format!("s.organization DESC, {} DESC", self.at)
            }
            ListReach::Account => format!("{} DESC, s.tail DESC", self.at),
        }
    }

    fn add(&mut self, condition: &str) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(condition);
    }

    /// The range of the key. Within an organization the whole key is compared. Otherwise PostgreSQL may walk the
    /// account's index and skip the rows of other organizations one by one.
    fn add_range(&mut self, filter: &SessionFilter, position: Option<(Micros, SessionId)>) {
        let from = filter.created.from.map_or(i64::MIN, |from| from.0);
        let mut until = filter.created.until.map_or(i64::MAX, |until| until.0);
        match self.reach {
            ListReach::Organization | ListReach::Known => {
                until = position.map_or(until, |(before, _)| until.min(before.0));
                let (from, until) = (self.bind(from), self.bind(until));
                let range = match filter.sessions.is_some() || filter.tags.is_some() {
                    // Other keys lead to the sessions, which are looked up one by one.
                    true => format!("s.organization = $1 AND {0} >= {from} AND {0} < {until}", self.at),
                    false => format!(
                        "(s.organization, s.created_us) >= ($1, {from})
                             AND (s.organization, s.created_us) < ($1, {until})"
                    ),
                };
                self.add(&range);
            }
            ListReach::Account | ListReach::Each => {
                let (at, tail) = position.map_or((i64::MAX, i64::MAX), |(at, id)| (at.0, id.tail() as i64));
                until = until.min(at.saturating_add(1));
                let (from, until) = (self.bind(from), self.bind(until));
                let (at, tail) = (self.bind(at), self.bind(tail));
                let range = match self.reach {
                    ListReach::Each if self.sqlite => {
                        format!(
                            "s.organization = o.id AND s.created_us >= {from} AND s.created_us < o.before_us"
                        )
                    }
                    ListReach::Each => format!(
                        "(s.organization, s.created_us) >= (o.id, {from})
                             AND (s.organization, s.created_us) < (o.id, o.before_us)"
                    ),
                    _ => format!("{0} >= {from} AND {0} < {until}", self.at),
                };
                self.add(&range);
                self.add(&format!("({}, s.tail) < ({at}, {tail})", self.at));
                let deleted = self.bind(filter.include_deleted_organizations);
                let is_listed = |organization| {
                    format!(
                        "({deleted} = 1 OR {organization} NOT IN
                             (SELECT id FROM organizations WHERE deleted_us IS NOT NULL))"
                    )
                };
                match self.reach {
                    ListReach::Each => self.each = self.organization_rows(filter, &until, &is_listed("o.id")),
                    _ => self.add(&is_listed("s.organization")),
                }
            }
        }
    }

    /// The listed organizations, each once, with the time before which its range begins.
    fn organization_rows(&mut self, filter: &SessionFilter, until: &str, is_listed: &str) -> String {
        let list = self.bind(filter.organizations.as_ref().map(|list| json_organizations(list)));
        let ids = match self.sqlite {
            true => format!("unhex(value) AS id FROM json_each({list})"),
            false => format!("{} AS id", elements(&list, ListKind::Id)),
        };
        format!(
            "SELECT o.id, CAST({until} AS BIGINT) AS before_us FROM (SELECT DISTINCT {ids}) o WHERE {is_listed}"
        )
    }

    /// The times lead to the rows; then the rest of the ids is compared.
    fn add_sessions(&mut self, sessions: &[SessionId]) {
        let times: Vec<i64> = sessions.iter().map(|id| id.creation_time().0).collect();
        let pair = |id: &SessionId| format!("{}.{}", id.creation_time().0, id.tail());
        let number = self.bind(serde_json::json!(times).to_string());
        let at = self.is_in("s.created_us", number, ListKind::Int);
        let number = self.bind(json_texts(&sessions.iter().map(pair).collect::<Vec<_>>()));
        let key = "CAST(s.created_us AS TEXT) || '.' || CAST(s.tail AS TEXT)";
        let ids = self.is_in(key, number, ListKind::Text);
        self.add(&format!("{at} AND {ids}"));
    }

    fn add_remaining(&mut self, filter: &SessionFilter) {
        let one =
            |value: &Option<String>| value.as_ref().map(|value| json_texts(std::slice::from_ref(value)));
        let states = filter.states.as_ref().map(|states| {
            json_texts(&states.iter().map(|state| state.name().to_owned()).collect::<Vec<_>>())
        });
        let uuids = |ids: Option<Vec<Uuid>>| ids.map(|ids| json_ids(&ids));
        let agents = filter.agents.as_ref().map(|agents| agents.iter().map(|agent| agent.0).collect());
        let owners = filter.owners.as_ref().map(|owners| owners.iter().map(|owner| owner.0).collect());
        for (column, list, kind) in [
            ("s.agent", uuids(agents), ListKind::Id),
            ("s.owner", uuids(owners), ListKind::Id),
            ("s.state", states, ListKind::Text),
            ("s.origin", filter.origins.as_deref().map(json_texts), ListKind::Text),
            ("s.playbook", one(&filter.playbook), ListKind::Text),
            ("s.schedule", one(&filter.schedule), ListKind::Text),
            ("s.automation", filter.automations.as_deref().map(json_texts), ListKind::Text),
            ("s.category", one(&filter.category), ListKind::Text),
        ] {
            let number = self.bind(list);
            let condition = self.is_in(column, number.clone(), kind);
            self.add(&format!("(CAST({number} AS TEXT) IS NULL OR {condition})"));
        }
        let number = self.bind(filter.repos.as_deref().map(json_texts));
        let condition = self.has("session_repos", "repo", number.clone());
        self.add(&format!("(CAST({number} AS TEXT) IS NULL OR {condition})"));
        self.add_single_values(filter);
    }

    fn add_single_values(&mut self, filter: &SessionFilter) {
        let archived = self.bind(match filter.archived {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        });
        self.add(&format!(
            "({archived} = 0 OR ({archived} = 1 AND s.archived_us IS NULL)
                 OR ({archived} = 2 AND s.archived_us IS NOT NULL))"
        ));
        let from = self.bind(filter.updated.from.map_or(i64::MIN, |from| from.0));
        let until = self.bind(filter.updated.until.map_or(i64::MAX, |until| until.0));
        self.add(&format!("s.updated_us >= {from} AND s.updated_us < {until}"));
        let parent = self.bind(filter.parent.map(|parent| parent.creation_time()));
        let tail = self.bind(filter.parent.map(|parent| parent.tail() as i64));
        self.add(&format!(
            "(CAST({parent} AS BIGINT) IS NULL OR (s.parent_us = {parent} AND s.parent_tail = {tail}))"
        ));
        let pattern = self.bind(filter.search.as_deref().map(search_pattern));
        self.add(&format!(
            "(CAST({pattern} AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM agent_bodies x
                 WHERE x.organization = s.organization AND x.created_us = s.created_us
                   AND x.search LIKE {pattern} ESCAPE '\\'))"
        ));
    }

    /// Whether a column has one of the values of a list.
    fn is_in(&self, column: &str, number: String, kind: ListKind) -> String {
        if self.sqlite {
            let value = if matches!(kind, ListKind::Id) { "unhex(value)" } else { "value" };
            return format!("{column} IN (SELECT {value} FROM json_each({number}))");
        }
        format!("{column} = ANY (ARRAY(SELECT {}))", elements(&number, kind))
    }

    /// Whether a side table has one of the values of a list for the session.
    fn has(&self, table: &str, column: &str, number: String) -> String {
        let condition = self.is_in(&format!("t.{column}"), number, ListKind::Text);
        match self.reach {
            ListReach::Organization => format!(
                "s.created_us IN (SELECT t.session_us FROM {table} t WHERE t.organization = $1 AND {condition})"
            ),
            // The limit keeps PostgreSQL from turning this into a join.
            ListReach::Known | ListReach::Account | ListReach::Each => format!(
                "(SELECT t.session_us FROM {table} t WHERE t.organization = s.organization
                      AND t.session_us = s.created_us AND {condition} LIMIT 1) IS NOT NULL"
            ),
        }
    }

    /// Whether the session has one of some tags. Within an organization the tags lead to the sessions. PostgreSQL
    /// would compare every session with every row of the tags unless these come as an array.
    fn has_tag(&self, number: String) -> String {
        if self.sqlite || self.reach != ListReach::Organization {
            return self.has("session_tags", "tag", number);
        }
        let condition = self.is_in("t.tag", number, ListKind::Text);
        format!(
            "s.created_us = ANY (ARRAY(SELECT t.session_us FROM session_tags t
                 WHERE t.organization = $1 AND {condition}))"
        )
    }
}

/// The values of a list, for PostgreSQL.
fn elements(number: &str, kind: ListKind) -> String {
    let text = format!("jsonb_array_elements_text(CAST(CAST({number} AS TEXT) AS jsonb))");
    match kind {
        ListKind::Text => text,
        ListKind::Int => format!("CAST({text} AS BIGINT)"),
        ListKind::Id => format!("CAST({text} AS UUID)"),
    }
}

/// The tags of a list that exist in an organization: one look-up by key for each.
pub(crate) fn existing_tags_query(sqlite: bool, tags: &[String]) -> ListQuery {
    let sql = format!(
        "SELECT w.value FROM ({}) w
         WHERE (SELECT t.tag FROM session_tags t WHERE t.organization = $1 AND t.tag = w.value LIMIT 1) IS NOT NULL",
        rows_of(sqlite, "$2")
    );
    (Scan(intern_sql(sql)), vec![json_texts(tags).into()])
}

/// The tags of a list that exist in the organizations of a filter: one look-up by key for each tag and organization.
pub(crate) fn account_existing_tags_query(
    sqlite: bool,
    filter: &SessionFilter,
    tags: &[String],
) -> ListQuery {
    let in_organizations = match sqlite {
        true => "o.id IN (SELECT unhex(value) FROM json_each($2))".to_owned(),
        false => format!("o.id = ANY (ARRAY(SELECT {}))", elements("$2", ListKind::Id)),
    };
    // The limits keep PostgreSQL from turning this into joins, which would read all tags of an organization.
    let sql = format!(
        "SELECT w.value FROM ({}) w WHERE
             (SELECT o.id FROM organizations o
              WHERE ($3 = 1 OR o.deleted_us IS NULL) AND (CAST($2 AS TEXT) IS NULL OR {in_organizations})
                AND (SELECT t.tag FROM session_tags t WHERE t.organization = o.id AND t.tag = w.value LIMIT 1)
                    IS NOT NULL
              LIMIT 1) IS NOT NULL",
        rows_of(sqlite, "$1"),
    );
    let organizations = filter.organizations.as_ref().map(|list| json_organizations(list));
    (
        Scan(intern_sql(sql)),
        vec![json_texts(tags).into(), organizations.into(), filter.include_deleted_organizations.into()],
    )
}

/// The rows `value` of a list.
fn rows_of(sqlite: bool, number: &str) -> String {
    match sqlite {
        true => format!("SELECT value FROM json_each({number})"),
        false => format!("SELECT {} AS value", elements(number, ListKind::Text)),
    }
}

/// Keeps one copy of a statement's text for the life of the program. There are few of them; see above.
pub(crate) fn intern_sql(sql: String) -> &'static str {
    static INTERNED: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut interned = INTERNED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let interned = interned.get_or_insert_default();
    if let Some(known) = interned.get(sql.as_str()) {
        return known;
    }
    let new: &'static str = Box::leak(sql.into_boxed_str());
    interned.insert(new);
    new
}

/// A list of texts as JSON. Texts with NUL are left out: no row has one, and PostgreSQL refuses them.
fn json_texts(values: &[String]) -> String {
    let possible = values.iter().filter(|value| !value.contains('\0')).collect::<Vec<_>>();
    serde_json::json!(possible).to_string()
}

fn json_organizations(list: &[OrganizationId]) -> String {
    json_ids(&list.iter().map(|organization| organization.0).collect::<Vec<_>>())
}

fn json_ids(values: &[Uuid]) -> String {
    let hex = values.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>();
    serde_json::json!(hex).to_string()
}

fn search_pattern(search: &str) -> String {
    let bounded = search.replace('\0', "\u{ffff}").chars().take(MAX_SEARCH_CHARS).collect::<String>();
    crate::rows::contains_pattern(&bounded)
}
