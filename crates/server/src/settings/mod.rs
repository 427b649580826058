//! Settings: one table of what can be set, read from defaults < file < environment < arguments.
//!
//! The table below is the only place that knows a setting. The struct [`Settings`], the arguments of
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
pub use issuer::{AccountGroupRole, GroupRole, loopback, safe};
pub use kinds::{BaseUrl, FileStore, LogFormat, Secrecy, SecretUrl};
pub use secret::SecretText;
pub use sources::{Inputs, Loaded, SettingLine, Source};
pub use units::{parse_duration, parse_size};

/// One row of the table: a setting as people know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name, in snake case, as it stands in the file.
    pub name: &'static str,
    /// Its value when nothing sets it, written as a person would.
    pub default: &'static str,
    /// One sentence: what it is, with units.
    pub about: &'static str,
    /// What a value looks like: the end of the sentence "expected …".
    pub expected: &'static str,
    /// A word for the place of the value in a usage line.
    pub placeholder: &'static str,
    /// Whether its value may be shown.
    pub secrecy: Secrecy,
}

impl Setting {
    /// The environment variable that sets it: `TENURE_LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("TENURE_{}", self.name.to_ascii_uppercase())
    }

    /// The argument that sets it, without its dashes: `public-url`.
    #[must_use]
    pub fn argument(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Whether it is yes or no, so that its argument alone means yes.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.placeholder == <kinds::Switch as kinds::Kind>::PLACEHOLDER
    }
}

/// Makes the struct and the table from the same rows, so that neither can lack what the other has.
macro_rules! settings {
    ($($name:ident: $type:ty, $kind:ty, $default:literal, $about:literal;)*) => {
        /// All settings, read and checked.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $(#[doc = $about] pub $name: $type,)*
        }

        const TABLE: &[Setting] = &[$(Setting {
            name: stringify!($name),
            default: $default,
            about: $about,
            expected: <$kind as kinds::Kind>::EXPECTED,
            placeholder: <$kind as kinds::Kind>::PLACEHOLDER,
            secrecy: <$kind as kinds::Kind>::SECRECY,
        },)*];

        impl Settings {
            fn from_lines(lines: &[SettingLine]) -> Result<Self, SettingsError> {
                Ok(Self { $($name: sources::read::<$kind>(lines, stringify!($name))?,)* })
            }
        }
    };
}

