//! Attempt budgets limit how often a password, a code or a mail may be tried, and by whom. They are counted in the
//! database, for all servers together.
//!
//! An attempt is reserved before its outcome is known, so that concurrent attempts all count, and returned when it
//! succeeds. When a budget is exhausted, nothing is written and no password is hashed.

use crate::app::App;
use crate::failure::Failure;
use crate::front::connections::network;
use crate::operations::audit;
use crate::operations::audit::NewAuditEntry;
use crate::operations::login::known_browsers;
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::{OrganizationId, PrincipalId};
use domain::login::Origin;
use domain::password::AttemptLimits;
use domain::principal::normalize_email;
use domain::time::Span;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{Attribution, Error, System};

/// A limit of attempts for one purpose within a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptBudget {
    /// The hash of the purpose, such as "sign-in from 192.0.2.1".
    pub key: SecretHash,
    limit: u32,
    window: Span,
}

/// A budget that is exhausted.
pub(crate) struct ExhaustedBudget {
    /// Its index among the requested budgets.
    at: usize,
    /// How long until another attempt is possible.
    wait: Span,
}

impl From<ExhaustedBudget> for Failure {
    fn from(exhausted: ExhaustedBudget) -> Failure {
        Refusal::TooManyAttempts { seconds: (exhausted.wait.0 + 999_999) / 1_000_000 }.into()
    }
}

impl AttemptBudget {
    /// A budget for the purpose that the text names.
    pub(crate) fn new(name: &str, limit: u32, window: Span) -> AttemptBudget {
        AttemptBudget { key: SecretHash(Sha256::digest(name.as_bytes()).into()), limit, window }
    }

    /// The attempts of a known person to prove who they are.
    pub(crate) fn per_person(app: &App, name: &str, person: PrincipalId) -> AttemptBudget {
        let (limits, window) = attempt_limits(app);
        AttemptBudget::new(&format!("{name} {person}"), limits.user_limit(), window)
    }

    /// The attempts of a network for a purpose; `None` when the address is unknown.
    pub(crate) fn per_network(app: &App, name: &str, origin: &Origin) -> Option<AttemptBudget> {
        let ((limits, window), ip) = (attempt_limits(app), origin.remote_ip?);
        Some(AttemptBudget::new(&format!("{name} from {}", network(ip)), limits.network_limit(), window))
    }

    /// How many people a user may invite or create.
    pub(crate) fn per_inviter(app: &App, inviter: PrincipalId) -> AttemptBudget {
        let (limits, window) = attempt_limits(app);
        AttemptBudget::new(&format!("invitations by {inviter}"), limits.network_limit(), window)
    }

    /// The mails to an address about invitations and new users: one an hour from one organization, three a day from
    /// all.
    pub(crate) fn per_invited_address(organization: OrganizationId, email: &str) -> [AttemptBudget; 2] {
        [
            AttemptBudget::new(&format!("invited to {organization} {email}"), 1, Span::minutes(60)),
            AttemptBudget::new(&format!("invited {email}"), 3, Span::minutes(24 * 60)),
        ]
    }

    /// The budget with `times` as many attempts.
    pub(crate) fn scale(self, times: u32) -> AttemptBudget {
        AttemptBudget { limit: self.limit.saturating_mul(times), ..self }
    }
}

fn attempt_limits(app: &App) -> (AttemptLimits, Span) {
    (AttemptLimits(app.settings.sign_in_attempts), app.settings.sign_in_window.into())
}

/// Reserves an attempt in all budgets, or returns an exhausted one.
pub(crate) async fn try_reserve(
    app: &App,
    budgets: &[AttemptBudget],
) -> Result<Result<(), ExhaustedBudget>, Failure> {
    let (system, now) = (System::for_sign_in(), app.now());
    if budgets.is_empty() {
        return Ok(Ok(()));
    }
    let hashes = budgets.iter().map(|budget| budget.key).collect::<Vec<_>>();
    let find_exhausted = async || -> Result<Option<ExhaustedBudget>, Failure> {
        let attempts = app.store.load_attempts(&system, &hashes, now).await?;
        let mut each = attempts.iter().zip(budgets).enumerate();
        let exhausted = each.find_map(|(at, (attempts, budget))| {
            attempts.lockout(budget.limit, now).map(|wait| ExhaustedBudget { at, wait })
        });
        Ok(exhausted)
    };
    if let Some(exhausted) = find_exhausted().await? {
        return Ok(Err(exhausted));
    }
    let attempts = budgets.iter().map(|budget| (budget.key, budget.limit, now + budget.window));
    match app.store.reserve_attempts(&system, &attempts.collect::<Vec<_>>(), now).await {
        Ok(()) => Ok(Ok(())),
        // Other requests took the last attempts meanwhile; some may have been returned since.
        Err(Error::Stale) => {
            Ok(Err(find_exhausted().await?.unwrap_or(ExhaustedBudget { at: 0, wait: Span::seconds(1) })))
        }
        Err(error) => Err(error.into()),
    }
}

/// Reserves an attempt in all budgets.
///
/// # Errors
/// [`Refusal::TooManyAttempts`] when one of them is exhausted; then nothing is written.
pub(crate) async fn reserve_attempts(
    app: &App,
    budgets: impl IntoIterator<Item = AttemptBudget>,
) -> Result<(), Failure> {
    let budgets = budgets.into_iter().collect::<Vec<_>>();
    Ok(try_reserve(app, &budgets).await??)
}

