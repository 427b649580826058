//! `tenure settings`.

use clap::Args;
use serde::Serialize;
use server::settings::SettingLine;

use crate::arguments::SettingArguments;
use crate::commands::Context;
use crate::error::Result;
use crate::output::Column;

/// Arguments of `tenure settings`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tenure settings
  tenure settings --config /etc/tenure.toml --json

Takes the arguments of `tenure serve`, to see what they would do. Passwords are not shown.")]
pub struct PrintSettings {
    /// Settings given as arguments.
    #[command(flatten)]
    pub settings: SettingArguments,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    value: String,
    source: String,
    default: &'static str,
    about: &'static str,
}

/// Prints all settings.
///
/// # Errors
/// They cannot be read.
pub fn run(context: &Context, arguments: PrintSettings) -> Result<()> {
    let loaded = context.settings(arguments.settings.0)?;
    let rows: Vec<Row> = loaded.lines.iter().map(row).collect();
    let columns: [Column<Row>; 3] = [
        Column::new("setting", |row| row.name.to_owned()),
        Column::new("value", |row| if row.value.is_empty() { "-".to_owned() } else { row.value.clone() }),
        Column::new("from", |row| row.source.clone()),
    ];
    context.output.list(&rows, &columns, "There are no settings.")
}

fn row(line: &SettingLine) -> Row {
    let (name, default, about) = (line.setting.name, line.setting.default, line.setting.about);
    Row { name, value: line.shown(), source: line.source.to_string(), default, about }
}
