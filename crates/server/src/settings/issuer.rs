//! Kinds of settings of the OpenID Connect issuer.

use super::kinds::SettingKind;
use super::{PasswordPolicy, Settings, SettingsError};
use domain::ids::OrganizationId;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalKind;

/// The URL by which an issuer names itself. Optional.
pub(super) struct IssuerName;
impl SettingKind for IssuerName {
    type Value = Option<String>;
    const EXPECTED: &'static str =
        "an https:// URL without user, query and fragment; http:// for an issuer on a loopback address only";
    const PLACEHOLDER: &'static str = "URL";
    fn parse(given: &str) -> Option<Option<String>> {
        if given.is_empty() {
            return Some(None);
        }
        let url = url::Url::parse(given).ok()?;
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        (bare && is_secure(&url)).then(|| Some(given.to_owned()))
    }
}

/// Whether requests to the URL are encrypted or do not leave this machine.
#[must_use]
pub fn is_secure(url: &url::Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", _) => is_loopback(url),
        _ => false,
    }
}

/// Whether the URL's host is this machine.
#[must_use]
pub fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// One line of plain text, which may be empty.
pub(super) struct TextLine;
impl SettingKind for TextLine {
    type Value = String;
    const EXPECTED: &'static str = "at most 255 characters in one line";
    const PLACEHOLDER: &'static str = "TEXT";
    fn parse(given: &str) -> Option<String> {
        let plain = given.chars().count() <= 255 && !given.chars().any(char::is_control);
        plain.then(|| given.trim().to_owned())
    }
}

/// A list of scopes.
pub(super) struct ScopeList;
impl SettingKind for ScopeList {
    type Value = Vec<String>;
    const EXPECTED: &'static str = "scopes separated by spaces, `openid` among them";
    const PLACEHOLDER: &'static str = "WORDS";
    fn parse(given: &str) -> Option<Vec<String>> {
        let words = given.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        // The characters of a scope (RFC 6749, section 3.3).
        let plain =
            |word: &String| word.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        (words.iter().all(plain) && words.iter().any(|word| word == "openid")).then_some(words)
    }
}

/// The roles that groups give in organizations.
pub(super) struct GroupRoleList;
impl SettingKind for GroupRoleList {
    type Value = Vec<GroupRole>;
    const EXPECTED: &'static str =
        "GROUP=ORGANIZATION:ROLE separated by commas, where ROLE is readonly, readwrite, auditor or admin";
    const PLACEHOLDER: &'static str = "GROUP=ORG:ROLE,…";
    fn parse(given: &str) -> Option<Vec<GroupRole>> {
        given.split(',').map(str::trim).filter(|part| !part.is_empty()).map(GroupRole::parse).collect()
    }
}

/// Gives the members of a group a role in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRole {
    /// The group's name at the issuer.
    pub group: String,
    /// The organization's id or name.
    pub organization: String,
    /// The role.
    pub role: Role,
}

impl GroupRole {
    /// Parses `GROUP=ORGANIZATION:ROLE`. The name of a group may contain `=`, that of an organization `:`.
    #[must_use]
    pub fn parse(text: &str) -> Option<GroupRole> {
        let (rest, role) = text.rsplit_once(':')?;
        let (group, organization) = rest.rsplit_once('=')?;
        let (group, organization) = (group.trim().to_owned(), organization.trim().to_owned());
        let named = !group.is_empty() && !organization.is_empty();
        let role = Role::parse(role.trim()).filter(|role| role.fits(PrincipalKind::User))?;
        named.then_some(GroupRole { group, organization, role })
    }
}

/// The roles that groups give in the account.
pub(super) struct AccountGroupRoleList;
impl SettingKind for AccountGroupRoleList {
    type Value = Vec<AccountGroupRole>;
    const EXPECTED: &'static str = "GROUP=ROLE separated by commas, where ROLE is viewer, auditor or admin";
    const PLACEHOLDER: &'static str = "GROUP=ROLE,…";
    fn parse(given: &str) -> Option<Vec<AccountGroupRole>> {
        given.split(',').map(str::trim).filter(|part| !part.is_empty()).map(AccountGroupRole::parse).collect()
    }
}

/// Gives the members of a group a role in the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountGroupRole {
    /// The group's name at the issuer.
    pub group: String,
    /// The role.
    pub role: AccountRole,
}

