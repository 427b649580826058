//! `/account`: the user's own sessions, password and second factor.

use super::SignedIn;
use super::failures::{Form, failure_page, status_and_sentence};
use super::views::{AccountPage, EnrollmentCode, SessionRow, format_time, render};
use crate::app::App;
use crate::failure::Failure;
use crate::http::cookies::clear_session_cookies;
use crate::http::middleware::WholeRequest;
use crate::http::query::Query;
use crate::operations::access::own_keys;
use crate::operations::directory::users;
use crate::operations::login;
use crate::operations::login::oidc;
use crate::operations::login::passwords::RevocationScope;
use crate::operations::login::second_factor;
use crate::operations::login::sessions::LoginSelection;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::Refusal;
use domain::ids::SessionId;
use domain::refusal::Thing;
use store::Caller;

/// Messages on the account page beside its current state.
#[derive(Default)]
struct PageMessages {
    error: Option<String>,
    notice: Option<&'static str>,
    stale: bool,
    codes: Vec<String>,
    /// Whether to show the second factor that waits for its first code.
    enrolling: bool,
}

/// Messages about completed actions, by the word in the URL.
const DONE: [(&str, &str); 6] = [
    ("ended", "The session is ended."),
    ("others", "All other sessions are ended."),
    ("password", "Your password is changed. All your other sessions are ended."),
    ("keys", "All your keys are revoked."),
    ("shown", "Thank you. You can continue now."),
    ("off", "The second factor is off."),
];

/// `GET /account`.
pub async fn page(SignedIn(caller): SignedIn, State(app): State<App>, query: Query) -> Response {
    let word = query.text("done").ok().flatten();
    let notice = DONE.iter().find(|(known, _)| Some(*known) == word).map(|(_, sentence)| *sentence);
    render_account(&app, &caller, StatusCode::OK, PageMessages { notice, ..PageMessages::default() }).await
}

async fn render_account(app: &App, caller: &Caller, status: StatusCode, messages: PageMessages) -> Response {
    match load_account(app, caller, messages).await {
        Ok(page) => render(status, &page),
        Err(failure) => failure_page(failure),
    }
}

async fn load_account(app: &App, caller: &Caller, messages: PageMessages) -> Result<AccountPage, Failure> {
    let person = users::load_own_profile(app, caller).await?.person;
    let status = second_factor::load_status(app, caller).await?;
    let current = login::sessions::current_login(caller);
    let sessions = login::sessions::list_logins(app, caller).await?;
    let methods = oidc::load_authentication_methods(app, caller).await?;
    let proposal = match messages.enrolling {
        true => Some(EnrollmentCode::new(&second_factor::load_proposal(app, caller).await?)),
        false => None,
    };
    Ok(AccountPage {
        name: person.principal.email.unwrap_or(person.principal.name),
        error: messages.error,
        notice: messages.notice.map(str::to_owned),
        needs_factor: caller.lacks_second_factor(),
        stale: messages.stale || (caller.lacks_second_factor() && status.since.is_some()),
        has_password: methods.password,
        may_have_password: methods.may_have_password,
        issuer: methods.issuer.then(|| app.settings.oidc_name.clone()),
        sessions: sessions.iter().map(|login| SessionRow::new(login, current == Some(login.id))).collect(),
        has_factor: status.since.is_some(),
        factor_since: status.since.map(format_time),
        codes_left: status.recovery_codes,
        proposal,
        codes: messages.codes,
        min: app.settings.password_min,
    })
}

/// Shows a failure on the same page. A user whose sign-in is too old is asked to authenticate again.
async fn render_failure(app: &App, caller: &Caller, failure: Failure, enrolling: bool) -> Response {
    let stale = matches!(failure, Failure::Refused(Refusal::StaleAuthentication { .. }));
    let (status, error) = status_and_sentence(failure);
    let error = (!stale).then_some(error);
    let enrolling = enrolling && !stale;
    render_account(app, caller, status, PageMessages { error, stale, enrolling, ..PageMessages::default() })
        .await
}

/// Ends an action with a redirect, so that reloading the page does not repeat it.
async fn finish_action(app: &App, caller: &Caller, outcome: Result<(), Failure>, word: &str) -> Response {
    match outcome {
        Ok(()) => Redirect::to(&format!("/account?done={word}")).into_response(),
        Err(failure) => render_failure(app, caller, failure, false).await,
    }
}

