//! The kinds of values that settings have: how each is parsed, described and masked.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(super) use super::access::{FolderPath, MailRouteKind, ProxyList, SenderAddress};
pub(super) use super::front::{OriginList, RateKind};
use super::units::{parse_duration, parse_size};

/// Which part of a setting's value is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Nothing.
    Open,
    /// The password and the secret options inside the URL.
    InUrl,
    /// All of it.
    Whole,
}

impl Secrecy {
    /// The value with its secret part masked.
    #[must_use]
    pub fn mask(self, value: &str) -> String {
        match self {
            Self::Open => value.to_owned(),
            Self::InUrl => mask_url(value),
            Self::Whole => MASK.to_owned(),
        }
    }
}

/// A kind of value of settings.
pub(super) trait SettingKind {
    /// Its Rust type.
    type Value;
    /// The end of the sentence "expected …".
    const EXPECTED: &'static str;
    /// The value's placeholder in a usage line.
    const PLACEHOLDER: &'static str;
    /// Which part of a value is secret.
    const SECRECY: Secrecy = Secrecy::Open;
    /// Parses a value; `None` when it is invalid.
    fn parse(given: &str) -> Option<Self::Value>;
}

/// An IP address and a port.
pub(super) struct SocketAddress;
impl SettingKind for SocketAddress {
    type Value = SocketAddr;
    const EXPECTED: &'static str = "an IP address and a port such as 127.0.0.1:7420 or [::1]:7420";
    const PLACEHOLDER: &'static str = "IP:PORT";
    fn parse(given: &str) -> Option<SocketAddr> {
        given.parse().ok()
    }
}

/// An IP address and a port. Optional.
pub(super) struct OptionalSocketAddress;
impl SettingKind for OptionalSocketAddress {
    type Value = Option<SocketAddr>;
    const EXPECTED: &'static str = "an IP address and a port such as 127.0.0.1:9420, or nothing";
    const PLACEHOLDER: &'static str = "IP:PORT";
    fn parse(given: &str) -> Option<Option<SocketAddr>> {
        if given.is_empty() { Some(None) } else { given.parse().ok().map(Some) }
    }
}

/// The base URL of an HTTP server. Optional.
pub(super) struct OptionalUrl;
impl SettingKind for OptionalUrl {
    type Value = Option<BaseUrl>;
    const EXPECTED: &'static str =
        "an http:// or https:// URL without user, query and fragment such as https://tenure.example.com";
    const PLACEHOLDER: &'static str = "URL";
    fn parse(given: &str) -> Option<Option<BaseUrl>> {
        if given.is_empty() { Some(None) } else { BaseUrl::parse(given).map(Some) }
    }
}

/// The URL of a database.
pub(super) struct DatabaseUrl;
impl SettingKind for DatabaseUrl {
    type Value = SecretUrl;
    const EXPECTED: &'static str = "sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME[?sslmode=…]";
    const PLACEHOLDER: &'static str = "URL";
    const SECRECY: Secrecy = Secrecy::InUrl;
    fn parse(given: &str) -> Option<SecretUrl> {
        let (scheme, rest) = given.split_once(':')?;
        let known = match scheme {
            "sqlite" => !rest.is_empty(),
            "postgres" | "postgresql" => rest.strip_prefix("//").is_some_and(|rest| !rest.is_empty()),
            _ => false,
        };
        known.then(|| SecretUrl(given.to_owned()))
    }
}

/// A place for files.
pub(super) struct FileLocation;
impl SettingKind for FileLocation {
    type Value = FileStore;
    const EXPECTED: &'static str =
        "a folder, or a URL that begins with s3://, gs://, az://, abfs://, https:// or http://";
    const PLACEHOLDER: &'static str = "FOLDER|URL";
    const SECRECY: Secrecy = Secrecy::InUrl;
    fn parse(given: &str) -> Option<FileStore> {
        match given.split_once("://") {
            None if given.is_empty() => None,
            None => Some(FileStore::Folder(given.into())),
            Some((scheme, place)) => (STORE_SCHEMES.contains(&scheme) && !place.is_empty())
                .then(|| FileStore::Url(SecretUrl(given.to_owned()))),
        }
    }
}

