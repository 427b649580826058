//! Filters that people write: reads them, and looks up what their names and words stand for.

use super::facets::{CountedField, count_values};
use super::parts;
use crate::app::App;
use crate::failure::Failure;
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::session::{Field, FieldValue, Filter, SessionKind, ValueField};
use filter::{
    CountedValue, LocalTime, Lookup, LookupResult, Resolved, SessionQuery, TextPattern, ValueSource,
};
use foldhash::quality::FixedState;
use index::Facet;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use store::{NamePattern, VisibleSessions};
use uuid::Uuid;

/// A filter that was read, with what its names and words stand for.
#[derive(Debug, Clone)]
pub struct ListFilter {
    query: SessionQuery,
    resolved: Resolved,
}

impl ListFilter {
    /// The filter.
    pub fn filter(&self) -> Filter {
        self.query.compile(&self.resolved)
    }

    /// The filter without the conditions that concern one field alone.
    pub fn filter_without(&self, field: ValueField) -> Filter {
        self.query.without_field(field).compile(&self.resolved)
    }

    /// Whether what it means depends on names or texts, which change without a change of the sessions that they are of.
    pub fn needs_lookups(&self) -> bool {
        !self.resolved.results.is_empty()
    }

    /// A hash of what its names and words stand for.
    pub fn hash_lookups(&self) -> u64 {
        FixedState::default().hash_one(format!("{:?}", self.resolved.results))
    }

    /// Whether sessions enter and leave its list with the time.
    pub fn needs_time(&self) -> bool {
        self.filter().follows_time()
    }

    /// The filter as it was read: its times are absolute.
    pub fn text(&self) -> String {
        self.query.to_string()
    }
}

/// Reads a filter. Its days begin in a time zone.
///
/// # Errors
/// [`Failure::Filter`] with all its faults.
pub async fn read_filter(
    app: &App,
    visible: &VisibleSessions,
    text: &str,
    zone: TimeZone,
) -> Result<ListFilter, Failure> {
    let local = LocalTime { now: app.now(), zone };
    let query = filter::read(text, &local)
        .map_err(|faults| Failure::Filter { text: text.to_owned(), faults: Box::new(faults) })?;
    let me = visible.principal().unwrap_or(PrincipalId(Uuid::nil()));
    let mut filter = ListFilter { query, resolved: Resolved { me, results: BTreeMap::new() } };
    resolve_again(app, visible, &mut filter).await?;
    Ok(filter)
}

/// Looks up again what the names and words of a filter stand for.
pub async fn resolve_again(
    app: &App,
    visible: &VisibleSessions,
    filter: &mut ListFilter,
) -> Result<(), Failure> {
    for lookup in filter.query.names_to_resolve() {
        let found = resolve(app, visible, &lookup).await?;
        filter.resolved.results.insert(lookup, found);
    }
    Ok(())
}

async fn resolve(app: &App, visible: &VisibleSessions, lookup: &Lookup) -> Result<LookupResult, Failure> {
    let of_ids = |ids| LookupResult { ids, ..LookupResult::default() };
    let of_sessions = |sessions| LookupResult { sessions, ..LookupResult::default() };
    Ok(match lookup {
        Lookup::Owner(name) => of_ids(app.store.find_principal_ids(visible, &pattern(name)).await?),
        Lookup::Agent(name) => of_ids(app.store.find_agent_ids(visible, &pattern(name)).await?),
        Lookup::Organization(name) => of_ids(app.store.find_organization_ids(visible, &pattern(name)).await?),
        Lookup::Title(title) => of_sessions(find_titles(app, visible, title).await?),
        Lookup::Word(word) => LookupResult {
            ids: app.store.find_principal_ids(visible, &NamePattern::Contains(word.clone())).await?,
            sessions: search(app, visible, word).await?.into_values().flatten().collect(),
            device_names: find_device_names(app, visible, word).await?,
        },
        Lookup::Parents => {
            let parents = list_values(app, visible, ValueField::Parent).await?;
            let ids = parents.into_iter().filter_map(|facet| match facet.value {
                FieldValue::Id(id) => SessionId::from_uuid(id),
                FieldValue::Text(_) => None,
            });
            of_sessions(ids.collect())
        }
    })
}

fn pattern(text: &TextPattern) -> NamePattern {
    match text.clone() {
        TextPattern::Exact(text) => NamePattern::Exact(text),
        TextPattern::Prefix(text) => NamePattern::Prefix(text),
        TextPattern::Contains(text) => NamePattern::Contains(text),
    }
}

/// The agent sessions that have a text in the title or in a preview, by organization.
async fn search(
    app: &App,
    visible: &VisibleSessions,
    text: &str,
) -> Result<BTreeMap<OrganizationId, BTreeSet<SessionId>>, Failure> {
    let mut found = BTreeMap::new();
    for organization in list_agent_organizations(app, visible).await? {
        let sessions = app.store.search_visible_sessions(visible, organization, text).await?;
        found.insert(organization, sessions);
    }
    Ok(found)
}