settings! {
    listen: SocketAddr, kinds::Address, "127.0.0.1:7420",
        "IP address and port to listen on; port 0 takes a free one.";
    metrics_listen: Option<SocketAddr>, kinds::MaybeAddress, "",
        "IP address and port that `/metrics` is served on, in plain HTTP and without a key. When empty, `/metrics` is served with everything else, and only to this machine.";
    public_url: Option<BaseUrl>, kinds::PublicUrl, "",
        "The URL under which clients reach the server; when empty, http:// or with TLS https://, and the address listened on.";
    tls_cert: Option<PathBuf>, kinds::KeyFile, "",
        "PEM file with the server's certificate chain: leaf first, then intermediates; with `tls_key`. Read again when it changes. When empty, plain HTTP is served.";
    tls_key: Option<PathBuf>, kinds::KeyFile, "",
        "The file with the key of `tls_cert` (PEM, without a password).";
    database: SecretUrl, kinds::Database, "sqlite:tenure-data/tenure.db",
        "Where sessions are kept: one file, or a PostgreSQL database.";
    files: FileStore, kinds::Files, "tenure-data/files",
        "Where uploads and recordings are kept: a folder, or the URL of an object store, whose keys come from that store's usual environment (AWS_…, AZURE_…, GOOGLE_…).";
    master_key: Option<PathBuf>, kinds::KeyFile, "",
        "The file with the key that secrets are sealed with; when empty, `master.key` beside a SQLite database, or in `tenure-data`. It is made when it is not there; several servers of one database need the same.";
    insecure_http: bool, kinds::Switch, "false",
        "Whether plain HTTP may be served on an address that is not loopback.";
    log: String, kinds::LogFilter, "info",
        "What is logged to standard error: a level, or a list such as `info,access=off`.";
    log_format: LogFormat, kinds::LogFormatKind, "text",
        "How a log line is written: for people, or one JSON object a line.";
    connections: u32, kinds::Count, "30000",
        "How many connections may be open on this server, at most four fifths of the files that it may open; one more is closed at once.";
    connections_per_address: u32, kinds::Count, "15000",
        "How many of them may come from one address (of IPv6, from one /64), unless it is a trusted proxy; at most half of them.";
    head_timeout: Duration, kinds::Span, "60s",
        "How long a connection may take to shake hands and to send the head of a request, and how long it may be silent between two.";
    write_timeout: Duration, kinds::Span, "60s",
        "How long a client may take nothing of an answer before its connection is cut.";
    line_limit: u64, kinds::Size, "16KiB",
        "Longest path with its query, in bytes.";
    header_limit: u64, kinds::Size, "32KiB",
        "What the headers of a request may take together, in bytes.";
    header_count: u32, kinds::Count, "100",
        "How many headers a request may have.";
    rate_per_credential: Option<Quota>, kinds::Rate, "3000000/m",
        "How many requests one key or login session may send; 0 for no limit. The full quota may be used as a burst; it refills continuously.";
    rate_per_principal: Option<Quota>, kinds::Rate, "6000000/m",
        "How many requests one user or service user may send, with all of its keys and sessions; 0 for no limit.";
    rate_per_address: Option<Quota>, kinds::Rate, "6000000/m",
        "How many requests one address (of IPv6, one /64) may send; 0 for no limit; behind a proxy, name that in `trusted_proxies`.";
    cors_origins: Vec<HeaderValue>, kinds::Origins, "",
        "The origins of web pages of other sites that may use this server with a key, with commas between; their cookies never count.";
    body_limit: u64, kinds::Size, "1MiB",
        "Largest body of a request, in bytes; a larger one is refused before it is read.";
    request_memory: Option<u64>, kinds::MaybeSize, "",
        "The memory that the bodies and frames of all unfinished requests may take together, in bytes; one client may take an eighth of it, and more is refused with 503. When empty, an eighth of the memory that this server may use. Uploads are exempt: they go to disk.";
    upload_limit: u64, kinds::Size, "2GiB",
        "Largest uploaded file, in bytes.";
    org_storage_quota: u64, kinds::Size, "10GiB",
        "What the uploads and recordings of one organization may take together, in bytes.";
    upload_expires: Duration, kinds::Span, "1h",
        "How long an upload is kept after it was asked for.";
    recording_kept: Duration, kinds::Span, "7d",
        "How long a recording is kept after it was made.";
    idle_hold: Duration, kinds::Span, "10m",
        "After how long without a command or an upload a held device is released.";
    pending_expires: Duration, kinds::Span, "15m",
        "How long a request for a device waits in the queue before it expires.";
    session_idle: Duration, kinds::Span, "15m",
        "After how long without a device, or a request for one, a device session is closed.";
    host_grace: Duration, kinds::Span, "60s",
        "How long a host may be away before its holds end.";
    worker_lease: Duration, kinds::Span, "60s",
        "How long a worker may give no sign of life before its turn goes to another.";
    attachment_kept: Duration, kinds::Span, "90d",
        "How long a file that came with a message is kept.";
    idempotency_kept: Duration, kinds::Span, "24h",
        "How long an answer is kept for a request that is repeated with the same Idempotency-Key.";
    feed_kept: Duration, kinds::Span, "7d",
        "How long lines of the change feed are kept; an older position is told to start again.";
    audit_kept: Option<Duration>, kinds::MaybeSpan, "0",
        "How long lines of the audit log stay in the database before they are sealed: exported to `audit_archive` and dropped; 0 keeps them for ever.";
    audit_archive: FileStore, kinds::Files, "tenure-data/audit",
        "Where sealed segments of the audit log are kept: a folder, or the URL of an object store. The server never deletes them.";
    sweep_interval: Duration, kinds::Span, "10s",
        "How often idle and expired things are looked for.";
    call_timeout: Duration, kinds::Span, "60s",
        "How long a device may take to answer a command.";
    install_timeout: Duration, kinds::Span, "10m",
        "How long installing an app or fetching a recording may take.";
    stream_heartbeat: Duration, kinds::Span, "30s",
        "How often a stream of events says that it is alive, and how long a reader may take nothing of it before it is cut.";
    stream_lifetime: Duration, kinds::Span, "5m",
        "How long a stream of events lasts before its reader is asked to come back.";
    websockets_per_credential: u32, kinds::Count, "200",
        "How many WebSockets and streams of events one credential may have open on this server.";
    websockets_per_principal: u32, kinds::Count, "1000",
        "How many WebSockets and streams of events one user or service user may have open on this server, with all of its keys.";
    stop_grace: Duration, kinds::Span, "10s",
        "How long running requests may finish when the server is told to stop.";
    request_timeout: Duration, kinds::Span, "30s",
        "How long a request may take before it is answered with a timeout; uploads and WebSockets are exempt.";
    scan_timeout: Duration, kinds::Span, "10s",
        "How long a list, a search or a count may take in the database before it is ended and answered with 504. One caller has two of them under way at once; the others wait.";
    scan_wait: Duration, kinds::Span, "5s",
        "How long a list, a search or a count may wait for others before it is answered with 429 or 503.";
    sqlite_readers: u32, kinds::Count, "6",
        "How many threads read a SQLite database at the same time: a third of them lists, searches and counts, the others what is found by a key; at least one for each.";
    postgres_connections: u32, kinds::Count, "16",
        "How many connections this server reads PostgreSQL with, shared in the same way as `sqlite_readers`; three more write, listen and check that the database answers.";
    database_check: Duration, kinds::Span, "24h",
        "How often a SQLite database is read in the background to look for damage; the first time when the server starts.";
    trusted_proxies: Proxies, kinds::ProxyList, "",
        "The proxies whose X-Forwarded-For is believed, with commas between; from all others it is ignored.";
    signing_keys: PathBuf, kinds::Folder, "tenure-data/keys",
        "The folder of this server's signing key, which never leaves it: other servers of the same database check tokens with its public half.";
    signing_key_rotates: Duration, kinds::Span, "30d",
        "After how long a new signing key is made; tokens of the one before stay good until they expire.";
    login_long: Duration, kinds::Span, "14d",
        "How long a login session lasts that was asked to last.";
    login_short: Duration, kinds::Span, "3h",
        "How long any other login session lasts.";
    login_idle: Duration, kinds::Span, "7d",
        "After how long without use a login session ends.";
    login_history: Duration, kinds::Span, "90d",
        "How long login sessions are kept after they ended; the audit log keeps its lines of them.";
    fresh_auth: Duration, kinds::Span, "10m",
        "Changing a second factor, creating keys for others and administering the account require a sign-in within this time.";
    logins_per_user: u32, kinds::Count, "50",
        "How many login sessions a user may have; one more ends the least recently used.";
    password_min: u32, kinds::Count, "8",
        "The fewest characters of a new password; Probe.dev's own minimum is 6.";
    password_max: u32, kinds::Count, "255",
        "The most characters of a password.";
    passwords: PasswordPolicy, access::PasswordPolicyKind, "on",
        "Who signs in by a password: everybody (`on`), only who has no identity of `oidc_issuer` (`local-only`), or nobody (`off`); the others set and restore none either. On this machine, `tenure admin key create` still makes a key for an administrator.";
    second_factor_for: FactorRoles, access::FactorRolesKind, "",
        "The roles whose people need a second factor, with commas between: roles of an organization, and `account` for every role of the account. Until they have shown one, they can do nothing but set it up. A second factor that `oidc_issuer` vouches for counts (`amr` with `mfa`).";
    argon2_memory: u64, kinds::Size, "19MiB",
        "The memory that hashing a password takes (argon2id); passwords are hashed anew at the next sign-in when this changes.";
    argon2_passes: u32, kinds::Count, "2",
        "How often hashing a password goes over its memory.";
    argon2_lanes: u32, kinds::Count, "1",
        "How many lanes hashing a password has.";
    passwords_at_once: u32, kinds::Count, "4",
        "How many passwords are hashed at the same time; others wait for their turn.";
    sign_in_attempts: u32, kinds::Count, "10",
        "How often the sign-in of one user may fail from one network (an IPv4 address, or a /64 of IPv6) before it has to wait. Other limits are multiples of it: see docs/in-front.md.";
    sign_in_window: Duration, kinds::Span, "15m",
        "How long failed sign-ins count.";
    one_time_expires: Duration, kinds::Span, "1h",
        "How long a token that was sent by mail can be used.";
    device_login_expires: Duration, kinds::Span, "10m",
        "How long a program without a browser waits until somebody lets it in (`mobilecli auth login`).";
    device_key_expires: Duration, kinds::Span, "90d",
        "How long the key is good that such a program gets.";
    key_max_age: Option<Duration>, kinds::MaybeSpan, "0",
        "How old a key may get, whatever it says itself; older ones are refused, and so are the sessions that they opened. 0 for no limit.";
    key_idle: Option<Duration>, kinds::MaybeSpan, "0",
        "For how long a key may go without use; after that it is refused. Uses are noted to about half a minute. 0 for no limit.";
    invitation_expires: Duration, kinds::Span, "7d",
        "How long somebody who was invited into an organization may accept.";
    users_make_organizations: bool, kinds::Switch, "false",
        "Whether any user may make organizations and be their first admin, as on Mobile Next; otherwise only the account's administrators. A new organization has no limit of devices.";
    oidc_issuer: Option<String>, issuer::IssuerUrl, "",
        "The issuer of OpenID Connect that people may sign in by, exactly as it calls itself; with `oidc_client_id`. When empty, nobody does.";
    oidc_client_id: String, issuer::Line, "",
        "What that issuer calls this server. There, register the URL that clients reach it under and `/sign-in/oidc/callback`.";
    oidc_client_secret: Option<SecretText>, secret::Secret, "",
        "The secret that this server shows that issuer; when empty, it shows none (PKCE is used in any case).";
    oidc_name: String, issuer::Line, "your organization",
        "What the sign-in page calls that issuer: `Sign in with …`.";
    oidc_scopes: Vec<String>, issuer::Words, "openid email profile",
        "What is asked of that issuer, with blanks between; some say groups only when they are asked for `groups`.";
    oidc_groups_claim: String, issuer::Line, "groups",
        "The claim that has a person's groups; dots lead inside, as in `realm_access.roles`.";
    oidc_roles: Vec<GroupRole>, issuer::Roles, "",
        "What groups make people, by the organization's id or name: `devs=Acme:readwrite,leads=Acme:admin`. By id only with `users_make_organizations`, where anybody can take a name. It is brought up to date at each sign-in by that issuer; what was given by hand stays.";
    oidc_account_roles: Vec<AccountGroupRole>, issuer::AccountRoles, "",
        "What groups make people in the whole account: `ops=admin,security=auditor`. It is brought up to date at each sign-in by that issuer; what was given by hand stays.";
    oidc_create_users: bool, kinds::Switch, "false",
        "Whether anybody whom that issuer knows becomes a user; otherwise those alone who are users already, by an address that it vouches for, and those whose groups have a role.";
    mail: MailRoute, kinds::Mail, "tenure-data/outbox",
        "How mail is sent: a folder that each mail is written to, or a mail server.";
    mail_from: String, kinds::Sender, "tenure@localhost",
        "The address that mail comes from.";
    recaptcha_verify_url: Option<BaseUrl>, kinds::PublicUrl, "",
        "Who is asked whether an `X-Recaptcha-Token` is good that comes with a sign-in or a forgotten password on Probe.dev's wire, in reCAPTCHA's form; with `recaptcha_secret`. When empty, the header is ignored.";
    recaptcha_secret: Option<SecretText>, secret::Secret, "",
        "What `recaptcha_verify_url` knows this server by.";
    recaptcha_timeout: Duration, kinds::Span, "3s",
        "How long `recaptcha_verify_url` may take to answer.";
    recaptcha_down_lets_in: bool, kinds::Switch, "false",
        "Whether people are let in without a check while `recaptcha_verify_url` cannot be asked; otherwise nobody is.";
    probe_recoverable_tokens: bool, kinds::Switch, "false",
        "Whether API tokens made on Probe.dev's wire are kept readable and answered again, as the vendor does; then whoever reads the database has them.";
}