impl AccountGroupRole {
    /// Parses `GROUP=ROLE`. The name of a group may contain `=`.
    #[must_use]
    pub fn parse(text: &str) -> Option<AccountGroupRole> {
        let (group, role) = text.rsplit_once('=')?;
        let role = AccountRole::parse(role.trim()).filter(|role| role.fits(PrincipalKind::User))?;
        let group = group.trim().to_owned();
        (!group.is_empty()).then_some(AccountGroupRole { group, role })
    }
}

impl Settings {
    /// Refuses settings by which nobody could sign in, or by which anybody could gain a role of a group.
    ///
    /// # Errors
    /// [`SettingsError::NoClientId`] for an issuer without a client id; [`SettingsError::NoSignIn`] when passwords are off and
    /// there is no issuer; [`SettingsError::OrganizationByName`] when groups give a role in an organization by its name, and
    /// any user could create one of that name first.
    pub fn check_issuer(&self) -> Result<(), SettingsError> {
        if self.oidc_issuer.is_some() && self.oidc_client_id.is_empty() {
            return Err(SettingsError::NoClientId);
        }
        if self.oidc_issuer.is_none() && self.passwords == PasswordPolicy::Off {
            return Err(SettingsError::NoSignIn);
        }
        let by_name = |rule: &&GroupRole| OrganizationId::parse(&rule.organization).is_none();
        match self.oidc_roles.iter().find(by_name).filter(|_| self.users_make_organizations) {
            Some(rule) => Err(SettingsError::OrganizationByName { organization: rule.organization.clone() }),
            None => Ok(()),
        }
    }

    /// Whether a group of the issuer gives any role.
    #[must_use]
    pub fn uses_groups(&self) -> bool {
        !self.oidc_roles.is_empty() || !self.oidc_account_roles.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_uses_tls_or_is_on_this_machine() {
        for good in [
            "https://issuer.example",
            "https://issuer.example/realms/a/",
            "http://127.0.0.1:9000",
            "http://[::1]:9000/x",
            "http://localhost:9000",
        ] {
            assert_eq!(IssuerName::parse(good), Some(Some(good.to_owned())), "{good}");
        }
        for bad in [
            "issuer.example",
            "http://issuer.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "https://user@issuer.example",
            "https://issuer.example?x",
            "https://issuer.example#x",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
        ] {
            assert_eq!(IssuerName::parse(bad), None, "{bad}");
        }
        assert_eq!(IssuerName::parse(""), Some(None));
    }

    #[test]
    fn an_organization_that_anybody_may_create_is_named_by_its_id() {
        let rules = |text| GroupRoleList::parse(text).unwrap();
        let id = "org-01987a6b5c4d7e8f90123456789abcde";
        let mut settings = Settings { oidc_roles: rules("devs=Acme:admin"), ..Settings::default() };
        assert!(settings.check_issuer().is_ok());
        settings.users_make_organizations = true;
        let refused = settings.check_issuer().unwrap_err();
        assert!(
            refused.to_string().contains("Acme") && refused.hint().unwrap().contains("org list"),
            "{refused}"
        );
        settings.oidc_roles = rules(&format!("devs={id}:admin"));
        assert!(settings.check_issuer().is_ok());
    }

    #[test]
    fn roles_of_groups_in_the_account_are_parsed() {
        let role = |group: &str, role| AccountGroupRole { group: group.into(), role };
        assert_eq!(
            AccountGroupRoleList::parse("ops=admin, cn=sec=auditor,"),
            Some(vec![role("ops", AccountRole::Admin), role("cn=sec", AccountRole::Auditor)])
        );
        for bad in ["ops", "=admin", "ops=worker", "ops=host", "ops=owner"] {
            assert_eq!(AccountGroupRoleList::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn roles_of_groups_are_parsed() {
        let role = |group: &str, organization: &str, role| GroupRole {
            group: group.into(),
            organization: organization.into(),
            role,
        };
        assert_eq!(
            GroupRoleList::parse("/devs=Acme:readwrite, cn=ops=Acme: West:admin,"),
            Some(vec![role("/devs", "Acme", Role::Readwrite), role("cn=ops", "Acme: West", Role::Admin)])
        );
        assert_eq!(GroupRoleList::parse(""), Some(vec![]));
        for bad in ["devs", "devs=Acme", "devs=Acme:owner", "=Acme:admin", "devs=:admin", "Acme:admin"] {
            assert_eq!(GroupRoleList::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn scopes_are_separated_by_spaces() {
        assert_eq!(ScopeList::parse("openid  email"), Some(vec!["openid".into(), "email".into()]));
        assert_eq!((ScopeList::parse("email"), ScopeList::parse("openid \"")), (None, None));
    }
}
