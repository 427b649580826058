//! `tenure user …`.

use clap::{Args, Subcommand};
use domain::permission::Role;

use crate::commands::Context;
use crate::failure::Result;
use crate::values::{OrgRef, email, role};

/// Commands about people.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure user create ana@example.com --org Acme --role admin
  pass tenure/ana | tenure user create ana@example.com --org Acme --role admin --password-stdin
  tenure user list --org Acme
  tenure user suspend ana@example.com

Roles: readonly sees all sessions of the organization; readwrite also makes, uses and ends its own;
admin also acts on everybody's, connects hosts, and looks after members and keys.")]
pub enum User {
    /// Create a person as a member of an organization
    Create(Create),
    /// List people, or the members of one organization with their roles
    List {
        /// Only the members of this organization
        #[arg(long, value_name = "ORG")]
        org: Option<OrgRef>,
    },
    /// Suspend a person: their keys stop working at once, their devices are released
    Suspend {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = email)]
        email: String,
    },
    /// Delete a person; their past sessions are kept
    Delete {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = email)]
        email: String,
    },
}

/// Arguments of `tenure user create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The person's e-mail address
    #[arg(value_name = "EMAIL", value_parser = email)]
    pub email: String,
    /// The organization they belong to
    #[arg(long, value_name = "ORG")]
    pub org: OrgRef,
    /// What they may do there
    #[arg(long, value_name = "ROLE", value_parser = role())]
    pub role: Role,
    /// Read a password for signing in from standard input (one line)
    #[arg(long)]
    pub password_stdin: bool,
}

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such person or organization.
pub async fn run(context: &Context, _command: User) -> Result<()> {
    context.settings(Vec::new())?;
    Err(super::not_in_this_build())
}
