//! `tenure service-user …`.

use clap::{Args, Subcommand};
use uuid::Uuid;

use domain::permission::AccountRole;
use domain::principal::{PrincipalKind, PrincipalState};
use serde::Serialize;

use crate::administration::{Administration, format_minute, format_time, new_principal, now};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::Column;
use crate::values::{OrgRef, ServiceRole, parse_name, service_role_parser};

/// Commands about machines that call the API.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure service-user create ci --org Acme --role readwrite
  tenure service-user create phones --org Acme --role host     Connects devices and does nothing else
  tenure service-user create workers --role worker             Without --org: of the whole account
  tenure service-user list --org Acme

Roles: readonly sees all sessions of the organization; readwrite also makes, uses and ends its own;
admin also acts on everybody's, connects hosts, and looks after members and keys. auditor reads the audit log and
the usage. worker runs agents' turns, host connects devices, and neither does anything else. In the whole account:
viewer sees the sessions of all organizations, admin may do everything in all of them; auditor, worker and host are as
in an organization, for all of them.")]
pub enum ServiceUserCommand {
    /// Create a service user of an organization, or without --org of the whole account
    Create(CreateServiceUserArgs),
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
pub struct CreateServiceUserArgs {
    /// Its name
    #[arg(value_name = "NAME", value_parser = parse_name)]
    pub name: String,
    /// The organization it belongs to; without, the whole account
    #[arg(long, value_name = "ORG")]
    pub org: Option<OrgRef>,
    /// What it may do
    #[arg(long, value_name = "ROLE", value_parser = service_role_parser())]
    pub role: String,
}

/// A service user as it is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceUserRow {
    id: Uuid,
    name: String,
    role: String,
    organization: Option<Uuid>,
    #[serde(skip)]
    place: String,
    created_at: String,
}

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such service user or organization.
pub async fn run(context: &Context, command: ServiceUserCommand) -> CommandResult<()> {
    if let ServiceUserCommand::Create(create) = &command {
        ServiceRole::parse(&create.role, create.org.is_some()).map_err(CommandError::new)?;
    }
    let admin = context.administration().await?;
    match command {
        ServiceUserCommand::Create(arguments) => run_create(context, &admin, arguments).await?,
        ServiceUserCommand::List { org } => run_list(context, &admin, org).await?,
        ServiceUserCommand::Delete { id } => {
            let found = admin.find_service_user(id).await?;
            admin.store.set_principal_state(&admin.system, found.id, PrincipalState::Deleted, now()).await?;
            let sentence = format!("Deleted service user {}. Its keys are refused.", found.name);
            context.printer.print(&sentence, &serde_json::json!({ "id": id, "name": found.name }))?;
        }
    }
    admin.close().await;
    Ok(())
}

async fn run_create(
    context: &Context,
    admin: &Administration,
    arguments: CreateServiceUserArgs,
) -> CommandResult<()> {
    let mut new = new_principal(PrincipalKind::ServiceUser, &arguments.name, None);
    let mut place = "the account".to_owned();
    let mut member = None;
    match ServiceRole::parse(&arguments.role, arguments.org.is_some()).map_err(CommandError::new)? {
        ServiceRole::Account(role) => new.account_role = Some(role),
        ServiceRole::Organization(role) => {
            if let Some(org) = &arguments.org {
                let organization = admin.find_organization(org).await?;
                place = organization.name;
                member = Some((organization.id, role));
            }
        }
    }
    let made = admin.create_principal(new, None, member).await?;
    let sentence =
        format!("Created service user {} with id {}, {} of {place}.", made.name, made.id, arguments.role);
    let organization = member.map(|(id, _)| id.0);
    let created_at = format_time(made.created);
    let row = ServiceUserRow {
        id: made.id.0,
        name: made.name,
        role: arguments.role,
        organization,
        place,
        created_at,
    };
    context.printer.print(&sentence, &row)
}

async fn run_list(context: &Context, admin: &Administration, org: Option<OrgRef>) -> CommandResult<()> {
    let only = match org {
        Some(org) => Some(admin.find_organization(&org).await?.id.0),
        None => None,
    };
    let organizations = admin.store.list_organizations(&admin.system).await?;
    let members = admin.store.list_members(&admin.system).await?;
    let all =
        admin.store.list_principals(&admin.system).await?.into_iter().filter(|known| {
            known.kind == PrincipalKind::ServiceUser && known.state != PrincipalState::Deleted
        });
    let row = all.map(|known| {
        let member = members.iter().find(|(_, principal, _)| *principal == known.id);
        let organization = member.and_then(|(id, ..)| organizations.iter().find(|place| place.id == *id));
        let account = known.account_role.map(AccountRole::name);
        ServiceUserRow {
            id: known.id.0,
            name: known.name,
            role: member.map(|(.., role)| role.name()).or(account).unwrap_or("none").to_owned(),
            organization: organization.map(|place| place.id.0),
            place: organization.map_or_else(|| "(account)".to_owned(), |place| place.name.clone()),
            created_at: format_time(known.created),
        }
    });
    let rows: Vec<ServiceUserRow> = row.filter(|row| only.is_none() || row.organization == only).collect();
    let columns: [Column<ServiceUserRow>; 5] = [
        Column::new("id", |row| row.id.to_string()),
        Column::new("name", |row| row.name.clone()),
        Column::new("organization", |row| row.place.clone()),
        Column::new("role", |row| row.role.clone()),
        Column::new("created", |row| format_minute(Some(&row.created_at))),
    ];
    context.printer.print_list(
        &rows,
        &columns,
        "There are no service users. `tenure service-user create` makes one.",
    )
}
