//! Second factors: codes of an authenticator app (RFC 6238), recovery codes, and authenticating again.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::attempt_budgets;
use crate::operations::login::attempt_budgets::AttemptBudget;
use crate::operations::login::policies;
use crate::operations::login::sign_in::TRIES;
use crate::services::master_key::NONCE;
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::{PrincipalId, SessionId};
use domain::login::{Login, Method};
use domain::permission::Permission;
use domain::refusal::Thing;
use domain::second_factor::{RECOVERY_CODES, SECRET_BYTES, SecondFactorCode, is_fresh, recovery_code};
use domain::time::{Micros, Span};
use sha2::{Digest, Sha256};
use store::{Authentication, Caller, Error, GrantedPerson, SecondFactor, System};
use totp_rs::{Builder, Secret, Totp};

/// The issuer that the app shows with a code.
const ISSUER: &str = "Tenure";
/// Scope reported as missing when the caller used an API key instead of signing in.
const SIGN_IN: &str = "a sign-in";
/// Purposes of attempt budgets: codes of a second factor, and passwords of a signed-in user.
const CODE: &str = "code";
/// See [`CODE`].
pub(crate) const PASSWORD: &str = "password";

/// A second factor that waits for its first code.
pub struct SecondFactorProposal {
    /// The app's secret in base 32, to be typed.
    pub secret: String,
    /// The same as a URI, to be scanned.
    pub uri: String,
}

/// The state of a user's second factor.
pub struct SecondFactorStatus {
    /// When it was confirmed; `None` without a second factor.
    pub since: Option<Micros>,
    /// How many recovery codes are left.
    pub recovery_codes: i64,
}

/// Checks that a caller who signed in did so recently enough to change who can get in. A caller with an API key
/// passes.
///
/// # Errors
/// [`Refusal::StaleAuthentication`].
pub fn demand_fresh(app: &App, caller: &Caller) -> Result<(), Refusal> {
    let within = Span::from(app.settings.fresh_auth);
    if is_fresh(caller.last_authentication(), within, app.now()) {
        return Ok(());
    }
    Err(Refusal::StaleAuthentication { seconds: within.0 / 1_000_000 })
}

/// Checks a recent sign-in for changes that need a permission to decide who can get in.
///
/// # Errors
/// [`Refusal::StaleAuthentication`].
pub fn demand_fresh_for(
    app: &App,
    caller: &Caller,
    permission: Permission,
    changes: bool,
) -> Result<(), Refusal> {
    use Permission::{ManageMembers, ManageOrganizations, ManageServiceUsers};
    let who = matches!(permission, ManageMembers | ManageServiceUsers | ManageOrganizations);
    if changes && who { demand_fresh(app, caller) } else { Ok(()) }
}

/// Authorizes callers to change their own second factor; returns their session too. A key is refused: whoever finds
/// one could lock its owner out.
fn authorize_own(caller: &Caller) -> Result<(GrantedPerson, SessionId), Refusal> {
    let own = caller.authorize_self("write:user")?;
    match (caller.authentication(), caller.last_authentication()) {
        (Authentication::Login(session), Some(_)) => Ok((own, session)),
        _ => Err(Refusal::OutOfScope(SIGN_IN)),
    }
}

/// The state of the caller's second factor.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn load_status(app: &App, caller: &Caller) -> Result<SecondFactorStatus, Failure> {
    let factor = app.store.load_second_factor(&caller.authorize_self("read:user")?).await?;
    let factor = factor.filter(|factor| factor.confirmed.is_some());
    let recovery_codes = factor.as_ref().map_or(0, |factor| factor.recovery_codes);
    Ok(SecondFactorStatus { since: factor.and_then(|factor| factor.confirmed), recovery_codes })
}

/// Proposes a second factor, in place of one that was never confirmed.
///
/// # Errors
/// [`Refusal::StaleAuthentication`]; [`Refusal::Exists`]; [`Refusal::OutOfScope`] for a caller who has not signed in.
pub async fn propose_second_factor(app: &App, caller: &Caller) -> Result<SecondFactorProposal, Failure> {
    let (own, _) = authorize_own(caller)?;
    demand_fresh(app, caller)?;
    let secret = Secret::from(app.random_bytes::<SECRET_BYTES>().to_vec());
    let sealed =
        app.keys.seal(&seal_context(own.person()), &secret.to_base32(), app.random_bytes::<NONCE>())?;
    app.store.propose_second_factor(&own, &sealed, app.now()).await?;
    build_proposal(app, &own, secret).await
}

/// The proposed second factor that is not confirmed yet.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::StaleAuthentication`].
pub async fn load_proposal(app: &App, caller: &Caller) -> Result<SecondFactorProposal, Failure> {
    let (own, _) = authorize_own(caller)?;
    demand_fresh(app, caller)?;
    let factor = app.store.load_second_factor(&own).await?.filter(|factor| factor.confirmed.is_none());
    let factor = factor.ok_or(Refusal::NotFound(Thing::SecondFactor))?;
    let secret = unseal_secret(app, own.person(), &factor)?;
    build_proposal(app, &own, secret).await
}

