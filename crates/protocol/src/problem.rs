//! Errors on Tenure's own wire: `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI for the kind of problem. It ends with the code.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind of problem, for programs.
    pub code: String,
    /// What is wrong with this request.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The field of the request that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The filter that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// All faults of the filter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FilterFault>,
}

/// What is wrong with one place of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterFault {
    /// Where it begins, in Unicode code points from the start of the filter.
    pub at: usize,
    /// How many code points it has.
    pub length: usize,
    /// The kind of fault.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What is right, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Texts that can replace the place.
    pub suggestions: Vec<String>,
}
