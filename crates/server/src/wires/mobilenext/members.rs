//! `/api/v1/members`, `/api/v1/members/invitations` and `/api/v1/invitations`.
//!
//! The vendor documents `GET /members`, `POST /members/invitations`, `GET /invitations`, and accept and reject. Its console
//! alone withdraws invitations, changes roles and ends memberships; here, routes in the same style do that.

use super::errors::MobileError;
use super::extractors::{Authenticated, Authorized};
use super::keys::{IdPath, read_id};
use super::sessions::respond;
use super::shapes::Time;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::WholeRequest;
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

/// `GET /members`: the organization's users. Callers who manage members also see invitations.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
) -> Result<Response, MobileError> {
    let members = members::list_people_in_organization(&app, &granted).await?;
    let open = match granted.authorize::<ManageMembers>() {
        Ok(granted) => invitations::list_invitations(&app, &granted).await?,
        Err(_) => Vec::new(),
    };
    let members = members.iter().map(MemberEntry::from).collect();
    respond(
        StatusCode::OK,
        &Members { members, invitations: open.iter().map(InvitationEntry::from).collect() },
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with userId and role")]
struct RoleRequest {
    user_id: String,
    role: String,
}

/// `POST /members`: changes a member's role. Others must be invited instead.
pub async fn change(
    Authorized(granted): Authorized<ManageMembers>,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, MobileError> {
    let ask: RoleRequest = middleware::read_json(&app, request).await?;
    let role = read_role(&ask.role)?;
    let member = domain::ids::parse_uuid(&ask.user_id).map(PrincipalId);
    let member = member.ok_or(Refusal::NotFound(Thing::Member)).map_err(Failure::from)?;
    let changed = members::change_role(&app, &granted, member, role).await?;
    respond(StatusCode::OK, &MemberEntry::from(&changed))
}

fn read_role(text: &str) -> Result<Role, Failure> {
    Ok(Role::parse_for(text, PrincipalKind::User, "role")?)
}

/// `DELETE /members/{user}`: ends a membership, also the caller's own.
pub async fn remove(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    members::remove_member(&app, &caller, read_id(path).map(PrincipalId)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(expecting = "an object with email and role")]
struct InviteRequest {
    email: String,
    role: String,
}

/// `POST /members/invitations`.
pub async fn invite(
    Authorized(granted): Authorized<ManageMembers>,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, MobileError> {
    let ask: InviteRequest = middleware::read_json(&app, request).await?;
    let invitation =
        invitations::create_invitation(&app, &granted, &ask.email, read_role(&ask.role)?).await?;
    respond(StatusCode::CREATED, &InvitationEntry::from(&invitation))
}

/// `DELETE /members/invitations/{invitation}`.
pub async fn take_back(
    Authorized(granted): Authorized<ManageMembers>,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    invitations::cancel_invitation(&app, &granted, read_id(path).map(InvitationId)).await?;
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

/// `GET /invitations`: the invitations of the caller's address.
pub async fn list_own(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
) -> Result<Response, MobileError> {
    let found = invitations::list_received_invitations(&app, &caller).await?;
    respond(StatusCode::OK, &OwnInvitations { invitations: found.iter().map(OwnInvitation::from).collect() })
}

/// `POST /invitations/{invitation}/accept`.
pub async fn accept(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    invitations::accept_invitation(&app, &caller, read_id(path).map(InvitationId)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /invitations/{invitation}/reject`.
pub async fn reject(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    path: IdPath,
) -> Result<StatusCode, MobileError> {
    invitations::reject_invitation(&app, &caller, read_id(path).map(InvitationId)).await?;
    Ok(StatusCode::NO_CONTENT)
}