/// `POST /account/end`.
pub async fn end(
    SignedIn(caller): SignedIn,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Response {
    let mut own = false;
    let ended = async {
        let form = Form::read(&app, request).await?;
        let id = SessionId::parse(form.get("session")).ok_or(Refusal::NotFound(Thing::Session))?;
        own = login::sessions::current_login(&caller) == Some(id);
        login::sessions::revoke_login(&app, &caller, id).await
    };
    let ended = ended.await;
    match ended {
        Ok(()) if own => clear_session_cookies(&app, Redirect::to("/sign-in?done=out").into_response()),
        outcome => finish_action(&app, &caller, outcome, "ended").await,
    }
}

/// `POST /account/end-others`.
pub async fn end_others(SignedIn(caller): SignedIn, State(app): State<App>) -> Response {
    let ended = login::sessions::revoke_all_logins(&app, &caller, LoginSelection::Others).await;
    finish_action(&app, &caller, ended, "others").await
}

/// `POST /account/end-all`.
pub async fn end_all(SignedIn(caller): SignedIn, State(app): State<App>) -> Response {
    match login::sessions::revoke_all_logins(&app, &caller, LoginSelection::All).await {
        Ok(()) => clear_session_cookies(&app, Redirect::to("/sign-in?done=out").into_response()),
        Err(failure) => render_failure(&app, &caller, failure, false).await,
    }
}

/// `POST /account/password`.
pub async fn password(
    SignedIn(caller): SignedIn,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Response {
    let changed = async {
        let form = Form::read(&app, request).await?;
        let ends = RevocationScope { keys: !form.get("keys").is_empty(), own_session: false };
        login::passwords::change_own_password(&app, &caller, form.get("old"), form.get("new"), ends).await
    };
    finish_action(&app, &caller, changed.await, "password").await
}

/// `POST /account/revoke-keys`.
pub async fn revoke_keys(SignedIn(caller): SignedIn, State(app): State<App>) -> Response {
    let revoked = own_keys::revoke_all_own_keys(&app, &caller).await;
    finish_action(&app, &caller, revoked, "keys").await
}

/// `POST /account/authenticate`.
pub async fn authenticate(
    SignedIn(caller): SignedIn,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Response {
    let again = async {
        let form = Form::read(&app, request).await?;
        let code = Some(form.get("code")).filter(|code| !code.is_empty());
        second_factor::reauthenticate(&app, &caller, Some(form.get("password")), code).await
    };
    match again.await {
        Ok(_) => Redirect::to("/account?done=shown").into_response(),
        Err(failure) => {
            let (status, error) = status_and_sentence(failure);
            let messages = PageMessages { error: Some(error), stale: true, ..PageMessages::default() };
            render_account(&app, &caller, status, messages).await
        }
    }
}

/// `POST /account/totp`.
pub async fn propose(SignedIn(caller): SignedIn, State(app): State<App>) -> Response {
    match second_factor::propose_second_factor(&app, &caller).await {
        Ok(_) => {
            render_account(
                &app,
                &caller,
                StatusCode::OK,
                PageMessages { enrolling: true, ..PageMessages::default() },
            )
            .await
        }
        Err(failure) => render_failure(&app, &caller, failure, false).await,
    }
}

/// `POST /account/totp/confirm`.
pub async fn confirm(
    SignedIn(caller): SignedIn,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Response {
    let confirmed = async {
        let form = Form::read(&app, request).await?;
        second_factor::confirm_second_factor(&app, &caller, form.get("code")).await
    };
    match confirmed.await {
        Ok(codes) => {
            let messages =
                PageMessages { codes, notice: Some("The second factor is on."), ..PageMessages::default() };
            render_account(&app, &caller, StatusCode::OK, messages).await
        }
        Err(failure) => {
            let again = matches!(failure, Failure::Refused(Refusal::WrongCode));
            render_failure(&app, &caller, failure, again).await
        }
    }
}

/// `POST /account/totp/remove`.
pub async fn remove(
    SignedIn(caller): SignedIn,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Response {
    let removed = async {
        let form = Form::read(&app, request).await?;
        second_factor::remove_second_factor(&app, &caller, Some(form.get("code"))).await
    };
    finish_action(&app, &caller, removed.await, "off").await
}

/// `POST /account/recovery-codes`.
pub async fn recovery_codes(
    SignedIn(caller): SignedIn,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Response {
    let created = async {
        let form = Form::read(&app, request).await?;
        second_factor::create_recovery_codes(&app, &caller, form.get("code")).await
    };
    match created.await {
        Ok(codes) => {
            let notice = Some("Your old recovery codes are no longer valid.");
            render_account(
                &app,
                &caller,
                StatusCode::OK,
                PageMessages { codes, notice, ..PageMessages::default() },
            )
            .await
        }
        Err(failure) => render_failure(&app, &caller, failure, false).await,
    }
}
