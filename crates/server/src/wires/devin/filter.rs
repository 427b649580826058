//! Reads `SessionsQueryParams`, the filter of a list of sessions.

use super::query::{CommaValue, Query, split_commas};
use super::shapes::{ORIGINS, read_principal_id, read_session_id};
use domain::Refusal;
use domain::agent::{CATEGORIES, SessionFilter, TimeRange};
use domain::ids::{OrganizationId, PrincipalId};
use domain::principal::PrincipalKind;
use domain::time::Micros;
use serde_json::json;

/// The query parameters of an organization's lists.
pub const PARAMETERS: &[&str] = &[
    "after",
    "first",
    "session_ids",
    "created_after",
    "created_before",
    "updated_after",
    "updated_before",
    "tags",
    "playbook_id",
    "origins",
    "schedule_id",
    "user_ids",
    "service_user_ids",
    "automation_ids",
    "repo_names",
    "parent_session_id",
    "category",
    "is_archived",
];

/// Further query parameters of the account's lists.
pub const ACCOUNT_PARAMETERS: &[&str] = &["org_ids", "include_deleted_orgs"];

/// Items of a page without `first`.
const DEFAULT_FIRST: i64 = 100;
/// Largest `first`.
const MAX_FIRST: i64 = 200;
/// Latest accepted time, in seconds since 1970: the end of the year 9999.
pub const LAST_SECOND: i64 = 253_402_300_799;

/// The requested page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// Most items on the page.
    pub first: u32,
    /// The cursor that the page before ended with.
    pub after: Option<String>,
}

/// Reads `first` and `after`.
///
/// # Errors
/// [`Refusal::Invalid`] for a `first` out of range, and for repeated parameters.
pub fn read_paging(query: &Query) -> Result<Paging, Refusal> {
    let first = query.number("first", 1..=MAX_FIRST)?.unwrap_or(DEFAULT_FIRST);
    let after = query.one("after")?.map(str::to_owned);
    Ok(Paging { first: u32::try_from(first).unwrap_or(u32::MAX), after })
}

/// The filter of a list of sessions, before its tags are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionListFilter {
    /// The filter without tags.
    pub filter: SessionFilter,
    /// The tags. Only the store can tell whether a comma is part of a tag.
    tags: Option<Vec<CommaValue>>,
}

impl SessionListFilter {
    /// Reads the filter of a list of an organization, or of the account.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the parameter.
    pub fn read(query: &Query, in_account: bool) -> Result<SessionListFilter, Refusal> {
        let mut filter = SessionFilter {
            sessions: ids(query, "session_ids", read_session_id),
            origins: words(query, "origins", &ORIGINS)?,
            owners: owners(query),
            created: range(query, "created_after", "created_before")?,
            updated: range(query, "updated_after", "updated_before")?,
            playbook: query.one("playbook_id")?.map(str::to_owned),
            schedule: query.one("schedule_id")?.map(str::to_owned),
            automations: list(query, "automation_ids"),
            repos: list(query, "repo_names"),
            category: category(query)?,
            archived: query.flag("is_archived")?,
            ..SessionFilter::default()
        };
        if let Some(parent) = query.one("parent_session_id")? {
            match read_session_id(parent) {
                Some(parent) => filter.parent = Some(parent),
                // A malformed id has no children.
                None => filter.sessions = Some(Vec::new()),
            }
        }
        if in_account {
            filter.organizations = ids(query, "org_ids", OrganizationId::parse);
            filter.include_deleted_organizations = query.flag("include_deleted_orgs")?.unwrap_or(false);
        }
        Ok(SessionListFilter { filter, tags: query.comma_values("tags") })
    }

