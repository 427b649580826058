//! The commands of `tenure admin` under their former names: `tenure org` for `tenure admin org`.

use clap::{ArgMatches, Command, FromArgMatches, Subcommand};

use crate::commands::admin::AdminCommand;

/// A command that was called without `admin`. The help does not show these names; scripts still use them.
#[derive(Debug)]
pub struct FormerName(pub AdminCommand);

impl FormerName {
    /// Names the new command on standard error, so that standard output stays as scripts expect it.
    pub fn print_notice(&self) {
        let name = self.0.name();
        eprintln!("note: `tenure {name}` is now `tenure admin {name}`; the former name still works");
    }
}

impl Subcommand for FormerName {
    fn augment_subcommands(command: Command) -> Command {
        let admin = AdminCommand::augment_subcommands(Command::new("admin"));
        command.subcommands(admin.get_subcommands().map(|former| former.clone().hide(true)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        AdminCommand::has_subcommand(name)
    }
}

impl FromArgMatches for FormerName {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        AdminCommand::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
