//! `tenure login-sessions …`.

use std::net::IpAddr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use domain::login::{Login, LoginQuery};
use domain::time::Span;
use serde::Serialize;
use server::operations::login::revoke_by_query;
use store::access::ManageMembers;
use uuid::Uuid;

use crate::administration::{Administration, format_time, now};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::Column;
use crate::values::{parse_duration, parse_email};

/// Commands about who is signed in.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure login-sessions list --user ana@example.com
  tenure login-sessions revoke --older-than 30d
  tenure login-sessions revoke --ip 192.0.2.7 --yes

Without --yes, revoke only says how many sessions would end.")]
pub enum LoginSessionsCommand {
    /// List the sessions that are open, newest first
    List(LoginSessionFilter),
    /// End sessions for ever; their tokens are no good from then on
    Revoke {
        /// Which.
        #[command(flatten)]
        which: LoginSessionFilter,
        /// End them, and do not only say how many there are
        #[arg(long)]
        yes: bool,
    },
}

/// Which sessions; without any of these, all.
#[derive(Debug, Args)]
pub struct LoginSessionFilter {
    /// Only this person's
    #[arg(long, value_name = "EMAIL", value_parser = parse_email)]
    pub user: Option<String>,
    /// Only those opened from this address
    #[arg(long, value_name = "IP")]
    pub ip: Option<IpAddr>,
    /// Only those opened by this kind of client, such as pc or smartphone
    #[arg(long, value_name = "TYPE")]
    pub user_agent_type: Option<String>,
    /// Only those opened longer ago than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub older_than: Option<Duration>,
    /// Only those opened with this method
    #[arg(long, value_name = "METHOD", value_parser = method_parser())]
    pub amr: Option<String>,
}

fn method_parser() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(["pwd", "otp", "mfa", "fed", "key"])
}

/// A session as it is printed.
#[derive(Debug, Serialize)]
struct LoginSessionRow {
    id: Uuid,
    email: String,
    opened: String,
    last_used: String,
    remote_ip: String,
    user_agent_type: String,
    amr: String,
}

/// What was ended, or would be.
#[derive(Debug, Serialize)]
struct RevokeReport {
    count: usize,
    revoked: bool,
}

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such person.
pub async fn run(context: &Context, command: LoginSessionsCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    let granted = admin.system.grant_account::<ManageMembers>();
    let (which, yes) = match &command {
        LoginSessionsCommand::List(which) => (which, None),
        LoginSessionsCommand::Revoke { which, yes } => (which, Some(*yes)),
    };
    let query = to_query(&admin, which).await?;
    let found =
        revoke_by_query::fitting(&admin.store, &granted, &query, None, now()).await.map_err(to_error)?;
    match yes {
        None => print_list(context, &admin, &found).await?,
        Some(yes) => {
            let count = found.len();
            let sentence = if yes {
                revoke_by_query::end_found(&admin.store, &granted, &found, now()).await.map_err(to_error)?;
                format!("{count} login sessions are ended.")
            } else {
                format!("{count} login sessions would end; say --yes to end them.")
            };
            context.printer.print(&sentence, &RevokeReport { count, revoked: yes })?;
        }
    }
    admin.close().await;
    Ok(())
}

fn to_error(failure: server::failure::Failure) -> CommandError {
    match failure {
        server::failure::Failure::Internal { cause, .. } => CommandError::new(cause),
        other => CommandError::new(other.to_string()),
    }
}

async fn to_query(admin: &Administration, which: &LoginSessionFilter) -> CommandResult<LoginQuery> {
    let owner = match &which.user {
        Some(email) => Some(admin.find_user(email).await?.id.0),
        None => None,
    };
    Ok(LoginQuery {
        owner,
        remote_ip: which.ip,
        agent_type: which.user_agent_type.clone(),
        opened_before_us: which.older_than.map(|age| (now() - Span::from(age)).0),
        method: which.amr.clone(),
    })
}

async fn print_list(context: &Context, admin: &Administration, found: &[Login]) -> CommandResult<()> {
    let people = admin.store.list_principals(&admin.system).await?;
    let row = |login: &Login| LoginSessionRow {
        id: login.id.uuid(),
        email: people
            .iter()
            .find(|known| known.id == login.owner)
            .map_or_else(String::new, |known| known.email.clone().unwrap_or_else(|| known.name.clone())),
        opened: format_time(login.id.created()),
        last_used: format_time(login.seen),
        remote_ip: login.origin.remote_ip.map_or_else(String::new, |ip| ip.to_string()),
        user_agent_type: login.origin.agent_type.clone(),
        amr: login.methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(" "),
    };
    let rows = found.iter().map(row).collect::<Vec<_>>();
    let columns = [
        Column::new("id", |row: &LoginSessionRow| row.id.to_string()),
        Column::new("user", |row| row.email.clone()),
        Column::new("opened", |row| row.opened.clone()),
        Column::new("last used", |row| row.last_used.clone()),
        Column::new("from", |row| row.remote_ip.clone()),
        Column::new("client", |row| row.user_agent_type.clone()),
        Column::new("amr", |row| row.amr.clone()),
    ];
    context.printer.print_list(&rows, &columns, "Nobody is signed in.")
}
