//! Sign-in of programs without a browser (RFC 8628). A user approves the program, which gets one of the user's API
//! keys.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::access::own_keys::authorize_interactive;
use crate::operations::access::own_keys::build_key;
use crate::operations::directory::organizations;
use crate::operations::login::attempt_budgets;
use crate::operations::login::attempt_budgets::AttemptBudget;
use crate::operations::login::second_factor::demand_fresh;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::Refusal;
use domain::credential::{KeySecret, SecretHash};
use domain::device_login::{self, DeviceLogin, DeviceLoginState, INTERVAL, PollReply};
use domain::ids::OrganizationId;
use domain::login::Origin;
use domain::permission::{Permission, Role};
use domain::refusal::Thing;
use domain::time::Span;
use sha2::{Digest, Sha256};
use store::access::{ManageOwnKeys, UseSessions};
use store::{Attribution, Authentication, Caller, Error, GrantedPerson, System};

/// The purpose of a network's budget for logins that nobody approves.
const NETWORK_PURPOSE: &str = "device login";
/// How often new codes are generated when they are in use.
const TRIES: u32 = 8;
/// Code attempts per allowed sign-in attempt: a user first looks a code up and then answers it.
const CODES: u32 = 5;

/// The codes of a new device login.
pub struct DeviceCodes {
    /// The program's code. Once approved, it is worth an API key.
    pub device_code: String,
    /// The code that the program shows to the user.
    pub user_code: String,
    /// How long both codes are valid.
    pub expires: Span,
    /// How long the program waits between two polls.
    pub interval: Span,
}

/// The reply to a poll.
pub enum DeviceLoginReply {
    /// There is no key: the login is pending, denied or expired.
    Status(PollReply),
    /// The program's key.
    Key(KeySecret),
}

/// Begins a device login.
///
/// # Errors
/// [`Refusal::Invalid`] for the client id; [`Refusal::TooManyAttempts`] for a network with too many unapproved
/// logins.
pub async fn begin_device_login(app: &App, client: &str, origin: Origin) -> Result<DeviceCodes, Failure> {
    if !(1..=100).contains(&client.len()) || !client.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::invalid("client_id", "1 to 100 plain characters").into());
    }
    attempt_budgets::reserve_attempts(app, AttemptBudget::per_network(app, NETWORK_PURPOSE, &origin)).await?;
    let expires = Span::from(app.settings.device_login_expires);
    for _ in 0..TRIES {
        let now = app.now();
        let device_code = BASE64_URL_SAFE_NO_PAD.encode(app.random_bytes::<32>());
        let user_code = device_login::user_code(app.random_bytes());
        let new = DeviceLogin {
            client: client.to_owned(),
            origin: origin.clone(),
            created: now,
            expires: now + expires,
            interval: INTERVAL,
            polled: None,
            state: DeviceLoginState::Pending,
        };
        let system = System::for_sign_in();
        match app
            .store
            .create_device_login(&system, &new, &hash_code(&device_code), &hash_code(&user_code))
            .await
        {
            Err(Error::Stale) => {}
            outcome => {
                outcome?;
                let user_code = device_login::display_code(&user_code);
                return Ok(DeviceCodes { device_code, user_code, expires, interval: INTERVAL });
            }
        }
    }
    Err(Failure::Busy)
}

/// Answers a poll; `None` for an unknown code, and for the code of another client.
pub async fn poll_device_login(
    app: &App,
    client: &str,
    device_code: &str,
) -> Result<Option<DeviceLoginReply>, Failure> {
    let (system, code, now) = (System::for_sign_in(), hash_code(device_code), app.now());
    let found = app.store.load_device_login(&system, &code).await?;
    let Some((login, approval)) = found.filter(|(login, _)| login.client == client) else { return Ok(None) };
    let reply = login.poll_reply(now);
    let interval = match reply {
        PollReply::Pending => login.interval,
        // A program that polls without end causes no writes.
        PollReply::SlowDown(interval) if interval == login.interval => {
            return Ok(Some(DeviceLoginReply::Status(reply)));
        }
        PollReply::SlowDown(interval) => interval,
        PollReply::Denied | PollReply::Expired => return Ok(Some(DeviceLoginReply::Status(reply))),
        PollReply::Ready => {
            let approval =
                approval.ok_or_else(|| Failure::internal("a device login is ready without an approval"))?;
            let place = login.origin.remote_ip.map_or_else(String::new, |ip| format!(" at {ip}"));
            let name = format!("{}{place}", program_name(&login));
            let until = now + Span::from(app.settings.device_key_expires);
            let organization = Some(approval.organization);
            let (token, secret) = build_key(app, approval.principal, organization, &name, None, Some(until));
            let by = Attribution {
                principal: Some(approval.principal),
                ..Attribution::anonymous(login.origin.remote_ip)
            };
            let system = system.attribute_to(by);
            return match app.store.redeem_device_login(&system, &code, &token, &secret.hash(), now).await {
                Ok(()) => {
                    attempt_budgets::return_attempts(
                        app,
                        AttemptBudget::per_network(app, NETWORK_PURPOSE, &login.origin),
                    )
                    .await?;
                    Ok(Some(DeviceLoginReply::Key(secret)))
                }
                // Another poll has redeemed it, or the approver can no longer act.
                Err(Error::Unauthenticated) => Ok(Some(DeviceLoginReply::Status(PollReply::Denied))),
                Err(error) => Err(error.into()),
            };
        }
    };
    match app.store.record_device_login_poll(&system, &code, login.polled, interval, now).await {
        Ok(()) => Ok(Some(DeviceLoginReply::Status(reply))),
        // The program polls concurrently.
        Err(Error::Stale) => Ok(Some(DeviceLoginReply::Status(PollReply::SlowDown(interval)))),
        Err(error) => Err(error.into()),
    }
}

