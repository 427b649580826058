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

/// How often something was tried, and until when that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// How often.
    pub count: i64,
    /// The end of the window: from then on the count begins again.
    pub until: Micros,
}

impl Attempts {
    /// For how long no more may be tried, if `limit` attempts are used up and the window is not over.
    pub fn locked(self, limit: u32, now: Micros) -> Option<Span> {
        (self.count >= i64::from(limit) && now < self.until).then(|| self.until.since(now))
    }
}

/// How many attempts may fail, all of them as multiples of one number: what one user may fail from one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimits(pub u32);

impl AttemptLimits {
    /// Of one user from one network, or in one known browser.
    pub fn of_user(self) -> u32 {
        self.0
    }

    /// Of one user from one network that is crowded: few, so that nobody tries one password on all users, and not
    /// none, so that one visitor cannot keep out the others of an office.
    pub fn of_user_in_a_crowd(self) -> u32 {
        self.0.min(3)
    }

    /// Of one user from everywhere, known browsers aside, in four windows.
    pub fn of_user_everywhere(self) -> u32 {
        self.0.saturating_mul(3)
    }

    /// Of everybody from one network: more, and it is crowded.
    pub fn of_network(self) -> u32 {
        self.0.saturating_mul(10)
    }

    /// Of everybody from one network, before only known browsers get in.
    pub fn of_crowd(self) -> u32 {
        self.0.saturating_mul(100)
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
        let attempts = |count| Attempts { count, until: start + window };
        assert_eq!(attempts(9).locked(10, start), None);
        assert_eq!(attempts(10).locked(10, start), Some(window));
        assert_eq!(attempts(10).locked(10, start + window), None);
    }

    #[test]
    fn limits_grow_with_how_many_they_are_of() {
        for most in [1, 2, 3, 10, u32::MAX] {
            let limits = AttemptLimits(most);
            assert!(limits.of_user_in_a_crowd() <= limits.of_user() && limits.of_user_in_a_crowd() > 0);
            assert!(limits.of_user() <= limits.of_user_everywhere());
            assert!(limits.of_user_everywhere() <= limits.of_network());
            assert!(limits.of_network() <= limits.of_crowd());
        }
    }
}
