//! Lists on Tenure's own wire, other than that of sessions.

use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// What is listed.
    pub data: Vec<T>,
    /// The length of the whole list.
    pub total: u64,
    /// The cursor of the next page.
    pub next: Option<String>,
}
