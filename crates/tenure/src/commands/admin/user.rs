//! `tenure admin user …`: people.

use clap::{Args, Subcommand};
use domain::Refusal;
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::session::EndReason;
use serde::Serialize;
use server::failure::Failure;
use server::operations::directory::{administration, suspensions};
use server::operations::login::passwords;
use server::operations::login::sessions::build_ending;
use server::services::password_hasher::PasswordHasher;
use store::RoleSource;
use uuid::Uuid;

use crate::administration::{Administration, format_minute, format_time, now};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::Column;
use crate::values::{OrgRef, PersonAccountRole, account_role_parser, parse_email, role_parser};

/// Commands about people.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure admin user create ana@example.com --org Acme --role admin
  pass tenure/ana | tenure admin user create ana@example.com --org Acme --role admin --password-stdin
  tenure admin user list --org Acme
  tenure admin user role ana@example.com --account admin
  tenure admin user suspend ana@example.com
  pass tenure/ana | tenure admin user password ana@example.com --password-stdin

Roles: readonly sees all sessions of the organization. readwrite also creates, uses and ends its own sessions. admin
also uses and ends the sessions of others, connects hosts, and manages members and keys.")]
pub enum UserCommand {
    /// Create a person as a member of an organization
    Create(CreateUserArgs),
    /// List people, or the members of one organization with their roles
    List {
        /// Only the members of this organization
        #[arg(long, value_name = "ORG")]
        org: Option<OrgRef>,
    },
    /// Suspend a person: their keys stop working at once, their devices are released
    Suspend {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = parse_email)]
        email: String,
    },
    /// Let a suspended person act again: their keys work again, and they have to sign in again
    Resume {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = parse_email)]
        email: String,
    },
    /// Set a person's password from standard input (one line); their login sessions end
    Password {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = parse_email)]
        email: String,
        /// Read the password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Revoke all their keys as well, and the keys that were made with those
        #[arg(long)]
        revoke_keys: bool,
    },
    /// Set a person's role in the whole account: viewer sees all organizations' sessions, auditor reads the audit log and
    /// the usage, admin can do everything
    Role {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = parse_email)]
        email: String,
        /// Their role in the account; `none` removes it
        #[arg(long, value_name = "ROLE", value_parser = account_role_parser())]
        account: PersonAccountRole,
    },
    /// End all login sessions of a person; their keys still work
    SignOut {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = parse_email)]
        email: String,
    },
    /// Remove the second factor of a person who has lost both the app and the recovery codes; their login sessions end
    ForgetFactor {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = parse_email)]
        email: String,
    },
    /// Delete a person; their past sessions stay in the database
    Delete {
        /// The person
        #[arg(value_name = "EMAIL", value_parser = parse_email)]
        email: String,
    },
}

/// Arguments of `tenure admin user create`.
#[derive(Debug, Args)]
pub struct CreateUserArgs {
    /// The person's e-mail address
    #[arg(value_name = "EMAIL", value_parser = parse_email)]
    pub email: String,
    /// The organization they belong to
    #[arg(long, value_name = "ORG")]
    pub org: OrgRef,
    /// Their role there
    #[arg(long, value_name = "ROLE", value_parser = role_parser())]
    pub role: Role,
    /// Read a password for signing in from standard input (one line)
    #[arg(long)]
    pub password_stdin: bool,
}

/// A person, as printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UserRow {
    id: Uuid,
    number: i64,
    email: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_role: Option<&'static str>,
    organizations: Vec<UserOrganization>,
    created_at: String,
}

/// A membership of a person, as printed.
#[derive(Debug, Serialize)]
struct UserOrganization {
    organization: Uuid,
    name: String,
    role: &'static str,
}

impl UserRow {
    fn new(user: Principal, organizations: Vec<UserOrganization>) -> Self {
        let (id, number, state) = (user.id.0, user.number, user.state.name());
        let account_role = user.account_role.map(AccountRole::name);
        let created_at = format_time(user.created);
        Self { id, number, email: user.email, state, account_role, organizations, created_at }
    }
}

