//! `/api/v1/members`, `/api/v1/members/invitations` and `/api/v1/invitations`.
//!
//! The vendor's pages have `GET /members`, `POST /members/invitations`, `GET /invitations`, and accept and reject.
//! Taking an invitation back, changing a role and ending a membership are its console's; here they are in the same
//! style.

use super::errors::MobileError;
use super::extractors::{Known, May};
use super::keys::{IdPath, id};
use super::sessions::answer;
use super::shapes::Time;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::Whole;
use crate::operations::directory::invitations;
use crate::operations::directory::invitations::ReceivedInvitation;
use crate::operations::directory::members;
use crate::operations::directory::members::OrganizationMember;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;
use domain::ids::{InvitationId, PrincipalId};
use domain::invitation::Invitation;
use domain::permission::Role;
use domain::principal::PrincipalKind;
use domain::refusal::Thing;
use serde::{Deserialize, Serialize};
use store::access::{ManageMembers, ViewSessions};
use uuid::Uuid;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberEntry<'a> {
    user_id: Uuid,
    email: Option<&'a str>,
    name: &'a str,
    role: &'static str,
    joined_at: Time,
}

impl<'a> From<&'a OrganizationMember> for MemberEntry<'a> {
    fn from(member: &'a OrganizationMember) -> MemberEntry<'a> {
        MemberEntry {
            user_id: member.principal.id.0,
            email: member.principal.email.as_deref(),
            name: &member.principal.name,
            role: member.role.name(),
            joined_at: Time(member.joined),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvitationEntry<'a> {
    id: Uuid,
    email: &'a str,
    role: &'static str,
    status: &'static str,
    invited_by_user_id: Uuid,
    created_at: Time,
    expires_at: Time,
}

impl<'a> From<&'a Invitation> for InvitationEntry<'a> {
    fn from(invitation: &'a Invitation) -> InvitationEntry<'a> {
        InvitationEntry {
            id: invitation.id.0,
            email: &invitation.email,
            role: invitation.role.name(),
            status: "pending",
            invited_by_user_id: invitation.inviter.0,
            created_at: Time(invitation.created),
            expires_at: Time(invitation.expires),
        }
    }
}

#[derive(Serialize)]
struct Members<'a> {
    members: Vec<MemberEntry<'a>>,
    invitations: Vec<InvitationEntry<'a>>,
}

/// `GET /members`: the people of the organization; who manages them sees who is invited as well.
pub async fn list(May(granted): May<ViewSessions>, State(app): State<App>) -> Result<Response, MobileError> {
    let members = members::list_people_in_organization(&app, &granted).await?;
    let open = match granted.authorize::<ManageMembers>() {
        Ok(granted) => invitations::list_invitations(&app, &granted).await?,
        Err(_) => Vec::new(),
    };
    let members = members.iter().map(MemberEntry::from).collect();
    answer(
        StatusCode::OK,
        &Members { members, invitations: open.iter().map(InvitationEntry::from).collect() },
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with userId and role")]
struct RoleOf {
    user_id: String,
    role: String,
}

/// `POST /members`: changes what a member is. Who is none is invited.
pub async fn change(
    May(granted): May<ManageMembers>,
    State(app): State<App>,
    Whole(request): Whole,
) -> Result<Response, MobileError> {
    let ask: RoleOf = middleware::json(&app, request).await?;
    let role = role(&ask.role)?;
    let member = domain::ids::parse_uuid(&ask.user_id).map(PrincipalId);
    let member = member.ok_or(Refusal::NotFound(Thing::Member)).map_err(Failure::from)?;
    let changed = members::change_role(&app, &granted, member, role).await?;
    answer(StatusCode::OK, &MemberEntry::from(&changed))
}

fn role(text: &str) -> Result<Role, Failure> {
    Ok(Role::read(text, PrincipalKind::User, "role")?)
}

/// `DELETE /members/{user}`: ends somebody's membership, or one's own.
pub async fn remove(
    Known(caller): Known,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    members::remove_member(&app, &caller, id(path).map(PrincipalId)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(expecting = "an object with email and role")]
struct Invite {
    email: String,
    role: String,
}

/// `POST /members/invitations`.
pub async fn invite(
    May(granted): May<ManageMembers>,
    State(app): State<App>,
    Whole(request): Whole,
) -> Result<Response, MobileError> {
    let ask: Invite = middleware::json(&app, request).await?;
    let invitation = invitations::create_invitation(&app, &granted, &ask.email, role(&ask.role)?).await?;
    answer(StatusCode::CREATED, &InvitationEntry::from(&invitation))
}

/// `DELETE /members/invitations/{invitation}`.
pub async fn take_back(
    May(granted): May<ManageMembers>,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    invitations::cancel_invitation(&app, &granted, id(path).map(InvitationId)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnInvitation<'a> {
    id: Uuid,
    organization_id: Uuid,
    organization_name: &'a str,
    role: &'static str,
    invited_by_email: Option<&'a str>,
    created_at: Time,
    expires_at: Time,
}

impl<'a> From<&'a ReceivedInvitation> for OwnInvitation<'a> {
    fn from(invited: &'a ReceivedInvitation) -> OwnInvitation<'a> {
        let ReceivedInvitation { invitation, organization, inviter } = invited;
        OwnInvitation {
            id: invitation.id.0,
            organization_id: invitation.organization.0,
            organization_name: organization,
            role: invitation.role.name(),
            invited_by_email: inviter.as_deref(),
            created_at: Time(invitation.created),
            expires_at: Time(invitation.expires),
        }
    }
}

#[derive(Serialize)]
struct OwnInvitations<'a> {
    invitations: Vec<OwnInvitation<'a>>,
}

/// `GET /invitations`: those of the caller's address.
pub async fn list_own(Known(caller): Known, State(app): State<App>) -> Result<Response, MobileError> {
    let found = invitations::list_received_invitations(&app, &caller).await?;
    answer(StatusCode::OK, &OwnInvitations { invitations: found.iter().map(OwnInvitation::from).collect() })
}

/// `POST /invitations/{invitation}/accept`.
pub async fn accept(
    Known(caller): Known,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    invitations::accept_invitation(&app, &caller, id(path).map(InvitationId)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /invitations/{invitation}/reject`.
pub async fn reject(
    Known(caller): Known,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    invitations::reject_invitation(&app, &caller, id(path).map(InvitationId)).await?;
    Ok(StatusCode::NO_CONTENT)
}
