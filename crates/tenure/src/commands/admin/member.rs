//! `tenure admin member …`: who belongs to an organization.

use clap::{Args, Subcommand};
use domain::permission::Role;

use serde::Serialize;
use store::access::ManageMembers;
use uuid::Uuid;

use crate::administration::now;
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};
use crate::values::{OrgRef, parse_email, role_parser};

/// Commands about members of an organization.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure admin member add ana@example.com --org Acme --role readonly
  tenure admin member role ana@example.com --org Acme --role admin
  tenure admin member remove ana@example.com --org Acme

Roles: readonly sees all sessions of the organization. readwrite also creates, uses and ends its own sessions. admin
also uses and ends the sessions of others, connects hosts, and manages members and keys.")]
pub enum MemberCommand {
    /// Add a person to another organization
    Add(MemberRoleArgs),
    /// Change a member's role
    Role(MemberRoleArgs),
    /// Remove a person from an organization; the devices they hold there are released
    Remove(MemberArgs),
}

/// A person in an organization.
#[derive(Debug, Args)]
pub struct MemberArgs {
    /// The person
    #[arg(value_name = "EMAIL", value_parser = parse_email)]
    pub email: String,
    /// The organization
    #[arg(long, value_name = "ORG")]
    pub org: OrgRef,
}

/// A person in an organization, with a role.
#[derive(Debug, Args)]
pub struct MemberRoleArgs {
    /// The person and the organization.
    #[command(flatten)]
    pub membership: MemberArgs,
    /// Their role there
    #[arg(long, value_name = "ROLE", value_parser = role_parser())]
    pub role: Role,
}

/// A membership, as printed.
#[derive(Debug, Serialize)]
struct MembershipRow {
    email: String,
    principal: Uuid,
    organization: Uuid,
    role: Option<&'static str>,
}

/// Runs one of them.
///
/// # Errors
/// The database refuses the change, or the person or organization does not exist.
pub async fn run(context: &Context, command: MemberCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    let (membership, role, new) = match command {
        MemberCommand::Add(MemberRoleArgs { membership, role }) => (membership, Some(role), true),
        MemberCommand::Role(MemberRoleArgs { membership, role }) => (membership, Some(role), false),
        MemberCommand::Remove(membership) => (membership, None, false),
    };
    let organization = admin.find_organization(&membership.org).await?;
    let user = admin.find_user(&membership.email).await?;
    let granted = admin.system.grant::<ManageMembers>(organization.id);
    let email = membership.email;
    let members = admin.store.list_members(&admin.system).await?;
    let known = members.iter().any(|(place, who, _)| *place == organization.id && *who == user.id);
    if known == new {
        let (is, hint) = if known { ("is already", "role") } else { ("is not", "add") };
        return Err(CommandError::new(format!("{email} {is} a member of {}", organization.name))
            .hint(format!("see `tenure admin member {hint} --help`")));
    }
    let sentence = match role {
        Some(role) => {
            admin.store.set_member(&granted, user.id, role, now()).await?;
            format!("{email} is {} of {}.", role.name(), organization.name)
        }
        None => {
            admin.store.remove_member(&granted, user.id, now()).await?;
            format!(
                "{email} is no longer a member of {}; the devices they hold there are released.",
                organization.name
            )
        }
    };
    let role = role.map(Role::name);
    let row = MembershipRow { email, principal: user.id.0, organization: organization.id.0, role };
    context.printer.print(&sentence, &row)?;
    admin.close().await;
    Ok(())
}
