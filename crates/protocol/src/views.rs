//! Saved views on Tenure's own wire.

use crate::sessions::{Named, Principal};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A saved view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedView {
    /// Its id.
    pub id: Uuid,
    /// Its name, which no other view of the person or of the organization has.
    pub name: String,
    /// The filter in canonical text: its times are those of when it was saved.
    pub filter: String,
    /// The filter as it was written: its relative times are relative.
    pub filter_as_written: String,
    /// The field of the order, with `-` in front for the greatest first; `None` for the newest first.
    pub order: Option<String>,
    /// The names of the fields that it shows, in order; empty for the usual ones.
    pub columns: Vec<String>,
    /// The organization whose members share it; `None` for the caller's own.
    pub organization: Option<Named>,
    /// Who saved it first.
    pub creator: Principal,
    /// When it was saved first.
    pub created: Time,
    /// When it was saved last.
    pub updated: Time,
}

/// A view to save.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewDraft {
    /// Its name: 1 to 100 characters.
    pub name: String,
    /// The filter. An empty one shows every session.
    #[serde(default)]
    pub filter: String,
    /// The field of the order, with `-` in front for the greatest first; `None` for the newest first.
    #[serde(default)]
    pub order: Option<String>,
    /// The names of the fields that it shows, in order.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Whether the members of the organization share it, which cannot change later. `None` for a new view is no.
    #[serde(default)]
    pub shared: Option<bool>,
}
