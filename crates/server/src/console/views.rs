//! What the pages show. The templates are in `crates/server/templates/console`.

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
pub struct SignIn {
    /// What was not right.
    pub said: Option<String>,
    /// What went well before.
    pub done: Option<String>,
    /// Where one goes on to.
    pub back: String,
    /// As it was typed before.
    pub email: String,
    /// What the issuer is called that one may sign in by.
    pub issuer: Option<String>,
    /// Whether nobody signs in by a password.
    pub passwords_off: bool,
    /// Where one goes on to, as it stands in an address.
    pub next: String,
}

/// The second half of a sign-in.
#[derive(Template)]
#[template(path = "console/code.html")]
pub struct Code {
    /// What was not right.
    pub said: Option<String>,
    /// Where one goes on to.
    pub back: String,
    /// What it goes on from.
    pub challenge: String,
}

/// `/restore`.
#[derive(Template)]
#[template(path = "console/restore.html")]
pub struct Restore {
    /// What was not right.
    pub said: Option<String>,
    /// Whether the mail is on its way.
    pub sent: bool,
}

/// `/restore/verify`.
#[derive(Template)]
#[template(path = "console/verify.html")]
pub struct Verify {
    /// What was not right.
    pub said: Option<String>,
    /// The fewest characters of a password.
    pub min: u32,
}

/// `/sign-out`.
#[derive(Template)]
#[template(path = "console/sign_out.html")]
pub struct SignOut;

/// What failed.
#[derive(Template)]
#[template(path = "console/failed.html")]
pub struct Failed {
    /// In one sentence.
    pub said: String,
}

/// `/account`.
#[derive(Template)]
#[template(path = "console/account.html")]
pub struct Account {
    /// Who.
    pub name: String,
    /// Whether the role needs a second factor that was not shown yet.
    pub needs_factor: bool,
    /// What was not right.
    pub said: Option<String>,
    /// What went well.
    pub done: Option<String>,
    /// Whether it has to be shown again who this is.
    pub stale: bool,
    /// Whether there is a password.
    pub has_password: bool,
    /// Whether they may have one.
    pub may_have_password: bool,
    /// What the issuer is called that this person signs in by.
    pub issuer: Option<String>,
    /// Newest first.
    pub sessions: Vec<Row>,
    /// Since when there is a second factor.
    pub factor_since: Option<String>,
    /// The same as yes or no.
    pub has_factor: bool,
    /// How many recovery codes are left.
    pub codes_left: i64,
    /// What waits for its first code.
    pub proposal: Option<Picture>,
    /// Recovery codes that were just made.
    pub codes: Vec<String>,
    /// The fewest characters of a password.
    pub min: u32,
}

/// A session in the list.
pub struct Row {
    /// Its id.
    pub id: String,
    /// Whether it is this browser's.
    pub current: bool,
    /// What opened it.
    pub client: &'static str,
    /// From where.
    pub place: String,
    /// When it was opened.
    pub since: String,
    /// When it was last used.
    pub seen: String,
    /// How it was shown whose it is.
    pub how: &'static str,
    /// What the client calls itself.
    pub agent: String,
}

impl Row {
    /// As its owner sees it.
    pub fn new(login: &Login, current: bool) -> Row {
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
        Row {
            id: login.id.to_string(),
            current,
            client,
            place: login.origin.remote_ip.map_or_else(|| "unknown place".to_owned(), |ip| ip.to_string()),
            since: time(login.id.created()),
            seen: time(login.seen),
            how,
            agent: login.origin.agent.clone(),
        }
    }
}

/// A second factor that waits for its first code, to scan and to type.
pub struct Picture {
    /// The QR code.
    pub svg: String,
    /// The key in groups of four.
    pub secret: String,
}

impl Picture {
    /// Draws it.
    pub fn new(proposal: &SecondFactorProposal) -> Picture {
        let code = QrCode::with_error_correction_level(proposal.uri.as_bytes(), EcLevel::M);
        let svg = code.map(|code| {
            let drawn = code.render::<svg::Color<'_>>().quiet_zone(false).min_dimensions(184, 184).build();
            // An SVG in a page has no prologue.
            drawn.find("<svg").map_or(String::new(), |at| drawn[at..].to_owned())
        });
        let groups = proposal.secret.as_bytes().chunks(4).map(String::from_utf8_lossy);
        Picture {
            svg: svg.unwrap_or_default(),
            secret: groups.map(|group| group.into_owned()).collect::<Vec<_>>().join(" "),
        }
    }
}

/// A time as people read it, in UTC.
pub fn time(at: Micros) -> String {
    let time = jiff::Timestamp::from_microsecond(at.0);
    time.map_or_else(|_| "?".to_owned(), |time| time.strftime("%F %H:%M").to_string())
}

/// A page.
pub fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response()
        }
    }
}
