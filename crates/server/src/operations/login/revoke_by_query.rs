//! Login sessions of all users, by query: previews them, and ends those of a preview.

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::operations::login;
use crate::operations::login::second_factor::demand_fresh;
use crate::services::master_key::NONCE;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::ids::{PrincipalId, SessionId};
use domain::login::{Login, LoginQuery};
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use store::access::ManageMembers;
use store::{Caller, GrantedAccount, Store};

/// How long a preview can be used.
const GOOD_FOR: Span = Span::minutes(10);
/// The context that the token is sealed in.
const SEALED_AS: &str = "preview of login sessions";
/// How many sessions one batch ends.
const AT_ONCE: usize = 100;

/// The login sessions that a query found.
pub struct LoginQueryResult {
    /// Newest first.
    pub logins: Vec<Login>,
    /// The token that ends them; `None` once they have ended.
    pub token: Option<String>,
}

/// The content of a token: the query, who previewed it, and when.
#[derive(Serialize, Deserialize)]
struct PreviewToken {
    query: LoginQuery,
    by: uuid::Uuid,
    at: i64,
}

/// Lists the sessions that a query finds, without the caller's own.
///
/// # Errors
/// [`Refusal::Forbidden`] for a caller who is not an administrator of the account; [`Refusal::StaleAuthentication`].
pub async fn preview_logins(
    app: &App,
    caller: &Caller,
    query: LoginQuery,
) -> Result<LoginQueryResult, Failure> {
    let granted = authorize(app, caller)?;
    let now = app.now();
    let logins =
        find_logins(&app.store, &granted, &query, login::sessions::current_login(caller), now).await?;
    let preview = PreviewToken { query, by: caller.principal().0, at: now.0 };
    let text = serde_json::to_string(&preview).map_err(Failure::internal)?;
    let sealed = app.keys.seal(SEALED_AS, &text, app.random_bytes::<NONCE>())?;
    Ok(LoginQueryResult { logins, token: Some(BASE64_URL_SAFE_NO_PAD.encode(sealed)) })
}

/// Ends the sessions of a preview. Sessions that were opened since stay.
///
/// # Errors
/// Those of [`preview_logins`]; [`RequestFailure::Conflict`] for a token of another query, of another caller, or that
/// has expired.
pub async fn revoke_logins(
    app: &App,
    caller: &Caller,
    query: LoginQuery,
    token: &str,
) -> Result<LoginQueryResult, Failure> {
    let granted = authorize(app, caller)?;
    let now = app.now();
    let other = || {
        RequestFailure::Conflict(
            "the preview is of another query or has expired: request a new one".to_owned(),
        )
    };
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| other())?;
    let text = app.keys.unseal(SEALED_AS, &sealed).map_err(|_| other())?;
    let preview: PreviewToken = serde_json::from_str(&text).map_err(|_| other())?;
    let at = Micros(preview.at);
    if preview.query != query || preview.by != caller.principal().0 || now >= at + GOOD_FOR {
        return Err(other().into());
    }
    let mut logins =
        find_logins(&app.store, &granted, &query, login::sessions::current_login(caller), now).await?;
    logins.retain(|login| login.id.creation_time() <= at);
    let ending = revocation_ending(granted.principal());
    end_in_batches(&app.store, &granted, &logins, &ending, now).await?;
    Ok(LoginQueryResult { logins, token: None })
}

/// Ends sessions, for an administrator at the command line.
pub async fn end_found_logins(
    store: &Store,
    granted: &GrantedAccount<ManageMembers>,
    logins: &[Login],
    now: Micros,
) -> Result<(), Failure> {
    end_in_batches(store, granted, logins, &revocation_ending(None), now).await
}

/// Lists the sessions that a query finds, newest first.
pub async fn find_logins(
    store: &Store,
    granted: &GrantedAccount<ManageMembers>,
    query: &LoginQuery,
    except: Option<SessionId>,
    now: Micros,
) -> Result<Vec<Login>, Failure> {
    let mut logins = store.list_all_logins(granted, now).await?;
    let filter = query.to_filter();
    logins.retain(|login| filter.matches(&login.summary(None), now) && Some(login.id) != except);
    Ok(logins)
}

fn authorize(app: &App, caller: &Caller) -> Result<GrantedAccount<ManageMembers>, Failure> {
    let granted = caller.authorize_in_account::<ManageMembers>()?;
    demand_fresh(app, caller)?;
    Ok(granted)
}

fn revocation_ending(actor: Option<PrincipalId>) -> Ending {
    let evidence = "revoked together with others by an administrator".to_owned();
    Ending { reason: EndReason::Revoked, actor, evidence }
}

async fn end_in_batches(
    store: &Store,
    granted: &GrantedAccount<ManageMembers>,
    logins: &[Login],
    ending: &Ending,
    now: Micros,
) -> Result<(), Failure> {
    for part in logins.chunks(AT_ONCE) {
        store.end_selected_logins(granted, part, ending, now).await?;
    }
    Ok(())
}
