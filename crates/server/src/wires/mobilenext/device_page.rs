//! `/login/device`: the page on which a user approves the login of a program. It works without scripts, for users who are
//! signed in with the cookie of a session.

use super::errors::MobileError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential::demand_same_site;
use crate::http::credential::own_session_token;
use crate::http::middleware;
use crate::http::middleware::ClientAddress;
use crate::http::middleware::NotStored;
use crate::http::middleware::WholeRequest;
use crate::http::query::Query;
use crate::operations::access::authenticate::authenticate_from;
use crate::operations::access::whoami;
use crate::operations::login::device_code;
use crate::operations::login::device_code::program_name;
use askama::Template;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::Refusal;
use domain::device_login::{DeviceLogin, display_code, parse_code};
use domain::ids::OrganizationId;
use sha2::{Digest, Sha256};
use store::{Caller, OrganizationChoice};

const STYLE: &str = include_str!("../../../templates/console/device.css");

#[derive(Template, Default)]
#[template(path = "console/device.html")]
struct Page {
    style: &'static str,
    /// An error message.
    error: Option<String>,
    /// A message about the decision. The page then has no form.
    notice: Option<&'static str>,
    /// Whether the user must sign in again, because the last sign-in is too old.
    stale: bool,
    /// The address or name of the signed-in user.
    person: Option<String>,
    /// The URL of the sign-in page, which leads back here.
    entrance: String,
    /// The code as typed.
    code: String,
    /// The program that waits with this code.
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
    fn new(caller: Option<&str>, code: &str) -> Page {
        // A malformed code is not shown again.
        let code = parse_code(code).map(|code| display_code(&code)).unwrap_or_default();
        // It has only letters and a hyphen, which need no escaping.
        let back = if code.is_empty() { String::new() } else { format!("%3Fuser_code%3D{code}") };
        let entrance = format!("/sign-in?back=%2Flogin%2Fdevice{back}");
        Page { style: STYLE, person: caller.map(str::to_owned), entrance, code, ..Page::default() }
    }

    fn failure_response(self, failure: Failure) -> Response {
        let stale = matches!(failure, Failure::Refused(Refusal::StaleAuthentication { .. }));
        let (status, sentence) = MobileError::from(failure).into_page();
        Page { error: Some(sentence), stale, ..self }.html_response(status)
    }

    fn html_response(self, status: StatusCode) -> Response {
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
        // Not `no-referrer`: the form would have no origin, and would be refused as cross-site.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// The signed-in user.
struct SignedIn {
    caller: Caller,
    name: String,
}

async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    chosen: OrganizationChoice,
    ClientAddress(address): ClientAddress,
) -> Result<SignedIn, Failure> {
    let token = own_session_token(app, headers);
    let caller = authenticate_from(app, token.as_deref(), chosen, address).await?;
    let own = whoami::load_caller_principal(app, &caller).await?;
    Ok(SignedIn { caller, name: own.email.unwrap_or(own.name) })
}

/// `GET /login/device`: links to the sign-in page, asks for the code, then asks whether to approve the login.
pub async fn show(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(address): Extension<ClientAddress>,
    query: Query,
) -> Response {
    let code = match query.text("user_code") {
        Ok(code) => code.unwrap_or_default(),
        Err(failure) => return Page::new(None, "").failure_response(failure),
    };
    let signed = match authenticate(&app, &headers, OrganizationChoice::ByDefault, address).await {
        Ok(signed) => signed,
        Err(Failure::Unauthenticated) => return Page::new(None, code).html_response(StatusCode::OK),
        Err(failure) => return Page::new(None, code).failure_response(failure),
    };
    let page = Page::new(Some(&signed.name), code);
    if code.is_empty() {
        return page.html_response(StatusCode::OK);
    }
    match load_waiting(&app, &signed.caller, code).await {
        Ok(waiting) => Page { waiting: Some(waiting), ..page }.html_response(StatusCode::OK),
        Err(failure) => Page { code: String::new(), ..page }.failure_response(failure),
    }
}

async fn load_waiting(app: &App, caller: &Caller, code: &str) -> Result<Waiting, Failure> {
    let login = device_code::find_pending_device_login(app, caller, code).await?;
    let choices = device_code::list_approvable_organizations(app, caller).await?;
    let DeviceLogin { origin, created, .. } = &login;
    let from = origin.remote_ip.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
    let minutes = app.now().duration_since(*created).whole_minutes();
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
        let bytes = middleware::read_body(app, &parts.extensions, body).await?;
        let form = Query::read(std::str::from_utf8(&bytes).unwrap_or_default());
        let field = |name| form.text(name).map(|value| value.unwrap_or_default().to_owned());
        Ok(Form { action: field("action")?, code: field("user_code")?, organization: field("organization")? })
    }
}

/// `POST /login/device`: approves or denies the login. The response is for one user, so it is not stored.
pub async fn act(
    State(app): State<App>,
    headers: HeaderMap,
    Extension(address): Extension<ClientAddress>,
    WholeRequest(request): WholeRequest,
) -> Response {
    let mut response = handle_form(app, headers, address, request).await;
    response.extensions_mut().insert(NotStored);
    response
}

async fn handle_form(app: App, headers: HeaderMap, address: ClientAddress, request: Request) -> Response {
    if let Err(failure) = demand_same_site(&app, &Method::POST, &headers) {
        return Page::new(None, "").failure_response(failure);
    }
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return Page::new(None, "").failure_response(failure),
    };
    match form.action.as_str() {
        "allow" | "deny" => decide(&app, &headers, address, &form).await,
        _ => Page::new(None, &form.code).html_response(StatusCode::BAD_REQUEST),
    }
}

async fn decide(app: &App, headers: &HeaderMap, address: ClientAddress, form: &Form) -> Response {
    let allows = form.action == "allow";
    // Only an approval names an organization.
    let chosen = if allows {
        OrganizationChoice::Named(OrganizationId::parse(&form.organization))
    } else {
        OrganizationChoice::ByDefault
    };
    let signed = match authenticate(app, headers, chosen, address).await {
        Ok(signed) => signed,
        Err(failure) => return Page::new(None, &form.code).failure_response(failure),
    };
    let page = Page::new(Some(&signed.name), &form.code);
    let (decided, notice) = if allows {
        let notice = "The program is approved. You can close this page and return to the program.";
        (device_code::approve_device_login(app, &signed.caller, &form.code).await, notice)
    } else {
        let notice = "The program is denied. If you did not start it yourself, you need to do nothing else.";
        (device_code::deny_device_login(app, &signed.caller, &form.code).await, notice)
    };
    match decided {
        Ok(()) => Page { notice: Some(notice), ..page }.html_response(StatusCode::OK),
        Err(failure) => Page { code: String::new(), ..page }.failure_response(failure),
    }
}
