//! `docs/settings.md`, written from the table.

use super::{Setting, TABLE};

/// The text above the table.
const INTRODUCTION: &str = "\
# Settings

<!-- Generated from crates/server/src/settings/mod.rs. To write it again:
     TENURE_TEST_WRITE_DOCS=1 cargo test -p server settings_page -->

Each setting has one name. Its value comes from these sources. A later one wins:

1. Its default.
2. A TOML file with lines `name = value`: `--config FILE`, else the file that `TENURE_CONFIG` names, else `tenure.toml` in
   the current folder if it exists.
3. The environment: `TENURE_` and the name in capitals, as in `TENURE_LISTEN`. An empty variable counts as not set.
4. The arguments of `tenure serve` and `tenure demo`: `--` and the name with dashes, as in `--public-url`.

An unknown name in the file or in the environment is refused, and so is an invalid value.
`tenure settings` prints all settings with their values and where each value came from. Passwords are masked.

A TIME is written `500ms`, `90s`, `10m`, `1h30m` or `7d`; a SIZE `512KiB`, `1MiB`, `2GiB`, `500MB` or as a number of bytes.

| setting | value | default | what it does |
|---|---|---|---|
";

/// The page, as it must be in `docs/settings.md`.
#[must_use]
pub fn markdown() -> String {
    let rows = TABLE.iter().map(row).collect::<String>();
    format!("{INTRODUCTION}{rows}")
}

fn row(setting: &Setting) -> String {
    let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
    let value = setting.placeholder.replace('|', " or ");
    format!("| `{}` | {value} | {default} | {} |\n", setting.name, setting.about)
}
