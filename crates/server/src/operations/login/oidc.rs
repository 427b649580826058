//! Sign-in by an OpenID Connect issuer: the browser goes there with a state and returns with a code.
//!
//! The server stores nothing meanwhile. What it needs to check the return is sealed in a cookie, so anonymous callers
//! cause no writes, and a stolen callback URL is useless without the cookie. A state that has led to a sign-in cannot
//! be used again.

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
use crate::services::issuer::AuthorizationRequest;
use crate::services::issuer::Issuer;
use crate::services::issuer::IssuerError;
use crate::services::master_key::NONCE;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::credential::SecretHash;
use domain::federation::{
    AddressOwner, Admission, AdmissionRefusal, IdentityClaims, SIGN_IN_LIFETIME, admit, membership_changes,
};
use domain::ids::PrincipalId;
use domain::login::Method;
use domain::permission::AccountRole;
use domain::principal::{Membership, Person, Principal, PrincipalKind, PrincipalState};
use domain::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{Attribution, Caller, Error, Identity, RoleSource, System};

/// The path of the callback.
pub const CALLBACK: &str = "/sign-in/oidc/callback";
const PURPOSE: &str = "oidc";
/// A longer path is dropped: browsers do not keep cookies above 4 KiB.
const MAX_NEXT: usize = 1_500;

/// Why a sign-in by the issuer failed.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// No issuer is configured.
    #[error("no issuer is configured")]
    NoIssuer,
    /// The issuer does not respond, or its response is unusable.
    #[error("{0}")]
    IssuerUnavailable(IssuerError),
    /// The issuer or the user denied the sign-in.
    #[error("the issuer denied the sign-in: {0:?}")]
    Denied(String),
    /// The state or its cookie is missing, expired or used.
    #[error("the state or its cookie is missing, expired or used")]
    Expired,
    /// The state is that of another tab or another browser.
    #[error("the state is that of another tab or browser")]
    OtherBrowser,
    /// The issuer's response is not valid.
    #[error("{0}")]
    Untrusted(IssuerError),
    /// The user had to authenticate again and did not.
    #[error("the user did not authenticate at the issuer again")]
    NotFresh,
    /// The issuer knows the user, but the user may not sign in.
    #[error("{subject:?} may not sign in: {}", .why.name())]
    NotAdmitted {
        /// The issuer's id of the user.
        subject: String,
        /// The reason.
        why: AdmissionRefusal,
    },
    /// Another failure.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<IssuerError> for OidcError {
    fn from(error: IssuerError) -> OidcError {
        match error {
            IssuerError::Down(_) => OidcError::IssuerUnavailable(error),
            IssuerError::Refused(_) | IssuerError::Untrusted(_) => OidcError::Untrusted(error),
        }
    }
}

impl From<Error> for OidcError {
    fn from(error: Error) -> OidcError {
        OidcError::Failed(error.into())
    }
}

/// A request to sign in by the issuer.
pub struct OidcRequest<'a> {
    /// The path of this server to continue at.
    pub next: &'a str,
    /// Whether the user must authenticate at the issuer again.
    pub again: bool,
}

/// A redirect to the issuer.
pub struct OidcRedirect {
    /// The issuer's URL.
    pub url: String,
    /// The sealed state for the browser's cookie.
    pub cookie: String,
}

/// A request to the callback.
pub struct OidcCallback<'a> {
    /// The state that the issuer returned.
    pub state: Option<&'a str>,
    /// The cookie of the browser.
    pub cookie: Option<&'a str>,
    /// The authorization code.
    pub code: Option<&'a str>,
    /// The error, when there is no code.
    pub error: Option<&'a str>,
    /// The issuer that claims to answer.
    pub issuer: Option<&'a str>,
}

/// The content of the cookie.
#[derive(Serialize, Deserialize)]
struct OidcState {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    again: bool,
    until_us: i64,
}

