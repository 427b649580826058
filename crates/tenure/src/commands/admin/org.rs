//! `tenure admin org …`: organizations.

use clap::{Args, Subcommand};

use domain::organization::Organization;
use serde::Serialize;
use server::operations::directory::administration::{self, OrganizationUpdate};
use uuid::Uuid;

use crate::administration::{Administration, format_minute, format_time, now};
use crate::commands::Context;
use crate::error::CommandResult;
use crate::output::Column;
use crate::values::{DeviceLimit, OrgRef, parse_organization_name};

/// Commands about organizations.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure admin org create Acme
  tenure admin org set Acme --max-devices 5
  tenure admin org list --json

ORG is an id (a UUID, 32 hex digits, org_… or org-…) or an exact name.")]
pub enum OrgCommand {
    /// Create an organization
    Create {
        /// Its name, unique among organizations
        #[arg(value_name = "NAME", value_parser = parse_organization_name)]
        name: String,
    },
    /// List the organizations
    List,
    /// Change the limits of an organization
    Set(SetOrgArgs),
    /// Delete an organization: its keys stop working at once, its sessions stay in the database
    Delete {
        /// The organization
        #[arg(value_name = "ORG")]
        org: OrgRef,
    },
}

/// Arguments of `tenure admin org set`.
#[derive(Debug, Args)]
pub struct SetOrgArgs {
    /// The organization
    #[arg(value_name = "ORG")]
    pub org: OrgRef,
    /// How many devices it can hold at once; `none` for no limit
    #[arg(long, value_name = "N")]
    pub max_devices: DeviceLimit,
}

/// An organization, as printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OrganizationRow {
    id: Uuid,
    name: String,
    max_devices: Option<u32>,
    created_at: String,
    deleted_at: Option<String>,
}

impl From<Organization> for OrganizationRow {
    fn from(organization: Organization) -> Self {
        Self {
            id: organization.id.0,
            name: organization.name,
            max_devices: organization.max_devices,
            created_at: format_time(organization.created),
            deleted_at: organization.deleted.map(format_time),
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// The database refuses the change, or the organization does not exist.
pub async fn run(context: &Context, command: OrgCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    let granted = admin.system.grant_account();
    match command {
        OrgCommand::Create { name } => {
            let update = OrganizationUpdate::default();
            let (new, _) = administration::create_organization(&admin, &granted, &name, update).await?;
            let row = OrganizationRow::from(new);
            context.printer.print(&format!("Created organization {} with id {}.", row.name, row.id), &row)?;
        }
        OrgCommand::List => run_list(context, &admin).await?,
        OrgCommand::Set(set) => {
            let mut found = admin.find_organization(&set.org).await?;
            found.max_devices = set.max_devices.0;
            admin.store.set_max_devices(&admin.system, found.id, found.max_devices, now()).await?;
            let sentence = match found.max_devices {
                Some(max) => format!("{} can hold or wait for {max} devices at once.", found.name),
                None => format!("{} can hold any number of devices.", found.name),
            };
            context.printer.print(&sentence, &OrganizationRow::from(found))?;
        }
        OrgCommand::Delete { org } => {
            let mut found = admin.find_organization(&org).await?;
            administration::delete_organization(&admin, &granted, found.id).await?;
            found.deleted = Some(now());
            let sentence =
                format!("Deleted {}. Its sessions stay; the devices it holds are released.", found.name);
            context.printer.print(&sentence, &OrganizationRow::from(found))?;
        }
    }
    admin.close().await;
    Ok(())
}

async fn run_list(context: &Context, admin: &Administration) -> CommandResult<()> {
    let all = admin.store.list_organizations(&admin.system).await?;
    let rows: Vec<OrganizationRow> = all.into_iter().map(OrganizationRow::from).collect();
    let columns: [Column<OrganizationRow>; 5] = [
        Column::new("id", |row| row.id.to_string()),
        Column::new("name", |row| row.name.clone()),
        Column::new("max devices", |row| {
            row.max_devices.map_or_else(|| "-".to_owned(), |max| max.to_string())
        }),
        Column::new("created", |row| format_minute(Some(&row.created_at))),
        Column::new("deleted", |row| format_minute(row.deleted_at.as_ref())),
    ];
    context.printer.print_list(
        &rows,
        &columns,
        "There are no organizations. `tenure admin org create NAME` creates one.",
    )
}
