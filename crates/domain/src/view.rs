//! Saved views of lists of sessions.

use crate::ids::{OrganizationId, PrincipalId, ViewId};
use crate::name::check_line;
use crate::refusal::Refusal;
use crate::session::{Field, SessionOrder};
use crate::time::Micros;
use std::collections::BTreeSet;

/// The most views of a person, and the most of an organization.
pub const MAX_VIEWS: u32 = 200;
/// Maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// A saved view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListView {
    /// Its id.
    pub id: ViewId,
    /// The organization whose members share it; `None` for a view of its creator alone.
    pub organization: Option<OrganizationId>,
    /// Who saved it first.
    pub creator: PrincipalId,
    /// What it shows.
    pub content: ViewContent,
    /// When it was saved first.
    pub created: Micros,
    /// When it was saved last.
    pub updated: Micros,
}

/// What a view shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ViewContent {
    /// Its name, which no other view of its owner has.
    pub name: String,
    /// The filter in canonical text.
    pub filter: String,
    /// The filter as somebody wrote it.
    pub written: String,
    /// The field of the order, with `-` in front for the greatest first; `None` for the newest first.
    pub order: Option<String>,
    /// The names of the fields that it shows, in order; empty for the usual ones.
    pub columns: Vec<String>,
}

impl ViewContent {
    /// Checks everything but the filter.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub fn check(&self) -> Result<(), Refusal> {
        if self.name.trim().is_empty() || check_line("name", &self.name, MAX_NAME_CHARS).is_err() {
            let expected = format!(
                "1 to {MAX_NAME_CHARS} characters, not all of them blank and none a control character"
            );
            return Err(Refusal::invalid("name", expected));
        }
        if self.order.as_deref().is_some_and(|order| SessionOrder::parse(order).is_none()) {
            return Err(Refusal::invalid(
                "order",
                "a field that sessions are ordered by, with - in front for the greatest first",
            ));
        }
        let mut seen = BTreeSet::new();
        let wrong = self.columns.iter().position(|name| Field::parse(name).is_none() || !seen.insert(name));
        match wrong {
            Some(at) => Err(Refusal::invalid(format!("columns[{at}]"), "the name of a field, once")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_value_is_refused_by_its_field() {
        let good = ViewContent {
            name: "n".repeat(100),
            order: Some("-created".to_owned()),
            columns: vec!["state".to_owned(), "owner".to_owned()],
            ..ViewContent::default()
        };
        assert_eq!(good.check(), Ok(()));
        let named = |name: &str| ViewContent { name: name.to_owned(), ..good.clone() };
        let ordered = |order: &str| ViewContent { order: Some(order.to_owned()), ..good.clone() };
        let shown = |columns: &[&str]| ViewContent {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            ..good.clone()
        };
        for (content, expected) in [
            (named(""), "name"),
            (named("  "), "name"),
            (named("a\nb"), "name"),
            (named(&"n".repeat(101)), "name"),
            (ordered(""), "order"),
            (ordered("-"), "order"),
            (ordered("--created"), "order"),
            (ordered("stat"), "order"),
            (shown(&["state", "stat"]), "columns[1]"),
            (shown(&["state", "owner", "state"]), "columns[2]"),
        ] {
            let refused = content.check();
            assert!(
                matches!(&refused, Err(Refusal::Invalid { field, .. }) if field == expected),
                "{refused:?}"
            );
        }
    }
}
