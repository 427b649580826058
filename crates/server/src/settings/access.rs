//! Kinds of settings about access and mail: proxies, password policy, second factors, mail.

use super::kinds::{Secrecy, SecretUrl, SettingKind};
use domain::network::Network;
use domain::permission::Role;
use std::net::IpAddr;
use std::path::PathBuf;

/// The path of a folder.
pub(super) struct FolderPath;
impl SettingKind for FolderPath {
    type Value = PathBuf;
    const EXPECTED: &'static str = "a folder";
    const PLACEHOLDER: &'static str = "FOLDER";
    fn parse(given: &str) -> Option<PathBuf> {
        (!given.is_empty()).then(|| given.into())
    }
}

/// A list of proxies.
pub(super) struct ProxyList;
impl SettingKind for ProxyList {
    type Value = Proxies;
    const EXPECTED: &'static str = "IP addresses or ranges separated by commas, such as 10.0.0.0/8,::1";
    const PLACEHOLDER: &'static str = "IP[/BITS],…";
    fn parse(given: &str) -> Option<Proxies> {
        let ranges = given.split(',').map(str::trim).filter(|range| !range.is_empty());
        ranges.map(Network::parse).collect::<Option<_>>().map(Proxies)
    }
}

/// How mail is sent.
pub(super) struct MailRouteKind;
impl SettingKind for MailRouteKind {
    type Value = MailRoute;
    const EXPECTED: &'static str =
        "a folder, or smtps://USER:PASSWORD@HOST, smtp://…?tls=required (STARTTLS) or smtp://HOST:PORT";
    const PLACEHOLDER: &'static str = "FOLDER|URL";
    const SECRECY: Secrecy = Secrecy::InUrl;
    fn parse(given: &str) -> Option<MailRoute> {
        match given.split_once("://") {
            None if given.is_empty() => None,
            None => Some(MailRoute::Outbox(given.into())),
            Some(("smtp" | "smtps", rest)) if !rest.is_empty() => {
                Some(MailRoute::Smtp(SecretUrl::from(given.to_owned())))
            }
            Some(_) => None,
        }
    }
}

/// The sender's address of mail.
pub(super) struct SenderAddress;
impl SettingKind for SenderAddress {
    type Value = String;
    const EXPECTED: &'static str = "an e-mail address such as tenure@example.com";
    const PLACEHOLDER: &'static str = "EMAIL";
    fn parse(given: &str) -> Option<String> {
        given.parse::<lettre::Address>().ok().map(|_| given.to_owned())
    }
}

/// A password policy.
pub(super) struct PasswordPolicyKind;
impl SettingKind for PasswordPolicyKind {
    type Value = PasswordPolicy;
    const EXPECTED: &'static str = "on, local-only or off";
    const PLACEHOLDER: &'static str = "on|local-only|off";
    fn parse(given: &str) -> Option<PasswordPolicy> {
        match given {
            "on" => Some(PasswordPolicy::On),
            "local-only" => Some(PasswordPolicy::LocalOnly),
            "off" => Some(PasswordPolicy::Off),
            _ => None,
        }
    }
}

/// Roles that need a second factor.
pub(super) struct FactorRolesKind;
impl SettingKind for FactorRolesKind {
    type Value = FactorRoles;
    const EXPECTED: &'static str =
        "roles of an organization and `account`, separated by commas, such as admin,account";
    const PLACEHOLDER: &'static str = "ROLE,…";
    fn parse(given: &str) -> Option<FactorRoles> {
        let mut roles = FactorRoles::default();
        for word in given.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "account" => roles.account = true,
                word => roles.roles.push(Role::parse(word)?),
            }
        }
        Some(roles)
    }
}

/// Who may sign in by password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordPolicy {
    /// Everybody who has one.
    On,
    /// Users without an identity at the issuer.
    LocalOnly,
    /// Nobody.
    Off,
}

/// The roles that require a second factor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactorRoles {
    /// Every role of the account.
    pub account: bool,
    /// Roles of an organization.
    pub roles: Vec<Role>,
}

impl FactorRoles {
    /// Whether a caller needs a second factor: by the role in the organization, or because it has a role of the account.
    #[must_use]
    pub fn require(&self, role: Option<Role>, has_account_role: bool) -> bool {
        (self.account && has_account_role) || role.is_some_and(|role| self.roles.contains(&role))
    }
}

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailRoute {
    /// As files in a folder.
    Outbox(PathBuf),
    /// By a mail server.
    Smtp(SecretUrl),
}

/// Trusted proxies: ranges of addresses whose `X-Forwarded-For` is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// Proxies in these ranges. Malformed ranges are left out.
    #[must_use]
    pub fn new(ranges: &[&str]) -> Proxies {
        Proxies(ranges.iter().filter_map(|text| Network::parse(text)).collect())
    }

    /// Whether an address is that of a trusted proxy.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }

    /// The client's address: the nearest hop that is not a trusted proxy. `forwarded` has the header's lines, the last hop
    /// last. A malformed address ends the search at the proxy that sent it.
    #[must_use]
    pub fn client(&self, peer: IpAddr, forwarded: &[&str]) -> IpAddr {
        let mut client = peer.to_canonical();
        let hops = forwarded.iter().rev().flat_map(|line| line.rsplit(','));
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            let Some(ip) = address(hop.trim()) else { break };
            client = ip;
        }
        client
    }
}

/// An address as a proxy writes it: alone, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bare).or_else(with_port).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_from_right_to_left_and_only_from_trusted_proxies() {
        let proxies = ProxyList::parse("10.0.0.0/8, ::1").unwrap();
        let client =
            |peer: &str, forwarded: &[&str]| proxies.client(peer.parse().unwrap(), forwarded).to_string();
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("10.1.2.3", &[], "10.1.2.3"),
            ("10.1.2.3", &["203.0.113.9"], "203.0.113.9"),
            ("10.1.2.3", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
            ("10.1.2.3", &["198.51.100.1", "203.0.113.9, 10.9.9.9"], "203.0.113.9"),
            ("::1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("::ffff:10.1.2.3", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("10.1.2.3", &["203.0.113.9, unknown"], "10.1.2.3"),
            ("10.1.2.3", &["203.0.113.9, "], "10.1.2.3"),
            ("10.1.2.3", &["fe80::1%eth0"], "10.1.2.3"),
        ] {
            assert_eq!(client(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
        let hops = vec!["10.0.0.1"; 1000].join(",");
        assert_eq!(client("10.1.2.3", &[&hops]), "10.0.0.1");
    }

    #[test]
    fn a_malformed_range_makes_a_list_of_proxies_invalid() {
        assert_eq!(ProxyList::parse("10.0.0.0/8,x"), None);
        assert_eq!(ProxyList::parse(""), Some(Proxies::default()));
    }
}