/// The program's name as shown to people.
pub fn program_name(login: &DeviceLogin) -> String {
    let agent = login.origin.agent.split_whitespace().next().unwrap_or_default();
    if agent.is_empty() { "a program without a name".to_owned() } else { agent.chars().take(60).collect() }
}

/// The pending login of a code that a user typed.
///
/// # Errors
/// [`Refusal::NotFound`] when it is unknown, answered or expired; [`Refusal::TooManyAttempts`];
/// [`Refusal::OutOfScope`] for a caller who has not signed in; [`Refusal::StaleAuthentication`] for a sign-in that is
/// too old to approve anything.
pub async fn find_pending_device_login(
    app: &App,
    caller: &Caller,
    typed: &str,
) -> Result<DeviceLogin, Failure> {
    demand_fresh(app, caller)?;
    let (own, code, codes_tried) = reserve_code_attempt(app, caller, typed).await?;
    settle_code_attempt(app, codes_tried, app.store.find_pending_device_login(&own, &code, app.now()).await)
        .await
}

/// Lists the organizations in which the caller may approve programs, oldest first.
pub async fn list_approvable_organizations(
    app: &App,
    caller: &Caller,
) -> Result<Vec<(OrganizationId, String)>, Failure> {
    let account = caller.authorize_in_account::<UseSessions>().is_ok();
    let may = |role: Option<Role>| {
        account || role.is_some_and(|role| role.permissions().has(Permission::ManageOwnKeys))
    };
    let all = organizations::list_visible_organizations(app, caller).await?.into_iter();
    Ok(all.filter(|(_, role)| may(*role)).map(|(one, _)| (one.id, one.name)).collect())
}

/// Approves the login of a code: the program may act as the caller, in the organization that the caller acts in.
///
/// # Errors
/// Those of [`find_pending_device_login`]; [`Refusal::Forbidden`] when the caller's role cannot have keys.
pub async fn approve_device_login(app: &App, caller: &Caller, typed: &str) -> Result<(), Failure> {
    let (own, code, codes_tried) = reserve_code_attempt(app, caller, typed).await?;
    let granted = caller.authorize::<ManageOwnKeys>()?;
    demand_fresh(app, caller)?;
    let Authentication::Login(session) = caller.authentication() else {
        return Err(Failure::Unauthenticated);
    };
    settle_code_attempt(
        app,
        codes_tried,
        app.store.approve_device_login(&granted, &own, session, &code, app.now()).await,
    )
    .await
}

/// Denies the login of a code.
///
/// # Errors
/// Those of [`find_pending_device_login`].
pub async fn deny_device_login(app: &App, caller: &Caller, typed: &str) -> Result<(), Failure> {
    let (own, code, codes_tried) = reserve_code_attempt(app, caller, typed).await?;
    settle_code_attempt(app, codes_tried, app.store.deny_device_login(&own, &code, app.now()).await).await
}

/// Reserves a code attempt. Returns the caller's grant, the hash of the code, and the budget for
/// [`settle_code_attempt`]. A scoped-down session cannot approve a login that would get its owner's full rights.
async fn reserve_code_attempt(
    app: &App,
    caller: &Caller,
    typed: &str,
) -> Result<(GrantedPerson, SecretHash, AttemptBudget), Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    if caller.scopes().is_some() {
        return Err(Refusal::OutOfScope("a session that is not limited to scopes").into());
    }
    let codes_tried = AttemptBudget::per_person(app, "device login by", own.person()).scale(CODES);
    attempt_budgets::reserve_attempts(app, [codes_tried]).await?;
    let code = device_login::parse_code(typed).ok_or(Refusal::NotFound(Thing::Program))?;
    Ok((own, hash_code(&code), codes_tried))
}

/// Returns the attempt when the code was right.
async fn settle_code_attempt<T>(
    app: &App,
    codes_tried: AttemptBudget,
    outcome: store::Result<T>,
) -> Result<T, Failure> {
    let found = outcome?;
    attempt_budgets::return_attempts(app, [codes_tried]).await?;
    Ok(found)
}

fn hash_code(text: &str) -> SecretHash {
    SecretHash(Sha256::digest(text.as_bytes()).into())
}
