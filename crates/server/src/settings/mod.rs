//! Settings: one table of all settings, read from defaults < file < environment < arguments.
//!
//! The table below is the only place that defines a setting. The struct [`Settings`], the arguments of
//! `tenure serve`, the names of the environment variables, `tenure settings` and `docs/settings.md` all
//! come from it.

mod access;
mod docs;
mod front;
mod issuer;
mod kinds;
mod secret;
mod sources;
#[cfg(test)]
mod tests;
mod units;

use axum::http::HeaderValue;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use access::{FactorRoles, MailRoute, PasswordPolicy, Proxies};
pub use docs::markdown;
pub use front::Quota;
pub use issuer::{AccountGroupRole, GroupRole, is_loopback, is_secure};
pub use kinds::{BaseUrl, FileStore, LogFormat, Secrecy, SecretUrl};
pub use secret::SecretText;
pub use sources::{LoadedSettings, SettingInputs, SettingLine, SettingSource};
pub use units::{parse_duration, parse_size};

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the settings file, in snake case.
    pub name: &'static str,
    /// Its default, as written in a settings file.
    pub default: &'static str,
    /// What it does, with units. For `--help` and the page of settings.
    pub about: &'static str,
    /// What a value must look like: the end of the sentence "expected …".
    pub expected: &'static str,
    /// The value's placeholder in a usage line.
    pub placeholder: &'static str,
    /// Which part of its value is secret.
    pub secrecy: Secrecy,
}

impl Setting {
    /// Its environment variable, such as `TENURE_LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("TENURE_{}", self.name.to_ascii_uppercase())
    }

    /// Its argument without the leading dashes, such as `public-url`.
    #[must_use]
    pub fn argument(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Whether it is true or false, so that its argument needs no value.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.placeholder == <kinds::Switch as kinds::SettingKind>::PLACEHOLDER
    }
}

/// Generates the struct and the table from the same rows, so that both have every setting.
macro_rules! settings {
    ($($name:ident: $type:ty, $kind:ty, $default:literal, $about:literal;)*) => {
        /// All settings, parsed and checked.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $(#[doc = $about] pub $name: $type,)*
        }

        const TABLE: &[Setting] = &[$(Setting {
            name: stringify!($name),
            default: $default,
            about: $about,
            expected: <$kind as kinds::SettingKind>::EXPECTED,
            placeholder: <$kind as kinds::SettingKind>::PLACEHOLDER,
            secrecy: <$kind as kinds::SettingKind>::SECRECY,
        },)*];

        impl Settings {
            fn from_lines(lines: &[SettingLine]) -> Result<Self, SettingsError> {
                Ok(Self { $($name: sources::parse::<$kind>(lines, stringify!($name))?,)* })
            }
        }
    };
}

