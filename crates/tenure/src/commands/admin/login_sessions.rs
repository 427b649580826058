//! `tenure admin login-sessions …`: who is signed in.

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
use crate::error::CommandResult;
use crate::output::Column;
use crate::values::{parse_duration, parse_email};

/// Commands about login sessions.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure admin login-sessions list --user ana@example.com
  tenure admin login-sessions revoke --older-than 30d
  tenure admin login-sessions revoke --ip 192.0.2.7 --yes

Without --yes, revoke only prints how many sessions would end.")]
pub enum LoginSessionsCommand {
    /// List open sessions, the newest first
    List(LoginSessionFilter),
    /// End sessions for ever: their tokens stop working at once
    Revoke {
        /// Which sessions to end.
        #[command(flatten)]
        which: LoginSessionFilter,
        /// End them; without this, only print how many there are
        #[arg(long)]
        yes: bool,
    },
}

/// Which sessions; all without any of these.
#[derive(Debug, Args)]
pub struct LoginSessionFilter {
    /// Only sessions of this person
    #[arg(long, value_name = "EMAIL", value_parser = parse_email)]
    pub user: Option<String>,
    /// Only sessions opened from this address
    #[arg(long, value_name = "IP")]
    pub ip: Option<IpAddr>,
    /// Only sessions opened by this kind of client, such as pc or smartphone
    #[arg(long, value_name = "TYPE")]
    pub user_agent_type: Option<String>,
    /// Only sessions opened longer ago than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub older_than: Option<Duration>,
    /// Only sessions opened with this method
    #[arg(long, value_name = "METHOD", value_parser = method_parser())]
    pub amr: Option<String>,
}

fn method_parser() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(["pwd", "otp", "mfa", "fed", "key"])
}

/// A login session, as printed.
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

/// How many sessions were revoked, or would be.
#[derive(Debug, Serialize)]
struct RevokeReport {
    count: usize,
    revoked: bool,
}

/// Runs one of them.
///
/// # Errors
/// The database cannot be read or written, or the person does not exist.
pub async fn run(context: &Context, command: LoginSessionsCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    let granted = admin.system.grant_account::<ManageMembers>();
    let (which, yes) = match &command {
        LoginSessionsCommand::List(which) => (which, None),
        LoginSessionsCommand::Revoke { which, yes } => (which, Some(*yes)),
    };
    let query = login_query(&admin, which).await?;
    let found = revoke_by_query::find_logins(&admin.store, &granted, &query, None, now()).await?;
    match yes {
        None => print_list(context, &admin, &found).await?,
        Some(yes) => {
            let count = found.len();
            let sentence = if yes {
                revoke_by_query::end_found_logins(&admin.store, &granted, &found, now()).await?;
                format!("Ended {count} login sessions.")
            } else {
                format!("{count} login sessions would end; add --yes to end them.")
            };
            context.printer.print(&sentence, &RevokeReport { count, revoked: yes })?;
        }
    }
    admin.close().await;
    Ok(())
}

async fn login_query(admin: &Administration, which: &LoginSessionFilter) -> CommandResult<LoginQuery> {
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
        opened: format_time(login.id.creation_time()),
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
