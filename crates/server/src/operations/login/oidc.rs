//! Signing in by an issuer of OpenID Connect: there with a state, back with a code.
//!
//! Nothing is kept here meanwhile: the browser keeps what the way back is checked with, sealed, in a cookie. So whoever
//! sends strangers away writes nothing, and whoever has only the address that somebody came back to can go on with
//! nothing. A way back that ended in a sign-in ends in no second one.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::audit;
use crate::operations::audit::NewAuditEntry;
use crate::operations::login::attempt_budgets;
use crate::operations::login::attempt_budgets::AttemptBudget;
use crate::operations::login::challenge;
use crate::operations::login::challenge::FirstFactor;
use crate::operations::login::challenge::SignInContext;
use crate::operations::login::challenge::SignInOutcome;
use crate::operations::login::policies;
use crate::operations::login::sign_in::TRIES;
use crate::services::issuer::Issuer;
use crate::services::issuer::Journey;
use crate::services::issuer::Trouble;
use crate::services::master_key::NONCE;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::credential::SecretHash;
use domain::federation::{Admission, Claimed, JOURNEY, Owner, Stranger, admit, changes};
use domain::ids::PrincipalId;
use domain::login::Method;
use domain::permission::AccountRole;
use domain::principal::{Membership, Person, Principal, PrincipalKind, PrincipalState};
use domain::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{Attribution, Caller, Error, Identity, RoleSource, System};

/// Where people come back to.
pub const CALLBACK: &str = "/sign-in/oidc/callback";
const PURPOSE: &str = "oidc";
/// A longer path to go on to is forgotten: a browser keeps no cookie that is larger than 4 KiB.
const MAX_NEXT: usize = 1_500;

/// Why somebody did not get in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// There is no issuer.
    #[error("no issuer is set")]
    NoIssuer,
    /// The issuer does not answer, or what it says cannot be used.
    #[error("{0}")]
    IssuerUnavailable(Trouble),
    /// The issuer let them not in, or they did not want to.
    #[error("the issuer let nobody in: {0:?}")]
    Denied(String),
    /// This browser was not sent away, or too long ago, or it came back before.
    #[error("the state is unknown, used or too old")]
    Expired,
    /// The browser was sent away with another state: by another tab, or it is another browser that was sent.
    #[error("the state is another browser's")]
    OtherBrowser,
    /// What the issuer said is not good.
    #[error("{0}")]
    Untrusted(Trouble),
    /// They were to show again who they are, and did not.
    #[error("the issuer asked for nothing again")]
    NotFresh,
    /// They are known, and may not come in.
    #[error("{subject:?} may not come in: {why:?}")]
    NotAdmitted {
        /// What the issuer calls them.
        subject: String,
        /// Why.
        why: Stranger,
    },
    /// Something else.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<Trouble> for OidcError {
    fn from(trouble: Trouble) -> OidcError {
        match trouble {
            Trouble::Down(_) => OidcError::IssuerUnavailable(trouble),
            Trouble::Refused(_) | Trouble::Untrusted(_) => OidcError::Untrusted(trouble),
        }
    }
}

impl From<Error> for OidcError {
    fn from(error: Error) -> OidcError {
        OidcError::Failed(error.into())
    }
}

/// What somebody wants.
pub struct OidcRequest<'a> {
    /// Where they go on to; a path of this server.
    pub next: &'a str,
    /// Whether they have to show the issuer again who they are.
    pub again: bool,
}

/// Somebody is sent away.
pub struct OidcRedirect {
    /// Where to.
    pub url: String,
    /// What their browser keeps meanwhile, sealed.
    pub cookie: String,
}

/// Somebody comes back.
pub struct OidcCallback<'a> {
    /// Which journey.
    pub state: Option<&'a str>,
    /// What their browser kept.
    pub cookie: Option<&'a str>,
    /// What tells who they are.
    pub code: Option<&'a str>,
    /// Why there is no code.
    pub error: Option<&'a str>,
    /// Who says so.
    pub issuer: Option<&'a str>,
}