settings! {
    listen: SocketAddr, kinds::SocketAddress, "127.0.0.1:7420",
        "IP address and port to listen on. Port 0 picks a free one.";
    metrics_listen: Option<SocketAddr>, kinds::OptionalSocketAddress, "",
        "IP address and port of a separate listener for `/metrics`, over plain HTTP and without a key. When empty, `/metrics` is served on the main listener, to clients on this machine only.";
    public_url: Option<BaseUrl>, kinds::OptionalUrl, "",
        "The URL at which clients reach the server. When empty, the listen address with https:// if TLS is on, else http://.";
    tls_cert: Option<PathBuf>, kinds::OptionalPath, "",
        "PEM file with the server's certificate chain: leaf first, then intermediates. Needs `tls_key`. Reloaded when it changes. When empty, plain HTTP is served.";
    tls_key: Option<PathBuf>, kinds::OptionalPath, "",
        "PEM file with the private key of `tls_cert`, without a password.";
    database: SecretUrl, kinds::DatabaseUrl, "sqlite:tenure-data/tenure.db",
        "The database: a SQLite file or a PostgreSQL URL.";
    files: FileStore, kinds::FileLocation, "tenure-data/files",
        "Where uploads and recordings are stored: a folder, or the URL of an object store. The object store's credentials come from its usual environment variables (AWS_…, AZURE_…, GOOGLE_…).";
    master_key: Option<PathBuf>, kinds::OptionalPath, "",
        "File with the key that encrypts secrets. When empty, `master.key` beside a SQLite database, else in `tenure-data`. Created if missing. All servers of one database need the same key.";
    insecure_http: bool, kinds::Switch, "false",
        "Allow plain HTTP on an address that is not loopback.";
    log: String, kinds::LogFilter, "info",
        "What is logged to standard error: a level, or a list such as `info,access=off`.";
    log_format: LogFormat, kinds::LogFormatKind, "text",
        "Format of the log: text for people, or one JSON object per line.";
    connections: u32, kinds::Count, "30000",
        "Most open connections on this server, and at most four fifths of the files it may open. More connections are closed at once.";
    connections_per_address: u32, kinds::Count, "15000",
        "Most open connections from one address (of IPv6, from one /64) that is not a trusted proxy. Capped at half of all connections.";
    head_timeout: Duration, kinds::Length, "60s",
        "Time limit for the TLS handshake and for the head of a request. Also how long a connection may be idle between two requests.";
    write_timeout: Duration, kinds::Length, "60s",
        "A connection is closed when its client reads nothing of a response for this long.";
    line_limit: u64, kinds::ByteSize, "16KiB",
        "Longest path with query, in bytes.";
    header_limit: u64, kinds::ByteSize, "32KiB",
        "Largest size of all headers of a request together, in bytes.";
    header_count: u32, kinds::Count, "100",
        "Most headers of a request.";
    rate_per_credential: Option<Quota>, kinds::RateKind, "3000000/m",
        "Rate limit of one key or login session; 0 for no limit. The full quota may be used as a burst; it refills continuously.";
    rate_per_principal: Option<Quota>, kinds::RateKind, "6000000/m",
        "Rate limit of one user or service user, over all keys and sessions; 0 for no limit.";
    rate_per_address: Option<Quota>, kinds::RateKind, "6000000/m",
        "Rate limit of one address (of IPv6, one /64); 0 for no limit. Behind a proxy, list the proxy in `trusted_proxies`.";
    cors_origins: Vec<HeaderValue>, kinds::OriginList, "",
        "Origins of other web sites whose pages may call this server with a key, separated by commas. Their cookies are ignored.";
    body_limit: u64, kinds::ByteSize, "1MiB",
        "Largest request body, in bytes. A larger one is refused before it is read.";
    request_memory: Option<u64>, kinds::OptionalByteSize, "",
        "Memory for the bodies and frames of all unfinished requests together, in bytes. One client may use an eighth of it. Beyond that, requests are refused with 503. When empty, an eighth of the server's memory. Uploads do not count, because they go to disk.";
    upload_limit: u64, kinds::ByteSize, "2GiB",
        "Largest uploaded file, in bytes.";
    org_storage_quota: u64, kinds::ByteSize, "10GiB",
        "Storage quota of an organization for uploads and recordings, in bytes.";
    upload_expires: Duration, kinds::Length, "1h",
        "An upload is deleted this long after it was requested.";
    recording_kept: Duration, kinds::Length, "7d",
        "A recording is deleted this long after it was made.";
    idle_hold: Duration, kinds::Length, "10m",
        "A held device is released after this long without a command or an upload.";
    pending_expires: Duration, kinds::Length, "15m",
        "A request for a device expires after this long in the queue.";
    session_idle: Duration, kinds::Length, "15m",
        "A device session is closed after this long without a device and without a request for one.";
    host_grace: Duration, kinds::Length, "60s",
        "When a host disconnects, its holds end after this long unless it reconnects.";
    worker_lease: Duration, kinds::Length, "60s",
        "A turn goes to another worker after this long without a heartbeat from its worker.";
    attachment_kept: Duration, kinds::Length, "90d",
        "A file that was attached to a message is deleted after this long.";
    idempotency_kept: Duration, kinds::Length, "24h",
        "A response is stored for this long for repeated requests with the same Idempotency-Key.";
    feed_kept: Duration, kinds::Length, "7d",
        "Entries of the change feed are deleted after this long. A client with an older position must start again.";
    audit_kept: Option<Duration>, kinds::OptionalLength, "0",
        "Entries of the audit log are sealed after this long: exported to `audit_archive` and deleted from the database. 0 keeps them in the database for ever.";
    audit_archive: FileStore, kinds::FileLocation, "tenure-data/audit",
        "Where sealed segments of the audit log are stored: a folder, or the URL of an object store. The server never deletes them.";
    sweep_interval: Duration, kinds::Length, "10s",
        "Interval between two sweeps, which end and delete what is idle or expired.";
    call_timeout: Duration, kinds::Length, "60s",
        "How long a device may take to respond to a command.";
    install_timeout: Duration, kinds::Length, "10m",
        "How long installing an app or fetching a recording may take.";
    stream_heartbeat: Duration, kinds::Length, "30s",
        "Interval between two heartbeats of an event stream. A stream is closed when its client reads nothing for this long.";
    stream_lifetime: Duration, kinds::Length, "5m",
        "An event stream ends after this long, and its client reconnects.";
    websockets_per_credential: u32, kinds::Count, "200",
        "Most open WebSockets and event streams of one credential on this server.";
    websockets_per_principal: u32, kinds::Count, "1000",
        "Most open WebSockets and event streams of one user or service user on this server, over all keys and sessions.";
    stop_grace: Duration, kinds::Length, "10s",
        "When the server stops, running requests have this long to finish.";
    request_timeout: Duration, kinds::Length, "30s",
        "A request is answered with a timeout after this long. Uploads and WebSockets are exempt.";
    scan_timeout: Duration, kinds::Length, "10s",
        "A list, search or count that takes longer in the database is cancelled and answered with 504. One caller runs at most two of them at once; the others wait.";
    scan_wait: Duration, kinds::Length, "5s",
        "How long a list, search or count may wait for others before it is answered with 429 or 503.";
    sqlite_readers: u32, kinds::Count, "6",
        "Number of threads that read a SQLite database. A third of them serve lists, searches and counts; the others serve reads by key. Each group has at least one.";
    postgres_connections: u32, kinds::Count, "16",
        "Number of connections for reading PostgreSQL, divided like `sqlite_readers`. Three more write, listen for commits and check that the database responds.";
    body_cache: u64, kinds::ByteSize, "64MiB",
        "Memory for sessions as they were last sent, in bytes. Lists and sessions that are in it are answered without the database.";
    database_check: Duration, kinds::Length, "24h",
        "Interval between two background checks of a SQLite database for damage. The first one runs at startup.";
    trusted_proxies: Proxies, kinds::ProxyList, "",
        "Proxies whose X-Forwarded-For is trusted, separated by commas. From all others, the header is ignored.";
    signing_keys: PathBuf, kinds::FolderPath, "tenure-data/keys",
        "Folder of this server's signing key, which never leaves the server. Other servers of the same database verify tokens with its public key.";
    signing_key_rotates: Duration, kinds::Length, "30d",
        "A new signing key is created after this long. Tokens signed with the old one stay valid until they expire.";
    login_long: Duration, kinds::Length, "14d",
        "Lifetime of a login session for which the user chose to stay signed in.";
    login_short: Duration, kinds::Length, "3h",
        "Lifetime of any other login session.";
    login_idle: Duration, kinds::Length, "7d",
        "A login session ends after this long without use.";
    login_history: Duration, kinds::Length, "90d",
        "Ended login sessions are deleted after this long. The audit log keeps its entries about them.";
    fresh_auth: Duration, kinds::Length, "10m",
        "Changing a second factor, creating keys for others and administering the account require a sign-in within this time.";
    logins_per_user: u32, kinds::Count, "50",
        "Most login sessions of a user. One more ends the least recently used.";
    password_min: u32, kinds::Count, "8",
        "Minimum length of a new password, in characters. Probe.dev's own minimum is 6.";
    password_max: u32, kinds::Count, "255",
        "Maximum length of a password, in characters.";
    passwords: PasswordPolicy, access::PasswordPolicyKind, "on",
        "Who may sign in by password: everybody (`on`), only users without an identity at `oidc_issuer` (`local-only`), or nobody (`off`). Users who may not cannot set or restore a password either. On this machine, `tenure admin key create` still creates a key for an administrator.";
    second_factor_for: FactorRoles, access::FactorRolesKind, "",
        "Roles that require a second factor, separated by commas: roles of an organization, and `account` for every role of the account. Without one, a user with such a role can only set one up. A second factor that `oidc_issuer` confirms counts (`amr` with `mfa`).";
    argon2_memory: u64, kinds::ByteSize, "19MiB",
        "Memory for hashing one password (argon2id). After a change, a password is hashed again at the user's next sign-in.";
    argon2_passes: u32, kinds::Count, "2",
        "Passes over the memory for hashing a password (argon2id).";
    argon2_lanes: u32, kinds::Count, "1",
        "Lanes for hashing a password (argon2id).";
    passwords_at_once: u32, kinds::Count, "4",
        "Number of passwords that are hashed at the same time. Others wait.";
    sign_in_attempts: u32, kinds::Count, "10",
        "Failed sign-ins of one user from one network (an IPv4 address, or a /64 of IPv6) before that network has to wait. Other limits are multiples of this: see docs/in-front.md.";
    sign_in_window: Duration, kinds::Length, "15m",
        "How long a failed sign-in counts.";
    one_time_expires: Duration, kinds::Length, "1h",
        "Lifetime of a token that was sent by mail.";
    device_login_expires: Duration, kinds::Length, "10m",
        "How long a program without a browser (`mobilecli auth login`) waits for a user to approve it.";
    device_key_expires: Duration, kinds::Length, "90d",
        "Lifetime of the API key that an approved program gets.";
    key_max_age: Option<Duration>, kinds::OptionalLength, "0",
        "Maximum age of an API key, whatever expiry it has. Older keys and the sessions that they opened are refused. 0 for no limit.";
    key_idle: Option<Duration>, kinds::OptionalLength, "0",
        "An API key is refused after this long without use. Uses are recorded to about half a minute. 0 for no limit.";
    invitation_expires: Duration, kinds::Length, "7d",
        "An invitation into an organization expires after this long.";
    users_make_organizations: bool, kinds::Switch, "false",
        "Any user may create organizations and become their first admin, as on Mobile Next. Otherwise only the account's administrators may. A new organization has no device limit.";
    oidc_issuer: Option<String>, issuer::IssuerName, "",
        "The OpenID Connect issuer for signing in, exactly as its `iss` claim names it. Needs `oidc_client_id`. When empty, nobody signs in this way.";
    oidc_client_id: String, issuer::TextLine, "",
        "The client id of this server at `oidc_issuer`. There, register the redirect URL: the public URL, then `/sign-in/oidc/callback`.";
    oidc_client_secret: Option<SecretText>, secret::OptionalSecret, "",
        "The client secret of this server at `oidc_issuer`. When empty, none is sent. PKCE is used in any case.";
    oidc_name: String, issuer::TextLine, "your organization",
        "Name of the issuer on the sign-in page: `Sign in with …`.";
    oidc_scopes: Vec<String>, issuer::ScopeList, "openid email profile",
        "Scopes to request from `oidc_issuer`, separated by spaces. Some issuers send groups only for the scope `groups`.";
    oidc_groups_claim: String, issuer::TextLine, "groups",
        "The claim with a user's groups. Dots lead into objects, as in `realm_access.roles`.";
    oidc_roles: Vec<GroupRole>, issuer::GroupRoleList, "",
        "Roles that groups give in an organization, by the organization's id or name: `devs=Acme:readwrite,leads=Acme:admin`. With `users_make_organizations`, only by id, because anybody can take a name. Updated at each sign-in by `oidc_issuer`. Roles given by hand stay.";
    oidc_account_roles: Vec<AccountGroupRole>, issuer::AccountGroupRoleList, "",
        "Roles that groups give in the account: `ops=admin,security=auditor`. Updated at each sign-in by `oidc_issuer`. Roles given by hand stay.";
    oidc_create_users: bool, kinds::Switch, "false",
        "Create a user for everybody who signs in by `oidc_issuer`. Otherwise it admits only existing users, matched by an email address that it has verified, and members of groups with a role.";
    mail: MailRoute, kinds::MailRouteKind, "tenure-data/outbox",
        "How mail is sent: a folder in which each mail becomes a file, or a mail server.";
    mail_from: String, kinds::SenderAddress, "tenure@localhost",
        "Sender address of mail.";
    recaptcha_verify_url: Option<BaseUrl>, kinds::OptionalUrl, "",
        "URL that verifies the `X-Recaptcha-Token` of a sign-in or password restore on Probe.dev's wire, with reCAPTCHA's API. Needs `recaptcha_secret`. When empty, the header is ignored.";
    recaptcha_secret: Option<SecretText>, secret::OptionalSecret, "",
        "The secret that authenticates this server at `recaptcha_verify_url`.";
    recaptcha_timeout: Duration, kinds::Length, "3s",
        "How long `recaptcha_verify_url` may take to respond.";
    recaptcha_down_lets_in: bool, kinds::Switch, "false",
        "Let people in unchecked while `recaptcha_verify_url` cannot be reached. Otherwise nobody gets in.";
    probe_recoverable_tokens: bool, kinds::Switch, "false",
        "Store API tokens created on Probe.dev's wire readable and return them again, as the vendor does. Then anybody who can read the database has them.";
}