/// Starts a sign-in by the issuer.
///
/// # Errors
/// [`OidcError`].
pub async fn begin_oidc(app: &App, request: OidcRequest<'_>) -> Result<OidcRedirect, OidcError> {
    let issuer = app.issuer.as_ref().ok_or(OidcError::NoIssuer)?;
    let [state, nonce, verifier] =
        [(), (), ()].map(|()| BASE64_URL_SAFE_NO_PAD.encode(app.random_bytes::<32>()));
    let now = app.now();
    let redirect_url = format!("{}{CALLBACK}", app.base_url);
    let authorization = AuthorizationRequest {
        redirect_url: &redirect_url,
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
    };
    let max_age = request.again.then_some(app.settings.fresh_auth);
    let url = issuer.authorization_url(now, &authorization, max_age).await?;
    let next = if request.next.len() <= MAX_NEXT { request.next.to_owned() } else { String::new() };
    let stored = OidcState {
        state,
        nonce,
        verifier,
        next,
        again: request.again,
        until_us: (now + SIGN_IN_LIFETIME).0,
    };
    let text = serde_json::to_string(&stored).map_err(Failure::internal)?;
    let sealed = app.keys.seal(PURPOSE, &text, app.random_bytes::<NONCE>())?;
    Ok(OidcRedirect { url, cookie: BASE64_URL_SAFE_NO_PAD.encode(sealed) })
}

/// Finishes a sign-in by the issuer; a second factor may still be missing. Returns the path to continue at too.
///
/// # Errors
/// [`OidcError`].
pub async fn finish_oidc(
    app: &App,
    callback: OidcCallback<'_>,
    context: SignInContext<'_>,
) -> Result<(SignInOutcome, String), OidcError> {
    let issuer = app.issuer.as_ref().ok_or(OidcError::NoIssuer)?;
    let stored = read_state(app, callback.state, callback.cookie)?;
    issuer.check_redirect(app.now(), callback.issuer).await?;
    if let Some(error) = callback.error {
        return Err(denial(error));
    }
    let code = callback.code.ok_or_else(|| OidcError::Denied("there is no code".to_owned()))?;
    let redirect_url = format!("{}{CALLBACK}", app.base_url);
    let authorization = AuthorizationRequest {
        redirect_url: &redirect_url,
        state: &stored.state,
        nonce: &stored.nonce,
        verifier: &stored.verifier,
    };
    // Anonymous callers cause requests to the issuer, so their network has a budget.
    let network =
        AttemptBudget::per_network(app, "issuer asked", &context.origin).map(|budget| budget.scale(10));
    attempt_budgets::reserve_attempts(app, network).await?;
    let claimed = issuer.redeem_code(app.now(), code, &authorization).await?;
    attempt_budgets::return_attempts(app, network).await?;
    let now = app.now();
    let (system, used) = (System::for_sign_in(), hash_state(&stored.state));
    match app.store.use_once(&system, PURPOSE, &used, Micros(stored.until_us)).await {
        Err(Error::Stale) => return Err(OidcError::Expired),
        outcome => outcome?,
    }
    let authenticated = claimed.authenticated.map(|at| at.min(now));
    if stored.again && authenticated.is_none_or(|at| now >= at + Span::from(app.settings.fresh_auth)) {
        return Err(OidcError::NotFresh);
    }
    let by = Attribution::anonymous(context.origin.remote_ip);
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
    let first_factor =
        FirstFactor { long: false, end_others: false, password, password_hash, methods, authenticated };
    let outcome = challenge::continue_sign_in(app, person, first_factor, None, context).await?;
    Ok((outcome, stored.next))
}

/// Reads the cookie and checks it against the state.
fn read_state(app: &App, state: Option<&str>, cookie: Option<&str>) -> Result<OidcState, OidcError> {
    let (state, cookie) = (state.ok_or(OidcError::Expired)?, cookie.ok_or(OidcError::Expired)?);
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(cookie).map_err(|_| OidcError::OtherBrowser)?;
    let text = app.keys.unseal(PURPOSE, &sealed).map_err(|_| OidcError::OtherBrowser)?;
    let cookie: OidcState = serde_json::from_str(&text).map_err(|_| OidcError::OtherBrowser)?;
    if cookie.state != state {
        return Err(OidcError::OtherBrowser);
    }
    if app.now() >= Micros(cookie.until_us) { Err(OidcError::Expired) } else { Ok(cookie) }
}

/// The error codes of RFC 6749, section 4.1.2.1, and of OpenID Connect.
fn denial(error: &str) -> OidcError {
    let error = error.chars().filter(char::is_ascii_graphic).take(64).collect::<String>();
    match error.as_str() {
        "temporarily_unavailable" | "server_error" => {
            OidcError::IssuerUnavailable(IssuerError::Refused(error))
        }
        _ => OidcError::Denied(error),
    }
}