async fn build_proposal(
    app: &App,
    own: &GrantedPerson,
    secret: Secret,
) -> Result<SecondFactorProposal, Failure> {
    let person = app.store.load_person(own).await?;
    let text = secret.to_base32();
    // A colon would end the name in the URI.
    let name = person.principal.email.unwrap_or(person.principal.name).replace(':', "_");
    let totp = Builder::new().with_secret(secret).with_account_name(name).with_issuer(Some(ISSUER)).build();
    let uri = totp.and_then(|totp| totp.to_url()).map_err(Failure::internal)?;
    Ok(SecondFactorProposal { secret: text, uri })
}

/// Confirms a proposed second factor with a code of it. Returns the recovery codes, which are shown once; none when
/// the request is repeated.
///
/// # Errors
/// [`Refusal::WrongCode`]; [`Refusal::TooManyAttempts`]; [`Refusal::NotFound`] when nothing is proposed.
pub async fn confirm_second_factor(app: &App, caller: &Caller, typed: &str) -> Result<Vec<String>, Failure> {
    let (own, session) = authorize_own(caller)?;
    if app.store.find_earlier_creation(&own).await?.is_some() {
        return Ok(Vec::new());
    }
    demand_fresh(app, caller)?;
    let codes_tried = AttemptBudget::per_person(app, CODE, own.person());
    attempt_budgets::reserve_attempts(app, [codes_tried]).await?;
    let (codes, hashes) = recovery_codes(app, own.person());
    for _ in 0..TRIES {
        let factor = app.store.load_second_factor(&own).await?.filter(|factor| factor.confirmed.is_none());
        let factor = factor.ok_or(Refusal::NotFound(Thing::SecondFactor))?;
        let Some(SecondFactorCode::Time(digits)) = SecondFactorCode::parse(typed) else {
            return Err(Refusal::WrongCode.into());
        };
        let step = find_time_step(app, own.person(), &factor, &digits)?.ok_or(Refusal::WrongCode)?;
        let login = app.store.load_login(&own, session).await?;
        match app.store.confirm_second_factor(&own, &factor, step, &hashes, Some(&login), app.now()).await {
            Err(Error::Stale) => {}
            outcome => {
                outcome?;
                attempt_budgets::forget_attempts(app, codes_tried).await?;
                return Ok(codes);
            }
        }
    }
    Err(Failure::Busy)
}

/// Replaces all recovery codes; `typed` is a code of the second factor, or an old recovery code. When the request is
/// repeated, the codes are not shown again.
///
/// # Errors
/// Those of [`remove_second_factor`].
pub async fn create_recovery_codes(app: &App, caller: &Caller, typed: &str) -> Result<Vec<String>, Failure> {
    let (own, _) = authorize_own(caller)?;
    if app.store.find_earlier_creation(&own).await?.is_some() {
        return Ok(Vec::new());
    }
    demand_fresh(app, caller)?;
    is_confirmed(app, &own).await?;
    check_code(app, own.person(), typed).await?;
    let (codes, hashes) = recovery_codes(app, own.person());
    app.store.set_recovery_codes(&own, &hashes).await?;
    Ok(codes)
}

/// Removes the caller's second factor, with a code of it or a recovery code. One that was never confirmed needs no
/// code. When the request is repeated, it is removed already.
///
/// # Errors
/// [`Refusal::StaleAuthentication`]; [`Refusal::WrongCode`]; [`Refusal::NotFound`].
pub async fn remove_second_factor(app: &App, caller: &Caller, typed: Option<&str>) -> Result<(), Failure> {
    let (own, _) = authorize_own(caller)?;
    if app.store.find_earlier_creation(&own).await?.is_some() {
        return Ok(());
    }
    demand_fresh(app, caller)?;
    if is_confirmed(app, &own).await? {
        check_code(app, own.person(), typed.unwrap_or_default()).await?;
    }
    Ok(app.store.remove_second_factor(&own).await?)
}

async fn is_confirmed(app: &App, own: &GrantedPerson) -> Result<bool, Failure> {
    let factor = app.store.load_second_factor(own).await?.ok_or(Refusal::NotFound(Thing::SecondFactor))?;
    Ok(factor.confirmed.is_some())
}

/// Whether a user has a confirmed second factor.
pub(crate) async fn has_second_factor(app: &App, person: PrincipalId) -> Result<bool, Failure> {
    let factor = app.store.load_second_factor(&System::for_sign_in().grant_person(person)).await?;
    Ok(factor.is_some_and(|factor| factor.confirmed.is_some()))
}

