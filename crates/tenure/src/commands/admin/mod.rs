//! `tenure admin …`: the commands that work on the database directly, without a server.

pub mod audit;
mod audit_segments;
pub mod clock;
mod former_name;
pub mod key;
pub mod login_sessions;
pub mod master_key;
pub mod member;
pub mod org;
pub mod service_user;
pub mod user;

use clap::Subcommand;

use crate::commands::Context;
use crate::error::CommandResult;

pub use former_name::FormerName;

/// The commands of `tenure admin`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure admin org create Acme
  tenure admin user create ana@example.com --org Acme --role admin
  tenure admin key create --user ana@example.com --wire mobilenext --name laptop

These commands open the database themselves, with all rights, whether or not a server runs on it. They also work without \
`admin`, as before: `tenure org create Acme`.")]
pub enum AdminCommand {
    /// Create, list, limit and delete organizations
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// Create, list, suspend, resume and delete people
    #[command(subcommand)]
    User(user::UserCommand),
    /// Add people to an organization, change their roles and remove them
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Create, list and delete service users: machines that call the API
    #[command(subcommand)]
    ServiceUser(service_user::ServiceUserCommand),
    /// Create, list and revoke API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// List and end login sessions
    #[command(subcommand)]
    LoginSessions(login_sessions::LoginSessionsCommand),
    /// Replace the master key, which seals secrets
    #[command(subcommand)]
    MasterKey(master_key::MasterKeyCommand),
    /// Verify, export and seal the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show the clocks, or confirm this machine's clock after a jump
    #[command(subcommand)]
    Clock(clock::ClockCommand),
}

impl AdminCommand {
    /// The command's word on the command line.
    fn name(&self) -> &'static str {
        match self {
            Self::Org(_) => "org",
            Self::User(_) => "user",
            Self::Member(_) => "member",
            Self::ServiceUser(_) => "service-user",
            Self::Key(_) => "key",
            Self::LoginSessions(_) => "login-sessions",
            Self::MasterKey(_) => "master-key",
            Self::Audit(_) => "audit",
            Self::Clock(_) => "clock",
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// The settings or the database cannot be read, or the command refuses.
pub async fn run(context: &Context, command: AdminCommand) -> CommandResult<()> {
    match command {
        AdminCommand::Org(command) => org::run(context, command).await,
        AdminCommand::User(command) => user::run(context, command).await,
        AdminCommand::Member(command) => member::run(context, command).await,
        AdminCommand::ServiceUser(command) => service_user::run(context, command).await,
        AdminCommand::Key(command) => key::run(context, command).await,
        AdminCommand::LoginSessions(command) => login_sessions::run(context, command).await,
        AdminCommand::MasterKey(command) => master_key::run(context, command).await,
        AdminCommand::Audit(command) => audit::run(context, command).await,
        AdminCommand::Clock(command) => clock::run(context, command).await,
    }
}