/// The visible organizations that have agent sessions.
async fn list_agent_organizations(
    app: &App,
    visible: &VisibleSessions,
) -> Result<Vec<OrganizationId>, Failure> {
    let agents = Filter::has_text(ValueField::Kind, [SessionKind::Agent.name()]);
    let field = CountedField { field: ValueField::Organization, filter: agents.clone() };
    let (_, counts) = count_values(app, visible, &agents, &[field], usize::MAX).await?;
    let ids = counts.into_iter().flat_map(|counts| counts.values).filter_map(|facet| match facet.value {
        FieldValue::Id(id) => Some(OrganizationId(id)),
        FieldValue::Text(_) => None,
    });
    Ok(ids.collect())
}

async fn find_titles(
    app: &App,
    visible: &VisibleSessions,
    title: &TextPattern,
) -> Result<BTreeSet<SessionId>, Failure> {
    let mut found = BTreeSet::new();
    for (organization, sessions) in search(app, visible, title.text()).await? {
        let accepts = |text: &str| title.accepts(text);
        found.extend(app.store.filter_by_title(visible, organization, sessions, accepts).await?);
    }
    Ok(found)
}

async fn find_device_names(
    app: &App,
    visible: &VisibleSessions,
    word: &str,
) -> Result<BTreeSet<String>, Failure> {
    let word = word.to_lowercase();
    let names = list_values(app, visible, ValueField::DeviceName).await?.into_iter();
    let names = names.filter_map(|facet| match facet.value {
        FieldValue::Text(name) => Some(name).filter(|name| name.to_lowercase().contains(&word)),
        FieldValue::Id(_) => None,
    });
    Ok(names.collect())
}

/// All values of a field that visible sessions have, the most frequent first.
async fn list_values(app: &App, visible: &VisibleSessions, field: ValueField) -> Result<Vec<Facet>, Failure> {
    let (parts, now) = (visible.parts(), app.now());
    let counted = app.sessions.read(now, |index| parts::facets(index, &parts, now, &[field])).await?;
    Ok(counted.into_iter().flatten().collect())
}

/// The values that visible sessions have of the field that is being typed.
struct KnownValues {
    values: Vec<CountedValue>,
}

impl ValueSource for KnownValues {
    fn find_values(&self, _: Field, _: &str) -> Vec<CountedValue> {
        self.values.clone()
    }
}

/// What can stand at a cursor of a text, which may be unfinished. The cursor is in code points.
pub async fn complete_filter(
    app: &App,
    visible: &VisibleSessions,
    text: &str,
    cursor: usize,
) -> Result<filter::Completion, Failure> {
    let values = match filter::find_completed_field(text, cursor) {
        Some((Field::Value(field), typed)) => find_typed_values(app, visible, field, &typed).await?,
        _ => Vec::new(),
    };
    Ok(filter::complete(text, cursor, &KnownValues { values }))
}

/// The most values that are offered.
const OFFERED: usize = 50;
/// The most ids whose names are read to find one that was typed.
const NAMED: usize = 2_000;

async fn find_typed_values(
    app: &App,
    visible: &VisibleSessions,
    field: ValueField,
    typed: &str,
) -> Result<Vec<CountedValue>, Failure> {
    let counts = list_values(app, visible, field).await?;
    let typed = typed.to_lowercase();
    let mut texts = Vec::new();
    let ids = counts.iter().filter_map(|facet| match facet.value {
        FieldValue::Id(id) => Some(id),
        FieldValue::Text(_) => None,
    });
    let names = app.store.load_value_names(visible, field, ids.take(NAMED)).await?;
    for Facet { value, count } in counts {
        let (text, help) = match value {
            FieldValue::Text(text) => (text, None),
            FieldValue::Id(id) => match names.get(&id) {
                Some((name, help)) => (name.clone(), help.clone()),
                None => (id.to_string(), None),
            },
        };
        let fits = |text: &str| text.to_lowercase().contains(&typed);
        if fits(&text) || help.as_deref().is_some_and(fits) {
            texts.push(CountedValue { text, help, count: Some(count) });
        }
        if texts.len() == OFFERED {
            break;
        }
    }
    Ok(texts)
}

/// The names of the ids that some fields have, for people.
pub async fn name_values(
    app: &App,
    visible: &VisibleSessions,
    field: ValueField,
    ids: impl Iterator<Item = Uuid>,
) -> Result<std::collections::HashMap<Uuid, (String, Option<String>)>, Failure> {
    Ok(app.store.load_value_names(visible, field, ids).await?)
}
