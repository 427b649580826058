//! Error messages of the pages, and the fields of their forms.

use super::views::{FailurePage, render};
use crate::app::App;
use crate::failure::{Cause, Failure};
use crate::http::middleware;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;

/// The status and the message of a failure.
pub fn status_and_sentence(failure: Failure) -> (StatusCode, String) {
    if let Some(Cause(cause)) = failure.cause() {
        tracing::error!(cause, "a page failed");
    }
    (failure.status(), sentence(&failure))
}

fn sentence(failure: &Failure) -> String {
    match failure {
        Failure::Unauthenticated => "That address or password is not right.".to_owned(),
        Failure::Refused(Refusal::WrongCode) => {
            "That code is not right, or was used before. Wait for the next one, and try again.".to_owned()
        }
        Failure::Refused(Refusal::PasswordsOff) => {
            "You cannot sign in with a password here. Sign in through your organization instead.".to_owned()
        }
        Failure::Refused(Refusal::SecondFactorNeeded) => {
            "Enter a code from your authenticator app, too.".to_owned()
        }
        Failure::Refused(Refusal::Invalid { field, .. })
            if field == "old-password" || field == "password" =>
        {
            "That is not your password.".to_owned()
        }
        Failure::Refused(Refusal::Invalid { field, expected }) if field == "new-password" => {
            format!("Choose {expected}.")
        }
        Failure::Refused(Refusal::TooManyAttempts { seconds }) => {
            let minutes = (seconds + 59) / 60;
            format!("Too many tries. Please wait {minutes} min, then try again.")
        }
        Failure::Refused(Refusal::StaleAuthentication { .. }) => {
            "Please confirm your identity again.".to_owned()
        }
        other => {
            let sentence = other.to_string();
            let mut characters = sentence.chars();
            let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            format!("{first}{}.", characters.as_str())
        }
    }
}

/// A page with an error message.
pub fn failure_page(failure: Failure) -> Response {
    let (status, error) = status_and_sentence(failure);
    render(status, &FailurePage { error })
}

/// The fields of a form. A missing field is empty. Of repeated fields, which our pages never send, the first counts.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// As [`middleware::read_body`].
    pub async fn read(app: &App, request: Request) -> Result<Form, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = middleware::read_body(app, &parts.extensions, body).await?;
        Ok(Form(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// A field's value; empty when it is missing.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}
