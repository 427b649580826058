//! Options of a host, and the errors that end it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::options::{ServedScope, could_be_key, hostname};

/// Maximum number of simulated devices of one platform.
const MAX_SIMULATED: u16 = 1000;

/// Options of `tenure host`. [`HostOptions::new`] sets the defaults.
#[derive(Clone)]
pub struct HostOptions {
    /// Base URLs of the servers (`http://` or `https://`). The host keeps a separate connection to each.
    pub servers: Vec<String>,
    /// The API key that the host authenticates with. Never printed.
    pub token: String,
    /// The scope that the host serves; `None` is the scope of the key.
    pub serves: Option<ServedScope>,
    /// The host's name, unique in its organization: a second host with the same name replaces the first.
    pub name: String,
    /// The `mobilecli` program; `None` is the one in `PATH`.
    pub mobilecli: Option<PathBuf>,
    /// Base URL of a running `mobilecli server` to use, instead of starting one.
    pub mobilecli_url: Option<String>,
    /// Simulated devices; the entries are added up.
    pub simulate: Vec<SimulatedDevices>,
    /// The operator's shell command, run after each hold with `TENURE_DEVICE_SERIAL` and `TENURE_DEVICE_PLATFORM` set,
    /// for at most 60 s.
    pub on_release: Option<String>,
    /// The host's own folder, for state that must survive a restart and for temporary files.
    pub state_dir: PathBuf,
    /// How often the host asks `mobilecli` for its devices.
    pub poll_interval: Duration,
    /// How long a simulated device is offline during a reboot.
    pub reboot_delay: Duration,
}

impl HostOptions {
    /// Options with the defaults: the machine's name, `mobilecli` from `PATH`, and a look at the devices every 2 s.
    pub fn new(servers: Vec<String>, token: impl Into<String>, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            servers,
            token: token.into(),
            serves: None,
            name: hostname().unwrap_or_else(|| "host".to_owned()),
            mobilecli: None,
            mobilecli_url: None,
            simulate: Vec::new(),
            on_release: None,
            state_dir: state_dir.into(),
            poll_interval: Duration::from_secs(2),
            reboot_delay: Duration::from_secs(3),
        }
    }

    /// The sum of the simulated devices.
    pub(crate) fn count_simulated(&self) -> SimulatedDevices {
        let sum = |count: fn(&SimulatedDevices) -> u16| {
            self.simulate.iter().map(count).fold(0, u16::saturating_add).min(MAX_SIMULATED)
        };
        SimulatedDevices { android: sum(|s| s.android), ios: sum(|s| s.ios) }
    }

    /// Refuses options that cannot work, before anything is started.
    pub(crate) fn validate(&self) -> Result<(), HostError> {
        if self.servers.is_empty() {
            return Err(HostError::NoServer);
        }
        if self.name.trim().is_empty() {
            return Err(HostError::NoName);
        }
        if !could_be_key(&self.token) {
            return Err(HostError::BadToken);
        }
        Ok(())
    }
}

/// Prints everything but the token.
impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions")
            .field("servers", &self.servers)
            .field("token", &"***")
            .field("name", &self.name)
            .field("mobilecli", &self.mobilecli)
            .field("mobilecli_url", &self.mobilecli_url)
            .field("simulate", &self.simulate)
            .field("state_dir", &self.state_dir)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}

/// How many simulated devices of each platform: `4` (Android), or `android=4,ios=2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimulatedDevices {
    /// Android emulators.
    pub android: u16,
    /// iOS simulators.
    pub ios: u16,
}

/// The text is not a number of simulated devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a number of simulated devices: write 4, or android=4,ios=2, with at most 1000 of each")]
pub struct ParseSimulatedDevicesError(String);

impl FromStr for SimulatedDevices {
    type Err = ParseSimulatedDevicesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseSimulatedDevicesError(text.to_owned());
        let count = |digits: &str| {
            digits.trim().parse().ok().filter(|count| *count <= MAX_SIMULATED).ok_or_else(refuse)
        };
        let mut devices = Self::default();
        for part in text.split(',') {
            match part.split_once('=').map(|(platform, digits)| (platform.trim(), digits)) {
                None => devices.android = count(part)?,
                Some(("android", digits)) => devices.android = count(digits)?,
                Some(("ios", digits)) => devices.ios = count(digits)?,
                Some(_) => return Err(refuse()),
            }
        }
        Ok(devices)
    }
}

/// Why a host does not start, or stops. The messages are for people.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No server was named.
    #[error("no server to connect to: give its address with --server")]
    NoServer,
    /// The host has no name.
    #[error("a host needs a name: give one with --name")]
    NoName,
    /// The token is empty or has characters that no key has.
    #[error(
        "the key is empty or has characters that no key has: copy it again from `tenure admin key create`"
    )]
    BadToken,
    /// A server's URL is invalid.
    #[error("'{url}' is not the address of a server: it must begin with http:// or https://")]
    BadServer {
        /// The address as it was given.
        url: String,
    },
    /// The server refuses the key for a host; a retry would not help.
    #[error("the server {server} refused the key ({status}): {reason}")]
    Refused {
        /// The server's address.
        server: String,
        /// The HTTP status, 401 or 403.
        status: u16,
        /// The cause and the remedy.
        reason: &'static str,
    },
    /// Another host has connected under the same name.
    #[error(
        "another host has connected to {server} under this name: give each machine its own name with --name"
    )]
    Replaced {
        /// The server's address.
        server: String,
    },
    /// The program `mobilecli` was not found.
    #[error(
        "mobilecli was not found ({0}): install it (npm install -g mobilecli), give its path with --mobilecli, or serve \
         simulated devices with --simulate 4"
    )]
    NoMobilecli(String),
    /// The state folder cannot be used.
    #[error("the folder {path} cannot be used: {cause}")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// Another host uses the state folder.
    #[error("another `tenure host` already uses {0}: stop it, or give this one another folder with --state")]
    StateDirInUse(PathBuf),
    /// The HTTP client cannot be created.
    #[error("cannot set up HTTP connections: {0}")]
    Http(String),
    /// A task of the host panicked.
    #[error("a task of the host panicked, which is a bug in Tenure: {0}")]
    Bug(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_devices_are_read_as_people_write_them() {
        let cases = [
            ("4", Some((4, 0))),
            ("android=4,ios=2", Some((4, 2))),
            (" ios = 3 ", Some((0, 3))),
            ("0", Some((0, 0))),
            ("1001", None),
            ("-1", None),
            ("windows=1", None),
            ("", None),
            ("android", None),
        ];
        for (text, expected) in cases {
            let read = text.parse::<SimulatedDevices>().ok().map(|s| (s.android, s.ios));
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn the_token_is_never_printed() {
        let options = HostOptions::new(vec!["http://127.0.0.1".into()], "mob_secret", "/tmp/x");
        assert!(!format!("{options:?}").contains("mob_secret"));
    }
}
