//! Kinds of settings of `front/`: rate limits and origins.

use super::kinds::SettingKind;
use axum::http::{HeaderValue, Uri};
use std::fmt;

/// The units of a rate, in seconds.
const UNITS: [(&str, u32); 3] = [("s", 1), ("m", 60), ("h", 3600)];
const MAX_REQUESTS: u32 = 1_000_000_000;
const MICROS: i64 = 1_000_000;

/// A rate limit: a number of requests in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Number of requests; at least one.
    pub requests: u32,
    /// Length of the window in seconds; at least one.
    pub seconds: u32,
}

impl Quota {
    /// Cost of one request in bucket units: the window in microseconds.
    #[must_use]
    pub fn cost(self) -> i64 {
        i64::from(self.seconds) * MICROS
    }

    /// The full quota in bucket units.
    #[must_use]
    pub fn full(self) -> i64 {
        self.cost().saturating_mul(self.speed())
    }

    /// Bucket units that refill in a microsecond.
    #[must_use]
    pub fn speed(self) -> i64 {
        i64::from(self.requests)
    }

    /// Seconds until this many bucket units have refilled, rounded up.
    #[must_use]
    pub fn seconds_for(self, units: i64) -> u64 {
        let per_second = self.speed().saturating_mul(MICROS);
        u64::try_from(units).unwrap_or_default().div_ceil(u64::try_from(per_second).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} s", self.requests, self.seconds)
    }
}

/// A rate limit, or none.
pub(super) struct RateKind;
impl SettingKind for RateKind {
    type Value = Option<Quota>;
    const EXPECTED: &'static str =
        "a number of requests and a time, such as 50/s, 6000/m or 100000/h, or 0 for no limit";
    const PLACEHOLDER: &'static str = "N/TIME";
    fn parse(given: &str) -> Option<Option<Quota>> {
        if given == "0" {
            return Some(None);
        }
        let (requests, unit) = given.split_once('/')?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let digits = requests.bytes().all(|byte| byte.is_ascii_digit());
        let requests = requests.parse().ok().filter(|count| digits && (1..=MAX_REQUESTS).contains(count))?;
        Some(Some(Quota { requests, seconds: *seconds }))
    }
}

/// A list of origins of web pages.
pub(super) struct OriginList;
impl SettingKind for OriginList {
    type Value = Vec<HeaderValue>;
    const EXPECTED: &'static str =
        "origins separated by commas, such as https://app.example.com,http://localhost:3000; not *";
    const PLACEHOLDER: &'static str = "ORIGIN,…";
    fn parse(given: &str) -> Option<Vec<HeaderValue>> {
        let origins = given.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        origins.map(parse_origin).collect()
    }
}

/// An origin as browsers send it: a scheme, a host in lower case, and the port unless it is the scheme's default.
fn parse_origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let default_port = match (scheme, authority.port_u16()) {
        ("http", port) => port == Some(80),
        ("https", port) => port == Some(443),
        _ => return None,
    };
    let whole = format!("{scheme}://{authority}");
    let plain = whole == text && text == text.to_ascii_lowercase() && !text.contains(['@', '*']);
    (plain && !default_port).then(|| HeaderValue::from_str(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limits_are_parsed() {
        for (text, requests, seconds) in
            [("1/s", 1, 1), ("6000/m", 6000, 60), ("1000000000/h", 1_000_000_000, 3600)]
        {
            assert_eq!(RateKind::parse(text), Some(Some(Quota { requests, seconds })), "{text}");
        }
        assert_eq!(RateKind::parse("0"), Some(None));
        for text in ["", "1", "0/s", "1/d", "-1/s", "+1/s", "1000000001/s", "1/", "/s", "1 /s"] {
            assert_eq!(RateKind::parse(text), None, "{text}");
        }
    }

    #[test]
    fn origins_are_accepted_only_as_browsers_send_them() {
        let good = "https://app.example.com, http://localhost:3000,http://[::1]:8080";
        assert_eq!(OriginList::parse(good).unwrap().len(), 3);
        assert_eq!(OriginList::parse(""), Some(Vec::new()));
        for bad in [
            "*",
            "null",
            "https://*.example.com",
            "https://a.example.com/",
            "https://A.example.com",
            "a.example.com",
            "https://a.example.com:443",
            "http://a.example.com:80",
            "ftp://a.example.com",
            "https://u@a.example.com",
            "https://a.example.com/x",
            "https://a.example.com?x",
        ] {
            assert_eq!(OriginList::parse(bad), None, "{bad}");
        }
    }
}
