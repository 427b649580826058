//! Invitations into an organization, by address.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::access::own_keys::authorize_interactive;
use crate::operations::directory::members::check_role;
use crate::operations::login::attempt_budgets;
use crate::operations::login::attempt_budgets::AttemptBudget;
use crate::services::mailer;
use domain::Refusal;
use domain::ids::{InvitationId, PrincipalId};
use domain::invitation::Invitation;
use domain::permission::{Permission, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::refusal::Thing;
use domain::time::Span;
use store::access::ManageMembers;
use store::{Caller, Granted, System};
use uuid::Uuid;

pub use store::ReceivedInvitation;

/// The organization's open invitations, the oldest first.
///
/// # Errors
/// Only those of the store.
pub async fn list_invitations(
    app: &App,
    granted: &Granted<ManageMembers>,
) -> Result<Vec<Invitation>, Failure> {
    Ok(app.store.list_invitations(granted, app.now()).await?)
}

/// Invites whoever has an address. Whether somebody has it is not told, not by time either: what is different happens
/// afterwards. Repeated, it is the invitation that was made before, about which a mail is sent again while it is open.
///
/// # Errors
/// [`Refusal::Invalid`]; [`Refusal::Forbidden`] for a role that may more than the caller; [`Refusal::Exists`] for a
/// member, and for an address that was invited already; [`Refusal::InvitationLimit`]; [`Refusal::TooManyAttempts`] for who
/// invites too many people in a while.
pub async fn create_invitation(
    app: &App,
    granted: &Granted<ManageMembers>,
    email: &str,
    role: Role,
) -> Result<Invitation, Failure> {
    check_role(granted, role)?;
    if let Some(made) = app.store.find_earlier_creation(granted).await? {
        let (made, open) = app.store.load_invitation(granted, InvitationId(made), app.now()).await?;
        if open {
            spawn_invitation_mail(app, &made);
        }
        return Ok(made);
    }
    let email = mailer::address(email)?;
    let inviter = granted.principal().ok_or(Refusal::Forbidden(Permission::ManageMembers))?;
    let now = app.now();
    let invitation = Invitation {
        id: InvitationId::new(now, app.random_bytes()),
        organization: granted.organization(),
        email,
        role,
        inviter,
        created: now,
        expires: now + Span::from(app.settings.invitation_expires),
    };
    let mails = AttemptBudget::per_inviter(app, inviter);
    attempt_budgets::reserve_attempts(app, [mails]).await?;
    if let Err(error) = app.store.create_invitation(granted, &invitation).await {
        attempt_budgets::return_attempts(app, [mails]).await?;
        return Err(error.into());
    }
    spawn_invitation_mail(app, &invitation);
    Ok(invitation)
}

fn spawn_invitation_mail(app: &App, invitation: &Invitation) {
    let (sending, about) = (app.clone(), invitation.clone());
    app.spawn(async move {
        if let Err(error) = send_invitation_mail(&sending, &about).await {
            tracing::error!(error = error.for_log(), "a mail about an invitation was not sent");
        }
    });
}

/// Makes a user of an address that nobody has and that is invited, when its owner asks for a password or comes by the
/// issuer: an invitation alone leaves nobody behind. They have to show that the address is theirs.
///
/// # Errors
/// Only those of the store.
pub(crate) async fn make_invited_user(app: &App, email: &str) -> Result<(), Failure> {
    let (system, now) = (System::sign_in(), app.now());
    if !app.store.is_invited(&system, email, now).await? {
        return Ok(());
    }
    let new = Principal {
        id: PrincipalId::new(now, app.random_bytes()),
        number: 0,
        kind: PrincipalKind::User,
        email: Some(email.to_owned()),
        name: email.to_owned(),
        state: PrincipalState::Pending,
        created: now,
        account_role: None,
        default_organization: None,
    };
    match app.store.create_principal(&system, &new, None, None).await {
        // Made by somebody else meanwhile.
        Ok(_) | Err(store::Error::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends the mail, unless the address had one of this organization lately, or enough of others: who takes an
/// invitation back and invites again sends no second one.
async fn send_invitation_mail(app: &App, invitation: &Invitation) -> Result<(), Failure> {
    if attempt_budgets::try_reserve(
        app,
        &AttemptBudget::per_invited_address(invitation.organization, &invitation.email),
    )
    .await?
    .is_err()
    {
        return Ok(());
    }
    let text = format!(
        "You were invited into an organization of Tenure as {role}.\n\n\
         Sign in with this address at {url} and accept or reject it. If you have no password there yet, ask for one \
         as for a forgotten one. If you did not expect this, nothing has to be done.\n\n\
         Invitation {id}\n",
        role = invitation.role.name(),
        url = app.base_url,
        id = invitation.id,
    );
    let name = Uuid::from_bytes(app.random_bytes()).simple().to_string();
    let sent = app.mailer.send(&name, &invitation.email, "You were invited into Tenure", text).await;
    sent.map_err(Failure::internal)
}

/// Takes an invitation back.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn cancel_invitation(
    app: &App,
    granted: &Granted<ManageMembers>,
    id: Option<InvitationId>,
) -> Result<(), Failure> {
    let id = id.ok_or(Refusal::NotFound(Thing::Invitation))?;
    Ok(app.store.cancel_invitation(granted, id, app.now()).await?)
}

/// The caller's own open invitations, the oldest first.
///
/// # Errors
/// [`Refusal::OutOfScope`] for who has not signed in.
pub async fn list_received_invitations(
    app: &App,
    caller: &Caller,
) -> Result<Vec<ReceivedInvitation>, Failure> {
    let own = authorize_interactive(app, caller, "read:user").await?;
    Ok(app.store.list_received_invitations(&own, app.now()).await?)
}

/// Makes the caller a member. Repeated, it was accepted before.
///
/// # Errors
/// [`Refusal::NotFound`], also for an invitation of somebody else; [`Refusal::OutOfScope`].
pub async fn accept_invitation(app: &App, caller: &Caller, id: Option<InvitationId>) -> Result<(), Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    let id = id.ok_or(Refusal::NotFound(Thing::Invitation))?;
    if app.store.find_earlier_creation(&own).await?.is_some() {
        return Ok(());
    }
    Ok(app.store.accept_invitation(&own, id, app.now()).await?)
}

/// Ends an invitation that the caller does not want. Repeated, it was rejected before.
///
/// # Errors
/// As [`accept_invitation`].
pub async fn reject_invitation(app: &App, caller: &Caller, id: Option<InvitationId>) -> Result<(), Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    let id = id.ok_or(Refusal::NotFound(Thing::Invitation))?;
    if app.store.find_earlier_creation(&own).await?.is_some() {
        return Ok(());
    }
    Ok(app.store.reject_invitation(&own, id, app.now()).await?)
}