impl Settings {
    /// The part of `stop_grace` for requests in progress; the rest is for closing connections.
    #[must_use]
    pub fn time_to_finish(&self) -> Duration {
        self.stop_grace * 4 / 5
    }

    /// Every setting there is, in the order of `docs/settings.md`.
    #[must_use]
    pub fn table() -> &'static [Setting] {
        TABLE
    }

    /// Reads the settings from everywhere they may stand.
    ///
    /// # Errors
    /// A name that is no setting, a value that does not fit, or a file that cannot be read.
    pub fn load(inputs: &Inputs) -> Result<Loaded, SettingsError> {
        let lines = sources::gather(inputs)?;
        Ok(Loaded { settings: Self::from_lines(&lines)?, lines })
    }

    /// Refuses to serve plain HTTP where others can listen in, unless that was asked for.
    ///
    /// # Errors
    /// [`SettingsError::Exposed`]; [`SettingsError::Half`] when TLS is half set.
    pub fn check_exposure(&self) -> Result<(), SettingsError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), Some(_)) => return Ok(()),
            (Some(_), None) => return Err(SettingsError::Half { given: "tls_cert", missing: "tls_key" }),
            (None, Some(_)) => return Err(SettingsError::Half { given: "tls_key", missing: "tls_cert" }),
            (None, None) => {}
        }
        // An IPv4 address written as IPv6 (::ffff:127.0.0.1) is loopback as well.
        if self.insecure_http || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(SettingsError::Exposed { listen: self.listen })
    }

    /// Where the key is that secrets are sealed with.
    #[must_use]
    pub fn master_key_path(&self) -> PathBuf {
        let name = "master.key";
        match (&self.master_key, self.database.reveal().strip_prefix("sqlite:")) {
            (Some(path), _) => path.clone(),
            (None, Some(database)) => std::path::Path::new(database).with_file_name(name),
            (None, None) => std::path::Path::new("tenure-data").join(name),
        }
    }

    /// The URL under which clients reach the server, without a slash at its end.
    /// `bound` is the address the server listens on, which says the port when `listen` leaves it open.
    #[must_use]
    pub fn base_url(&self, bound: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.to_string(),
            None => derived_url(if self.tls_cert.is_some() { "https" } else { "http" }, bound),
        }
    }
}

