//! `tenure host`: connects the devices of this machine.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use domain::ids::OrganizationId;
use runner::host::{HostOptions, ServedScope, SimulatedDevices};
use server::settings::BaseUrl;

use crate::api_key::KeySource;
use crate::commands::{Context, start_logging, stop_at_signal};
use crate::error::{CommandError, CommandResult};
use crate::values::parse_name;

/// Arguments of `tenure host`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  TENURE_TOKEN=tnr_… tenure host --server https://tenure.example.com
  tenure host --server http://127.0.0.1:7420 --token-file host.key --mobilecli ~/.local/bin/mobilecli
  tenure host --server http://127.0.0.1:7420 --token-file - --simulate android=4,ios=2 < host.key

The owner of the key needs the role host: tenure admin service-user create NAME --role host [--org ORG]. With a key of the
account, all organizations share the devices.
Programs that the host starts neither receive the key nor can read it from the host's process.")]
pub struct HostArgs {
    /// Server to connect to; repeat for each server of the deployment
    #[arg(long, value_name = "URL", required = true, env = "TENURE_SERVER", hide_env_values = true, value_delimiter = ',', value_parser = parse_base_url)]
    pub server: Vec<BaseUrl>,
    /// The source of the API key.
    #[command(flatten)]
    pub key: KeySource,
    /// Serve this organization, by its id [default: where the key works]
    #[arg(long, value_name = "ID", value_parser = parse_organization)]
    pub org: Option<OrganizationId>,
    /// Share the devices with all organizations; needs a key of the account
    #[arg(long, conflicts_with = "org")]
    pub account: bool,
    /// Name of this host, unique in its organization [default: the name of the machine]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: Option<String>,
    /// The mobilecli that drives the devices [default: mobilecli in PATH]
    #[arg(long, value_name = "PATH", conflicts_with = "mobilecli_url")]
    pub mobilecli: Option<PathBuf>,
    /// Use a running `mobilecli server` instead of starting one
    #[arg(long, value_name = "URL", value_parser = parse_base_url)]
    pub mobilecli_url: Option<BaseUrl>,
    /// Serve simulated devices: N Android ones, or android=N,ios=N
    #[arg(long, value_name = "N|android=N,ios=N")]
    pub simulate: Vec<SimulatedDevices>,
    /// Shell command to run after each release, with TENURE_DEVICE_SERIAL and TENURE_DEVICE_PLATFORM set
    #[arg(long, value_name = "COMMAND")]
    pub on_release: Option<String>,
    /// Folder of the host's state; each host of a machine needs its own
    #[arg(long, value_name = "DIR", default_value = "tenure-host")]
    pub state: PathBuf,
}

impl HostArgs {
    fn options(self) -> HostOptions {
        let servers = self.server.iter().map(BaseUrl::to_string).collect();
        let mut options = HostOptions::new(servers, self.key.secret(), self.state);
        options.name = self.name.unwrap_or(options.name);
        let organization = self.org.map(|id| ServedScope::Organization(id.0));
        options.serves = if self.account { Some(ServedScope::Account) } else { organization };
        options.mobilecli = self.mobilecli;
        options.mobilecli_url = self.mobilecli_url.map(|url| url.to_string());
        options.simulate = self.simulate;
        options.on_release = self.on_release;
        options
    }
}

/// Omits the key.
impl fmt::Debug for HostArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostArgs")
            .field("server", &self.server)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Parses the URL of a server.
///
/// # Errors
/// What is expected.
pub fn parse_base_url(text: &str) -> std::result::Result<BaseUrl, String> {
    BaseUrl::parse(text).ok_or_else(|| "expected a URL such as https://tenure.example.com".to_owned())
}

/// Parses the id of an organization.
///
/// # Errors
/// What is expected.
pub fn parse_organization(text: &str) -> std::result::Result<OrganizationId, String> {
    OrganizationId::parse(text).ok_or_else(|| "expected an id from `tenure admin org list`".to_owned())
}

/// Connects the devices and drives them until a signal stops the host.
///
/// # Errors
/// The servers refuse the key, or `mobilecli` cannot be started.
pub async fn run(context: &Context, arguments: HostArgs) -> CommandResult<()> {
    start_logging(&context.settings(Vec::new())?.settings)?;
    let stopped = runner::host::run(arguments.options(), stop_at_signal()?).await;
    stopped.map_err(|error| CommandError::new(error.to_string()))
}
