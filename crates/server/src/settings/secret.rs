//! A setting that is a secret as a whole.

use super::kinds::{Kind, Secrecy};
use std::fmt;

/// A secret, or none.
pub(super) struct Secret;
impl Kind for Secret {
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

/// A secret, which cannot be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The secret itself: for sending it to whom it is for.
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
        let secret = Secret::parse("hunter2 \n").unwrap().unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("hunter2", "***"));
        assert_eq!((Secret::parse(""), Secret::parse("two\nlines")), (Some(None), None));
    }
}