/// The URL of an address; one that means "all interfaces" is no address to connect to, so it becomes loopback.
fn derived_url(scheme: &str, bound: SocketAddr) -> String {
    let mut reachable = bound;
    if bound.ip().is_unspecified() {
        reachable.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("{scheme}://{reachable}")
}

impl Default for Settings {
    /// All defaults of the table.
    #[expect(clippy::expect_used, reason = "the defaults are constants, and a test reads them all")]
    fn default() -> Self {
        Self::from_lines(&sources::defaults()).expect("every default is a value of its setting")
    }
}

/// Why the settings cannot be used. Never contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file or the environment names something that is no setting.
    #[error("{} {name} is not a setting", whose(.origin))]
    Unknown {
        /// The name as it was given.
        name: String,
        /// The setting that was probably meant, as it is written in that source.
        nearest: Option<String>,
        /// Where it stands.
        origin: Source,
    },
    /// A value does not fit its setting.
    #[error("{setting} (from {origin}) is {given}; expected {expected}", given = shown(.given))]
    Wrong {
        /// The setting.
        setting: &'static str,
        /// Where the value stands.
        origin: Source,
        /// The value; `None` when it is secret.
        given: Option<String>,
        /// What it should look like.
        expected: &'static str,
    },
    /// The file is not there, or may not be read.
    #[error("cannot read the settings file {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, as the system says it.
        reason: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the settings file {} is not TOML: line {line}: {reason}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it. Does not quote the line, which may hold a password.
        reason: String,
    },
    /// Plain HTTP would be served to the network.
    #[error(
        "refusing to serve plain HTTP on {listen}: it is not a loopback address, so API keys and sessions would cross the network for all to read"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
    /// An issuer is named, and not what it calls this server.
    #[error("oidc_issuer is set and oidc_client_id is not: the issuer has to know this server")]
    Nameless,
    /// Groups give roles in an organization that any user can make first.
    #[error(
        "oidc_roles names the organization {organization:?}, and users_make_organizations lets any user make one of \
         that name first: name it by its id"
    )]
    Capturable {
        /// The name.
        organization: String,
    },
    /// Passwords are off, and there is no other way in.
    #[error("passwords is off and oidc_issuer is not set: nobody could sign in")]
    NoWayIn,
    /// One of two settings that need each other.
    #[error("{given} is set and {missing} is not: TLS needs both")]
    Half {
        /// The one that is set.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
}

impl SettingsError {
    /// What to do about it, in one sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(nearest), .. } => Some(format!("did you mean {nearest}?")),
            Self::Unknown { nearest: None, .. } => Some("`tenure settings` prints all of them".to_owned()),
            Self::Exposed { listen } => Some(format!(
                "give --tls-cert and --tls-key, or listen on 127.0.0.1:{} behind a proxy that speaks TLS, or say --insecure-http (insecure_http = true) if you trust this network",
                listen.port()
            )),
            Self::Wrong { .. }
            | Self::Unreadable { .. }
            | Self::Syntax { .. }
            | Self::Half { .. }
            | Self::Nameless
            | Self::NoWayIn => None,
            Self::Capturable { .. } => Some("`tenure admin org list` shows the ids".to_owned()),
        }
    }
}

fn shown(given: &Option<String>) -> String {
    match given {
        Some(given) => format!("{given:?}"),
        None => "not valid (it is secret, so it is not shown)".to_owned(),
    }
}

fn whose(origin: &Source) -> String {
    match origin {
        Source::File(path) => format!("{}:", path.display()),
        _ => "the environment variable".to_owned(),
    }
}
