//! Where settings come from: defaults < file < environment < arguments.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::kinds::Kind;
use super::{Setting, Settings, SettingsError, TABLE};

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "tenure.toml";

/// The variable that names the file.
const CONFIG_VARIABLE: &str = "TENURE_CONFIG";

/// Variables that begin with `TENURE_` and are no settings: the client side's own, and the file's name.
const OTHER_VARIABLES: [&str; 3] = [CONFIG_VARIABLE, "TENURE_TOKEN", "TENURE_SERVER"];

/// Variables that begin so are no settings either: those of tests, and what `tenure host` tells the
/// operator's own command about a device, which may well call `tenure`.
const OTHER_PREFIXES: [&str; 2] = ["TENURE_TEST_", "TENURE_DEVICE_"];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing sets it.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// An argument, by name with its dashes.
    Argument(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) | Self::Argument(name) => f.write_str(name),
        }
    }
}

/// Everything the settings are read from, as data, so that tests need no process of their own.
#[derive(Clone, Default)]
pub struct Inputs {
    /// The file of `--config`.
    pub config: Option<PathBuf>,
    /// The folder in which `tenure.toml` is looked for.
    pub folder: PathBuf,
    /// The environment; only what begins with `TENURE_` is looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// Name and value of each setting given as an argument.
    pub arguments: Vec<(&'static str, String)>,
}

impl Inputs {
    /// The inputs of this process: its environment and current folder.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the environment is read")]
    pub fn of_process(config: Option<PathBuf>, arguments: Vec<(&'static str, String)>) -> Self {
        Self { config, folder: PathBuf::new(), environment: std::env::vars_os().collect(), arguments }
    }
}

impl fmt::Debug for Inputs {
    /// Without the environment and the arguments: passwords stand there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Settings with where each one came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// A line for each row of the table, in its order.
    pub lines: Vec<SettingLine>,
}

/// The value of one setting and where it came from.
#[derive(Clone)]
pub struct SettingLine {
    /// The setting.
    pub setting: &'static Setting,
    /// Where the value came from.
    pub source: Source,
    value: String,
}

impl SettingLine {
    /// The value as it may be shown: without secrets.
    #[must_use]
    pub fn shown(&self) -> String {
        self.setting.secrecy.show(&self.value)
    }
}

impl fmt::Debug for SettingLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?} ({})", self.setting.name, self.shown(), self.source)
    }
}

/// A line for each setting with its default.
pub(super) fn defaults() -> Vec<SettingLine> {
    let line = |setting: &'static Setting| SettingLine {
        setting,
        source: Source::Default,
        value: setting.default.into(),
    };
    TABLE.iter().map(line).collect()
}

/// A line for each setting, from the strongest source that has it. Values are not read yet.
pub(super) fn gather(inputs: &Inputs) -> Result<Vec<SettingLine>, SettingsError> {
    let variables = tenure_variables(&inputs.environment)?;
    let mut lines = defaults();
    if let Some((path, text)) = settings_file(inputs, &variables)? {
        apply_file(&mut lines, &path, &text)?;
    }
    apply_environment(&mut lines, &variables)?;
    for (name, value) in &inputs.arguments {
        set(&mut lines, name, value.clone(), |setting| Source::Argument(format!("--{}", setting.argument())));
    }
    Ok(lines)
}

/// Reads the value of one setting.
pub(super) fn read<K: Kind>(lines: &[SettingLine], name: &'static str) -> Result<K::Value, SettingsError> {
    let line = lines.iter().find(|line| line.setting.name == name);
    let parsed = line.and_then(|line| K::parse(&line.value));
    parsed.ok_or_else(|| SettingsError::Wrong {
        setting: name,
        origin: line.map_or(Source::Default, |line| line.source.clone()),
        given: line.filter(|_| K::SECRECY != super::Secrecy::Whole).map(SettingLine::shown),
        expected: K::EXPECTED,
    })
}

