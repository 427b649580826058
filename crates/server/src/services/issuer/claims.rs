//! What the issuer says of somebody, out of a token and of what it answers besides.

use super::Trouble;
use super::types::Said;
use domain::federation::{Claimed, MAX_SUBJECT};
use domain::principal::normal_email;
use domain::time::Micros;
use serde_json::{Map, Value};

/// Names are cut after so many characters.
const MAX_NAME: usize = 100;
/// More groups than this nobody has.
const MAX_GROUPS: usize = 10_000;

/// What is looked for among what everybody says.
#[derive(Debug, Clone, Default)]
pub struct Basics {
    pub subject: String,
    pub email: Option<String>,
    /// Whether the address is theirs, if that is said.
    pub verified: Option<bool>,
    pub name: Option<String>,
    pub username: Option<String>,
    pub given: Option<String>,
    pub family: Option<String>,
}

/// [`Basics`] out of the claims of a token or of an answer, which the library has in two types with the same methods.
macro_rules! basics {
    ($claims:expr) => {{
        let claims = $claims;
        $crate::services::issuer::claims::Basics {
            subject: claims.subject().to_string(),
            email: claims.email().map(|email| email.to_string()),
            verified: claims.email_verified(),
            name: claims.name().and_then(|name| name.get(None)).map(|name| name.to_string()),
            username: claims.preferred_username().map(|name| name.to_string()),
            given: claims.given_name().and_then(|name| name.get(None)).map(|name| name.to_string()),
            family: claims.family_name().and_then(|name| name.get(None)).map(|name| name.to_string()),
        }
    }};
}
pub(super) use basics;

/// What was said so far.
pub struct Gathered {
    basics: Basics,
    extra: Map<String, Value>,
}

impl Gathered {
    /// Out of the token.
    pub fn new(basics: Basics, extra: &Said) -> Gathered {
        Gathered { basics: vouched(basics, extra), extra: extra.0.clone() }
    }

    /// Whether all is there that is looked for.
    pub fn complete(&self, groups: Option<&str>) -> bool {
        self.addressed() && self.named() && groups.is_none_or(|claim| self.groups(claim) != Groups::Unsaid)
    }

    /// An address and whether it is theirs are said by the same one, or not at all.
    fn addressed(&self) -> bool {
        self.basics.email.is_some() && self.basics.verified.is_some()
    }

    fn named(&self) -> bool {
        self.basics.name.is_some() || self.basics.username.is_some()
    }

