//! `tenure member …`.

use clap::{Args, Subcommand};
use domain::permission::Role;

use serde::Serialize;
use store::access::ManageMembers;
use uuid::Uuid;

use crate::administration::now;
use crate::commands::Context;
use crate::error::{Failure, Result};
use crate::values::{OrgRef, email, role};

/// Commands about who belongs to an organization.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure member add ana@example.com --org Acme --role readonly
  tenure member role ana@example.com --org Acme --role admin
  tenure member remove ana@example.com --org Acme

Roles: readonly sees all sessions of the organization; readwrite also makes, uses and ends its own;
admin also acts on everybody's, connects hosts, and looks after members and keys.")]
pub enum Member {
    /// Add a person to another organization
    Add(WithRole),
    /// Change a member's role
    Role(WithRole),
    /// Take a person out of an organization; their devices there are released
    Remove(Membership),
}

/// A person in an organization.
#[derive(Debug, Args)]
pub struct Membership {
    /// The person
    #[arg(value_name = "EMAIL", value_parser = email)]
    pub email: String,
    /// The organization
    #[arg(long, value_name = "ORG")]
    pub org: OrgRef,
}

/// A person in an organization, with a role.
#[derive(Debug, Args)]
pub struct WithRole {
    /// Who and where.
    #[command(flatten)]
    pub membership: Membership,
    /// What they may do there
    #[arg(long, value_name = "ROLE", value_parser = role())]
    pub role: Role,
}

/// A membership as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    email: String,
    principal: Uuid,
    organization: Uuid,
    role: Option<&'static str>,
}

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such person or organization.
pub async fn run(context: &Context, command: Member) -> Result<()> {
    let admin = context.administration().await?;
    let (membership, role, new) = match command {
        Member::Add(WithRole { membership, role }) => (membership, Some(role), true),
        Member::Role(WithRole { membership, role }) => (membership, Some(role), false),
        Member::Remove(membership) => (membership, None, false),
    };
    let organization = admin.organization(&membership.org).await?;
    let user = admin.user(&membership.email).await?;
    let granted = admin.system.within::<ManageMembers>(organization.id);
    let email = membership.email;
    let members = admin.store.members(&admin.system).await?;
    let known = members.iter().any(|(place, who, _)| *place == organization.id && *who == user.id);
    if known == new {
        let (is, hint) = if known { ("is already", "role") } else { ("is not", "add") };
        return Err(Failure::new(format!("{email} {is} a member of {}", organization.name))
            .hint(format!("see `tenure member {hint} --help`")));
    }
    let sentence = match role {
        Some(role) => {
            admin.store.set_member(&granted, user.id, role, now()).await?;
            format!("{email} is {} of {}.", role.name(), organization.name)
        }
        None => {
            admin.store.remove_member(&granted, user.id, now()).await?;
            format!(
                "{email} is no longer a member of {}; what they hold there is released.",
                organization.name
            )
        }
    };
    let role = role.map(Role::name);
    let shown = Shown { email, principal: user.id.0, organization: organization.id.0, role };
    context.output.done(&sentence, &shown)?;
    admin.close().await;
    Ok(())
}
