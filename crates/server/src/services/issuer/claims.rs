//! The issuer's claims about a user, from the ID token and from the user info endpoint.

use super::IssuerError;
use super::types::ExtraClaims;
use domain::federation::{IdentityClaims, MAX_SUBJECT};
use domain::principal::normalize_email;
use domain::time::Micros;
use serde_json::{Map, Value};

/// Names are cut to this many characters.
const MAX_NAME: usize = 100;
/// A longer list of groups counts as incomplete.
const MAX_GROUPS: usize = 10_000;

/// The standard claims that are used.
#[derive(Debug, Clone, Default)]
pub struct StandardClaims {
    pub subject: String,
    pub email: Option<String>,
    /// Whether the issuer has verified the address; `None` if it does not say.
    pub verified: Option<bool>,
    pub name: Option<String>,
    pub username: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
}

/// [`StandardClaims`] of an ID token or of a user info response: two types of the library with the same methods.
macro_rules! standard_claims {
    ($claims:expr) => {{
        let claims = $claims;
        $crate::services::issuer::claims::StandardClaims {
            subject: claims.subject().to_string(),
            email: claims.email().map(|email| email.to_string()),
            verified: claims.email_verified(),
            name: claims.name().and_then(|name| name.get(None)).map(|name| name.to_string()),
            username: claims.preferred_username().map(|name| name.to_string()),
            given_name: claims.given_name().and_then(|name| name.get(None)).map(|name| name.to_string()),
            family_name: claims.family_name().and_then(|name| name.get(None)).map(|name| name.to_string()),
        }
    }};
}
pub(super) use standard_claims;

/// The claims collected so far.
pub struct CollectedClaims {
    standard: StandardClaims,
    extra: Map<String, Value>,
}

impl CollectedClaims {
    /// The claims of the ID token.
    pub fn new(standard: StandardClaims, extra: &ExtraClaims) -> CollectedClaims {
        CollectedClaims { standard: apply_xms_edov(standard, extra), extra: extra.0.clone() }
    }

    /// Whether no claim is missing. `groups` is the claim of groups, if groups are used.
    pub fn are_complete(&self, groups: Option<&str>) -> bool {
        let has_groups = |claim| self.groups(claim) != GroupsClaim::Missing;
        self.has_email() && self.has_name() && groups.is_none_or(has_groups)
    }

    /// Whether the address and its verification are known. Both come from the same source, or not at all.
    fn has_email(&self) -> bool {
        self.standard.email.is_some() && self.standard.verified.is_some()
    }

    fn has_name(&self) -> bool {
        self.standard.name.is_some() || self.standard.username.is_some()
    }