impl Settings {
    /// The part of `stop_grace` for requests in progress; the rest is for closing connections.
    #[must_use]
    pub fn time_to_finish(&self) -> Duration {
        self.stop_grace * 4 / 5
    }

    /// Every setting, in the order of `docs/settings.md`.
    #[must_use]
    pub fn table() -> &'static [Setting] {
        TABLE
    }

    /// Reads the settings from all sources.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown name, an invalid value, or a file that cannot be read.
    pub fn load(inputs: &SettingInputs) -> Result<LoadedSettings, SettingsError> {
        let lines = sources::gather(inputs)?;
        Ok(LoadedSettings { settings: Self::from_lines(&lines)?, lines })
    }

    /// Refuses to serve plain HTTP on a network, unless `insecure_http` allows it.
    ///
    /// # Errors
    /// [`SettingsError::Exposed`]; [`SettingsError::HalfTls`] when only one of `tls_cert` and `tls_key` is set.
    pub fn check_tls(&self) -> Result<(), SettingsError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), Some(_)) => return Ok(()),
            (Some(_), None) => return Err(SettingsError::HalfTls { given: "tls_cert", missing: "tls_key" }),
            (None, Some(_)) => return Err(SettingsError::HalfTls { given: "tls_key", missing: "tls_cert" }),
            (None, None) => {}
        }
        // An IPv4 address written as IPv6 (::ffff:127.0.0.1) is loopback as well.
        if self.insecure_http || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(SettingsError::Exposed { listen: self.listen })
    }

    /// The path of the master key.
    #[must_use]
    pub fn master_key_path(&self) -> PathBuf {
        let name = "master.key";
        match (&self.master_key, self.database.reveal().strip_prefix("sqlite:")) {
            (Some(path), _) => path.clone(),
            (None, Some(database)) => std::path::Path::new(database).with_file_name(name),
            (None, None) => std::path::Path::new("tenure-data").join(name),
        }
    }

    /// The URL at which clients reach the server, without a trailing slash. `bound` is the address that the server listens
    /// on: its port counts when `listen` has port 0.
    #[must_use]
    pub fn base_url(&self, bound: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.to_string(),
            None => derived_url(if self.tls_cert.is_some() { "https" } else { "http" }, bound),
        }
    }
}

