//! The pages' data. The templates are in `crates/server/templates/console`.

use crate::operations::login::second_factor::SecondFactorProposal;
use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::login::{Login, Method};
use domain::time::Micros;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// `/sign-in`.
#[derive(Template, Default)]
#[template(path = "console/sign_in.html")]
pub struct SignInPage {
    /// An error message.
    pub error: Option<String>,
    /// A message about a completed action.
    pub notice: Option<String>,
    /// The path to return to.
    pub back: String,
    /// The address as typed before.
    pub email: String,
    /// The name of the issuer for signing in.
    pub issuer: Option<String>,
    /// Whether signing in by a password is off.
    pub passwords_off: bool,
    /// The path to return to, percent-encoded.
    pub next: String,
}

/// The second half of a sign-in.
#[derive(Template)]
#[template(path = "console/code.html")]
pub struct CodePage {
    /// An error message.
    pub error: Option<String>,
    /// The path to return to.
    pub back: String,
    /// The challenge of the first half.
    pub challenge: String,
}

/// `/restore`.
#[derive(Template)]
#[template(path = "console/restore.html")]
pub struct RestorePage {
    /// An error message.
    pub error: Option<String>,
    /// Whether the mail was sent.
    pub sent: bool,
}

/// `/restore/verify`.
#[derive(Template)]
#[template(path = "console/verify.html")]
pub struct VerifyPage {
    /// An error message.
    pub error: Option<String>,
    /// Minimum length of a password, in characters.
    pub min: u32,
}

/// `/sign-out`.
#[derive(Template)]
#[template(path = "console/sign_out.html")]
pub struct SignOutPage;

/// The page of an error.
#[derive(Template)]
#[template(path = "console/failed.html")]
pub struct FailurePage {
    /// The error message.
    pub error: String,
}

/// `/account`.
#[derive(Template)]
#[template(path = "console/account.html")]
pub struct AccountPage {
    /// The user's address or name.
    pub name: String,
    /// Whether the role requires a second factor that this session has not used.
    pub needs_factor: bool,
    /// An error message.
    pub error: Option<String>,
    /// A message about a completed action.
    pub notice: Option<String>,
    /// Whether the user must authenticate again.
    pub stale: bool,
    /// Whether the user has a password.
    pub has_password: bool,
    /// Whether the user can set a password.
    pub may_have_password: bool,
    /// The name of the issuer that this user signs in by.
    pub issuer: Option<String>,
    /// The user's sessions, newest first.
    pub sessions: Vec<SessionRow>,
    /// The time since when the second factor is on.
    pub factor_since: Option<String>,
    /// Whether the second factor is on.
    pub has_factor: bool,
    /// Number of unused recovery codes.
    pub codes_left: i64,
    /// The second factor that waits for its first code.
    pub proposal: Option<EnrollmentCode>,
    /// New recovery codes, which are shown once.
    pub codes: Vec<String>,
    /// Minimum length of a password, in characters.
    pub min: u32,
}

/// A session in the list.
pub struct SessionRow {
    /// The session's id.
    pub id: String,
    /// Whether it is this browser's session.
    pub current: bool,
    /// The kind of client.
    pub client: &'static str,
    /// The client's address.
    pub place: String,
    /// When it was opened.
    pub since: String,
    /// When it was last used.
    pub seen: String,
    /// How the user authenticated.
    pub how: &'static str,
    /// The client's user agent.
    pub agent: String,
}

impl SessionRow {
    /// The row of a session. `current` is whether the page was requested with it.
    pub fn new(login: &Login, current: bool) -> SessionRow {
        let has = |method| login.methods.contains(&method);
        let how = if has(Method::Key) {
            "with an API key"
        } else if has(Method::MultiFactor) {
            "with a second factor"
        } else if has(Method::Federated) {
            "by your organization"
        } else {
            "with a password"
        };
        let client = match login.origin.agent_type.as_str() {
            "pc" => "Browser",
            "smartphone" | "mobilephone" => "Phone",
            _ => "Program",
        };
        SessionRow {
            id: login.id.to_string(),
            current,
            client,
            place: login.origin.remote_ip.map_or_else(|| "unknown place".to_owned(), |ip| ip.to_string()),
            since: format_time(login.id.creation_time()),
            seen: format_time(login.seen),
            how,
            agent: login.origin.agent.clone(),
        }
    }
}

/// The key of a new second factor, to scan and to type.
pub struct EnrollmentCode {
    /// The QR code.
    pub svg: String,
    /// The key in groups of four.
    pub secret: String,
}

impl EnrollmentCode {
    /// Draws the QR code of a proposal.
    pub fn new(proposal: &SecondFactorProposal) -> EnrollmentCode {
        let code = QrCode::with_error_correction_level(proposal.uri.as_bytes(), EcLevel::M);
        let svg = code.map(|code| {
            let drawn = code.render::<svg::Color<'_>>().quiet_zone(false).min_dimensions(184, 184).build();
            // An SVG inside of a page has no XML declaration.
            drawn.find("<svg").map_or(String::new(), |at| drawn[at..].to_owned())
        });
        let groups = proposal.secret.as_bytes().chunks(4).map(String::from_utf8_lossy);
        EnrollmentCode {
            svg: svg.unwrap_or_default(),
            secret: groups.map(|group| group.into_owned()).collect::<Vec<_>>().join(" "),
        }
    }
}

/// A time for people, in UTC.
pub fn format_time(at: Micros) -> String {
    let time = jiff::Timestamp::from_microsecond(at.0);
    time.map_or_else(|_| "?".to_owned(), |time| time.strftime("%F %H:%M").to_string())
}

/// Renders a page.
pub fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response()
        }
    }
}
