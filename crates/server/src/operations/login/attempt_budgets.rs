//! Budgets of attempts: how often a password, a code or a mail may be tried, and by whom. They are counted in the
//! database, so that all servers count together.
//!
//! An attempt is taken out of its budgets before its outcome is known, so that many at once are counted as many, and
//! given back when it succeeds. When a budget is used up nothing is written and no password is hashed.

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
use domain::principal::normal_email;
use domain::time::Span;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{Attribution, Error, System};

/// So many attempts at one thing in a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptBudget {
    /// Of what.
    pub key: SecretHash,
    limit: u32,
    window: Span,
}

/// A budget that is used up.
pub(crate) struct ExhaustedBudget {
    /// Which of those that were asked for.
    at: usize,
    wait: Span,
}

impl From<ExhaustedBudget> for Failure {
    fn from(full: ExhaustedBudget) -> Failure {
        Refusal::TooManyAttempts { seconds: (full.wait.0 + 999_999) / 1_000_000 }.into()
    }
}

impl AttemptBudget {
    /// A budget of whatever the text says.
    pub(crate) fn new(what: &str, limit: u32, window: Span) -> AttemptBudget {
        AttemptBudget { key: SecretHash(Sha256::digest(what.as_bytes()).into()), limit, window }
    }

    /// The budget that one person has for showing who they are, once they are known.
    pub(crate) fn per_person(app: &App, what: &str, person: PrincipalId) -> AttemptBudget {
        let (limits, window) = attempt_limits(app);
        AttemptBudget::new(&format!("{what} {person}"), limits.of_user(), window)
    }

    /// The budget that all of one network have together for something; none where the address is not known.
    pub(crate) fn per_network(app: &App, what: &str, origin: &Origin) -> Option<AttemptBudget> {
        let ((limits, window), ip) = (attempt_limits(app), origin.remote_ip?);
        Some(AttemptBudget::new(&format!("{what} from {}", network(ip)), limits.of_network(), window))
    }

    /// How many people somebody may invite, or make users of, in a while.
    pub(crate) fn per_inviter(app: &App, inviter: PrincipalId) -> AttemptBudget {
        let (limits, window) = attempt_limits(app);
        AttemptBudget::new(&format!("invitations by {inviter}"), limits.of_network(), window)
    }

    /// How many mails an address gets about invitations, and about users that are made of it: one an hour from one
    /// organization, and three a day from all.
    pub(crate) fn per_invited_address(organization: OrganizationId, email: &str) -> [AttemptBudget; 2] {
        [
            AttemptBudget::new(&format!("invited to {organization} {email}"), 1, Span::minutes(60)),
            AttemptBudget::new(&format!("invited {email}"), 3, Span::minutes(24 * 60)),
        ]
    }

    /// The same with room for so many times as many.
    pub(crate) fn scale(self, times: u32) -> AttemptBudget {
        AttemptBudget { limit: self.limit.saturating_mul(times), ..self }
    }
}

fn attempt_limits(app: &App) -> (AttemptLimits, Span) {
    (AttemptLimits(app.settings.sign_in_attempts), app.settings.sign_in_window.into())
}

