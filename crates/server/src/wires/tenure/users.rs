//! `/tenure/v1/users`: users, for administrators of the account.

use super::errors::TenureError;
use super::extractors::Authenticated;
use crate::app::App;
use crate::failure::Failure;
use crate::operations::directory::suspensions;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::Refusal;
use domain::refusal::Thing;

/// `PUT /tenure/v1/users/{user}/suspension`: suspends a user, named by number, address or id.
pub async fn suspend(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    user: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, TenureError> {
    suspensions::suspend_person(&app, &caller, &path_user(user)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /tenure/v1/users/{user}/suspension`: ends a suspension.
pub async fn resume(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    user: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, TenureError> {
    suspensions::resume_person(&app, &caller, &path_user(user)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn path_user(user: Result<Path<String>, PathRejection>) -> Result<String, TenureError> {
    let found = user.map(|Path(text)| text);
    found.map_err(|_| Failure::from(Refusal::NotFound(Thing::Principal)).into())
}
