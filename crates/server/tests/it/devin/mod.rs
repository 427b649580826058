//! Devin's wire.

pub mod coverage;
mod input;
mod lists;
mod people;
mod repeats;
mod sessions;

use crate::world::{Actor, TestResponse};
use domain::ids::OrganizationId;
use serde_json::{Value, json};

/// The path of an organization on this wire.
pub fn org_path(organization: OrganizationId, rest: &str) -> String {
    format!("/v3/organizations/org-{}{rest}", organization.0.simple())
}

/// Creates a session. Returns its body.
pub async fn create_session(actor: &Actor<'_>, organization: OrganizationId, body: Value) -> Value {
    let response = actor.post(&org_path(organization, "/sessions"), body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// Creates a session with only a prompt. Returns its id.
pub async fn session(actor: &Actor<'_>, organization: OrganizationId) -> String {
    create_session(actor, organization, json!({ "prompt": "Fix the tests" })).await["session_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Checks that a response is an error of this status with this detail.
pub fn assert_refused(response: &TestResponse, status: u16, detail: &str) {
    let text = response.text();
    assert_eq!(response.status.as_u16(), status, "{text}");
    let problem = response.json();
    assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status)), "{text}");
    assert!(
        problem["detail"].as_str().is_some_and(|said| said.contains(detail)),
        "{detail:?} is not in {text}"
    );
    assert_eq!(problem["errors"].is_array(), status == 422, "{text}");
    assert_eq!(response.headers["content-type"], "application/problem+json");
}
