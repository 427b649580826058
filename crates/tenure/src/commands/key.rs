//! `tenure key …`.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use domain::credential::Wire;
use uuid::Uuid;

use crate::commands::Context;
use crate::failure::Result;
use crate::values::{OrgRef, duration, email, name, wire};

/// Commands about API keys.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure key create --user ana@example.com --wire mobilenext --name laptop --expires 90d
  tenure key create --service-user ID --wire tenure --json
  tenure key list --user ana@example.com
  tenure key revoke ID

The wire chooses the prefix (mobilenext mob_, everruns evr_, devin cog_, probe prb_, tenure tnr_), which is for
people: any key works on any wire, if its principal may.")]
pub enum Key {
    /// Create a key; its secret is shown this once
    Create(Create),
    /// List keys, without their secrets
    List(List),
    /// Revoke a key at once and for good
    Revoke {
        /// Its id, as `tenure key list` prints it
        #[arg(value_name = "ID")]
        id: Uuid,
    },
}

/// Arguments of `tenure key create`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("principal").required(true).args(["user", "service_user"]))]
pub struct Create {
    /// The person who will use it
    #[arg(long, value_name = "EMAIL", value_parser = email)]
    pub user: Option<String>,
    /// The service user that will use it
    #[arg(long, value_name = "ID")]
    pub service_user: Option<Uuid>,
    /// The only organization it works in [default: all of its principal]
    #[arg(long, value_name = "ORG")]
    pub org: Option<OrgRef>,
    /// Whose clients will use it: chooses the prefix
    #[arg(long, value_name = "WIRE", value_parser = wire())]
    pub wire: Wire,
    /// What it is for, in your words
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// Stops working after this time, as 90d [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expires: Option<Duration>,
}

/// Arguments of `tenure key list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only those that work in this organization
    #[arg(long, value_name = "ORG")]
    pub org: Option<OrgRef>,
    /// Only this person's
    #[arg(long, value_name = "EMAIL", value_parser = email, conflicts_with = "service_user")]
    pub user: Option<String>,
    /// Only this service user's
    #[arg(long, value_name = "ID")]
    pub service_user: Option<Uuid>,
}

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such principal, organization or key.
pub async fn run(context: &Context, _command: Key) -> Result<()> {
    context.settings(Vec::new())?;
    Err(super::not_in_this_build())
}