/// Puts a value in place of the weaker one; says whether there is such a setting.
fn set(lines: &mut [SettingLine], name: &str, value: String, source: impl Fn(&Setting) -> Source) -> bool {
    let Some(line) = lines.iter_mut().find(|line| line.setting.name == name) else { return false };
    line.source = source(line.setting);
    line.value = value;
    true
}

/// The variables that begin with `TENURE_`. An empty one counts as not set: Compose files and shells
/// write `TENURE_X=${X:-}` for "nothing".
fn tenure_variables(environment: &[(OsString, OsString)]) -> Result<Vec<(String, String)>, SettingsError> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with("TENURE_")) else { continue };
        let Some(value) = value.to_str() else {
            return Err(not_text(name));
        };
        if !value.is_empty() {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(variables)
}

fn not_text(variable: &str) -> SettingsError {
    let setting = TABLE.iter().find(|setting| setting.variable() == variable);
    SettingsError::Wrong {
        setting: setting.map_or("an environment variable", |setting| setting.name),
        origin: Source::Environment(variable.to_owned()),
        given: None,
        expected: "text in UTF-8",
    }
}

fn apply_environment(lines: &mut [SettingLine], variables: &[(String, String)]) -> Result<(), SettingsError> {
    for (variable, value) in variables {
        let source = Source::Environment(variable.clone());
        let setting = TABLE.iter().find(|setting| setting.variable() == *variable);
        match setting {
            Some(setting) => {
                set(lines, setting.name, value.clone(), |_| source.clone());
            }
            None if is_other(variable) => {}
            None => {
                // Without the prefix, which every variable shares and which would make all of them near.
                let nearest = nearest(variable.trim_start_matches("TENURE_")).map(Setting::variable);
                return Err(SettingsError::Unknown { name: variable.clone(), nearest, origin: source });
            }
        }
    }
    Ok(())
}

fn is_other(variable: &str) -> bool {
    OTHER_VARIABLES.contains(&variable) || OTHER_PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

/// The file to read and its text: the one that was named, or the usual one if it is there.
fn settings_file(
    inputs: &Inputs,
    variables: &[(String, String)],
) -> Result<Option<(PathBuf, String)>, SettingsError> {
    let variable = variables.iter().find(|(name, _)| name == CONFIG_VARIABLE).map(|(_, path)| path.into());
    let named = inputs.config.clone().or(variable);
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    match std::fs::read_to_string(inputs.folder.join(&path)) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(reason) => Err(SettingsError::Unreadable { path, reason }),
    }
}

fn apply_file(lines: &mut [SettingLine], path: &Path, text: &str) -> Result<(), SettingsError> {
    let table: toml::Table = text.parse().map_err(|error| syntax(path, text, &error))?;
    for (name, value) in table {
        let source = Source::File(path.to_owned());
        let Some(setting) = TABLE.iter().find(|setting| setting.name == name) else {
            let nearest = nearest(&name).map(|setting| setting.name.to_owned());
            return Err(SettingsError::Unknown { name, nearest, origin: source });
        };
        let Some(value) = plain(&value) else {
            let (setting, expected) = (setting.name, setting.expected);
            return Err(SettingsError::Wrong {
                setting,
                origin: source,
                given: Some(value.type_str().into()),
                expected,
            });
        };
        set(lines, setting.name, value, |_| source.clone());
    }
    Ok(())
}

/// Text, a number or true/false as it would stand in the environment; nothing else fits a setting.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// The parser's own message quotes the line, which may hold a password: only its kind and place are kept.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    SettingsError::Syntax { path: path.to_owned(), line, reason: error.message().trim().replace('\n', ", ") }
}

/// The setting whose name takes the fewest changes to write, if they are few enough to be a slip.
fn nearest(name: &str) -> Option<&'static Setting> {
    let name = name.to_lowercase();
    let distances = TABLE.iter().map(|setting| (distance(&name, setting.name), setting));
    let (fewest, setting) = distances.min_by_key(|(distance, _)| *distance)?;
    (fewest <= (name.len() / 3).max(2)).then_some(setting)
}

/// How many letters have to be added, removed or changed to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
