//! `docs/settings.md`, written from the table.

use super::{Setting, TABLE};

/// The text above the table.
const INTRODUCTION: &str = "\
# Settings

<!-- Generated from crates/server/src/settings/mod.rs. To write it again:
     TENURE_TEST_WRITE_DOCS=1 cargo test -p server settings_page -->

Each setting has one name. It is read, weakest first, from

1. its default,
2. a TOML file: `--config FILE`, else the file that `TENURE_CONFIG` names, else `tenure.toml` in the current folder if
   there is one, as `name = value`,
3. the environment: `TENURE_` and the name in capitals, as `TENURE_LISTEN`; an empty variable counts as not set,
4. the arguments of `tenure serve` and `tenure demo`: `--` and the name with dashes, as `--public-url`.

A name that is no setting is refused, in the file and in the environment, and so is a value that does not fit.
`tenure settings` prints all of them with the value that counts and where it comes from; passwords are not shown.

A TIME is written `500ms`, `90s`, `10m`, `1h30m` or `7d`; a SIZE `512KiB`, `1MiB`, `2GiB`, `500MB` or as a number of bytes.

| setting | value | default | what it is |
|---|---|---|---|
";

/// The page as it should stand in `docs/settings.md`.
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
