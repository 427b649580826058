//! `tenure member …`.

use clap::{Args, Subcommand};
use domain::permission::Role;

use crate::commands::Context;
use crate::failure::Result;
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

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such person or organization.
pub async fn run(context: &Context, _command: Member) -> Result<()> {
    context.settings(Vec::new())?;
    Err(super::not_in_this_build())
}
