//! `tenure settings`: every setting with its value.

use clap::Args;
use serde::Serialize;
use server::settings::SettingLine;

use crate::arguments::SettingArguments;
use crate::commands::Context;
use crate::error::CommandResult;
use crate::output::Column;

/// Arguments of `tenure settings`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tenure settings
  tenure settings --config /etc/tenure.toml --json

Takes the arguments of `tenure serve`, to show their effect. Passwords are not shown.")]
pub struct SettingsArgs {
    /// The settings.
    #[command(flatten)]
    pub settings: SettingArguments,
}

/// A setting, as printed.
#[derive(Serialize)]
struct SettingRow {
    name: &'static str,
    value: String,
    source: String,
    default: &'static str,
    about: &'static str,
}

/// Prints every setting.
///
/// # Errors
/// A setting is unknown or malformed, or the file cannot be read.
pub fn run(context: &Context, arguments: SettingsArgs) -> CommandResult<()> {
    let loaded = context.settings(arguments.settings.0)?;
    let rows: Vec<SettingRow> = loaded.lines.iter().map(setting_row).collect();
    let columns: [Column<SettingRow>; 3] = [
        Column::new("setting", |row| row.name.to_owned()),
        Column::new("value", |row| if row.value.is_empty() { "-".to_owned() } else { row.value.clone() }),
        Column::new("from", |row| row.source.clone()),
    ];
    context.printer.print_list(&rows, &columns, "There are no settings.")
}

fn setting_row(line: &SettingLine) -> SettingRow {
    let (name, default, about) = (line.setting.name, line.setting.default, line.setting.about);
    SettingRow { name, value: line.masked_value(), source: line.source.to_string(), default, about }
}