/// Runs one of them.
///
/// # Errors
/// The operation refuses the change, or the person or organization does not exist.
pub async fn run(context: &Context, command: UserCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    match command {
        UserCommand::Create(arguments) => run_create(context, &admin, arguments).await?,
        UserCommand::List { org } => run_list(context, &admin, org).await?,
        UserCommand::Suspend { email } => suspend(context, &admin, &email).await?,
        UserCommand::Resume { email } => resume(context, &admin, &email).await?,
        UserCommand::Password { email, revoke_keys, .. } => {
            set_password(context, &admin, &email, revoke_keys).await?;
        }
        UserCommand::Role { email, account } => set_account_role(context, &admin, &email, account).await?,
        UserCommand::SignOut { email } => sign_out(context, &admin, &email).await?,
        UserCommand::ForgetFactor { email } => forget_factor(context, &admin, &email).await?,
        UserCommand::Delete { email } => delete(context, &admin, &email).await?,
    }
    admin.close().await;
    Ok(())
}

async fn run_create(
    context: &Context,
    admin: &Administration,
    arguments: CreateUserArgs,
) -> CommandResult<()> {
    let CreateUserArgs { email, org, role, password_stdin } = arguments;
    let organization = admin.find_organization(&org).await?;
    let hash = match password_stdin {
        true => {
            Some(passwords::hash_first_password(admin, &password_hasher(admin)?, &read_password()?).await?)
        }
        false => None,
    };
    let granted = admin.system.grant(organization.id);
    let new = administration::create_person(admin, &granted, &email, hash.as_deref(), role).await;
    let user = new.map_err(|failure| match failure {
        Failure::Refused(Refusal::Exists(_)) => {
            let (name, role) = (&organization.name, role.name());
            CommandError::new(format!("there is a user {email} already"))
                .hint(format!("tenure admin member add {email} --org {name:?} --role {role}"))
        }
        other => other.into(),
    })?;
    let member =
        UserOrganization { organization: organization.id.0, name: organization.name, role: role.name() };
    let sentence = format!("Created user {email}, {} of {}.", role.name(), member.name);
    context.printer.print(&sentence, &UserRow::new(user, vec![member]))
}

async fn set_password(
    context: &Context,
    admin: &Administration,
    email: &str,
    revokes_keys: bool,
) -> CommandResult<()> {
    let user = admin.find_user(email).await?;
    let granted = admin.system.grant_person(user.id);
    let (hasher, password) = (password_hasher(admin)?, read_password()?);
    passwords::set_password(admin, &hasher, &granted, &password, revokes_keys).await?;
    let keys = if revokes_keys { "are revoked, with the keys made with them" } else { "still work" };
    let sentence =
        format!("Set the password of {email}. Their login sessions have ended; their keys {keys}.");
    context.printer.print(&sentence, &UserRow::new(user, vec![]))
}

async fn set_account_role(
    context: &Context,
    admin: &Administration,
    email: &str,
    PersonAccountRole(role): PersonAccountRole,
) -> CommandResult<()> {
    let user = admin.find_user(email).await?;
    admin.store.set_account_role(&admin.system, user.id, role, RoleSource::Hand, now()).await?;
    let sentence = match role {
        Some(role) => format!("{email} is {} of the account.", role.name()),
        None => format!("{email} has no role in the account."),
    };
    context.printer.print(&sentence, &UserRow::new(Principal { account_role: role, ..user }, vec![]))
}

async fn sign_out(context: &Context, admin: &Administration, email: &str) -> CommandResult<()> {
    let user = admin.find_user(email).await?;
    let person = admin.system.grant_person(user.id);
    let ending = build_ending(&person, EndReason::Revoked, "an administrator ended all of them");
    admin.store.end_logins(&person, None, &ending, now()).await?;
    let sentence = format!("Ended all login sessions of {email}. Their keys still work.");
    context.printer.print(&sentence, &UserRow::new(user, vec![]))
}