/// Returns an attempt that did not fail.
pub(crate) async fn return_attempts(
    app: &App,
    budgets: impl IntoIterator<Item = AttemptBudget>,
) -> Result<(), Failure> {
    let back = budgets.into_iter().map(|budget| budget.key).collect::<Vec<_>>();
    Ok(app.store.settle_attempts(&System::for_sign_in(), &[], &back).await?)
}

/// Forgets all attempts of a budget.
pub(crate) async fn forget_attempts(app: &App, budget: AttemptBudget) -> Result<(), Failure> {
    Ok(app.store.settle_attempts(&System::for_sign_in(), &[budget.key], &[]).await?)
}

/// Whether `what` happens for the first time within a window. Callers use it to record repeated actions only once.
pub(crate) async fn is_first_in_window(app: &App, name: &str, window: Span) -> Result<bool, Failure> {
    Ok(try_reserve(app, &[AttemptBudget::new(name, 1, window)]).await?.is_ok())
}

/// A reserved attempt to sign in by password.
pub(crate) struct ReservedAttempt {
    /// The user's budget from this network or in this browser; forgotten after a success.
    own: AttemptBudget,
    /// The user's budget from everywhere, and the network's.
    shared: Vec<AttemptBudget>,
}

impl ReservedAttempt {
    /// Reserves an attempt to sign in. A browser that the user has signed in with before has a separate budget, so
    /// that anonymous callers cannot lock the user out of it. `email` is as typed.
    ///
    /// # Errors
    /// [`Refusal::TooManyAttempts`].
    pub(crate) async fn begin(
        app: &App,
        email: &str,
        person: Option<PrincipalId>,
        origin: &Origin,
        browser: Option<&str>,
    ) -> Result<ReservedAttempt, Failure> {
        let (limits, window) = attempt_limits(app);
        let known =
            known_browsers::read_browser_cookie(app, browser).filter(|known| person == Some(known.person));
        let reserved = match known {
            Some(known) => {
                let name = format!("sign-in in browser {}", known.name);
                ReservedAttempt {
                    own: AttemptBudget::new(&name, limits.user_limit(), window),
                    shared: Vec::new(),
                }
            }
            None => ReservedAttempt::begin_anonymous(app, email, origin).await?,
        };
        let budgets = [reserved.own].into_iter().chain(reserved.shared.clone()).collect::<Vec<_>>();
        match try_reserve(app, &budgets).await? {
            Ok(()) => Ok(reserved),
            Err(exhausted) => {
                let email = if exhausted.at == NETWORK { "" } else { email };
                audit_once(app, "login.lock", &budgets[exhausted.at], email, origin).await?;
                Err(exhausted.into())
            }
        }
    }

    async fn begin_anonymous(app: &App, email: &str, origin: &Origin) -> Result<ReservedAttempt, Failure> {
        let (limits, window) = attempt_limits(app);
        let email = normalize_email(email).unwrap_or_else(|| email.to_owned());
        let from = origin.remote_ip.map(network);
        let everywhere = AttemptBudget::new(
            &format!("sign-in everywhere {email}"),
            limits.user_limit_everywhere(),
            Span(window.0.saturating_mul(4)),
        );
        let mut shared = vec![everywhere];
        let mut of_user = limits.user_limit();
        if let Some(ip) = from {
            let network_budget =
                AttemptBudget::new(&format!("sign-in from {ip}"), limits.shared_network_limit(), window);
            let attempts =
                app.store.load_attempts(&System::for_sign_in(), &[network_budget.key], app.now()).await?;
            if attempts.iter().any(|attempts| attempts.lockout(limits.network_limit(), app.now()).is_some()) {
                of_user = limits.user_limit_on_shared_network();
            }
            shared.push(network_budget);
        }
        let from = from.map_or_else(String::new, |ip| ip.to_string());
        Ok(ReservedAttempt {
            own: AttemptBudget::new(&format!("sign-in from {from} {email}"), of_user, window),
            shared,
        })
    }

    /// Returns the attempt after the right password, even when a second factor is still missing.
    pub(crate) async fn succeed(self, app: &App) -> Result<(), Failure> {
        let back = self.shared.iter().map(|budget| budget.key).collect::<Vec<_>>();
        Ok(app.store.settle_attempts(&System::for_sign_in(), &[self.own.key], &back).await?)
    }

    /// Records the first failure of a window in the audit log.
    pub(crate) async fn fail(self, app: &App, email: &str, origin: &Origin) -> Result<(), Failure> {
        audit_once(app, "login.fail", &self.own, email, origin).await
    }
}

/// Records an action in the audit log once per window: an entry for each attempt would let anybody fill the log. The
/// email is recorded only when a user has it, because people also type passwords in that field, and audit entries
/// stay.
async fn audit_once(
    app: &App,
    action: &str,
    budget: &AttemptBudget,
    email: &str,
    origin: &Origin,
) -> Result<(), Failure> {
    let name = budget.key.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if !is_first_in_window(app, &format!("{action} {name}"), budget.window).await? {
        return Ok(());
    }
    let email = normalize_email(email).unwrap_or_default();
    let known = app.store.find_person_by_email(&System::for_sign_in(), &email).await?;
    let target = if known.is_some() { email } else { String::new() };
    let by = Attribution::anonymous(origin.remote_ip);
    audit::record_audit_entry(app, NewAuditEntry::new(by, action, target, json!({}), app.now())).await;
    Ok(())
}

/// The index of the network's budget among those of an attempt.
const NETWORK: usize = 2;
