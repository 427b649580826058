//! Passwords and attempts: how long a password must be, and how many wrong ones are too many.

use crate::Refusal;
use crate::time::{Micros, Span};

/// How long a password may be, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordRule {
    /// At least.
    pub min: u32,
    /// At most: what is longer only makes hashing dear.
    pub max: u32,
}

impl PasswordRule {
    /// Checks a new password. Length is all that is asked: rules about kinds of characters make passwords worse.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] that names `field` and never the password.
    pub fn check(self, field: &str, password: &str) -> Result<(), Refusal> {
        let length = password.chars().take(self.max as usize + 1).count();
        if (self.min as usize..=self.max as usize).contains(&length) {
            return Ok(());
        }
        Err(Refusal::invalid(field, format!("a password of {} to {} characters", self.min, self.max)))
    }

    /// Whether a password that somebody signs in with could be one at all; it may be older than the rule's minimum.
    pub fn possible(self, password: &str) -> bool {
        password.chars().take(self.max as usize + 1).count() <= self.max as usize
    }
}

/// How often a sign-in was tried and failed since a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// How often.
    pub failed: i64,
    /// Since when.
    pub since: Micros,
}

impl Attempts {
    /// For how long no more may be tried, if `limit` is used up within `window`.
    pub fn locked(self, limit: u32, window: Span, now: Micros) -> Option<Span> {
        let until = self.since + window;
        (self.failed > i64::from(limit) && now < until).then(|| until.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_length_counts_in_characters() {
        let rule = PasswordRule { min: 8, max: 72 };
        for (password, good) in [
            (String::new(), false),
            ("1234567".into(), false),
            ("12345678".into(), true),
            ("ääääääää".into(), true),
            ("pass\0word".into(), true),
            ("x".repeat(72), true),
            ("x".repeat(73), false),
            ("ä".repeat(73), false),
            ("x".repeat(1_000_000), false),
        ] {
            assert_eq!(rule.check("password", &password).is_ok(), good, "{} bytes", password.len());
        }
        let error = rule.check("new-password", "secret").unwrap_err().to_string();
        assert!(error.contains("new-password") && !error.contains("secret"), "{error}");
        assert!(rule.possible("short") && !rule.possible(&"x".repeat(73)));
    }

    #[test]
    fn too_many_attempts_wait_until_the_window_is_over() {
        let (start, window) = (Micros(1_000_000), Span::minutes(15));
        let attempts = |failed| Attempts { failed, since: start };
        assert_eq!(attempts(10).locked(10, window, start), None);
        assert_eq!(attempts(11).locked(10, window, start), Some(window));
        assert_eq!(attempts(11).locked(10, window, start + window), None);
    }
}
