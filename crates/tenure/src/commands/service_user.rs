//! `tenure service-user …`.

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::values::{OrgRef, ServiceRole, name, service_role};

/// Commands about machines that call the API.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure service-user create ci --org Acme --role readwrite
  tenure service-user create shared-phones --role admin        Without --org: of the whole account
  tenure service-user list --org Acme

Roles: readonly sees all sessions of the organization; readwrite also makes, uses and ends its own;
admin also acts on everybody's, connects hosts, and looks after members and keys. In the whole account: viewer
sees the sessions of all organizations, admin may do everything in all of them.")]
pub enum ServiceUser {
    /// Create a service user of an organization, or without --org of the whole account
    Create(Create),
    /// List service users
    List {
        /// Only those of this organization
        #[arg(long, value_name = "ORG")]
        org: Option<OrgRef>,
    },
    /// Delete a service user: its keys stop working at once
    Delete {
        /// Its id, as `tenure service-user list` prints it
        #[arg(value_name = "ID")]
        id: Uuid,
    },
}

/// Arguments of `tenure service-user create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,
    /// The organization it belongs to; without, the whole account
    #[arg(long, value_name = "ORG")]
    pub org: Option<OrgRef>,
    /// What it may do
    #[arg(long, value_name = "ROLE", value_parser = service_role())]
    pub role: String,
}

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such service user or organization.
pub async fn run(context: &Context, command: ServiceUser) -> Result<()> {
    if let ServiceUser::Create(create) = &command {
        ServiceRole::parse(&create.role, create.org.is_some()).map_err(Failure::new)?;
    }
    context.settings(Vec::new())?;
    Err(super::not_in_this_build())
}
