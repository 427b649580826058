//! Settings that are secrets as a whole.

use super::kinds::{Secrecy, SettingKind};
use std::fmt;

/// A secret in one line. Optional.
pub(super) struct OptionalSecret;
impl SettingKind for OptionalSecret {
    type Value = Option<SecretText>;
    const EXPECTED: &'static str = "a secret in one line, or nothing";
    const PLACEHOLDER: &'static str = "SECRET";
    const SECRECY: Secrecy = Secrecy::Whole;
    fn parse(given: &str) -> Option<Option<SecretText>> {
        let given = given.trim();
        (!given.chars().any(char::is_control))
            .then(|| (!given.is_empty()).then(|| SecretText(given.to_owned())))
    }
}

/// A secret. `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The secret itself, for sending it to the service that it authenticates at.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> SecretText {
        SecretText(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = OptionalSecret::parse("hunter2 \n").unwrap().unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("hunter2", "***"));
        assert_eq!((OptionalSecret::parse(""), OptionalSecret::parse("two\nlines")), (Some(None), None));
    }
}
