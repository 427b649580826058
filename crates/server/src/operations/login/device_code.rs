//! Letting in programs that have no browser (RFC 8628): they get an API key of the person who lets them in, which
//! stands among its keys.

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
use domain::credential::{Secret, SecretHash};
use domain::device_login::{self, Answer, DeviceLogin, INTERVAL, State};
use domain::ids::OrganizationId;
use domain::login::Origin;
use domain::permission::{Permission, Role};
use domain::refusal::Thing;
use domain::time::Span;
use sha2::{Digest, Sha256};
use store::access::{ManageOwnKeys, UseSessions};
use store::{Attribution, Authentication, Caller, Error, GrantedPerson, System};

/// What is counted of a network whose programs nobody lets in.
const BEGUN: &str = "device login";
/// How often new codes are made when they are taken.
const TRIES: u32 = 8;
/// How many codes may be tried for each sign-in that may fail: a person looks at a code and then answers it.
const CODES: u32 = 5;

/// What a program is told when it begins.
pub struct DeviceCodes {
    /// Its own code, which is as good as a key once somebody let it in.
    pub device_code: String,
    /// The code that it shows.
    pub user_code: String,
    /// How long both are good.
    pub expires: Span,
    /// How long it waits between two questions.
    pub interval: Span,
}

/// What a program is told when it asks.
pub enum DeviceLoginReply {
    /// Not yet, or not any more.
    Status(Answer),
    /// Its key.
    Key(Secret),
}

/// Begins to let a program in.
///
/// # Errors
/// [`Refusal::Invalid`] for its id; [`Refusal::TooManyAttempts`] from one address.
pub async fn begin_device_login(app: &App, client: &str, origin: Origin) -> Result<DeviceCodes, Failure> {
    if !(1..=100).contains(&client.len()) || !client.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::invalid("client_id", "1 to 100 plain characters").into());
    }
    attempt_budgets::reserve_attempts(app, AttemptBudget::per_network(app, BEGUN, &origin)).await?;
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
            state: State::Pending,
        };
        let system = System::sign_in();
        match app
            .store
            .create_device_login(&system, &new, &hash_code(&device_code), &hash_code(&user_code))
            .await
        {
            Err(Error::Stale) => {}
            outcome => {
                outcome?;
                let user_code = device_login::shown(&user_code);
                return Ok(DeviceCodes { device_code, user_code, expires, interval: INTERVAL });
            }
        }
    }
    Err(Failure::Busy)
}

/// Answers a program's question. A code that is unknown, or another program's, is nothing.
///
/// # Errors
/// Only those of the store.
pub async fn poll_device_login(
    app: &App,
    client: &str,
    device_code: &str,
) -> Result<Option<DeviceLoginReply>, Failure> {
    let (system, code, now) = (System::sign_in(), hash_code(device_code), app.now());
    let found = app.store.load_device_login(&system, &code).await?;
    let Some((login, approval)) = found.filter(|(login, _)| login.client == client) else { return Ok(None) };
    let answer = login.answer(now);
    let interval = match answer {
        Answer::Pending => login.interval,
        // Nothing is written for a program that asks without end.
        Answer::SlowDown(interval) if interval == login.interval => {
            return Ok(Some(DeviceLoginReply::Status(answer)));
        }
        Answer::SlowDown(interval) => interval,
        Answer::Denied | Answer::Expired => return Ok(Some(DeviceLoginReply::Status(answer))),
        Answer::Ready => {
            let approval = approval.ok_or_else(|| Failure::internal("a program that nobody let in"))?;
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
                        AttemptBudget::per_network(app, BEGUN, &login.origin),
                    )
                    .await?;
                    Ok(Some(DeviceLoginReply::Key(secret)))
                }
                // Used by another question, or who let it in has gone.
                Err(Error::Unauthenticated) => Ok(Some(DeviceLoginReply::Status(Answer::Denied))),
                Err(error) => Err(error.into()),
            };
        }
    };
    match app.store.record_device_login_poll(&system, &code, login.polled, interval, now).await {
        Ok(()) => Ok(Some(DeviceLoginReply::Status(answer))),
        // It asks several times at once.
        Err(Error::Stale) => Ok(Some(DeviceLoginReply::Status(Answer::SlowDown(interval)))),
        Err(error) => Err(error.into()),
    }
}

/// What a program calls itself, as people are shown it.
pub fn program_name(login: &DeviceLogin) -> String {
    let agent = login.origin.agent.split_whitespace().next().unwrap_or_default();
    if agent.is_empty() { "a program without a name".to_owned() } else { agent.chars().take(60).collect() }
}

/// The program that waits with the code that a person typed.
///
/// # Errors
/// [`Refusal::NotFound`] when it is unknown, answered or expired; [`Refusal::TooManyAttempts`];
/// [`Refusal::OutOfScope`] for who has not signed in itself; [`Refusal::StaleAuthentication`] for who did so too long
/// ago: they could not let it in.
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

/// The organizations that a person may let programs into, the oldest first.
///
/// # Errors
/// Only those of the store.
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

/// Lets the program that waits with a code act as the caller, in the organization that the caller acts in.
///
/// # Errors
/// As [`find_pending_device_login`], and [`Refusal::Forbidden`] for a role that has no keys.
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

/// Does not let it in.
///
/// # Errors
/// As [`find_pending_device_login`].
pub async fn deny_device_login(app: &App, caller: &Caller, typed: &str) -> Result<(), Failure> {
    let (own, code, codes_tried) = reserve_code_attempt(app, caller, typed).await?;
    settle_code_attempt(app, codes_tried, app.store.deny_device_login(&own, &code, app.now()).await).await
}

/// Takes an attempt at a code out of the caller's budget. Gives what finds the program, and the budget for
/// [`settle_code_attempt`]. A session that may do less than its owner lets in no program, which could do more.
async fn reserve_code_attempt(
    app: &App,
    caller: &Caller,
    typed: &str,
) -> Result<(GrantedPerson, SecretHash, AttemptBudget), Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    if caller.scopes().is_some() {
        return Err(Refusal::OutOfScope("a session that may whatever its owner may").into());
    }
    let codes_tried = AttemptBudget::per_person(app, "device login by", own.person()).scale(CODES);
    attempt_budgets::reserve_attempts(app, [codes_tried]).await?;
    let code = device_login::typed_code(typed).ok_or(Refusal::NotFound(Thing::Program))?;
    Ok((own, hash_code(&code), codes_tried))
}

/// Gives the attempt back where the code was a program's.
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
