//! `tenure admin member …`: who belongs to an organization.

use clap::{Args, Subcommand};
use domain::Refusal;
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::Principal;
use domain::refusal::Thing;
use serde::Serialize;
use server::failure::Failure;
use server::operations::directory::{administration, members};
use store::Granted;
use store::access::ManageMembers;
use uuid::Uuid;

use crate::administration::Administration;
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
/// The operation refuses the change, or the person or organization does not exist.
pub async fn run(context: &Context, command: MemberCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    let outcome = match command {
        MemberCommand::Add(MemberRoleArgs { membership, role }) => {
            let member = Member::find(&admin, membership).await?;
            add(&admin, &member, role).await?;
            member.print(context, Some(role))
        }
        MemberCommand::Role(MemberRoleArgs { membership, role }) => {
            let member = Member::find(&admin, membership).await?;
            let changed = members::change_role(&admin, &member.granted, member.user.id, role).await;
            changed.map_err(|failure| member.explain(failure))?;
            member.print(context, Some(role))
        }
        MemberCommand::Remove(membership) => {
            let member = Member::find(&admin, membership).await?;
            let removed = administration::remove_member(&admin, &member.granted, member.user.id).await;
            removed.map_err(|failure| member.explain(failure))?;
            member.print(context, None)
        }
    };
    admin.close().await;
    outcome
}

/// A person and the organization of a command.
struct Member {
    email: String,
    user: Principal,
    organization: Organization,
    granted: Granted<ManageMembers>,
}

impl Member {
    async fn find(admin: &Administration, arguments: MemberArgs) -> CommandResult<Self> {
        let organization = admin.find_organization(&arguments.org).await?;
        let user = admin.find_user(&arguments.email).await?;
        let granted = admin.system.grant(organization.id);
        Ok(Self { email: arguments.email, user, organization, granted })
    }

    /// The error for a person who is not a member.
    fn explain(&self, failure: Failure) -> CommandError {
        match failure {
            Failure::Refused(Refusal::NotFound(Thing::Member)) => {
                CommandError::new(format!("{} is not a member of {}", self.email, self.organization.name))
                    .hint("see `tenure admin member add --help`")
            }
            other => other.into(),
        }
    }

    fn print(self, context: &Context, role: Option<Role>) -> CommandResult<()> {
        let Self { email, user, organization, .. } = self;
        let sentence = match role {
            Some(role) => format!("{email} is {} of {}.", role.name(), organization.name),
            None => format!(
                "{email} is no longer a member of {}; the devices they hold there are released.",
                organization.name
            ),
        };
        let role = role.map(Role::name);
        let row = MembershipRow { email, principal: user.id.0, organization: organization.id.0, role };
        context.printer.print(&sentence, &row)
    }
}

/// Makes a person a member. The operation would also change the role of a member, which `add` is not for.
async fn add(admin: &Administration, member: &Member, role: Role) -> CommandResult<()> {
    let Member { email, user, organization, granted } = member;
    let (_, memberships) =
        administration::load_person(admin, &admin.system.grant_account(), Some(user.id)).await?;
    if memberships.iter().any(|known| known.organization == organization.id) {
        return Err(CommandError::new(format!("{email} is already a member of {}", organization.name))
            .hint("see `tenure admin member role --help`"));
    }
    administration::set_member(admin, granted, "user", Some(user.id), role).await?;
    Ok(())
}
