//! Invitations to an organization, by email address.

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

/// Lists the organization's open invitations, oldest first.
pub async fn list_invitations(
    app: &App,
    granted: &Granted<ManageMembers>,
) -> Result<Vec<Invitation>, Failure> {
    Ok(app.store.list_invitations(granted, app.now()).await?)
}

/// Invites the owner of an address. Neither the answer nor its timing reveals whether a user has the address: the
/// mail is sent in the background. When the request is repeated, the answer is the invitation that was created
/// before, and while it is open, another mail is sent.
///
/// # Errors
/// [`Refusal::Invalid`]; [`Refusal::Forbidden`] for a role with permissions that the caller lacks;
/// [`Refusal::Exists`] for a member, and for an address that is invited already; [`Refusal::InvitationLimit`];
/// [`Refusal::TooManyAttempts`] for a caller who has invited too many people recently.
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
    let email = mailer::parse_address(email)?;
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
            tracing::error!(error = error.log_text(), "cannot send a mail about an invitation");
        }
    });
}

/// Creates a user for an invited address that has none, when its owner asks for a password or signs in by the issuer.
/// An invitation alone creates no user. The new user must confirm the address.
pub(crate) async fn make_invited_user(app: &App, email: &str) -> Result<(), Failure> {
    let (system, now) = (System::for_sign_in(), app.now());
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
        // Another request has created the user meanwhile.
        Ok(_) | Err(store::Error::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends the mail, unless the address recently got one from this organization, or several from others. So cancelling
/// an invitation and inviting again sends no second mail.
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

/// Cancels an invitation.
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

/// Lists the open invitations to the caller, oldest first.
///
/// # Errors
/// [`Refusal::OutOfScope`] for a caller who has not signed in.
pub async fn list_received_invitations(
    app: &App,
    caller: &Caller,
) -> Result<Vec<ReceivedInvitation>, Failure> {
    let own = authorize_interactive(app, caller, "read:user").await?;
    Ok(app.store.list_received_invitations(&own, app.now()).await?)
}

/// Makes the caller a member. When the request is repeated, the invitation is accepted already.
///
/// # Errors
/// [`Refusal::NotFound`], also for another person's invitation; [`Refusal::OutOfScope`].
pub async fn accept_invitation(app: &App, caller: &Caller, id: Option<InvitationId>) -> Result<(), Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    let id = id.ok_or(Refusal::NotFound(Thing::Invitation))?;
    if app.store.find_earlier_creation(&own).await?.is_some() {
        return Ok(());
    }
    Ok(app.store.accept_invitation(&own, id, app.now()).await?)
}

/// Rejects an invitation. When the request is repeated, the invitation is rejected already.
///
/// # Errors
/// Those of [`accept_invitation`].
pub async fn reject_invitation(app: &App, caller: &Caller, id: Option<InvitationId>) -> Result<(), Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    let id = id.ok_or(Refusal::NotFound(Thing::Invitation))?;
    if app.store.find_earlier_creation(&own).await?.is_some() {
        return Ok(());
    }
    Ok(app.store.reject_invitation(&own, id, app.now()).await?)
}
