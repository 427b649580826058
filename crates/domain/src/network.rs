//! Ranges of IP addresses, for trusted proxies and for the networks that a key can be used from.

use std::fmt;
use std::net::IpAddr;

/// A range of addresses, such as `10.0.0.0/8`. A single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Parses `ADDRESS` or `ADDRESS/BITS`.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u32>().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    /// Whether an address is in the range. An IPv4-mapped IPv6 address counts as the IPv4 address.
    pub fn contains(self, address: IpAddr) -> bool {
        let (address, start, size) = match (address.to_canonical(), self.address) {
            (IpAddr::V4(address), IpAddr::V4(start)) => {
                (u128::from(address.to_bits()), u128::from(start.to_bits()), 32)
            }
            (IpAddr::V6(address), IpAddr::V6(start)) => (address.to_bits(), start.to_bits(), 128),
            _ => return false,
        };
        // A range of zero bits contains every address; shifting by all bits would overflow.
        self.bits == 0 || (address ^ start) >> (size - self.bits) == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The networks that a key can be used from. An empty list means every network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

impl Networks {
    /// Parses ranges separated by blanks, as [`Networks::text`] writes them.
    pub fn parse(text: &str) -> Option<Networks> {
        text.split_whitespace().map(Network::parse).collect::<Option<_>>().map(Networks)
    }

    /// The ranges, separated by blanks; `None` for every network.
    pub fn text(&self) -> Option<String> {
        let words = self.0.iter().map(Network::to_string).collect::<Vec<_>>();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Whether a request from an address can use the key. A request without a known address cannot, unless the list is empty.
    pub fn allows(&self, address: Option<IpAddr>) -> bool {
        self.0.is_empty()
            || address.is_some_and(|address| self.0.iter().any(|network| network.contains(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        for bad in ["10.0.0.0/33", "x", "10.0.0.0/", "::/129", "10.0.0.0/-1", ""] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_match_their_ranges() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::2", false),
            ("::/0", "::2", true),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
    }

    #[test]
    fn a_key_without_networks_is_valid_everywhere_and_others_only_in_theirs() {
        let office = Networks::parse("192.0.2.0/24 2001:db8::/32").unwrap();
        assert_eq!(office.text().as_deref(), Some("192.0.2.0/24 2001:db8::/32"));
        assert_eq!(Networks::parse(""), Some(Networks::default()));
        assert_eq!((Networks::default().text(), Networks::parse("10.0.0.0/8 x")), (None, None));
        let at = |text: &str| Some(text.parse().unwrap());
        for (address, anywhere, there) in
            [(at("192.0.2.9"), true, true), (at("203.0.113.1"), true, false), (None, true, false)]
        {
            assert_eq!((Networks::default().allows(address), office.allows(address)), (anywhere, there));
        }
    }
}