/// The URL of an address. Nobody can connect to the unspecified address ("all interfaces"), so it becomes loopback.
fn derived_url(scheme: &str, bound: SocketAddr) -> String {
    let mut reachable = bound;
    if bound.ip().is_unspecified() {
        reachable.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("{scheme}://{reachable}")
}

impl Default for Settings {
    /// All defaults of the table.
    #[expect(clippy::expect_used, reason = "the defaults are constants, and a test parses them all")]
    fn default() -> Self {
        Self::from_lines(&sources::defaults()).expect("every default is valid")
    }
}

/// Why the settings cannot be used. Never contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file or the environment has a name that is not a setting.
    #[error("{} {name} is not a setting", unknown_name_prefix(.origin))]
    Unknown {
        /// The given name.
        name: String,
        /// The setting that was probably meant, as written in that source.
        nearest: Option<String>,
        /// Where it was found.
        origin: SettingSource,
    },
    /// A value is not valid for its setting.
    #[error("{setting} (from {origin}) is {given}; expected {expected}", given = quote_given(.given))]
    InvalidValue {
        /// The setting.
        setting: &'static str,
        /// Where the value was found.
        origin: SettingSource,
        /// The value; `None` when it is secret.
        given: Option<String>,
        /// What it must look like.
        expected: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read the settings file {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the settings file {} is not TOML: line {line}: {reason}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's message. It does not quote the line, which may contain a password.
        reason: String,
    },
    /// The server would serve plain HTTP to a network.
    #[error(
        "refusing to serve plain HTTP on {listen}: it is not a loopback address, so others on the network could read API keys and session tokens"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
    /// `oidc_issuer` is set without `oidc_client_id`.
    #[error("oidc_issuer is set and oidc_client_id is not: the issuer has to know this server")]
    NoClientId,
    /// `oidc_roles` names an organization, and any user could create one of that name first.
    #[error(
        "oidc_roles names the organization {organization:?}, and users_make_organizations lets any user make one of \
         that name first: name it by its id"
    )]
    OrganizationByName {
        /// The organization's name.
        organization: String,
    },
    /// Passwords are off and there is no issuer.
    #[error("passwords is off and oidc_issuer is not set: nobody could sign in")]
    NoSignIn,
    /// Only one of `tls_cert` and `tls_key` is set.
    #[error("{given} is set and {missing} is not: TLS needs both")]
    HalfTls {
        /// The one that is set.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
}

impl SettingsError {
    /// How to fix it, in one sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(nearest), .. } => Some(format!("did you mean {nearest}?")),
            Self::Unknown { nearest: None, .. } => Some("`tenure settings` prints all of them".to_owned()),
            Self::Exposed { listen } => Some(format!(
                "give --tls-cert and --tls-key, or listen on 127.0.0.1:{} behind a proxy that speaks TLS, or set --insecure-http (insecure_http = true) if you trust this network",
                listen.port()
            )),
            Self::InvalidValue { .. }
            | Self::Unreadable { .. }
            | Self::Syntax { .. }
            | Self::HalfTls { .. }
            | Self::NoClientId
            | Self::NoSignIn => None,
            Self::OrganizationByName { .. } => Some("`tenure admin org list` shows the ids".to_owned()),
        }
    }
}

fn quote_given(given: &Option<String>) -> String {
    match given {
        Some(given) => format!("{given:?}"),
        None => "not valid (it is secret, so it is not shown)".to_owned(),
    }
}

/// The beginning of the message about an unknown name: where it was found.
fn unknown_name_prefix(origin: &SettingSource) -> String {
    match origin {
        SettingSource::File(path) => format!("{}:", path.display()),
        _ => "the environment variable".to_owned(),
    }
}
