//! How the pages word a failure, and the fields of their forms.

use super::views::{Failed, html};
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;

/// The status and the sentence of a failure.
pub fn words(failure: Failure) -> (StatusCode, String) {
    let status = match &failure {
        Failure::Refused(refusal) => refused(refusal),
        Failure::Unauthenticated => {
            return (StatusCode::UNAUTHORIZED, "That address or password is not right.".to_owned());
        }
        Failure::Request(request) => unreadable(request),
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
            let said = other.to_string();
            let mut characters = said.chars();
            let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            format!("{first}{}.", characters.as_str())
        }
    }
}

fn refused(refusal: &Refusal) -> StatusCode {
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

fn unreadable(request: &RequestFailure) -> StatusCode {
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

/// A page that says what failed.
pub fn failed(failure: Failure) -> Response {
    let (status, said) = words(failure);
    html(status, &Failed { said })
}

/// The fields of a form. One that is not there is empty; of one that is there twice the first counts, which a page of
/// ours never sends.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// It is too large.
    pub async fn read(app: &App, request: Request) -> Result<Form, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = middleware::body(app, &parts.extensions, body).await?;
        Ok(Form(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// A field by its name.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}
