//! Where settings come from: defaults < file < environment < arguments.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::kinds::SettingKind;
use super::{Setting, Settings, SettingsError, TABLE};

/// The file that is read when none is named. It may be missing.
const DEFAULT_FILE: &str = "tenure.toml";

/// The variable with the path of the file.
const CONFIG_VARIABLE: &str = "TENURE_CONFIG";

/// Variables that begin with `TENURE_` and are not settings: those of clients, and the file's path.
const OTHER_VARIABLES: [&str; 3] = [CONFIG_VARIABLE, "TENURE_TOKEN", "TENURE_SERVER"];

/// Prefixes of variables that are not settings either: those of tests, and those that `tenure host` sets for the operator's
/// own command about a device, which may itself call `tenure`.
const OTHER_PREFIXES: [&str; 2] = ["TENURE_TEST_", "TENURE_DEVICE_"];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// The setting's default.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// An argument, by name with its leading dashes.
    Argument(String),
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) | Self::Argument(name) => f.write_str(name),
        }
    }
}

/// Everything that settings are read from, as data, so that tests need no separate process.
#[derive(Clone, Default)]
pub struct SettingInputs {
    /// The file of `--config`.
    pub config: Option<PathBuf>,
    /// The folder of `tenure.toml`.
    pub folder: PathBuf,
    /// The environment. Only variables that begin with `TENURE_` count.
    pub environment: Vec<(OsString, OsString)>,
    /// Name and value of each argument.
    pub arguments: Vec<(&'static str, String)>,
}

impl SettingInputs {
    /// The inputs of this process: its environment and current folder.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the environment is read")]
    pub fn from_process(config: Option<PathBuf>, arguments: Vec<(&'static str, String)>) -> Self {
        Self { config, folder: PathBuf::new(), environment: std::env::vars_os().collect(), arguments }
    }
}

impl fmt::Debug for SettingInputs {
    /// Without the environment and the arguments, which contain passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingInputs").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Settings, and where each value came from.
#[derive(Debug, Clone)]
pub struct LoadedSettings {
    /// The settings.
    pub settings: Settings,
    /// One line for each setting, in the order of the table.
    pub lines: Vec<SettingLine>,
}

/// The value of one setting and where it came from.
#[derive(Clone)]
pub struct SettingLine {
    /// The setting.
    pub setting: &'static Setting,
    /// Where the value came from.
    pub source: SettingSource,
    value: String,
}

impl SettingLine {
    /// The value with its secrets masked.
    #[must_use]
    pub fn masked_value(&self) -> String {
        self.setting.secrecy.mask(&self.value)
    }
}

impl fmt::Debug for SettingLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?} ({})", self.setting.name, self.masked_value(), self.source)
    }
}

/// A line for each setting with its default.
pub(super) fn defaults() -> Vec<SettingLine> {
    let line = |setting: &'static Setting| SettingLine {
        setting,
        source: SettingSource::Default,
        value: setting.default.into(),
    };
    TABLE.iter().map(line).collect()
}

/// A line for each setting, from the strongest source that has it. Values are not parsed yet.
pub(super) fn gather(inputs: &SettingInputs) -> Result<Vec<SettingLine>, SettingsError> {
    let variables = tenure_variables(&inputs.environment)?;
    let mut lines = defaults();
    if let Some((path, text)) = settings_file(inputs, &variables)? {
        apply_file(&mut lines, &path, &text)?;
    }
    apply_environment(&mut lines, &variables)?;
    for (name, value) in &inputs.arguments {
        set(&mut lines, name, value.clone(), |setting| {
            SettingSource::Argument(format!("--{}", setting.argument()))
        });
    }
    Ok(lines)
}

/// Parses the value of one setting.
pub(super) fn parse<K: SettingKind>(
    lines: &[SettingLine],
    name: &'static str,
) -> Result<K::Value, SettingsError> {
    let line = lines.iter().find(|line| line.setting.name == name);
    let parsed = line.and_then(|line| K::parse(&line.value));
    parsed.ok_or_else(|| SettingsError::InvalidValue {
        setting: name,
        origin: line.map_or(SettingSource::Default, |line| line.source.clone()),
        given: line.filter(|_| K::SECRECY != super::Secrecy::Whole).map(SettingLine::masked_value),
        expected: K::EXPECTED,
    })
}

/// Replaces the value of a weaker source. Returns whether the setting exists.
fn set(
    lines: &mut [SettingLine],
    name: &str,
    value: String,
    source: impl Fn(&Setting) -> SettingSource,
) -> bool {
    let Some(line) = lines.iter_mut().find(|line| line.setting.name == name) else { return false };
    line.source = source(line.setting);
    line.value = value;
    true
}

/// The variables that begin with `TENURE_`. An empty one counts as not set: Compose files and shells write
/// `TENURE_X=${X:-}` for an optional value.
fn tenure_variables(environment: &[(OsString, OsString)]) -> Result<Vec<(String, String)>, SettingsError> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with("TENURE_")) else { continue };
        let Some(value) = value.to_str() else {
            return Err(not_utf8(name));
        };
        if !value.is_empty() {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(variables)
}

fn not_utf8(variable: &str) -> SettingsError {
    let setting = TABLE.iter().find(|setting| setting.variable() == variable);
    SettingsError::InvalidValue {
        setting: setting.map_or("an environment variable", |setting| setting.name),
        origin: SettingSource::Environment(variable.to_owned()),
        given: None,
        expected: "text in UTF-8",
    }
}

fn apply_environment(lines: &mut [SettingLine], variables: &[(String, String)]) -> Result<(), SettingsError> {
    for (variable, value) in variables {
        let source = SettingSource::Environment(variable.clone());
        let setting = TABLE.iter().find(|setting| setting.variable() == *variable);
        match setting {
            Some(setting) => {
                set(lines, setting.name, value.clone(), |_| source.clone());
            }
            None if is_other(variable) => {}
            None => {
                // Without the prefix: every variable has it, so all names would be near.
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

/// The settings file and its text: the named one, or `tenure.toml` if it exists.
fn settings_file(
    inputs: &SettingInputs,
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
    let table: toml::Table = text.parse().map_err(|error| syntax_error(path, text, &error))?;
    for (name, value) in table {
        let source = SettingSource::File(path.to_owned());
        let Some(setting) = TABLE.iter().find(|setting| setting.name == name) else {
            let nearest = nearest(&name).map(|setting| setting.name.to_owned());
            return Err(SettingsError::Unknown { name, nearest, origin: source });
        };
        let Some(value) = scalar_text(&value) else {
            let (setting, expected) = (setting.name, setting.expected);
            return Err(SettingsError::InvalidValue {
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

/// Text, a number or true/false, as it would be in the environment. `None` for other values: no setting has them.
fn scalar_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// The error of a malformed file. The parser's full message quotes the line, which may contain a password.
fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    SettingsError::Syntax { path: path.to_owned(), line, reason: error.message().trim().replace('\n', ", ") }
}

/// The setting with the nearest name, if it is near enough for a typing mistake.
fn nearest(name: &str) -> Option<&'static Setting> {
    let name = name.to_lowercase();
    let distances = TABLE.iter().map(|setting| (distance(&name, setting.name), setting));
    let (fewest, setting) = distances.min_by_key(|(distance, _)| *distance)?;
    (fewest <= (name.len() / 3).max(2)).then_some(setting)
}

/// The edit distance: the number of letters to add, remove or change.
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