    /// The filter as one text, which cursors are bound to. The order of values does not change it. Live cursors depend on
    /// each byte: another encoding needs another version, the first item, and ends them.
    pub fn text(&self) -> String {
        let SessionFilter {
            organizations,
            include_deleted_organizations,
            sessions,
            origins,
            owners,
            created,
            updated,
            playbook,
            schedule,
            automations,
            repos,
            parent,
            category,
            archived,
            // No parameter sets these. The tags are not resolved yet.
            agents: _,
            search: _,
            states: _,
            tags: _,
        } = &self.filter;
        let tags = self.tags.as_ref().map(|tags| {
            unique(tags.iter().map(|tag| (matches!(tag, CommaValue::Ambiguous(_)), tag.as_str())).collect())
        });
        json!([
            1,
            organizations,
            include_deleted_organizations,
            sessions,
            origins,
            owners,
            [created.from, created.until],
            [updated.from, updated.until],
            playbook,
            schedule,
            automations,
            repos,
            parent,
            category,
            archived,
            tags,
        ])
        .to_string()
    }

    /// The texts that can be one tag with commas, or several tags.
    pub fn ambiguous_tags(&self) -> Vec<String> {
        let ambiguous = |tag: &&CommaValue| matches!(tag, CommaValue::Ambiguous(_));
        self.tags.iter().flatten().filter(ambiguous).map(|tag| tag.as_str().to_owned()).collect()
    }

    /// The whole filter, given which of the ambiguous texts exist as tags.
    pub fn resolve_tags(self, existing: &[String]) -> SessionFilter {
        let expand = |tag: CommaValue| match tag {
            CommaValue::One(tag) => vec![tag],
            CommaValue::Ambiguous(tag) if existing.contains(&tag) => vec![tag],
            CommaValue::Ambiguous(text) => split_commas(&text),
        };
        let tags = self.tags.map(|tags| unique(tags.into_iter().flat_map(expand).collect()));
        SessionFilter { tags, ..self.filter }
    }
}

fn unique<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values.dedup();
    values
}

fn list(query: &Query, name: &str) -> Option<Vec<String>> {
    query.list(name).map(unique)
}

/// Reads a list of ids. Malformed ids match nothing.
fn ids<T: Ord>(query: &Query, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    query.list(name).map(|texts| unique(texts.iter().filter_map(|text| read(text)).collect()))
}

fn words(query: &Query, name: &str, known: &[&str]) -> Result<Option<Vec<String>>, Refusal> {
    let Some(words) = list(query, name) else { return Ok(None) };
    if words.iter().all(|word| known.contains(&word.as_str())) {
        return Ok(Some(words));
    }
    Err(Refusal::invalid(name, format!("any of {}", known.join(", "))))
}

/// Reads a category.
///
/// # Errors
/// [`Refusal::Invalid`] for an unknown category.
fn category(query: &Query) -> Result<Option<String>, Refusal> {
    match query.one("category")? {
        Some(category) if !CATEGORIES.contains(&category) => {
            Err(Refusal::invalid("category", format!("one of {}", CATEGORIES.join(", "))))
        }
        category => Ok(category.map(str::to_owned)),
    }
}

/// Reads the owners. A session has one owner, a user or a service user: a filter by both matches nothing.
fn owners(query: &Query) -> Option<Vec<PrincipalId>> {
    let people = ids(query, "user_ids", |text| read_principal_id(text, PrincipalKind::User));
    let machines = ids(query, "service_user_ids", |text| read_principal_id(text, PrincipalKind::ServiceUser));
    match (people, machines) {
        (Some(_), Some(_)) => Some(Vec::new()),
        (people, machines) => people.or(machines),
    }
}

