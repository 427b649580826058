//! `tenure org …`.

use clap::{Args, Subcommand};

use crate::commands::Context;
use crate::failure::Result;
use crate::values::{DeviceLimit, OrgRef, name};

/// Commands about organizations. ORG is an id (UUID, 32 hex digits, org_… or org-…) or an exact name.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure org create Acme
  tenure org set Acme --max-devices 5
  tenure org list --json

ORG is an id (a UUID, 32 hex digits, org_… or org-…) or an exact name.")]
pub enum Org {
    /// Create an organization
    Create {
        /// Its name, which no other organization has
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
    },
    /// List the organizations
    List,
    /// Change the limits of an organization
    Set(Set),
    /// Delete an organization: its keys stop working at once, its sessions are kept
    Delete {
        /// The organization
        #[arg(value_name = "ORG")]
        org: OrgRef,
    },
}

/// Arguments of `tenure org set`.
#[derive(Debug, Args)]
pub struct Set {
    /// The organization
    #[arg(value_name = "ORG")]
    pub org: OrgRef,
    /// How many devices it may hold at once; `none` for no limit
    #[arg(long, value_name = "N")]
    pub max_devices: DeviceLimit,
}

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such organization.
pub async fn run(context: &Context, _command: Org) -> Result<()> {
    context.settings(Vec::new())?;
    Err(super::not_in_this_build())
}
