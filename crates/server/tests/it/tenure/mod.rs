//! Tenure's own wire over the sessions of all kinds, and all that surrounds them.

mod actions;
mod at_work;
mod creation;
mod directory;
mod fleet;
mod lists;
mod timeline;
mod updates;
mod views;
mod visibility;
mod watches;

use crate::world::{Actor, TestResponse};
use serde_json::Value;

/// Path of a session on this wire.
pub fn path(id: impl std::fmt::Display) -> String {
    format!("/tenure/v1/sessions/{id}")
}

/// Checks a refusal: its status and its code. Returns the problem.
pub fn refused(response: &TestResponse, status: u16, code: &str) -> Value {
    let problem = response.json();
    assert_eq!((response.status.as_u16(), &problem["code"]), (status, &code.into()), "{problem}");
    problem
}

impl Actor<'_> {
    /// Does something with a session.
    pub async fn act(&self, id: impl std::fmt::Display, action: &str, body: Value) -> TestResponse {
        self.post(&format!("{}:{action}", path(id)), body).await
    }
}