/// Reads a half-open range of seconds: `from` is inclusive, `until` is exclusive.
fn range(query: &Query, from: &str, until: &str) -> Result<TimeRange, Refusal> {
    let time = |name| -> Result<Option<Micros>, Refusal> {
        let seconds = query.number(name, 0..=LAST_SECOND)?;
        Ok(seconds.map(|seconds| Micros(seconds * 1_000_000)))
    };
    Ok(TimeRange { from: time(from)?, until: time(until)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<SessionListFilter, Refusal> {
        SessionListFilter::read(&Query::read(Some(raw)).unwrap(), true)
    }

    #[test]
    fn an_existing_tag_with_a_comma_wins() {
        let filter = read("tags=a,b&tags=c&tags[]=d,e").unwrap();
        assert_eq!(filter.ambiguous_tags(), ["a,b"]);
        let tags = |existing: &[&str]| {
            let existing = existing.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
            filter.clone().resolve_tags(&existing).tags.unwrap()
        };
        assert_eq!(tags(&["a,b"]), ["a,b", "c", "d,e"]);
        assert_eq!(tags(&[]), ["a", "b", "c", "d,e"]);
    }

    #[test]
    fn the_text_does_not_depend_on_the_order() {
        let texts = [
            "tags=a&tags=b&session_ids=x&origins=api,cli",
            "origins=cli&origins=api&session_ids=x&tags=b&tags=a",
        ]
        .map(|raw| read(raw).unwrap().text());
        assert_eq!(texts[0], texts[1]);
        assert_ne!(texts[0], read("tags=a&session_ids=x&origins=api,cli").unwrap().text());
    }

    /// Another text ends every live cursor.
    #[test]
    fn the_text_of_a_filter_is_frozen() {
        let none =
            "[1,null,false,null,null,null,[null,null],[null,null],null,null,null,null,null,null,null,null]";
        assert_eq!(read("").unwrap().text(), none);
        let raw = "org_ids=00000000-0000-0000-0000-000000000009&include_deleted_orgs=true&origins=cli,api\
                   &session_ids=01890000-0000-7000-8000-000000000007&created_after=1&created_before=2&updated_after=3\
                   &user_ids=user-00000000000000000000000000000002&playbook_id=p&schedule_id=s&automation_ids=m\
                   &repo_names=r&parent_session_id=01890000-0000-7000-8000-000000000008&category=other\
                   &is_archived=false&tags=a&tags=b,c&tags[]=d,e";
        let all = r#"[1,["00000000-0000-0000-0000-000000000009"],true,["01890000-0000-7000-8000-000000000007"],
            ["api","cli"],["00000000-0000-0000-0000-000000000002"],[1000000,2000000],[3000000,null],"p","s",["m"],["r"],
            "01890000-0000-7000-8000-000000000008","other",false,[[false,"a"],[false,"d,e"],[true,"b,c"]]]"#;
        assert_eq!(read(raw).unwrap().text(), all.replace(['\n', ' '], ""));
    }

    #[test]
    fn invalid_ids_in_a_filter_match_nothing() {
        for raw in ["session_ids=x", "user_ids=service-user-0", "org_ids=acme", "session_ids="] {
            let filter = read(raw).unwrap().filter;
            let empty = filter.sessions == Some(vec![])
                || filter.owners == Some(vec![])
                || filter.organizations == Some(vec![]);
            assert!(empty, "{raw}: {filter:?}");
        }
        assert_eq!(read("parent_session_id=x").unwrap().filter.sessions, Some(vec![]));
        assert_eq!(read("user_ids=a&service_user_ids=b").unwrap().filter.owners, Some(vec![]));
    }

    #[test]
    fn invalid_words_and_times_are_refused() {
        for raw in [
            "category=cooking",
            "category=other&category=security",
            "origins=api,fax",
            "created_after=yesterday",
            "created_before=-1",
            "updated_after=1.5",
            "updated_before=253402300800",
            "is_archived=perhaps",
            "include_deleted_orgs=2",
            "playbook_id=a&playbook_id=b",
        ] {
            assert!(matches!(read(raw), Err(Refusal::Invalid { .. })), "{raw}");
        }
        for category in CATEGORIES {
            assert!(read(&format!("category={category}")).is_ok(), "{category}");
        }
    }
}
