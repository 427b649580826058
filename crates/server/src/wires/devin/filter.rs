//! `SessionsQueryParams`: which sessions a list is asked for.

use super::query::{Joined, Query, pieces};
use super::shapes::{ORIGINS, read_principal_id, read_session_id};
use domain::Refusal;
use domain::agent::{CATEGORIES, Range, SessionFilter};
use domain::ids::{OrganizationId, PrincipalId};
use domain::principal::PrincipalKind;
use domain::time::Micros;

/// What the lists of an organization know.
pub const KNOWN: &[&str] = &[
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

/// What those of the account know besides.
pub const KNOWN_IN_ACCOUNT: &[&str] = &["org_ids", "include_deleted_orgs"];

/// Items of a page when the request does not say.
const DEFAULT_FIRST: i64 = 100;
/// Items of the largest page.
const MAX_FIRST: i64 = 200;
/// The last second that a time may name: the end of the year 9999.
pub const LAST_SECOND: i64 = 253_402_300_799;

/// How much of a list is asked for, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// At most this many.
    pub first: u32,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// Reads `first` and `after`.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn paging(query: &Query) -> Result<Paging, Refusal> {
    let first = query.number("first", 1..=MAX_FIRST)?.unwrap_or(DEFAULT_FIRST);
    let after = query.one("after")?.map(str::to_owned);
    Ok(Paging { first: u32::try_from(first).unwrap_or(u32::MAX), after })
}

/// Which sessions a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// All but the tags.
    pub filter: SessionFilter,
    /// The tags, of which only the store can say whether a comma is a part of one.
    tags: Option<Vec<Joined>>,
}

impl Wanted {
    /// Reads the filters of a list of an organization, or of the account.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub fn read(query: &Query, in_account: bool) -> Result<Wanted, Refusal> {
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
                // What can be no session has no children.
                None => filter.sessions = Some(Vec::new()),
            }
        }
        if in_account {
            filter.organizations = ids(query, "org_ids", OrganizationId::parse);
            filter.include_deleted_organizations = query.flag("include_deleted_orgs")?.unwrap_or(false);
        }
        Ok(Wanted { filter, tags: query.joined("tags") })
    }

    /// The filter in one text, as cursors are bound to it: the same for the same values in another order.
    pub fn text(&self) -> String {
        let mut tags = self.tags.clone();
        if let Some(tags) = &mut tags {
            tags.sort();
            tags.dedup();
        }
        format!("{:?} {tags:?}", self.filter)
    }

    /// The texts that are one tag with commas in it, or several.
    pub fn doubtful_tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().flatten().filter_map(|tag| match tag {
            Joined::Maybe(text) => Some(text.as_str()),
            Joined::One(_) => None,
        })
    }

    /// The whole filter, when of the doubtful ones these are tags that exist.
    pub fn with_tags(self, existing: &[String]) -> SessionFilter {
        let expand = |tag: Joined| match tag {
            Joined::One(tag) => vec![tag],
            Joined::Maybe(tag) if existing.contains(&tag) => vec![tag],
            Joined::Maybe(text) => pieces(&text),
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

/// Ids that cannot be read are ids that nothing has.
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
/// [`Refusal::Invalid`] for one that there is not.
fn category(query: &Query) -> Result<Option<String>, Refusal> {
    match query.one("category")? {
        Some(category) if !CATEGORIES.contains(&category) => {
            Err(Refusal::invalid("category", format!("one of {}", CATEGORIES.join(", "))))
        }
        category => Ok(category.map(str::to_owned)),
    }
}

/// A session has one owner, a person or a machine: who asks for both at once asks for what there is not.
fn owners(query: &Query) -> Option<Vec<PrincipalId>> {
    let people = ids(query, "user_ids", |text| read_principal_id(text, PrincipalKind::User));
    let machines = ids(query, "service_user_ids", |text| read_principal_id(text, PrincipalKind::ServiceUser));
    match (people, machines) {
        (Some(_), Some(_)) => Some(Vec::new()),
        (people, machines) => people.or(machines),
    }
}

/// Half-open: from the first second (inclusive) until the second (exclusive).
fn range(query: &Query, from: &str, until: &str) -> Result<Range, Refusal> {
    let time = |name| -> Result<Option<Micros>, Refusal> {
        let seconds = query.number(name, 0..=LAST_SECOND)?;
        Ok(seconds.map(|seconds| Micros(seconds * 1_000_000)))
    };
    Ok(Range { from: time(from)?, until: time(until)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<Wanted, Refusal> {
        Wanted::read(&Query::read(Some(raw)).unwrap(), true)
    }

    #[test]
    fn a_tag_that_exists_with_its_comma_wins() {
        let wanted = read("tags=a,b&tags=c&tags[]=d,e").unwrap();
        assert_eq!(wanted.doubtful_tags().collect::<Vec<_>>(), ["a,b"]);
        let tags = |existing: &[&str]| {
            let existing = existing.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
            wanted.clone().with_tags(&existing).tags.unwrap()
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

    #[test]
    fn ids_that_cannot_be_let_nothing_through() {
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
    fn words_and_times_that_cannot_be_are_refused() {
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
