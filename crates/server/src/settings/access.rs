//! Kinds of settings that have to do with who comes in: proxies, keys, mail.

use super::kinds::{Kind, Secrecy, SecretUrl};
use domain::network::Network;
use domain::permission::Role;
use std::net::IpAddr;
use std::path::PathBuf;

/// A folder.
pub(super) struct Folder;
impl Kind for Folder {
    type Value = PathBuf;
    const EXPECTED: &'static str = "a folder";
    const PLACEHOLDER: &'static str = "FOLDER";
    fn parse(given: &str) -> Option<PathBuf> {
        (!given.is_empty()).then(|| given.into())
    }
}

/// Addresses of proxies.
pub(super) struct ProxyList;
impl Kind for ProxyList {
    type Value = Proxies;
    const EXPECTED: &'static str = "IP addresses or ranges with commas between, such as 10.0.0.0/8,::1";
    const PLACEHOLDER: &'static str = "IP[/BITS],…";
    fn parse(given: &str) -> Option<Proxies> {
        let ranges = given.split(',').map(str::trim).filter(|range| !range.is_empty());
        ranges.map(Network::parse).collect::<Option<_>>().map(Proxies)
    }
}

/// How mail goes.
pub(super) struct Mail;
impl Kind for Mail {
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

/// An address that mail comes from.
pub(super) struct Sender;
impl Kind for Sender {
    type Value = String;
    const EXPECTED: &'static str = "an e-mail address such as tenure@example.com";
    const PLACEHOLDER: &'static str = "EMAIL";
    fn parse(given: &str) -> Option<String> {
        given.parse::<lettre::Address>().ok().map(|_| given.to_owned())
    }
}

/// Who signs in by a password.
pub(super) struct PasswordPolicyKind;
impl Kind for PasswordPolicyKind {
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
impl Kind for FactorRolesKind {
    type Value = FactorRoles;
    const EXPECTED: &'static str =
        "roles of an organization and `account`, with commas between: admin,account";
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

/// Who signs in by a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordPolicy {
    /// Everybody who has one.
    On,
    /// Who has no identity of the issuer.
    LocalOnly,
    /// Nobody.
    Off,
}

/// The roles whose people need a second factor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactorRoles {
    /// Every role of the account.
    pub account: bool,
    /// Roles of an organization.
    pub roles: Vec<Role>,
}

impl FactorRoles {
    /// Whether somebody with these roles needs one.
    #[must_use]
    pub fn demand(&self, role: Option<Role>, of_account: bool) -> bool {
        (self.account && of_account) || role.is_some_and(|role| self.roles.contains(&role))
    }
}

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailRoute {
    /// Each mail is a file in a folder.
    Outbox(PathBuf),
    /// By a mail server.
    Smtp(SecretUrl),
}

/// Ranges of addresses whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// These ranges; what is none is left out.
    #[must_use]
    pub fn of(ranges: &[&str]) -> Proxies {
        Proxies(ranges.iter().filter_map(|text| Network::parse(text)).collect())
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }

    /// Who is behind them, given the peer and what the header's lines say, the last hop last: the nearest address that
    /// is none of a trusted proxy. What cannot be an address ends the search at the proxy that said it.
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
    fn a_header_is_believed_from_right_to_left_and_only_from_trusted_proxies() {
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
    fn a_list_of_proxies_is_checked() {
        assert_eq!(ProxyList::parse("10.0.0.0/8,x"), None);
        assert_eq!(ProxyList::parse(""), Some(Proxies::default()));
    }
}