/// Checks a code of a user's second factor, or a recovery code, and uses it up. Attempts count per user, not per
/// network: whoever tries knows the password already.
///
/// # Errors
/// [`Refusal::WrongCode`]; [`Refusal::TooManyAttempts`].
pub(crate) async fn check_code(app: &App, person: PrincipalId, typed: &str) -> Result<(), Failure> {
    let granted = System::for_sign_in().grant_person(person);
    let codes_tried = AttemptBudget::per_person(app, CODE, person);
    attempt_budgets::reserve_attempts(app, [codes_tried]).await?;
    let factor = app.store.load_second_factor(&granted).await?.filter(|factor| factor.confirmed.is_some());
    let factor = factor.ok_or(Refusal::WrongCode)?;
    match SecondFactorCode::parse(typed).ok_or(Refusal::WrongCode)? {
        SecondFactorCode::Time(digits) => {
            let step = find_time_step(app, person, &factor, &digits)?.ok_or(Refusal::WrongCode)?;
            app.store.use_one_time_code(&granted, step).await?;
        }
        SecondFactorCode::Recovery(code) => {
            app.store.use_recovery_code(&granted, &hash_recovery_code(person, &code)).await?
        }
    }
    attempt_budgets::forget_attempts(app, codes_tried).await
}

/// Authenticates the caller again, by password, and by code when there is a second factor. A user without a password
/// gives only a code; one with neither must sign in again.
///
/// # Errors
/// [`Refusal::Invalid`] for a wrong password; [`Refusal::SecondFactorNeeded`]; [`Refusal::WrongCode`];
/// [`Refusal::TooManyAttempts`]; [`Refusal::OutOfScope`] for a key.
pub async fn reauthenticate(
    app: &App,
    caller: &Caller,
    password: Option<&str>,
    code: Option<&str>,
) -> Result<Login, Failure> {
    let (own, session) = authorize_own(caller)?;
    if app.store.find_earlier_creation(&own).await?.is_some() {
        return Ok(app.store.load_login(&own, session).await?);
    }
    let person = own.person();
    let mut methods = Vec::new();
    let wrong = || Refusal::invalid("password", "your own password");
    let passwords_tried = AttemptBudget::per_person(app, PASSWORD, person);
    attempt_budgets::reserve_attempts(app, [passwords_tried]).await?;
    let hash = match policies::may_have_password(app, person).await? {
        true => app.store.load_password_hash(&own).await?,
        false => None,
    };
    if hash.is_some() {
        if !app.passwords.check(password.unwrap_or_default(), hash.as_deref()).await? {
            return Err(wrong().into());
        }
        methods.push(Method::Password);
    }
    if has_second_factor(app, person).await? {
        check_code(app, person, code.ok_or(Refusal::SecondFactorNeeded)?).await?;
        methods.extend([Method::OneTime, Method::MultiFactor]);
    }
    if methods.is_empty() {
        return Err(wrong().into());
    }
    attempt_budgets::forget_attempts(app, passwords_tried).await?;
    for _ in 0..TRIES {
        let login = app.store.load_login(&own, session).await?;
        match app.store.record_reauthentication(&own, &login, methods.clone(), app.now()).await {
            Err(Error::Stale) => {}
            outcome => {
                outcome?;
                return Ok(app.store.load_login(&own, session).await?);
            }
        }
    }
    Err(Failure::Busy)
}

/// The time step of a code that is right now, or was or will be half a minute from now.
fn find_time_step(
    app: &App,
    person: PrincipalId,
    factor: &SecondFactor,
    digits: &str,
) -> Result<Option<i64>, Failure> {
    let seconds = u64::try_from(app.now().0 / 1_000_000).unwrap_or(0);
    let totp =
        Builder::new().with_secret(unseal_secret(app, person, factor)?).build().map_err(Failure::internal)?;
    Ok(Totp::check(&totp, digits, seconds).and_then(|step| i64::try_from(step).ok()))
}

fn unseal_secret(app: &App, person: PrincipalId, factor: &SecondFactor) -> Result<Secret, Failure> {
    let text = app.keys.unseal(&seal_context(person), &factor.sealed)?;
    Secret::try_from_base32(text).map_err(|_| Failure::internal("a second factor is not base 32"))
}

/// The context that a user's second factor is sealed in. A ciphertext copied to another user cannot be unsealed.
pub(crate) fn seal_context(person: PrincipalId) -> String {
    format!("second factor of {person}")
}

fn recovery_codes(app: &App, person: PrincipalId) -> (Vec<String>, Vec<SecretHash>) {
    let code = |_| recovery_code(app.random_bytes());
    let codes = (0..RECOVERY_CODES).map(code).collect::<Vec<_>>();
    let hashes = codes.iter().map(|code| hash_recovery_code(person, &code.replace('-', ""))).collect();
    (codes, hashes)
}

fn hash_recovery_code(person: PrincipalId, code: &str) -> SecretHash {
    SecretHash(Sha256::digest(format!("recovery {person} {code}").as_bytes()).into())
}