/// Schemes of the `object_store` crate for stores outside of this machine.
const STORE_SCHEMES: [&str; 10] = ["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "http", "https"];

/// True or false.
pub(super) struct Switch;
impl SettingKind for Switch {
    type Value = bool;
    const EXPECTED: &'static str = "true or false";
    const PLACEHOLDER: &'static str = "true|false";
    fn parse(given: &str) -> Option<bool> {
        given.parse().ok()
    }
}

/// A filter of log entries.
pub(super) struct LogFilter;
impl SettingKind for LogFilter {
    type Value = String;
    const EXPECTED: &'static str =
        "off, error, warn, info, debug or trace, or a list such as info,store=debug,access=off";
    const PLACEHOLDER: &'static str = "FILTER";
    fn parse(given: &str) -> Option<String> {
        // The filter's own parser takes a mistyped level ("inof") for the name of a module and then
        // logs nothing, so a piece that is not a level must assign one.
        let plain = given.split(',').all(|piece| piece.contains('=') || is_level(piece));
        let valid = tracing_subscriber::EnvFilter::try_new(given).is_ok();
        (plain && valid).then(|| given.to_owned())
    }
}

fn is_level(text: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"].contains(&text)
}

/// The format of the log.
pub(super) struct LogFormatKind;
impl SettingKind for LogFormatKind {
    type Value = LogFormat;
    const EXPECTED: &'static str = "text or json";
    const PLACEHOLDER: &'static str = "text|json";
    fn parse(given: &str) -> Option<LogFormat> {
        match given {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}

/// A number of bytes.
pub(super) struct ByteSize;
impl SettingKind for ByteSize {
    type Value = u64;
    const EXPECTED: &'static str = "a size such as 512KiB, 1MiB, 2GiB or a number of bytes";
    const PLACEHOLDER: &'static str = "SIZE";
    fn parse(given: &str) -> Option<u64> {
        parse_size(given)
    }
}

/// A number of bytes. Optional.
pub(super) struct OptionalByteSize;
impl SettingKind for OptionalByteSize {
    type Value = Option<u64>;
    const EXPECTED: &'static str = "a size such as 512KiB, 1MiB, 2GiB or a number of bytes, or nothing";
    const PLACEHOLDER: &'static str = "SIZE";
    fn parse(given: &str) -> Option<Option<u64>> {
        if given.is_empty() { Some(None) } else { parse_size(given).map(Some) }
    }
}

/// A length of time.
pub(super) struct Length;
impl SettingKind for Length {
    type Value = Duration;
    const EXPECTED: &'static str = "a length of time such as 500ms, 90s, 10m, 1h30m or 7d";
    const PLACEHOLDER: &'static str = "TIME";
    fn parse(given: &str) -> Option<Duration> {
        parse_duration(given)
    }
}

/// A length of time, or no limit.
pub(super) struct OptionalLength;
impl SettingKind for OptionalLength {
    type Value = Option<Duration>;
    const EXPECTED: &'static str = "a length of time such as 90d or 12h, or 0 for no limit";
    const PLACEHOLDER: &'static str = "TIME";
    fn parse(given: &str) -> Option<Option<Duration>> {
        if given == "0" { Some(None) } else { parse_duration(given).map(Some) }
    }
}

/// The path of a file. Optional.
pub(super) struct OptionalPath;
impl SettingKind for OptionalPath {
    type Value = Option<PathBuf>;
    const EXPECTED: &'static str = "the path of a file, or nothing";
    const PLACEHOLDER: &'static str = "PATH";
    fn parse(given: &str) -> Option<Option<PathBuf>> {
        Some((!given.is_empty()).then(|| PathBuf::from(given)))
    }
}

/// A count from 1 to 100,000.
pub(super) struct Count;
impl SettingKind for Count {
    type Value = u32;
    const EXPECTED: &'static str = "a whole number from 1 to 100000";
    const PLACEHOLDER: &'static str = "N";
    fn parse(given: &str) -> Option<u32> {
        given.parse().ok().filter(|count| (1..=100_000).contains(count))
    }
}

/// The format of log entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A place for files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileStore {
    /// A folder of this machine.
    Folder(PathBuf),
    /// An object store.
    Url(SecretUrl),
}

/// An http or https URL without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Parses a URL; `None` for other schemes and for a URL with user, query or fragment.
    #[must_use]
    pub fn parse(given: &str) -> Option<Self> {
        let uri: http::Uri = given.parse().ok()?;
        let scheme = uri.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https");
        let host = uri.host().is_some_and(|host| !host.is_empty());
        (scheme && host && !given.contains(['@', '?', '#']))
            .then(|| Self(given.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A URL that may contain a password. `Display` and `Debug` mask it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The whole URL, with its password: for connecting only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(&self.0))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const MASK: &str = "***";

/// Words in the names of options with secrets.
const SECRET_OPTIONS: [&str; 6] = ["pass", "secret", "token", "key", "sig", "credential"];

/// Masks the password and secret options of a URL, even of a malformed one.
fn mask_url(url: &str) -> String {
    mask_options(&mask_password(url))
}

/// Masks everything between the user's name and the last `@`: a password that somebody forgot to encode may contain `/`,
/// `?` and `@`, and masking too much is the better mistake.
fn mask_password(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    match (rest.rfind('@'), rest.find(':')) {
        (Some(at), Some(colon)) if colon < at => {
            format!("{scheme}{}:{MASK}{}", &rest[..colon], &rest[at..])
        }
        _ => url.to_owned(),
    }
}

/// Masks the values of `name=value` pairs with a secret's name, with any separator.
fn mask_options(text: &str) -> String {
    text.split_inclusive(['?', '&', ' ', ';']).map(mask_option).collect()
}

fn mask_option(piece: &str) -> String {
    let (body, end) = piece.split_at(piece.trim_end_matches(['?', '&', ' ', ';']).len());
    match body.split_once('=') {
        Some((name, _)) if is_secret_option(name) => format!("{name}={MASK}{end}"),
        _ => piece.to_owned(),
    }
}

fn is_secret_option(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_OPTIONS.iter().any(|word| name.contains(word))
}
