//! Parsers of arguments. They check values before anything is opened.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use domain::Refusal;
use domain::credential::Wire;
use domain::ids::OrganizationId;
use domain::network::Network;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalKind;
use domain::principal::normalize_email;
use domain::time::Micros;
use server::operations::access::service_users::ServiceUserRole;

/// An organization, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrgRef {
    /// A UUID, or 32 hex digits, alone or after `org_` or `org-`.
    Id(OrganizationId),
    /// Its exact name.
    Name(String),
}

impl FromStr for OrgRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match OrganizationId::parse(text) {
            Some(id) => Ok(Self::Id(id)),
            None => Ok(Self::Name(parse_name(text)?)),
        }
    }
}

impl fmt::Display for OrgRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// Parses a name.
///
/// # Errors
/// What a name must be.
pub fn parse_name(text: &str) -> Result<String, String> {
    check_name(text, domain::name::check_name)
}

/// Parses the name of a new organization.
///
/// # Errors
/// What the name must be.
pub fn parse_organization_name(text: &str) -> Result<String, String> {
    check_name(text, domain::name::check_organization_name)
}

/// Parses a range of IP addresses.
///
/// # Errors
/// What is expected.
pub fn parse_network(text: &str) -> Result<Network, String> {
    Network::parse(text).ok_or_else(|| "expected an IP address or a range such as 192.0.2.0/24".to_owned())
}

