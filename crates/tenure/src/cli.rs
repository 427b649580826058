//! The command line as clap parses it: every command is listed here, and its arguments are in its own file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::admin::{AdminCommand, FormerName};
use crate::commands::{backup, demo, doctor, host, restore, serve, settings, worker};

/// A sessions server: who holds which device, which agent is at work, who is signed in
#[derive(Debug, Parser)]
#[command(
    name = "tenure",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  tenure demo                                        Look around: a database full of examples and simulated devices
  tenure serve                                       Serve on http://127.0.0.1:7420 from ./tenure-data
  tenure admin org create Acme                       Then: admin user create, admin key create
  tenure host --server http://127.0.0.1:7420         Connect the phones of this machine (key in TENURE_TOKEN)
  tenure worker --server http://127.0.0.1:7420 --exec 'claude -p'   Answer messages with a command"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Database to use: sqlite:PATH or postgres://… [default: sqlite:tenure-data/tenure.db]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub database: Option<String>,
    /// Read settings from this file [default: tenure.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
}

/// The commands. Those that run something or treat the database as a whole are at the top level, where operators look
/// for them. Those that change single records directly are below `admin`, which leaves their names to the HTTP API.
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
    /// Administer organizations, people, keys, sessions and the audit log in the database
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Write the database into one file, while servers run
    Backup(backup::BackupArgs),
    /// Make a database from a backup
    Restore(restore::RestoreArgs),
    /// Check files, keys, clock and database, and say how to fix what is wrong
    Doctor(doctor::DoctorArgs),
    /// Create the database, or upgrade its schema to this program's
    Migrate,
    /// Print every setting with its value and source
    Settings(settings::SettingsArgs),
    /// Print the version
    Version,
    /// A command of `admin` without that word.
    #[command(flatten)]
    FormerName(FormerName),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_accepts_the_definitions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_names_of_things_on_the_wire_are_free() {
        let command = Cli::command();
        for name in [
            "sessions",
            "messages",
            "devices",
            "holds",
            "hosts",
            "agents",
            "turns",
            "files",
            "keys",
            "orgs",
            "users",
            "members",
            "invitations",
            "service-users",
            "logins",
            "usage",
            "changes",
            "login",
            "logout",
            "whoami",
        ] {
            assert!(command.find_subcommand(name).is_none(), "{name}");
        }
    }

    #[test]
    fn commands_parse() {
        let good = [
            "serve --listen 127.0.0.1:7420 --public-url https://t.example.com --database sqlite:x.db",
            "serve --database postgres://db/tenure?sslmode=require --insecure-http --listen 0.0.0.0:1",
            "serve --insecure-http=false --idle-hold 5m",
            "admin org create Acme --json",
            "admin org list --database sqlite:x.db",
            "admin org set Acme --max-devices 5",
            "admin org set Acme --max-devices none",
            "admin org delete org_01987a6b5c4d7e8f90123456789abcde",
            "admin user create ana@example.com --org Acme --role admin --password-stdin",
            "admin user suspend ana@example.com",
            "admin user delete ana@example.com",
            "admin member add ana@example.com --org Acme --role readonly",
            "admin member role ana@example.com --org Acme --role readwrite",
            "admin member remove ana@example.com --org Acme",
            "admin service-user create ci --org Acme --role readwrite",
            "admin user role ana@example.com --account auditor",
            "host --server http://127.0.0.1:7420 --token-file t --account",
            "admin service-user create watch --role viewer",
            "admin service-user delete 01987a6b-5c4d-7e8f-9012-3456789abcde",
            "admin key create --user ana@example.com --wire mobilenext --name laptop --expires 90d",
            "admin key create --service-user 01987a6b-5c4d-7e8f-9012-3456789abcde --org Acme --wire tenure",
            "admin key list",
            "admin key revoke 01987a6b-5c4d-7e8f-9012-3456789abcde",
            "host --server http://127.0.0.1:7420 --token-file key --mobilecli /usr/bin/mobilecli",
            "host --server http://a --server http://b --token-file - --simulate android=4,ios=2",
            "worker --server http://a --exec cat",
            "worker --server http://a --token-file - --exec cat --exec-user agent",
            "worker --server http://a --server http://b --token-file key --agent a --agent b --exec cat --parallel 4 \
             --time-limit 2h --stop-limit 5m --directory w --name w1 --directives --secrets --input json \
             --org org_01987a6b5c4d7e8f90123456789abcde",
            "demo --fresh",
            "org list",
            "key revoke 01987a6b-5c4d-7e8f-9012-3456789abcde --json",
            "admin master-key rotate --database sqlite:x.db",
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
    }

    #[test]
    fn mistakes_exit_with_2() {
        let bad = [
            "",
            "sreve",
            "serve --colour red",
            "admin org create",
            "admin org set Acme",
            "admin org set Acme --max-devices many",
            "admin user create ana --org Acme --role admin",
            "admin user create ana@example.com --org Acme --role owner",
            "admin user create ana@example.com --role admin",
            "admin key create --wire mobilenext",
            "admin key create --user a@b.c --service-user 01987a6b-5c4d-7e8f-9012-3456789abcde --wire tenure",
            "admin key create --user a@b.c --wire telnet",
            "admin key create --user a@b.c --wire tenure --expires soon",
            "admin key revoke laptop",
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
    fn audit_backup_and_doctor_parse() {
        let parse = |line: &str| Cli::try_parse_from(std::iter::once("tenure").chain(line.split(' ')));
        for line in [
            "admin audit verify",
            "admin audit checkpoint --json",
            "admin audit export --since 2026-11-01 --until 2026-11-21T10:00:00Z --format csv",
            "backup tenure.backup --with-master-key",
            "restore tenure.backup --force --keep-keys",
            "doctor --backup tenure.backup",
        ] {
            if let Err(error) = parse(line) {
                panic!("tenure {line}: {error}");
            }
        }
        for line in [
            "admin audit",
            "admin audit verify --against x",
            "admin audit export --since yesterday",
            "backup",
            "restore",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn login_sessions_parse() {
        let parse = |line: &str| {
            Cli::try_parse_from(format!("tenure admin login-sessions {line}").split(' ')).is_ok()
        };
        assert!(parse(
            "list --user ana@example.com --ip ::1 --user-agent-type pc --older-than 30d --amr otp"
        ));
        assert!(parse("revoke --yes"));
        for bad in ["list --yes", "list --amr sms", "revoke --ip here", "revoke --older-than long"] {
            assert!(!parse(bad), "{bad}");
        }
    }
}