async fn forget_factor(context: &Context, admin: &Administration, email: &str) -> CommandResult<()> {
    let user = admin.find_user(email).await?;
    let person = admin.system.grant_person(user.id);
    admin.store.remove_second_factor(&person).await?;
    let ending = build_ending(&person, EndReason::Revoked, "an administrator took the second factor away");
    admin.store.end_logins(&person, None, &ending, now()).await?;
    let sentence = format!("Removed the second factor of {email}. Their login sessions have ended.");
    context.printer.print(&sentence, &UserRow::new(user, vec![]))
}

fn password_hasher(admin: &Administration) -> CommandResult<PasswordHasher> {
    PasswordHasher::new(&admin.settings).map_err(CommandError::new)
}

/// Reads a new password, the first line of standard input.
fn read_password() -> CommandResult<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn run_list(context: &Context, admin: &Administration, org: Option<OrgRef>) -> CommandResult<()> {
    let only = match org {
        Some(org) => Some(admin.find_organization(&org).await?.id),
        None => None,
    };
    let organizations = admin.store.list_organizations(&admin.system).await?;
    let members = admin.store.list_members(&admin.system).await?;
    let memberships = |user: &Principal| {
        let own = members.iter().filter(|(_, principal, _)| *principal == user.id);
        let named = own.filter_map(|(id, _, role)| {
            let organization = organizations.iter().find(|known| known.id == *id)?;
            let name = organization.name.clone();
            Some(UserOrganization { organization: id.0, name, role: role.name() })
        });
        named.collect::<Vec<_>>()
    };
    let users = admin
        .store
        .list_principals(&admin.system)
        .await?
        .into_iter()
        .filter(|known| known.kind == PrincipalKind::User && known.state != PrincipalState::Deleted);
    let rows = users.map(|user| {
        let organizations = memberships(&user);
        UserRow::new(user, organizations)
    });
    let within =
        |row: &UserRow| only.is_none_or(|id| row.organizations.iter().any(|own| own.organization == id.0));
    let rows: Vec<UserRow> = rows.filter(within).collect();
    let columns: [Column<UserRow>; 5] = [
        Column::new("id", |row| row.id.to_string()),
        Column::new("email", |row| row.email.clone().unwrap_or_default()),
        Column::new("organizations", |row| {
            let roles = row.organizations.iter().map(|own| format!("{} ({})", own.name, own.role));
            let account = row.account_role.map(|role| format!("the account ({role})"));
            account.into_iter().chain(roles).collect::<Vec<_>>().join(", ")
        }),
        Column::new("state", |row| row.state.to_owned()),
        Column::new("created", |row| format_minute(Some(&row.created_at))),
    ];
    context.printer.print_list(&rows, &columns, "There are no users. `tenure admin user create` creates one.")
}

async fn suspend(context: &Context, admin: &Administration, email: &str) -> CommandResult<()> {
    let user = admin.find_user(email).await?;
    if !suspensions::suspend(admin, &user, Ok(admin.system)).await? {
        let state = user.state.name();
        return Err(CommandError::new(format!("{email} cannot be suspended: they are {state}")));
    }
    let sentence = format!("Suspended {email}. Their keys are refused; the devices they hold are released.");
    print_state(context, user, PrincipalState::Suspended, &sentence)
}

async fn resume(context: &Context, admin: &Administration, email: &str) -> CommandResult<()> {
    let user = admin.find_user(email).await?;
    if !suspensions::resume(admin, &user, Ok(admin.system)).await? {
        return Err(CommandError::new(format!("{email} is not suspended: they are {}", user.state.name())));
    }
    let sentence = format!("{email} can act again. Their keys work; they have to sign in again.");
    print_state(context, user, PrincipalState::Active, &sentence)
}

async fn delete(context: &Context, admin: &Administration, email: &str) -> CommandResult<()> {
    let user = admin.find_user(email).await?;
    admin.store.set_principal_state(&admin.system, user.id, PrincipalState::Deleted, now()).await?;
    let sentence = format!("Deleted {email}. Their past sessions stay; the devices they hold are released.");
    print_state(context, user, PrincipalState::Deleted, &sentence)
}

fn print_state(
    context: &Context,
    user: Principal,
    state: PrincipalState,
    sentence: &str,
) -> CommandResult<()> {
    context.printer.print(sentence, &UserRow::new(Principal { state, ..user }, vec![]))
}
