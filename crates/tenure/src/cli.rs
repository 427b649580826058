//! The commands as clap reads them: all of them in one view, the arguments of each in its own file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::admin::{
    audit, clock, key, login_sessions, master_key, member, org, service_user, user,
};
use crate::commands::{backup, demo, doctor, host, restore, serve, settings, worker};

/// Who holds which device, which agent is at work, who is signed in: a sessions server.
#[derive(Debug, Parser)]
#[command(
    name = "tenure",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  tenure demo                                        Look around: a full database and simulated devices
  tenure serve                                       Serve on http://127.0.0.1:7420 from ./tenure-data
  tenure org create Acme                             Then: user create, key create
  tenure host --server http://127.0.0.1:7420         Connect the phones of this machine (key in TENURE_TOKEN)
  tenure worker --server http://127.0.0.1:7420 --exec 'claude -p'   Answer messages with a command"
)]
pub struct Cli {
    /// What goes with every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// Arguments that go with every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Where sessions are kept: sqlite:PATH or postgres://… [default: sqlite:tenure-data/tenure.db]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub database: Option<String>,
    /// Read settings from this file [default: tenure.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub config: Option<PathBuf>,
    /// Answer with one JSON document
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Serve a database full of examples and simulated devices
    Demo(demo::DemoArgs),
    /// Connect the devices of this machine to a server
    Host(host::HostArgs),
    /// Answer messages of agent sessions with a command on this machine
    Worker(worker::WorkerArgs),
    /// Organizations: create, list, limit and delete them
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// People: create, list, suspend, resume and delete them
    #[command(subcommand)]
    User(user::UserCommand),
    /// Who belongs to an organization, and with which role
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Machines that call the API: create, list and delete them
    #[command(subcommand)]
    ServiceUser(service_user::ServiceUserCommand),
    /// API keys: create, list and revoke them
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Who is signed in: list sessions, and end them
    #[command(subcommand)]
    LoginSessions(login_sessions::LoginSessionsCommand),
    /// The key that secrets are sealed with: change it
    #[command(subcommand)]
    MasterKey(master_key::MasterKeyCommand),
    /// What was done by whom: check, print and pin it
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look at the clock, or say that it is right after it jumped
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// Write all that is kept into one file, while servers run
    Backup(backup::BackupArgs),
    /// Make a database out of a backup
    Restore(restore::RestoreArgs),
    /// Look for what is wrong with files, keys, clock and database, and say what to do
    Doctor(doctor::DoctorArgs),
    /// Bring the database to the schema of this program
    Migrate,
    /// Print every setting with its value and where it comes from
    Settings(settings::SettingsArgs),
    /// Print the version
    Version,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_hang_together() {
        Cli::command().debug_assert();
    }

    /// Every line of the issue is a command, and every mistake is one of usage.
    #[test]
    fn commands_are_spelled_as_agreed() {
        let good = [
            "serve --listen 127.0.0.1:7420 --public-url https://t.example.com --database sqlite:x.db",
            "serve --database postgres://db/tenure?sslmode=require --insecure-http --listen 0.0.0.0:1",
            "serve --insecure-http=false --idle-hold 5m",
            "org create Acme --json",
            "org list --database sqlite:x.db",
            "org set Acme --max-devices 5",
            "org set Acme --max-devices none",
            "org delete org_01987a6b5c4d7e8f90123456789abcde",
            "user create ana@example.com --org Acme --role admin --password-stdin",
            "user suspend ana@example.com",
            "user delete ana@example.com",
            "member add ana@example.com --org Acme --role readonly",
            "member role ana@example.com --org Acme --role readwrite",
            "member remove ana@example.com --org Acme",
            "service-user create ci --org Acme --role readwrite",
            "user role ana@example.com --account auditor",
            "host --server http://127.0.0.1:7420 --token-file t --account",
            "service-user create watch --role viewer",
            "service-user delete 01987a6b-5c4d-7e8f-9012-3456789abcde",
            "key create --user ana@example.com --wire mobilenext --name laptop --expires 90d",
            "key create --service-user 01987a6b-5c4d-7e8f-9012-3456789abcde --org Acme --wire tenure",
            "key list",
            "key revoke 01987a6b-5c4d-7e8f-9012-3456789abcde",
            "host --server http://127.0.0.1:7420 --token-file key --mobilecli /usr/bin/mobilecli",
            "host --server http://a --server http://b --token-file - --simulate android=4,ios=2",
            "worker --server http://a --exec cat",
            "worker --server http://a --token-file - --exec cat --exec-user agent",
            "worker --server http://a --server http://b --token-file key --agent a --agent b --exec cat --parallel 4 \
             --time-limit 2h --stop-limit 5m --directory w --name w1 --directives --secrets --input json \
             --org org_01987a6b5c4d7e8f90123456789abcde",
            "demo --fresh",
            "master-key rotate --database sqlite:x.db",
            "migrate --json",
            "settings",
            "version",
        ];
        for line in good {
            let words = std::iter::once("tenure").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("tenure {line}: {error}");
            }
        }
        let bad = [
            "",
            "sreve",
            "serve --colour red",
            "org create",
            "org set Acme",
            "org set Acme --max-devices many",
            "user create ana --org Acme --role admin",
            "user create ana@example.com --org Acme --role owner",
            "user create ana@example.com --role admin",
            "key create --wire mobilenext",
            "key create --user a@b.c --service-user 01987a6b-5c4d-7e8f-9012-3456789abcde --wire tenure",
            "key create --user a@b.c --wire telnet",
            "key create --user a@b.c --wire tenure --expires soon",
            "key revoke laptop",
            "host --server ftp://a",
            "host --server http://a --simulate windows=1",
            "host --server http://a --mobilecli-url http://b --mobilecli m",
            "worker --server http://a",
            "worker --server http://a --exec cat --input xml",
        ];
        for line in bad {
            let words = std::iter::once("tenure").chain(line.split(' ').filter(|word| !word.is_empty()));
            assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
        }
    }
    #[test]
    fn audit_backup_and_doctor_are_spelled_as_agreed() {
        let parse = |line: &str| Cli::try_parse_from(std::iter::once("tenure").chain(line.split(' ')));
        for line in [
            "audit verify",
            "audit checkpoint --json",
            "audit export --since 2026-11-01 --until 2026-11-21T10:00:00Z --format csv",
            "backup tenure.backup --with-master-key",
            "restore tenure.backup --force --keep-keys",
            "doctor --backup tenure.backup",
        ] {
            if let Err(error) = parse(line) {
                panic!("tenure {line}: {error}");
            }
        }
        for line in
            ["audit", "audit verify --against x", "audit export --since yesterday", "backup", "restore"]
        {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn login_sessions_are_described() {
        let parse =
            |line: &str| Cli::try_parse_from(format!("tenure login-sessions {line}").split(' ')).is_ok();
        assert!(parse(
            "list --user ana@example.com --ip ::1 --user-agent-type pc --older-than 30d --amr otp"
        ));
        assert!(parse("revoke --yes"));
        for bad in ["list --yes", "list --amr sms", "revoke --ip here", "revoke --older-than long"] {
            assert!(!parse(bad), "{bad}");
        }
    }
}