/// What a browser keeps of a journey.
#[derive(Serialize, Deserialize)]
struct OidcState {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    again: bool,
    until_us: i64,
}

/// Sends somebody to the issuer.
///
/// # Errors
/// [`OidcError`].
pub async fn begin_oidc(app: &App, wish: OidcRequest<'_>) -> Result<OidcRedirect, OidcError> {
    let issuer = app.issuer.as_ref().ok_or(OidcError::NoIssuer)?;
    let [state, nonce, verifier] =
        [(), (), ()].map(|()| BASE64_URL_SAFE_NO_PAD.encode(app.random_bytes::<32>()));
    let now = app.now();
    let back = format!("{}{CALLBACK}", app.base_url);
    let journey = Journey { back: &back, state: &state, nonce: &nonce, verifier: &verifier };
    let url = issuer.door(now, &journey, wish.again.then_some(app.settings.fresh_auth)).await?;
    let next = if wish.next.len() <= MAX_NEXT { wish.next.to_owned() } else { String::new() };
    let kept = OidcState { state, nonce, verifier, next, again: wish.again, until_us: (now + JOURNEY).0 };
    let text = serde_json::to_string(&kept).map_err(Failure::internal)?;
    let sealed = app.keys.seal(PURPOSE, &text, app.random_bytes::<NONCE>())?;
    Ok(OidcRedirect { url, cookie: BASE64_URL_SAFE_NO_PAD.encode(sealed) })
}

/// Lets somebody in who comes back, as far as the issuer's word goes: a second factor may be missing. Says where they
/// go on to.
///
/// # Errors
/// [`OidcError`].
pub async fn finish_oidc(
    app: &App,
    returned: OidcCallback<'_>,
    visitor: SignInContext<'_>,
) -> Result<(SignInOutcome, String), OidcError> {
    let issuer = app.issuer.as_ref().ok_or(OidcError::NoIssuer)?;
    let kept = read_state(app, returned.state, returned.cookie)?;
    issuer.answered(app.now(), returned.issuer).await?;
    if let Some(error) = returned.error {
        return Err(denial(error));
    }
    let code = returned.code.ok_or_else(|| OidcError::Denied("there is no code".to_owned()))?;
    let back = format!("{}{CALLBACK}", app.base_url);
    let journey = Journey { back: &back, state: &kept.state, nonce: &kept.nonce, verifier: &kept.verifier };
    // The issuer is asked for strangers as often as it may refuse them.
    let network =
        AttemptBudget::per_network(app, "issuer asked", &visitor.origin).map(|budget| budget.scale(10));
    attempt_budgets::reserve_attempts(app, network).await?;
    let claimed = issuer.redeem(app.now(), code, &journey).await?;
    attempt_budgets::return_attempts(app, network).await?;
    let now = app.now();
    let (system, used) = (System::sign_in(), hash_state(&kept.state));
    match app.store.use_once(&system, PURPOSE, &used, Micros(kept.until_us)).await {
        Err(Error::Stale) => return Err(OidcError::Expired),
        outcome => outcome?,
    }
    let authenticated = claimed.authenticated.map(|at| at.min(now));
    if kept.again && authenticated.is_none_or(|at| now >= at + Span::from(app.settings.fresh_auth)) {
        return Err(OidcError::NotFresh);
    }
    let by = Attribution::anonymous(visitor.origin.remote_ip);
    let person = match find_or_create_person(app, issuer, &claimed, by).await {
        Err(OidcError::NotAdmitted { subject, why }) => {
            audit_refusal(app, issuer, &subject, why, by).await?;
            return Err(OidcError::NotAdmitted { subject, why });
        }
        outcome => outcome?,
    };
    apply_groups(app, person.principal.id, &claimed, by).await?;
    let mut methods = vec![Method::Federated];
    methods.extend(claimed.multi_factor.then_some(Method::MultiFactor));
    let (password, password_hash) = (None, None);
    let shown =
        FirstFactor { long: false, end_others: false, password, password_hash, methods, authenticated };
    let entry = challenge::continue_sign_in(app, person, shown, None, visitor).await?;
    Ok((entry, kept.next))
}

