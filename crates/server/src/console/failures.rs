//! Error messages of the pages, and the fields of their forms.

use super::views::{FailurePage, render};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;

/// The status and the message of a failure.
pub fn status_and_sentence(failure: Failure) -> (StatusCode, String) {
    let status = match &failure {
        Failure::Refused(refusal) => refusal_status(refusal),
        Failure::Unauthenticated => {
            return (StatusCode::UNAUTHORIZED, "That address or password is not right.".to_owned());
        }
        Failure::Request(request) => request_status(request),
        Failure::Device { .. } => StatusCode::BAD_GATEWAY,
        Failure::Busy | Failure::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Unanswered(unanswered) => unanswered.status(),
        Failure::Internal { cause, .. } => {
            tracing::error!(cause, "a page failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    (status, sentence(&failure))
}

fn sentence(failure: &Failure) -> String {
    match failure {
        Failure::Refused(Refusal::WrongCode) => {
            "That code is not right, or was used before. Wait for the next one, and try again.".to_owned()
        }
        Failure::Refused(Refusal::PasswordsOff) => {
            "You do not sign in by a password here. Sign in by your organization instead.".to_owned()
        }
        Failure::Refused(Refusal::SecondFactorNeeded) => "Type a code of your app, too.".to_owned(),
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
        Failure::Refused(Refusal::StaleAuthentication { .. }) => "Please show again who you are.".to_owned(),
        other => {
            let sentence = other.to_string();
            let mut characters = sentence.chars();
            let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            format!("{first}{}.", characters.as_str())
        }
    }
}

fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NotFound(_) => StatusCode::NOT_FOUND,
        Refusal::WrongCode | Refusal::SecondFactorNeeded => StatusCode::UNAUTHORIZED,
        Refusal::Forbidden(_)
        | Refusal::OutOfScope(_)
        | Refusal::PasswordsOff
        | Refusal::SecondFactorRequired
        | Refusal::NotAMember
        | Refusal::NoOrganization
        | Refusal::NotYours(_)
        | Refusal::StaleAuthentication { .. } => StatusCode::FORBIDDEN,
        Refusal::TooManyAttempts { .. }
        | Refusal::Backlog { .. }
        | Refusal::DeviceLimit { .. }
        | Refusal::SessionFull { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Invalid { .. } | Refusal::KeyReused => StatusCode::BAD_REQUEST,
        Refusal::SessionEnded
        | Refusal::LastAdmin
        | Refusal::InvitationLimit { .. }
        | Refusal::SessionArchived
        | Refusal::TurnLost
        | Refusal::KeyBusy
        | Refusal::NoMatch { .. }
        | Refusal::Exists(_)
        | Refusal::Resync { .. } => StatusCode::CONFLICT,
        Refusal::DeviceUnavailable(_) | Refusal::DeviceTimeout { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::QuotaExceeded { .. } => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

fn request_status(request: &RequestFailure) -> StatusCode {
    match request {
        RequestFailure::NoRoute => StatusCode::NOT_FOUND,
        RequestFailure::Method => StatusCode::METHOD_NOT_ALLOWED,
        RequestFailure::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        RequestFailure::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
        RequestFailure::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        RequestFailure::Head(_) => StatusCode::BAD_REQUEST,
        RequestFailure::Body(_) => StatusCode::BAD_REQUEST,
        RequestFailure::Conflict(_) => StatusCode::CONFLICT,
        RequestFailure::CrossSite => StatusCode::FORBIDDEN,
        RequestFailure::Timeout => StatusCode::GATEWAY_TIMEOUT,
        RequestFailure::TooManyConnections { .. } | RequestFailure::TooManyRequests { .. } => {
            StatusCode::TOO_MANY_REQUESTS
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
