//! Arguments for settings, made from the table of settings: one that is added there is an argument here.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use server::settings::Settings;

/// Settings given as arguments: name in the table, and value.
#[derive(Clone, Default)]
pub struct SettingArguments(
    /// In the order of the table.
    pub Vec<(&'static str, String)>,
);

impl std::fmt::Debug for SettingArguments {
    /// The names alone: a value may have a password in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// `--database` goes with every command and is an argument of the program.
const GLOBAL: &str = "database";

/// The settings that are asked for most; the others stand under a heading of their own in the help.
const COMMON: [&str; 3] = ["listen", "public_url", "insecure_http"];

impl Args for SettingArguments {
    fn augment_args(command: Command) -> Command {
        Settings::table().iter().filter(|setting| setting.name != GLOBAL).fold(command, |command, setting| {
            let mut arg = Arg::new(setting.name)
                .long(setting.argument())
                .value_name(setting.placeholder)
                .help(help(setting.about, setting.default));
            if !COMMON.contains(&setting.name) {
                arg =
                    arg.help_heading("Settings (also in tenure.toml and as TENURE_…; see docs/settings.md)");
            }
            if setting.is_switch() {
                // `--insecure-http` alone means yes, and `--insecure-http=false` is possible.
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The setting's sentence without its end, and its default, so that it reads like clap's own.
fn help(about: &str, default: &str) -> String {
    let about = about.trim_end_matches('.');
    if default.is_empty() { about.to_owned() } else { format!("{about} [default: {default}]") }
}

impl FromArgMatches for SettingArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let settings = Settings::table().iter().filter(|setting| setting.name != GLOBAL);
        let given = settings.filter_map(|setting| {
            let value = matches.get_one::<String>(setting.name)?;
            Some((setting.name, value.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
