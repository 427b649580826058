//! Every failure as every wire and the console answer it.

use super::*;
use crate::console::failures::status_and_sentence;
use crate::wires::{devin, everruns, mobilenext, probe, tenure};
use axum::response::{IntoResponse, Response};
use domain::permission::Permission;
use domain::refusal::Thing;
use std::fmt::Write;

fn refusals() -> Vec<Refusal> {
    use Refusal::*;
    vec![
        NotFound(Thing::Session),
        NotFound(Thing::Device),
        NotFound(Thing::File),
        Forbidden(Permission::UseSessions),
        OutOfScope("write:user"),
        TooManyAttempts { seconds: 90 },
        SecondFactorNeeded,
        PasswordsOff,
        SecondFactorRequired,
        WrongCode,
        StaleAuthentication { seconds: 300 },
        NotAMember,
        NoOrganization,
        NotYours(Thing::Session),
        Refusal::invalid("limit", "a whole number"),
        Refusal::invalid("filename", "a name"),
        Refusal::invalid("filesize", "a number"),
        Refusal::invalid("password", "your password"),
        Refusal::invalid("new-password", "at least 12 characters"),
        SessionEnded,
        SessionArchived,
        WrongState { problem: "a device session has no title", remedy: "change an agent session" },
        Backlog { max: 100 },
        TurnLost,
        KeyReused,
        KeyBusy,
        DeviceLimit { max: 3 },
        SessionFull { max: 200 },
        NoMatch { filters: "platform ios".to_owned(), known: vec!["android Pixel 9".to_owned()] },
        NoMatch { filters: "platform ios".to_owned(), known: vec![] },
        DeviceUnavailable("its host is away".to_owned()),
        DeviceTimeout { seconds: 30 },
        QuotaExceeded { requested: 30, left: 10, quota: 100 },
        Exists("an agent named \"a\"".to_owned()),
        LastAdmin,
        InvitationLimit { max: 100 },
        ViewLimit { max: 200 },
        Resync { pruned: 5, latest: 9 },
    ]
}

fn request_failures() -> Vec<RequestFailure> {
    use RequestFailure::*;
    vec![
        NoRoute,
        NoAction { known: &["end", "archive"] },
        Method,
        BodyTooLarge { limit: 1_000 },
        Body("expected a JSON list".to_owned()),
        Body("missing field `prompt`".to_owned()),
        Conflict("the link has expired".to_owned()),
        Precondition,
        CrossSite,
        TargetTooLong { limit: 8_192 },
        HeadTooLarge { bytes: 16_384, count: 100 },
        Head("the request line is malformed".to_owned()),
        TooManyRequests { seconds: 7 },
        Timeout,
        TooManyConnections { limit: 20 },
    ]
}

fn failures() -> Vec<Failure> {
    let device = |data: Option<&str>| Failure::Device {
        code: -32_602,
        message: "Invalid params".to_owned(),
        data: data.map(str::to_owned),
    };
    let mut all = vec![
        Failure::Unauthenticated,
        device(None),
        device(Some("x is missing")),
        Failure::Busy,
        Failure::Away("the mail server does not answer: try again later"),
        Failure::Internal { cause: "a secret".to_owned(), request: None },
        Failure::Internal { cause: "a secret".to_owned(), request: Some("r1".to_owned()) },
    ];
    all.extend(refusals().into_iter().map(Failure::from));
    all.extend(request_failures().into_iter().map(Failure::from));
    let unanswered = [
        Unanswered::Slow { seconds: 10 },
        Unanswered::TooMany,
        Unanswered::Crowded,
        Unanswered::Loading,
        Unanswered::Away,
    ];
    all.extend(unanswered.map(Failure::from));
    all
}

/// One line: the status, the headers that depend on the failure, the cause for the log and the body.
async fn describe(response: Response) -> String {
    let mut text = response.status().as_u16().to_string();
    for name in ["www-authenticate", "retry-after", "connection", "content-type"] {
        if let Some(value) = response.headers().get(name) {
            write!(text, " {name}={}", value.to_str().unwrap()).unwrap();
        }
    }
    if let Some(Cause(cause)) = response.extensions().get() {
        write!(text, " cause={cause}").unwrap();
    }
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    format!("{text} {}", std::str::from_utf8(&body).unwrap().replace('\n', "\\n"))
}

type ToResponse = fn(Failure) -> Response;

const WIRES: [(&str, ToResponse); 5] = [
    ("devin", |failure| devin::errors::DevinError::from(failure).into_response()),
    ("everruns", |failure| everruns::errors::EverrunsError::from(failure).into_response()),
    ("mobilenext", |failure| mobilenext::errors::MobileError::from(failure).into_response()),
    ("probe", |failure| probe::errors::ProbeError::from(failure).into_response()),
    ("tenure", |failure| tenure::errors::TenureError::from(failure).into_response()),
];

#[tokio::test]
async fn every_wire_answers_every_failure() {
    let mut text = String::new();
    for at in 0..failures().len() {
        let failure = || failures().swap_remove(at);
        writeln!(text, "{}", failure()).unwrap();
        for (name, word) in WIRES {
            writeln!(text, "  {name} {}", describe(word(failure())).await).unwrap();
        }
        let rpc = mobilenext::errors::MobileError::from(failure()).into_rpc();
        let (status, sentence) = status_and_sentence(failure());
        writeln!(text, "  rpc {}", serde_json::to_string(&rpc).unwrap()).unwrap();
        writeln!(text, "  console {} {sentence}", status.as_u16()).unwrap();
    }
    insta::assert_snapshot!("every_failure", text);
}

#[test]
fn every_wire_sends_retry_after_when_the_database_does_not_answer() {
    for (error, status) in [
        (DatabaseError::Slow { seconds: 10 }, 504),
        (DatabaseError::Crowded { own: true }, 429),
        (DatabaseError::Crowded { own: false }, 503),
        (DatabaseError::Away("a text for the log".into()), 503),
    ] {
        let again = error.to_string();
        let failure = Failure::from(store::Error::Database(error));
        let Failure::Unanswered(unanswered) = failure else { panic!("{again}: {failure}") };
        for (name, word) in WIRES {
            let response = word(unanswered.into());
            assert_eq!(response.status(), status, "{name}: {again}");
            assert_eq!(response.headers()["retry-after"], "5", "{name}: {again}");
        }
    }
}