/// Takes an attempt out of all budgets, or says which of them is used up.
///
/// # Errors
/// Only those of the store.
pub(crate) async fn try_reserve(
    app: &App,
    budgets: &[AttemptBudget],
) -> Result<Result<(), ExhaustedBudget>, Failure> {
    let (system, now) = (System::sign_in(), app.now());
    if budgets.is_empty() {
        return Ok(Ok(()));
    }
    let hashes = budgets.iter().map(|budget| budget.key).collect::<Vec<_>>();
    let full = async || -> Result<Option<ExhaustedBudget>, Failure> {
        let attempts = app.store.load_attempts(&system, &hashes, now).await?;
        let mut each = attempts.iter().zip(budgets).enumerate();
        let full = each.find_map(|(at, (attempts, budget))| {
            attempts.locked(budget.limit, now).map(|wait| ExhaustedBudget { at, wait })
        });
        Ok(full)
    };
    if let Some(full) = full().await? {
        return Ok(Err(full));
    }
    let taken = budgets.iter().map(|budget| (budget.key, budget.limit, now + budget.window));
    match app.store.reserve_attempts(&system, &taken.collect::<Vec<_>>(), now).await {
        Ok(()) => Ok(Ok(())),
        // Others took the last ones meanwhile, and some may have been given back since.
        Err(Error::Stale) => {
            Ok(Err(full().await?.unwrap_or(ExhaustedBudget { at: 0, wait: Span::seconds(1) })))
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes an attempt out of all budgets.
///
/// # Errors
/// [`Refusal::TooManyAttempts`] when one of them is used up; then nothing is written.
pub(crate) async fn reserve_attempts(
    app: &App,
    budgets: impl IntoIterator<Item = AttemptBudget>,
) -> Result<(), Failure> {
    let budgets = budgets.into_iter().collect::<Vec<_>>();
    Ok(try_reserve(app, &budgets).await??)
}

/// Gives an attempt back that was no failure.
///
/// # Errors
/// Only those of the store.
pub(crate) async fn return_attempts(
    app: &App,
    budgets: impl IntoIterator<Item = AttemptBudget>,
) -> Result<(), Failure> {
    let back = budgets.into_iter().map(|budget| budget.key).collect::<Vec<_>>();
    Ok(app.store.settle_attempts(&System::sign_in(), &[], &back).await?)
}

/// Forgets all attempts at something.
///
/// # Errors
/// Only those of the store.
pub(crate) async fn forget_attempts(app: &App, budget: AttemptBudget) -> Result<(), Failure> {
    Ok(app.store.settle_attempts(&System::sign_in(), &[budget.key], &[]).await?)
}

/// Whether something happens for the first time in a window: what is noted once in a while asks this.
///
/// # Errors
/// Only those of the store.
pub(crate) async fn is_first_in_window(app: &App, what: &str, window: Span) -> Result<bool, Failure> {
    Ok(try_reserve(app, &[AttemptBudget::new(what, 1, window)]).await?.is_ok())
}

/// An attempt to sign in by a password, taken out of its budgets.
pub(crate) struct ReservedAttempt {
    /// Of the user from this network, or in this browser; forgotten after a success.
    own: AttemptBudget,
    /// Of the user from everywhere, and of the network.
    shared: Vec<AttemptBudget>,
}

impl ReservedAttempt {
    /// Takes an attempt at signing in out of its budgets. A browser that the person was signed in with before has a
    /// budget of its own, so that strangers cannot keep the person out of it. `email` is as it was typed.
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
        let trial = match known {
            Some(known) => {
                let what = format!("sign-in in browser {}", known.name);
                ReservedAttempt {
                    own: AttemptBudget::new(&what, limits.of_user(), window),
                    shared: Vec::new(),
                }
            }
            None => ReservedAttempt::begin_anonymous(app, email, origin).await?,
        };
        let budgets = [trial.own].into_iter().chain(trial.shared.clone()).collect::<Vec<_>>();
        match try_reserve(app, &budgets).await? {
            Ok(()) => Ok(trial),
            Err(full) => {
                let email = if full.at == NETWORK { "" } else { email };
                audit_once(app, "login.lock", &budgets[full.at], email, origin).await?;
                Err(full.into())
            }
        }
    }

    async fn begin_anonymous(app: &App, email: &str, origin: &Origin) -> Result<ReservedAttempt, Failure> {
        let (limits, window) = attempt_limits(app);
        let email = normal_email(email).unwrap_or_else(|| email.to_owned());
        let from = origin.remote_ip.map(network);
        let everywhere = AttemptBudget::new(
            &format!("sign-in everywhere {email}"),
            limits.of_user_everywhere(),
            Span(window.0.saturating_mul(4)),
        );
        let mut shared = vec![everywhere];
        let mut of_user = limits.of_user();
        if let Some(ip) = from {
            let crowd = AttemptBudget::new(&format!("sign-in from {ip}"), limits.of_crowd(), window);
            let attempts = app.store.load_attempts(&System::sign_in(), &[crowd.key], app.now()).await?;
            if attempts.iter().any(|attempts| attempts.locked(limits.of_network(), app.now()).is_some()) {
                of_user = limits.of_user_in_a_crowd();
            }
            shared.push(crowd);
        }
        let from = from.map_or_else(String::new, |ip| ip.to_string());
        Ok(ReservedAttempt {
            own: AttemptBudget::new(&format!("sign-in from {from} {email}"), of_user, window),
            shared,
        })
    }

    /// Settles an attempt that got in, or halfway in.
    pub(crate) async fn succeed(self, app: &App) -> Result<(), Failure> {
        let back = self.shared.iter().map(|budget| budget.key).collect::<Vec<_>>();
        Ok(app.store.settle_attempts(&System::sign_in(), &[self.own.key], &back).await?)
    }

    /// Notes the first failure of a window.
    pub(crate) async fn fail(self, app: &App, email: &str, origin: &Origin) -> Result<(), Failure> {
        audit_once(app, "login.fail", &self.own, email, origin).await
    }
}

/// Notes something of a budget once in a window: a line for each try would let anybody fill the log. What was typed is
/// noted only where it is the address of a user: people type their password there, too, and what stands in the log stays.
async fn audit_once(
    app: &App,
    action: &str,
    budget: &AttemptBudget,
    email: &str,
    origin: &Origin,
) -> Result<(), Failure> {
    let what = budget.key.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if !is_first_in_window(app, &format!("{action} {what}"), budget.window).await? {
        return Ok(());
    }
    let email = normal_email(email).unwrap_or_default();
    let known = app.store.find_person_by_email(&System::sign_in(), &email).await?;
    let target = if known.is_some() { email } else { String::new() };
    let by = Attribution::anonymous(origin.remote_ip);
    audit::record_audit_entry(app, NewAuditEntry::new(by, action, target, json!({}), app.now())).await;
    Ok(())
}

/// Where the network stands among a trial's budgets.
const NETWORK: usize = 2;