fn check_name(text: &str, rule: fn(&str) -> Result<(), Refusal>) -> Result<String, String> {
    let text = text.trim();
    match rule(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(Refusal::Invalid { expected, .. }) => Err(format!("expected {expected}")),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// Parses an e-mail address into its normal form.
///
/// # Errors
/// What is expected.
pub fn parse_email(text: &str) -> Result<String, String> {
    normalize_email(text).ok_or_else(|| "expected an e-mail address such as ana@example.com".to_owned())
}

/// Parses a length of time: `90d`, `12h`.
///
/// # Errors
/// What is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    server::settings::parse_duration(text)
        .ok_or_else(|| "expected a length of time such as 90d, 12h or 30m".to_owned())
}

/// Parses a day (midnight in UTC) or a moment.
///
/// # Errors
/// What is expected.
pub fn parse_moment(text: &str) -> Result<Micros, String> {
    let day = || {
        let date: jiff::civil::Date = text.parse().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(day);
    moment.map(|moment| Micros(moment.as_microsecond())).ok_or_else(|| {
        "expected a day such as 2026-11-21 or a moment such as 2026-11-21T12:00:00Z".to_owned()
    })
}

/// A parser of a person's role in an organization.
pub fn role_parser() -> impl TypedValueParser<Value = Role> {
    let names = Role::names_for(PrincipalKind::User);
    PossibleValuesParser::new(names).try_map(|name| Role::parse(&name).ok_or("unknown role"))
}

/// The role of a person in the account; `None` for no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonAccountRole(pub Option<AccountRole>);

/// A parser of a person's role in the account.
pub fn account_role_parser() -> impl TypedValueParser<Value = PersonAccountRole> {
    let names = AccountRole::names_for(PrincipalKind::User).into_iter().chain(["none"]);
    PossibleValuesParser::new(names).map(|name| PersonAccountRole(AccountRole::parse(&name)))
}

/// The role of a service user by its name, in an organization or in the account.
///
/// # Errors
/// The roles that are possible there.
pub fn parse_service_user_role(name: &str, in_organization: bool) -> Result<ServiceUserRole, String> {
    if in_organization {
        let role = Role::parse(name).map(ServiceUserRole::Organization);
        role.ok_or_else(|| {
            let names = Role::NAMES.map(|(_, name)| name).join(", ");
            format!("{name} is a role of the whole account; with --org, choose one of {names}")
        })
    } else {
        let role = AccountRole::parse(name).map(ServiceUserRole::Account);
        role.ok_or_else(|| {
            let names = AccountRole::NAMES.map(|(_, name)| name).join(", ");
            format!("{name} is a role of an organization; without --org, choose one of {names}")
        })
    }
}

/// A parser of the name of a service user's role. `--org` decides which roles fit; see [`parse_service_user_role`].
pub fn service_role_parser() -> impl TypedValueParser<Value = String> {
    let members = Role::NAMES.map(|(_, name)| name);
    PossibleValuesParser::new(members.into_iter().chain([AccountRole::Viewer.name()]))
}

/// A parser of the wire that a key is for. It only sets the prefix: any key works on any wire.
pub fn wire_parser() -> impl TypedValueParser<Value = Wire> {
    let names = Wire::ALL.map(|(_, name, _)| name);
    PossibleValuesParser::new(names).try_map(|name| Wire::parse(&name).ok_or("unknown wire"))
}

/// The number of devices that an organization can hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceLimit(
    /// `None` is no limit.
    pub Option<u32>,
);

impl FromStr for DeviceLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(count) => Ok(Self(Some(count))),
                Err(_) => Err("expected a whole number, or `none` for no limit".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn organizations_are_named_by_four_forms_of_id_or_by_name() {
        let id = Uuid::from_u128(0x0198_7a6b_5c4d_7e8f_9012_3456_789a_bcde);
        let (plain, hex) = (id.to_string(), id.simple().to_string());
        let ids =
            [plain.clone(), plain.to_uppercase(), hex.clone(), format!("org_{hex}"), format!("org-{hex}")];
        for text in ids {
            assert_eq!(text.parse(), Ok(OrgRef::Id(OrganizationId(id))), "{text}");
        }
        let names = [
            "Acme".to_owned(),
            "org_acme".to_owned(),
            format!("org_{plain}"),
            format!("{{{plain}}}"),
            format!("{hex}0"),
        ];
        for text in names {
            assert_eq!(text.parse(), Ok(OrgRef::Name(text.clone())), "{text}");
        }
        for text in ["", "  ", "a\nb"] {
            assert!(text.parse::<OrgRef>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn roles_of_service_users_depend_on_where_they_belong() {
        let rows = [
            ("admin", true, Some(ServiceUserRole::Organization(Role::Admin))),
            ("admin", false, Some(ServiceUserRole::Account(AccountRole::Admin))),
            ("readwrite", true, Some(ServiceUserRole::Organization(Role::Readwrite))),
            ("readwrite", false, None),
            ("readonly", false, None),
            ("viewer", true, None),
            ("viewer", false, Some(ServiceUserRole::Account(AccountRole::Viewer))),
            ("worker", true, Some(ServiceUserRole::Organization(Role::Worker))),
            ("worker", false, Some(ServiceUserRole::Account(AccountRole::Worker))),
            ("host", true, Some(ServiceUserRole::Organization(Role::Host))),
            ("host", false, Some(ServiceUserRole::Account(AccountRole::Host))),
            ("auditor", true, Some(ServiceUserRole::Organization(Role::Auditor))),
            ("auditor", false, Some(ServiceUserRole::Account(AccountRole::Auditor))),
        ];
        for (name, of_organization, role) in rows {
            assert_eq!(parse_service_user_role(name, of_organization).ok(), role, "{name} {of_organization}");
        }
    }

    #[test]
    fn every_role_and_wire_parses() {
        let command = || {
            clap::Command::new("x")
                .arg(clap::Arg::new("r").value_parser(role_parser()))
                .arg(clap::Arg::new("w").value_parser(wire_parser()))
        };
        for (role, name) in Role::NAMES {
            let parses = command().try_get_matches_from(["x", name, "devin"]).is_ok();
            assert_eq!(parses, role.fits(PrincipalKind::User), "{name}");
        }
        for (_, wire, _) in Wire::ALL {
            assert!(command().try_get_matches_from(["x", "admin", wire]).is_ok(), "{wire}");
        }
    }

    #[test]
    fn device_limits_can_be_none() {
        let rows =
            [("5", Some(Some(5))), ("0", Some(Some(0))), ("none", Some(None)), ("-1", None), ("many", None)];
        for (text, limit) in rows {
            assert_eq!(text.parse().ok(), limit.map(DeviceLimit), "{text}");
        }
    }
}
