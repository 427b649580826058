//! Passwords: their length, and the limits on failed attempts.

use crate::Refusal;
use crate::time::{Micros, Span};

/// The length of passwords, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordRule {
    /// Minimum.
    pub min: u32,
    /// Maximum: longer passwords only make hashing expensive.
    pub max: u32,
}

impl PasswordRule {
    /// Checks a new password. Only the length counts: rules about kinds of characters make passwords worse.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for `field`, without the password.
    pub fn check(self, field: &str, password: &str) -> Result<(), Refusal> {
        let length = password.chars().take(self.max as usize + 1).count();
        if (self.min as usize..=self.max as usize).contains(&length) {
            return Ok(());
        }
        Err(Refusal::invalid(field, format!("a password of {} to {} characters", self.min, self.max)))
    }

    /// Whether a password sent at sign-in can be right. It can be shorter than the minimum, which may have been raised since.
    pub fn is_possible(self, password: &str) -> bool {
        password.chars().take(self.max as usize + 1).count() <= self.max as usize
    }
}

/// The failed attempts in the current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// Number of attempts.
    pub count: i64,
    /// The end of the window. Then the count starts again.
    pub until: Micros,
}

impl Attempts {
    /// The remaining lockout, if `limit` attempts were made and the window has not ended.
    pub fn lockout(self, limit: u32, now: Micros) -> Option<Span> {
        (self.count >= i64::from(limit) && now < self.until).then(|| self.until.duration_since(now))
    }
}

/// The limits on failed attempts. All of them are multiples of one number: the limit of one user from one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimits(pub u32);

impl AttemptLimits {
    /// Limit of one user from one network, or in one known browser.
    pub fn user_limit(self) -> u32 {
        self.0
    }

    /// Limit of one user from a shared network, one with many failures: low, so that nobody can try one password on all
    /// users, but not zero, so that one visitor of an office cannot lock out everybody else there.
    pub fn user_limit_on_shared_network(self) -> u32 {
        self.0.min(3)
    }

    /// Limit of one user from all networks, known browsers aside, in four windows.
    pub fn user_limit_everywhere(self) -> u32 {
        self.0.saturating_mul(3)
    }

    /// Limit of all users from one network. Beyond it, the network counts as shared.
    pub fn network_limit(self) -> u32 {
        self.0.saturating_mul(10)
    }

    /// Limit of all users from one network, beyond which only known browsers can sign in.
    pub fn shared_network_limit(self) -> u32 {
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
        assert!(rule.is_possible("short") && !rule.is_possible(&"x".repeat(73)));
    }

    #[test]
    fn attempts_over_the_limit_wait_for_the_end_of_the_window() {
        let (start, window) = (Micros(1_000_000), Span::minutes(15));
        let attempts = |count| Attempts { count, until: start + window };
        assert_eq!(attempts(9).lockout(10, start), None);
        assert_eq!(attempts(10).lockout(10, start), Some(window));
        assert_eq!(attempts(10).lockout(10, start + window), None);
    }

    #[test]
    fn limits_grow_with_how_many_they_are_of() {
        for most in [1, 2, 3, 10, u32::MAX] {
            let limits = AttemptLimits(most);
            assert!(
                limits.user_limit_on_shared_network() <= limits.user_limit()
                    && limits.user_limit_on_shared_network() > 0
            );
            assert!(limits.user_limit() <= limits.user_limit_everywhere());
            assert!(limits.user_limit_everywhere() <= limits.network_limit());
            assert!(limits.network_limit() <= limits.shared_network_limit());
        }
    }
}
