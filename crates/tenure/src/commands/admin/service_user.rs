//! `tenure admin service-user …`: machines that call the API.

use clap::{Args, Subcommand};
use uuid::Uuid;

use domain::permission::AccountRole;
use domain::principal::{PrincipalKind, PrincipalState};
use serde::Serialize;
use server::operations::access::service_users::{self, ServiceUserHome};

use crate::administration::{Administration, format_minute, format_time};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::Column;
use crate::values::{OrgRef, parse_name, parse_service_user_role, service_role_parser};

/// Commands about machines that call the API.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure admin service-user create ci --org Acme --role readwrite
  tenure admin service-user create phones --org Acme --role host     Connects devices, nothing else
  tenure admin service-user create workers --role worker             Without --org: for the whole account
  tenure admin service-user list --org Acme

Roles: readonly sees all sessions of the organization. readwrite also creates, uses and ends its own sessions. admin
also uses and ends the sessions of others, connects hosts, and manages members and keys. auditor reads the audit log
and the usage. worker runs agents' turns, host connects devices, and neither can do anything else.
Roles of the whole account: viewer sees the sessions of all organizations, admin can do everything in all of them.
auditor, worker and host are as in an organization, for all organizations.")]
pub enum ServiceUserCommand {
    /// Create a service user of an organization, or of the whole account without --org
    Create(CreateServiceUserArgs),
    /// List service users
    List {
        /// Only those of this organization
        #[arg(long, value_name = "ORG")]
        org: Option<OrgRef>,
    },
    /// Delete a service user: its keys stop working at once
    Delete {
        /// Its id, from `tenure admin service-user list`
        #[arg(value_name = "ID")]
        id: Uuid,
    },
}

/// Arguments of `tenure admin service-user create`.
#[derive(Debug, Args)]
pub struct CreateServiceUserArgs {
    /// Its name
    #[arg(value_name = "NAME", value_parser = parse_name)]
    pub name: String,
    /// The organization it belongs to [default: the whole account]
    #[arg(long, value_name = "ORG")]
    pub org: Option<OrgRef>,
    /// Its role
    #[arg(long, value_name = "ROLE", value_parser = service_role_parser())]
    pub role: String,
}

/// A service user, as printed.
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

/// Runs one of them.
///
/// # Errors
/// The role does not fit, the operation refuses the change, or the service user or organization does not exist.
pub async fn run(context: &Context, command: ServiceUserCommand) -> CommandResult<()> {
    if let ServiceUserCommand::Create(create) = &command {
        parse_service_user_role(&create.role, create.org.is_some()).map_err(CommandError::new)?;
    }
    let admin = context.administration().await?;
    match command {
        ServiceUserCommand::Create(arguments) => run_create(context, &admin, arguments).await?,
        ServiceUserCommand::List { org } => run_list(context, &admin, org).await?,
        ServiceUserCommand::Delete { id } => {
            let found = admin.find_service_user(id).await?;
            let home = ServiceUserHome::new(&admin.system, &found);
            service_users::delete_service_user(&admin, &home, found.id).await?;
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
    let role =
        parse_service_user_role(&arguments.role, arguments.org.is_some()).map_err(CommandError::new)?;
    let (home, place) = match &arguments.org {
        Some(org) => {
            let organization = admin.find_organization(org).await?;
            (ServiceUserHome::Organization(admin.system.grant(organization.id)), organization.name)
        }
        None => (ServiceUserHome::Account(admin.system.grant_account()), "the account".to_owned()),
    };
    let new =
        service_users::create_service_user_without_key(admin, &home, &arguments.name, role).await?.principal;
    let sentence =
        format!("Created service user {} with id {}, {} of {place}.", new.name, new.id, arguments.role);
    let row = ServiceUserRow {
        id: new.id.0,
        name: new.name,
        role: arguments.role,
        organization: new.default_organization.map(|organization| organization.0),
        place,
        created_at: format_time(new.created),
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
        "There are no service users. `tenure admin service-user create` creates one.",
    )
}