/// The user of the issuer's claims: known, linked by a verified address, or new.
async fn find_or_create_person(
    app: &App,
    issuer: &Issuer,
    claimed: &IdentityClaims,
    by: Attribution,
) -> Result<Person, OidcError> {
    let system = System::for_sign_in().attribute_to(by);
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
                Some(AddressOwner {
                    state,
                    linked: app.store.has_identity(&system, id, issuer.name()).await?,
                })
            }
            None => None,
        };
        // Read after the owner of the address: a concurrent request may link the two in between.
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
            // The rules never return this without a person.
            (Admission::Enter | Admission::Link, ..) => return Err(Failure::Unauthenticated.into()),
        };
        match outcome {
            // Looked up again, which also finds what a concurrent request has changed.
            Ok(()) | Err(Error::Stale | Error::Refused(domain::Refusal::Exists(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Busy.into())
}

/// Records that the issuer's user was not admitted: the first time within a window, as for passwords.
async fn audit_refusal(
    app: &App,
    issuer: &Issuer,
    subject: &str,
    why: AdmissionRefusal,
    by: Attribution,
) -> Result<(), OidcError> {
    let window = Span::from(app.settings.sign_in_window);
    if attempt_budgets::is_first_in_window(app, &format!("oidc {} {subject}", why.name()), window).await? {
        let details = json!({ "issuer": issuer.name(), "subject": subject, "why": why.name() });
        audit::record_audit_entry(
            app,
            NewAuditEntry::new(by, "login.fail", String::new(), details, app.now()),
        )
        .await;
    }
    Ok(())
}

fn new_person(app: &App, claimed: &IdentityClaims, now: Micros) -> Person {
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

/// The memberships that the user's groups give.
async fn list_group_memberships(app: &App, claimed: &IdentityClaims) -> Result<Vec<Membership>, OidcError> {
    let groups = claimed.groups.as_deref().unwrap_or_default();
    let mut memberships = Vec::new();
    for rule in app.settings.oidc_roles.iter().filter(|rule| groups.contains(&rule.group)) {
        match app.store.find_organization_by_name(&System::for_sign_in(), &rule.organization).await? {
            Some(organization) => memberships.push(Membership { organization, role: rule.role }),
            None => tracing::warn!(
                organization = rule.organization,
                "a rule of oidc_roles names an unknown organization"
            ),
        }
    }
    Ok(memberships)
}

/// The role in the account that the user's groups give.
fn group_account_role(app: &App, claimed: &IdentityClaims) -> Option<AccountRole> {
    let groups = claimed.groups.as_deref().unwrap_or_default();
    let rules = app.settings.oidc_account_roles.iter().filter(|rule| groups.contains(&rule.group));
    AccountRole::greatest(rules.map(|rule| rule.role))
}

/// Gives a user the roles of their groups, in organizations and in the account. Nothing changes when the settings
/// have no rules for groups, or the issuer does not list all groups.
async fn apply_groups(
    app: &App,
    person: PrincipalId,
    claimed: &IdentityClaims,
    by: Attribution,
) -> Result<(), OidcError> {
    if !app.settings.uses_groups() {
        return Ok(());
    }
    if claimed.groups.is_none() {
        tracing::warn!(%person, "the issuer does not list all groups: roles stay unchanged");
        return Ok(());
    }
    let system = System::for_sign_in().attribute_to(by);
    let role = group_account_role(app, claimed);
    app.store.set_account_role(&system, person, role, RoleSource::Groups, app.now()).await?;
    for _ in 0..TRIES {
        let memberships = list_group_memberships(app, claimed).await?;
        let changes = membership_changes(&app.store.list_memberships(&system, person).await?, &memberships);
        match app.store.apply_groups(&system, person, &changes, app.now()).await {
            Err(Error::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Failure::Busy.into())
}

/// How a caller can authenticate.
pub struct AuthenticationMethods {
    /// By a password.
    pub password: bool,
    /// Whether the caller may have a password.
    pub may_have_password: bool,
    /// By the issuer.
    pub issuer: bool,
}

/// How the caller can authenticate.
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
