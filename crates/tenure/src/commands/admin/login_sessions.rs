//! `tenure login-sessions …`.

use std::net::IpAddr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use domain::login::{Login, LoginQuery};
use domain::time::Span;
use serde::Serialize;
use server::operations::login_query;
use store::access::ManageMembers;
use uuid::Uuid;

use crate::administration::{Administration, now, time};
use crate::commands::Context;
use crate::error::{Failure, Result};
use crate::output::Column;
use crate::values::{duration, email};

/// Commands about who is signed in.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure login-sessions list --user ana@example.com
  tenure login-sessions revoke --older-than 30d
  tenure login-sessions revoke --ip 192.0.2.7 --yes

Without --yes, revoke only says how many sessions would end.")]
pub enum LoginSessions {
    /// List the sessions that are open, newest first
    List(Which),
    /// End sessions for ever; their tokens are no good from then on
    Revoke {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// End them, and do not only say how many there are
        #[arg(long)]
        yes: bool,
    },
}

/// Which sessions; without any of these, all.
#[derive(Debug, Args)]
pub struct Which {
    /// Only this person's
    #[arg(long, value_name = "EMAIL", value_parser = email)]
    pub user: Option<String>,
    /// Only those opened from this address
    #[arg(long, value_name = "IP")]
    pub ip: Option<IpAddr>,
    /// Only those opened by this kind of client, such as pc or smartphone
    #[arg(long, value_name = "TYPE")]
    pub user_agent_type: Option<String>,
    /// Only those opened longer ago than this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub older_than: Option<Duration>,
    /// Only those opened with this method
    #[arg(long, value_name = "METHOD", value_parser = method())]
    pub amr: Option<String>,
}

fn method() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(["pwd", "otp", "mfa", "fed", "key"])
}

/// A session as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
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
struct Count {
    count: usize,
    revoked: bool,
}

/// Does one of them.
///
/// # Errors
/// The database refuses, or there is no such person.
pub async fn run(context: &Context, command: LoginSessions) -> Result<()> {
    let admin = context.administration().await?;
    let granted = admin.system.account::<ManageMembers>();
    let (which, yes) = match &command {
        LoginSessions::List(which) => (which, None),
        LoginSessions::Revoke { which, yes } => (which, Some(*yes)),
    };
    let query = query(&admin, which).await?;
    let found = login_query::fitting(&admin.store, &granted, &query, None, now()).await.map_err(failed)?;
    match yes {
        None => list(context, &admin, &found).await?,
        Some(yes) => {
            let count = found.len();
            let sentence = if yes {
                login_query::end_found(&admin.store, &granted, &found, now()).await.map_err(failed)?;
                format!("{count} login sessions are ended.")
            } else {
                format!("{count} login sessions would end; say --yes to end them.")
            };
            context.output.done(&sentence, &Count { count, revoked: yes })?;
        }
    }
    admin.close().await;
    Ok(())
}

fn failed(failure: server::failure::Failure) -> Failure {
    match failure {
        server::failure::Failure::Internal { cause, .. } => Failure::new(cause),
        other => Failure::new(other.to_string()),
    }
}

async fn query(admin: &Administration, which: &Which) -> Result<LoginQuery> {
    let owner = match &which.user {
        Some(email) => Some(admin.user(email).await?.id.0),
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

async fn list(context: &Context, admin: &Administration, found: &[Login]) -> Result<()> {
    let people = admin.store.principals(&admin.system).await?;
    let shown = |login: &Login| Shown {
        id: login.id.uuid(),
        email: people
            .iter()
            .find(|known| known.id == login.owner)
            .map_or_else(String::new, |known| known.email.clone().unwrap_or_else(|| known.name.clone())),
        opened: time(login.id.created()),
        last_used: time(login.seen),
        remote_ip: login.origin.remote_ip.map_or_else(String::new, |ip| ip.to_string()),
        user_agent_type: login.origin.agent_type.clone(),
        amr: login.methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(" "),
    };
    let rows = found.iter().map(shown).collect::<Vec<_>>();
    let columns = [
        Column::new("id", |row: &Shown| row.id.to_string()),
        Column::new("user", |row| row.email.clone()),
        Column::new("opened", |row| row.opened.clone()),
        Column::new("last used", |row| row.last_used.clone()),
        Column::new("from", |row| row.remote_ip.clone()),
        Column::new("client", |row| row.user_agent_type.clone()),
        Column::new("amr", |row| row.amr.clone()),
    ];
    context.output.list(&rows, &columns, "Nobody is signed in.")
}