    /// Adds the claims of the user info endpoint. Where both have a claim, that of the ID token counts.
    #[must_use]
    pub fn merge_user_info(mut self, info: StandardClaims, extra: &ExtraClaims) -> CollectedClaims {
        let (token, info) = (self.standard.clone(), apply_xms_edov(info, extra));
        let (email, verified) = match self.has_email() {
            true => (token.email, token.verified),
            false => (info.email, info.verified),
        };
        self.standard = match self.has_name() {
            true => StandardClaims { email, verified, ..self.standard },
            false => StandardClaims { subject: token.subject, email, verified, ..info },
        };
        for (name, value) in &extra.0 {
            self.extra.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// The claims in the form of the domain. `groups` is the claim of groups.
    ///
    /// # Errors
    /// [`IssuerError::Untrusted`] for an invalid subject.
    pub fn into_identity(
        self,
        groups: &str,
        authenticated: Option<Micros>,
    ) -> Result<IdentityClaims, IssuerError> {
        let groups = match self.groups(groups) {
            GroupsClaim::List(groups) => Some(groups),
            GroupsClaim::Missing => Some(Vec::new()),
            GroupsClaim::Incomplete => None,
        };
        let StandardClaims { subject, email, verified, name, username, given_name, family_name } =
            self.standard;
        let has_valid_length = (1..=MAX_SUBJECT).contains(&subject.chars().count());
        if !has_valid_length || subject.chars().any(char::is_control) {
            return Err(IssuerError::Untrusted("the subject is empty or too long".to_owned()));
        }
        let email = email.and_then(|email| normalize_email(&email));
        let plain = |name: Option<String>| name.as_deref().and_then(plain_name);
        Ok(IdentityClaims {
            subject,
            verified: email.is_some() && verified == Some(true),
            email,
            name: plain(name).or_else(|| plain(username)),
            first: plain(given_name),
            last: plain(family_name),
            groups,
            authenticated,
            multi_factor: false,
        })
    }

    fn groups(&self, claim: &str) -> GroupsClaim {
        // For a user with too many groups, the issuer sends a reference instead (OpenID Connect Core, section 5.6.2).
        let reference = self.extra.get("_claim_names").and_then(|names| names.get(claim));
        match find_claim(&self.extra, claim) {
            Some(Value::String(one)) => GroupsClaim::List(vec![one.clone()]),
            Some(Value::Array(many)) if many.len() <= MAX_GROUPS => {
                GroupsClaim::List(many.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            Some(Value::Array(_)) => GroupsClaim::Incomplete,
            _ if reference.is_some() => GroupsClaim::Incomplete,
            _ => GroupsClaim::Missing,
        }
    }
}

#[derive(PartialEq, Eq)]
enum GroupsClaim {
    List(Vec<String>),
    /// There is no such claim. Many issuers omit it for users without groups.
    Missing,
    /// The list is too long, or a reference that is not followed.
    Incomplete,
}

/// Entra never sends `email_verified`. It can be configured to send `xms_edov` instead: the owner of the address's domain
/// has been verified (learn.microsoft.com/entra/identity-platform/optional-claims-reference), in one of these three forms.
fn apply_xms_edov(standard: StandardClaims, extra: &ExtraClaims) -> StandardClaims {
    let verified = extra.0.get("xms_edov").map(|value| *value == true || *value == 1 || *value == "1");
    StandardClaims { verified: standard.verified.or(verified), ..standard }
}

/// A claim by its name, or by a path with dots.
fn find_claim<'v>(claims: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    find_claim(claims.get(first)?.as_object()?, rest)
}

/// A name in one short line; `None` for an empty one.
fn plain_name(name: &str) -> Option<String> {
    let plain = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect::<String>();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn standard(email: Option<&str>, verified: Option<bool>) -> StandardClaims {
        let subject = "1".to_owned();
        StandardClaims { subject, email: email.map(str::to_owned), verified, ..StandardClaims::default() }
    }

    fn extra_claims(extra: &Value) -> ExtraClaims {
        ExtraClaims(extra.as_object().unwrap().clone())
    }

    #[test]
    fn groups_are_read_in_all_their_forms() {
        for (extra, claim, expected) in [
            (json!({ "groups": ["a", "b", 1] }), "groups", Some(vec!["a", "b"])),
            (json!({ "groups": "a" }), "groups", Some(vec!["a"])),
            (json!({ "groups": [] }), "groups", Some(vec![])),
            (json!({}), "groups", Some(vec![])),
            (json!({ "realm_access": { "roles": ["a"] } }), "realm_access.roles", Some(vec!["a"])),
            (json!({ "https://a.example/groups": ["a"] }), "https://a.example/groups", Some(vec!["a"])),
            (json!({ "_claim_names": { "groups": "src1" } }), "groups", None),
        ] {
            let identity = CollectedClaims::new(standard(None, None), &extra_claims(&extra))
                .into_identity(claim, None)
                .unwrap();
            let expected = expected.map(|groups| groups.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(identity.groups, expected, "{extra}");
        }
    }

    #[test]
    fn entras_verification_of_an_address_counts() {
        let address = |verified, extra: &Value| {
            CollectedClaims::new(standard(Some("ana@x.example"), verified), &extra_claims(extra))
        };
        let verified = |all: CollectedClaims| all.into_identity("groups", None).unwrap().verified;
        for (extra, expected) in [
            (json!({ "xms_edov": true }), true),
            (json!({ "xms_edov": 1 }), true),
            (json!({ "xms_edov": "1" }), true),
            (json!({ "xms_edov": false }), false),
            (json!({ "xms_edov": "0" }), false),
            (json!({ "xms_edov": "yes" }), false),
            (json!({ "xms_edov": null }), false),
            (json!({}), false),
        ] {
            assert_eq!(verified(address(None, &extra)), expected, "{extra}");
        }
        // It does not override the standard claim, and does not apply to an address from another source.
        assert!(!verified(address(Some(false), &json!({ "xms_edov": true }))));
        let edov = extra_claims(&json!({ "xms_edov": true }));
        assert!(!verified(address(None, &json!({})).merge_user_info(standard(None, None), &edov)));
        assert!(!verified(
            CollectedClaims::new(standard(None, None), &edov)
                .merge_user_info(standard(Some("eve@x.example"), None), &extra_claims(&json!({})))
        ));
    }

    #[test]
    fn an_address_and_its_verification_come_from_one_source() {
        let token = || CollectedClaims::new(standard(Some("eve@x.example"), None), &ExtraClaims::default());
        assert!(!token().are_complete(None));
        let info = standard(Some("Ana@X.example"), Some(true));
        let named = StandardClaims { username: Some("ana".into()), ..info };
        let groups = extra_claims(&json!({ "groups": ["a"] }));
        assert!(CollectedClaims::new(named.clone(), &ExtraClaims::default()).are_complete(None));
        assert!(!CollectedClaims::new(named.clone(), &ExtraClaims::default()).are_complete(Some("groups")));
        assert!(CollectedClaims::new(named.clone(), &groups).are_complete(Some("groups")));
        let both = token().merge_user_info(named, &groups).into_identity("groups", None).unwrap();
        assert_eq!((both.email.as_deref(), both.verified), (Some("ana@x.example"), true));
        assert_eq!((both.groups, both.name.as_deref()), (Some(vec!["a".to_owned()]), Some("ana")));

        assert!(
            !token().into_identity("groups", None).unwrap().verified,
            "without the claim, an address is not verified"
        );
        // User info does not override the ID token.
        let own = CollectedClaims::new(standard(Some("ana@x.example"), Some(false)), &ExtraClaims::default());
        let own = own.merge_user_info(standard(Some("eve@x.example"), Some(true)), &ExtraClaims::default());
        let own = own.into_identity("groups", None).unwrap();
        assert_eq!((own.email.as_deref(), own.verified), (Some("ana@x.example"), false));
        let none = CollectedClaims::new(standard(Some("no address"), Some(true)), &ExtraClaims::default());
        assert!(!none.into_identity("groups", None).unwrap().verified);
    }

    #[test]
    fn invalid_subjects_and_empty_names_are_refused() {
        for subject in [String::new(), "x".repeat(256), "a\0b".to_owned()] {
            let standard = StandardClaims { subject, ..StandardClaims::default() };
            assert!(
                CollectedClaims::new(standard, &ExtraClaims::default())
                    .into_identity("groups", None)
                    .is_err()
            );
        }
        assert_eq!(plain_name(" Ana\r\n\u{1b}[31m "), Some("Ana[31m".to_owned()));
        assert_eq!(plain_name("\n"), None);
    }
}