    /// With what was said besides: the token counts where both say something.
    #[must_use]
    pub fn and(mut self, besides: Basics, extra: &Said) -> Gathered {
        let (basics, besides) = (self.basics.clone(), vouched(besides, extra));
        let (email, verified) = match self.addressed() {
            true => (basics.email, basics.verified),
            false => (besides.email, besides.verified),
        };
        self.basics = match self.named() {
            true => Basics { email, verified, ..self.basics },
            false => Basics { subject: basics.subject, email, verified, ..besides },
        };
        for (name, value) in &extra.0 {
            self.extra.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// As it is used.
    ///
    /// # Errors
    /// [`Trouble::Untrusted`] for a subject that nobody can have.
    pub fn claimed(self, groups: &str, authenticated: Option<Micros>) -> Result<Claimed, Trouble> {
        let groups = match self.groups(groups) {
            Groups::Said(groups) => Some(groups),
            Groups::Unsaid => Some(Vec::new()),
            Groups::Elsewhere => None,
        };
        let Basics { subject, email, verified, name, username, given, family } = self.basics;
        let short = (1..=MAX_SUBJECT).contains(&subject.chars().count());
        if !short || subject.chars().any(char::is_control) {
            return Err(Trouble::Untrusted("the subject is empty or too long".to_owned()));
        }
        let email = email.and_then(|email| normal_email(&email));
        let plain = |name: Option<String>| name.as_deref().and_then(plain_name);
        Ok(Claimed {
            subject,
            verified: email.is_some() && verified == Some(true),
            email,
            name: plain(name).or_else(|| plain(username)),
            first: plain(given),
            last: plain(family),
            groups,
            authenticated,
            multi_factor: false,
        })
    }

    fn groups(&self, claim: &str) -> Groups {
        // Who has too many of them is told where to ask for them (OpenID Connect Core, section 5.6.2).
        let elsewhere = self.extra.get("_claim_names").and_then(|names| names.get(claim));
        match find(&self.extra, claim) {
            Some(Value::String(one)) => Groups::Said(vec![one.clone()]),
            Some(Value::Array(many)) if many.len() <= MAX_GROUPS => {
                Groups::Said(many.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            Some(Value::Array(_)) => Groups::Elsewhere,
            _ if elsewhere.is_some() => Groups::Elsewhere,
            _ => Groups::Unsaid,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Groups {
    Said(Vec<String>),
    /// There is no such claim: whoever is in no group has none at many issuers.
    Unsaid,
    /// They are said elsewhere, where nobody asks.
    Elsewhere,
}

/// Entra never says `email_verified`. If it is asked to, it says `xms_edov` instead: the owner of the address's domain has
/// been verified (learn.microsoft.com/entra/identity-platform/optional-claims-reference), in one of these three forms.
fn vouched(basics: Basics, extra: &Said) -> Basics {
    let domain = extra.0.get("xms_edov").map(|said| *said == true || *said == 1 || *said == "1");
    Basics { verified: basics.verified.or(domain), ..basics }
}

/// A claim by its name, or by a path with dots.
fn find<'v>(claims: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    if let Some(found) = claims.get(path) {
        return Some(found);
    }
    let (first, rest) = path.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

/// A name in one short line; nothing when nothing is left of it.
fn plain_name(name: &str) -> Option<String> {
    let plain = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect::<String>();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn basics(email: Option<&str>, verified: Option<bool>) -> Basics {
        let subject = "1".to_owned();
        Basics { subject, email: email.map(str::to_owned), verified, ..Basics::default() }
    }

    fn said(extra: &Value) -> Said {
        Said(extra.as_object().unwrap().clone())
    }

    #[test]
    fn groups_are_read_in_their_many_forms() {
        for (extra, claim, expected) in [
            (json!({ "groups": ["a", "b", 1] }), "groups", Some(vec!["a", "b"])),
            (json!({ "groups": "a" }), "groups", Some(vec!["a"])),
            (json!({ "groups": [] }), "groups", Some(vec![])),
            (json!({}), "groups", Some(vec![])),
            (json!({ "realm_access": { "roles": ["a"] } }), "realm_access.roles", Some(vec!["a"])),
            (json!({ "https://a.example/groups": ["a"] }), "https://a.example/groups", Some(vec!["a"])),
            (json!({ "_claim_names": { "groups": "src1" } }), "groups", None),
        ] {
            let claimed = Gathered::new(basics(None, None), &said(&extra)).claimed(claim, None).unwrap();
            let expected = expected.map(|groups| groups.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(claimed.groups, expected, "{extra}");
        }
    }

    #[test]
    fn what_entra_says_of_an_address_counts() {
        let address =
            |verified, extra: &Value| Gathered::new(basics(Some("ana@x.example"), verified), &said(extra));
        let verified = |all: Gathered| all.claimed("groups", None).unwrap().verified;
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
        // It does not outdo what is standard, and is not about an address that another answer said.
        assert!(!verified(address(Some(false), &json!({ "xms_edov": true }))));
        let elsewhere = said(&json!({ "xms_edov": true }));
        assert!(!verified(address(None, &json!({})).and(basics(None, None), &elsewhere)));
        assert!(!verified(
            Gathered::new(basics(None, None), &elsewhere)
                .and(basics(Some("eve@x.example"), None), &said(&json!({})))
        ));
    }

    #[test]
    fn an_address_and_whether_it_is_theirs_come_together() {
        let token = || Gathered::new(basics(Some("eve@x.example"), None), &Said::default());
        assert!(!token().complete(None));
        let besides = basics(Some("Ana@X.example"), Some(true));
        let named = Basics { username: Some("ana".into()), ..besides };
        let groups = said(&json!({ "groups": ["a"] }));
        assert!(Gathered::new(named.clone(), &Said::default()).complete(None));
        assert!(!Gathered::new(named.clone(), &Said::default()).complete(Some("groups")));
        assert!(Gathered::new(named.clone(), &groups).complete(Some("groups")));
        let both = token().and(named, &groups).claimed("groups", None).unwrap();
        assert_eq!((both.email.as_deref(), both.verified), (Some("ana@x.example"), true));
        assert_eq!((both.groups, both.name.as_deref()), (Some(vec!["a".to_owned()]), Some("ana")));

        assert!(!token().claimed("groups", None).unwrap().verified, "what is not said is not so");
        // What the token says is not changed by what is said besides.
        let own = Gathered::new(basics(Some("ana@x.example"), Some(false)), &Said::default());
        let own = own.and(basics(Some("eve@x.example"), Some(true)), &Said::default());
        let own = own.claimed("groups", None).unwrap();
        assert_eq!((own.email.as_deref(), own.verified), (Some("ana@x.example"), false));
        let none = Gathered::new(basics(Some("no address"), Some(true)), &Said::default());
        assert!(!none.claimed("groups", None).unwrap().verified);
    }

    #[test]
    fn nobody_is_called_by_nothing() {
        for subject in [String::new(), "x".repeat(256), "a\0b".to_owned()] {
            let basics = Basics { subject, ..Basics::default() };
            assert!(Gathered::new(basics, &Said::default()).claimed("groups", None).is_err());
        }
        assert_eq!(plain_name(" Ana\r\n\u{1b}[31m "), Some("Ana[31m".to_owned()));
        assert_eq!(plain_name("\n"), None);
    }
}
