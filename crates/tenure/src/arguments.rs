//! Settings as arguments, made from the table of settings: a setting that is added there is an argument here.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use server::settings::Settings;

/// The settings that were given as arguments.
#[derive(Clone, Default)]
pub struct SettingArguments(
    /// Name and value, in the order of the table.
    pub Vec<(&'static str, String)>,
);

impl std::fmt::Debug for SettingArguments {
    /// Without the values: one may contain a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// `--database` is an option of every command.
const GLOBAL: &str = "database";

/// The settings that `--help` shows; `--help-all` shows every one.
const COMMON: [&str; 7] = ["listen", "public_url", "tls_cert", "tls_key", "insecure_http", "files", "log"];

/// The heading of the other settings.
const HEADING: &str = "Settings (also in tenure.toml and as TENURE_…; see docs/settings.md)";

impl Args for SettingArguments {
    fn augment_args(command: Command) -> Command {
        let settings = Settings::table().iter().filter(|setting| setting.name != GLOBAL);
        let command = settings.fold(command, |command, setting| {
            let mut arg = Arg::new(setting.name)
                .long(setting.argument())
                .value_name(setting.placeholder)
                .help(help(setting.about, setting.default));
            if !COMMON.contains(&setting.name) {
                arg = arg.help_heading(HEADING).hide_short_help(true);
            }
            if setting.is_switch() {
                // `--insecure-http` alone means yes, and `--insecure-http=false` is possible.
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            command.arg(arg)
        });
        // clap's long help shows what its short help hides.
        let short = Arg::new("help").short('h').long("help").action(ArgAction::HelpShort);
        let long = Arg::new("help_all").long("help-all").action(ArgAction::HelpLong);
        command
            .disable_help_flag(true)
            .arg(short.help("Print this help").help_heading("Everywhere"))
            .arg(long.help("Print this help with every setting").help_heading("Everywhere"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The setting's sentence without its full stop, and its default, so that it reads like clap's own.
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
