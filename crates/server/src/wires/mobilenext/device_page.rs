//! `/login/device`: the page on which a person lets a program in. It works without scripts, and only for whoever is
//! signed in with the cookie of a session.

use super::errors::MobileError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential::own_cookie;
use crate::http::credential::same_site;
use crate::http::middleware;
use crate::http::middleware::Address;
use crate::http::middleware::NotKept;
use crate::http::middleware::Whole;
use crate::operations::access::authenticate::authenticate_from;
use crate::operations::access::whoami;
use crate::operations::login::device_code;
use crate::operations::login::device_code::program_name;
use askama::Template;
use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::Refusal;
use domain::device_login::{DeviceLogin, shown, typed_code};
use domain::ids::OrganizationId;
use sha2::{Digest, Sha256};
use store::{Caller, OrganizationChoice};

const STYLE: &str = include_str!("../../../templates/console/device.css");

#[derive(Template, Default)]
#[template(path = "console/device.html")]
struct Page {
    style: &'static str,
    /// What went wrong, in one sentence.
    wrong: Option<String>,
    /// What was done; then nothing else is asked.
    done: Option<&'static str>,
    /// Whether who is signed in has to sign in again, because it was too long ago.
    stale: bool,
    /// Who is signed in.
    person: Option<String>,
    /// Where who is not signed in does that, and comes back from.
    entrance: String,
    /// The code as it was typed.
    code: String,
    /// The program that waits with it.
    waiting: Option<Waiting>,
}

struct Waiting {
    program: String,
    from: String,
    agent: String,
    since: String,
    choices: Vec<(OrganizationId, String)>,
}

impl Page {
    fn of(caller: Option<&str>, code: &str) -> Page {
        // What is no code is not shown again.
        let code = typed_code(code).map(|code| shown(&code)).unwrap_or_default();
        // It has only letters and a hyphen, which need no other spelling here.
        let back = if code.is_empty() { String::new() } else { format!("%3Fuser_code%3D{code}") };
        let entrance = format!("/sign-in?back=%2Flogin%2Fdevice{back}");
        Page { style: STYLE, person: caller.map(str::to_owned), entrance, code, ..Page::default() }
    }

    fn wrong(self, failure: Failure) -> Response {
        let stale = matches!(failure, Failure::Refused(Refusal::StaleAuthentication { .. }));
        let (status, sentence) = MobileError::from(failure).into_page();
        Page { wrong: Some(sentence), stale, ..self }.answer(status)
    }

    fn answer(self, status: StatusCode) -> Response {
        let html = match self.render() {
            Ok(html) => html,
            Err(error) => return MobileError::from(Failure::internal(error)).into_response(),
        };
        let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        let mut response = (status, html).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        // Not `no-referrer`: the form would come from nowhere, and be refused as another site's.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// Who is signed in, and with what.
struct SignedIn {
    caller: Caller,
    name: String,
}

async fn signed_in(
    app: &App,
    headers: &HeaderMap,
    chosen: OrganizationChoice,
    Address(address): Address,
) -> Result<SignedIn, Failure> {
    let token = own_cookie(app, headers);
    let caller = authenticate_from(app, token.as_deref(), chosen, address).await?;
    let own = whoami::load_caller_principal(app, &caller).await?;
    Ok(SignedIn { caller, name: own.email.unwrap_or(own.name) })
}

/// `GET /login/device`: leads to the page of signing in, asks for the code, then whether to let the program in.
pub async fn show(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(address): Extension<Address>,
    RawQuery(query): RawQuery,
) -> Response {
    let code = match middleware::query_value(query.as_deref(), "user_code") {
        Ok(code) => code.unwrap_or_default(),
        Err(failure) => return Page::of(None, "").wrong(failure),
    };
    let signed = match signed_in(&app, &headers, OrganizationChoice::ByDefault, address).await {
        Ok(signed) => signed,
        Err(Failure::Unauthenticated) => return Page::of(None, &code).answer(StatusCode::OK),
        Err(failure) => return Page::of(None, &code).wrong(failure),
    };
    let page = Page::of(Some(&signed.name), &code);
    if code.is_empty() {
        return page.answer(StatusCode::OK);
    }
    match waiting(&app, &signed.caller, &code).await {
        Ok(waiting) => Page { waiting: Some(waiting), ..page }.answer(StatusCode::OK),
        Err(failure) => Page { code: String::new(), ..page }.wrong(failure),
    }
}

async fn waiting(app: &App, caller: &Caller, code: &str) -> Result<Waiting, Failure> {
    let login = device_code::find_pending_device_login(app, caller, code).await?;
    let choices = device_code::list_approvable_organizations(app, caller).await?;
    let DeviceLogin { origin, created, .. } = &login;
    let from = origin.remote_ip.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
    let minutes = app.now().since(*created).whole_minutes();
    let since = if minutes == 0 { "just now".to_owned() } else { format!("{minutes} min ago") };
    Ok(Waiting { program: program_name(&login), from, agent: origin.agent.clone(), since, choices })
}

/// The fields of the page's forms.
#[derive(Default)]
struct Form {
    action: String,
    code: String,
    organization: String,
}

impl Form {
    async fn read(app: &App, request: Request) -> Result<Form, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = middleware::body(app, &parts.extensions, body).await?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let field = |name| middleware::query_value(Some(text), name).map(Option::unwrap_or_default);
        Ok(Form { action: field("action")?, code: field("user_code")?, organization: field("organization")? })
    }
}

/// `POST /login/device`: lets the program in, or does not. What a page says is for one person's eyes, and not kept.
pub async fn act(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(address): Extension<Address>,
    Whole(request): Whole,
) -> Response {
    let mut response = acted(app, headers, address, request).await;
    response.extensions_mut().insert(NotKept);
    response
}

async fn acted(app: App, headers: HeaderMap, address: Address, request: Request) -> Response {
    if let Err(failure) = same_site(&app, &Method::POST, &headers) {
        return Page::of(None, "").wrong(failure);
    }
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return Page::of(None, "").wrong(failure),
    };
    match form.action.as_str() {
        "allow" | "deny" => decide(&app, &headers, address, &form).await,
        _ => Page::of(None, &form.code).answer(StatusCode::BAD_REQUEST),
    }
}

async fn decide(app: &App, headers: &HeaderMap, address: Address, form: &Form) -> Response {
    let allows = form.action == "allow";
    // Only who lets a program in says where it acts.
    let chosen = if allows {
        OrganizationChoice::Named(OrganizationId::parse(&form.organization))
    } else {
        OrganizationChoice::ByDefault
    };
    let signed = match signed_in(app, headers, chosen, address).await {
        Ok(signed) => signed,
        Err(failure) => return Page::of(None, &form.code).wrong(failure),
    };
    let page = Page::of(Some(&signed.name), &form.code);
    let (decided, done) = if allows {
        let done = "It is let in. You can close this page and go back to the program.";
        (device_code::approve_device_login(app, &signed.caller, &form.code).await, done)
    } else {
        let done = "It is not let in. If you did not start it yourself, nothing else has to be done.";
        (device_code::deny_device_login(app, &signed.caller, &form.code).await, done)
    };
    match decided {
        Ok(()) => Page { done: Some(done), ..page }.answer(StatusCode::OK),
        Err(failure) => Page { code: String::new(), ..page }.wrong(failure),
    }
}