/// Reads what the browser kept of the journey that it comes back from.
fn read_state(app: &App, state: Option<&str>, kept: Option<&str>) -> Result<OidcState, OidcError> {
    let (state, kept) = (state.ok_or(OidcError::Expired)?, kept.ok_or(OidcError::Expired)?);
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(kept).map_err(|_| OidcError::OtherBrowser)?;
    let text = app.keys.unseal(PURPOSE, &sealed).map_err(|_| OidcError::OtherBrowser)?;
    let kept: OidcState = serde_json::from_str(&text).map_err(|_| OidcError::OtherBrowser)?;
    if kept.state != state {
        return Err(OidcError::OtherBrowser);
    }
    if app.now() >= Micros(kept.until_us) { Err(OidcError::Expired) } else { Ok(kept) }
}

/// The words of RFC 6749, section 4.1.2.1, and of OpenID Connect.
fn denial(error: &str) -> OidcError {
    let error = error.chars().filter(char::is_ascii_graphic).take(64).collect::<String>();
    match error.as_str() {
        "temporarily_unavailable" | "server_error" => OidcError::IssuerUnavailable(Trouble::Refused(error)),
        _ => OidcError::Denied(error),
    }
}

/// Who somebody is here, from now on.
async fn find_or_create_person(
    app: &App,
    issuer: &Issuer,
    claimed: &Claimed,
    by: Attribution,
) -> Result<Person, OidcError> {
    let system = System::sign_in().attribute_to(by);
    let identity = Identity { issuer: issuer.name(), subject: &claimed.subject };
    for _ in 0..TRIES {
        let now = app.now();
        let namesake = match &claimed.email {
            Some(email) => app.store.find_person_by_email(&system, email).await?.map(|known| known.person),
            None => None,
        };
        let owner = match &namesake {
            Some(person) => {
                let (id, state) = (person.principal.id, person.principal.state);
                Some(Owner { state, linked: app.store.has_identity(&system, id, issuer.name()).await? })
            }
            None => None,
        };
        // Read after who has the address: another request of the same person may link the two meanwhile.
        let known = match app.store.find_person_by_identity(&system, identity).await? {
            Some(id) => Some(app.store.load_person(&system.grant_person(id)).await?),
            None => None,
        };
        let invited = match &claimed.email {
            Some(email) => app.store.is_invited(&system, email, now).await?,
            None => false,
        };
        let may_create = app.settings.oidc_create_users
            || invited
            || group_account_role(app, claimed).is_some()
            || !list_group_memberships(app, claimed).await?.is_empty();
        let state = known.as_ref().map(|person| person.principal.state);
        let outcome = match (admit(state, claimed.verified, owner, may_create), known, namesake) {
            (Admission::Enter, Some(person), _) => {
                app.store.record_identity_use(&system, identity, now).await?;
                return Ok(person);
            }
            (Admission::Link, _, Some(person)) => {
                app.store.link_identity(&system, &person, identity, now).await
            }
            (Admission::Create, ..) => {
                let new = new_person(app, claimed, now);
                app.store.create_person_with_identity(&system, &new, identity).await.map(drop)
            }
            (Admission::Refuse(why), ..) => {
                return Err(OidcError::NotAdmitted { subject: claimed.subject.clone(), why });
            }
            // As what is not there; the rule never says so.
            (Admission::Enter | Admission::Link, ..) => return Err(Failure::Unauthenticated.into()),
        };
        match outcome {
            // They are looked up once more, which also says what another request has made of them meanwhile.
            Ok(()) | Err(Error::Stale | Error::Refused(domain::Refusal::Exists(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Busy.into())
}

/// Notes that somebody whom the issuer knows did not come in: the first time in a while, as with passwords.
async fn audit_refusal(
    app: &App,
    issuer: &Issuer,
    subject: &str,
    why: Stranger,
    by: Attribution,
) -> Result<(), OidcError> {
    let window = Span::from(app.settings.sign_in_window);
    if attempt_budgets::is_first_in_window(app, &format!("oidc {why:?} {subject}"), window).await? {
        let details = json!({ "issuer": issuer.name(), "subject": subject, "why": why.name() });
        audit::record_audit_entry(
            app,
            NewAuditEntry::new(by, "login.fail", String::new(), details, app.now()),
        )
        .await;
    }
    Ok(())
}

fn new_person(app: &App, claimed: &Claimed, now: Micros) -> Person {
    let email = claimed.email.clone();
    let name = claimed.name.clone().or_else(|| email.clone()).unwrap_or_else(|| claimed.subject.clone());
    Person {
        principal: Principal {
            id: PrincipalId::new(now, app.random_bytes()),
            number: 0,
            kind: PrincipalKind::User,
            email,
            name,
            state: PrincipalState::Active,
            created: now,
            account_role: None,
            default_organization: None,
        },
        parent: None,
        first_name: claimed.first.clone().unwrap_or_default(),
        last_name: claimed.last.clone().unwrap_or_default(),
        updated: now,
    }
}

/// What somebody's groups make them.
async fn list_group_memberships(app: &App, claimed: &Claimed) -> Result<Vec<Membership>, OidcError> {
    let groups = claimed.groups.as_deref().unwrap_or_default();
    let mut wanted = Vec::new();
    for rule in app.settings.oidc_roles.iter().filter(|rule| groups.contains(&rule.group)) {
        match app.store.find_organization_by_name(&System::sign_in(), &rule.organization).await? {
            Some(organization) => wanted.push(Membership { organization, role: rule.role }),
            None => tracing::warn!(organization = rule.organization, "oidc_roles names no organization"),
        }
    }
    Ok(wanted)
}

/// What somebody's groups make them in the account.
fn group_account_role(app: &App, claimed: &Claimed) -> Option<AccountRole> {
    let groups = claimed.groups.as_deref().unwrap_or_default();
    let rules = app.settings.oidc_account_roles.iter().filter(|rule| groups.contains(&rule.group));
    AccountRole::greatest(rules.map(|rule| rule.role))
}

/// Gives somebody the roles that their groups say, in organizations and in the account. Nothing is changed where no group means anything here, or the issuer
/// does not say all of them.
async fn apply_groups(
    app: &App,
    person: PrincipalId,
    claimed: &Claimed,
    by: Attribution,
) -> Result<(), OidcError> {
    if !app.settings.groups_count() {
        return Ok(());
    }
    if claimed.groups.is_none() {
        tracing::warn!(%person, "the issuer does not say all groups: roles stay as they are");
        return Ok(());
    }
    let system = System::sign_in().attribute_to(by);
    let role = group_account_role(app, claimed);
    app.store.set_account_role(&system, person, role, RoleSource::Groups, app.now()).await?;
    for _ in 0..TRIES {
        let wanted = list_group_memberships(app, claimed).await?;
        let changes = changes(&app.store.list_memberships(&system, person).await?, &wanted);
        match app.store.apply_groups(&system, person, &changes, app.now()).await {
            Err(Error::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Failure::Busy.into())
}

/// How a caller can show who they are.
pub struct AuthenticationMethods {
    /// By a password.
    pub password: bool,
    /// Whether they may have a password at all.
    pub may_have_password: bool,
    /// By the issuer.
    pub issuer: bool,
}

/// How the caller can show who they are.
///
/// # Errors
/// [`domain::Refusal::OutOfScope`].
pub async fn load_authentication_methods(
    app: &App,
    caller: &Caller,
) -> Result<AuthenticationMethods, Failure> {
    let own = caller.authorize_self("read:user")?;
    let may_have_password = policies::may_have_password(app, own.person()).await?;
    let password = may_have_password && app.store.load_password_hash(&own).await?.is_some();
    let issuer = policies::is_federated(app, own.person()).await?;
    Ok(AuthenticationMethods { password, may_have_password, issuer })
}

fn hash_state(state: &str) -> SecretHash {
    SecretHash(Sha256::digest(state.as_bytes()).into())
}
