//! Second factors: the codes of an authenticator app, recovery codes, and how recent a sign-in has to be.

use crate::credential::base32;
use crate::time::{Micros, Span};

/// Length of the secret of an authenticator app, in bytes: the length of a SHA-1 hash (RFC 4226, section 4).
pub const SECRET_BYTES: usize = 20;
/// Number of recovery codes, for users who lose the app.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes of a recovery code: a multiple of five, so that base32 needs no padding.
pub const RECOVERY_BYTES: usize = 10;
/// How long a login challenge, the second half of a sign-in, stays valid.
pub const CHALLENGE_LIFETIME: Span = Span::minutes(5);

/// Digits of a code of an app.
const DIGITS: usize = 6;
/// Characters of a recovery code without its hyphens.
const RECOVERY_CHARACTERS: usize = RECOVERY_BYTES * 8 / 5;

/// A code that a user typed.
#[derive(Clone, PartialEq, Eq)]
pub enum SecondFactorCode {
    /// A code of the app: six digits.
    Time(String),
    /// A recovery code, in lower case and without hyphens.
    Recovery(String),
}

impl SecondFactorCode {
    /// Parses a typed code, ignoring blanks, hyphens and case; `None` if it is malformed.
    pub fn parse(typed: &str) -> Option<SecondFactorCode> {
        // Nobody types more than that.
        let few = typed.len() <= 64;
        let plain = typed.chars().filter(|c| few && !c.is_whitespace() && *c != '-').collect::<String>();
        let plain = plain.to_ascii_lowercase();
        let digits = plain.len() == DIGITS && plain.bytes().all(|byte| byte.is_ascii_digit());
        let letters = plain.len() == RECOVERY_CHARACTERS
            && plain.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        match (digits, letters) {
            (true, _) => Some(SecondFactorCode::Time(plain)),
            (_, true) => Some(SecondFactorCode::Recovery(plain)),
            _ => None,
        }
    }
}

/// A new recovery code, in groups of four characters for display.
pub fn recovery_code(random: [u8; RECOVERY_BYTES]) -> String {
    let plain = base32(&random);
    let groups = plain.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join("-")
}

/// Whether an authentication at `authenticated` is recent enough at `now`. Callers with an API key have no such time, and
/// always pass.
pub fn is_fresh(authenticated: Option<Micros>, within: Span, now: Micros) -> bool {
    authenticated.is_none_or(|at| now < at + within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_are_read_as_people_type_them() {
        let read = |text: &str| match SecondFactorCode::parse(text) {
            Some(SecondFactorCode::Time(code)) => format!("time {code}"),
            Some(SecondFactorCode::Recovery(code)) => format!("recovery {code}"),
            None => "none".to_owned(),
        };
        for (typed, expected) in [
            ("123456", "time 123456"),
            (" 123 456\n", "time 123456"),
            ("123-456", "time 123456"),
            ("ABCD-efgh-2345-ijkl", "recovery abcdefgh2345ijkl"),
            ("abcdefgh2345ijkl", "recovery abcdefgh2345ijkl"),
            ("12345", "none"),
            ("1234567", "none"),
            ("١٢٣٤٥٦", "none"),
            ("abcd-efgh-2345-ijk1", "none"),
            ("", "none"),
        ] {
            assert_eq!(read(typed), expected, "{typed}");
        }
        assert_eq!(read(&format!("123456{}", " ".repeat(1000))), "none");
    }

    proptest! {
        #[test]
        fn a_shown_secret_can_be_typed(random: [u8; RECOVERY_BYTES], other: [u8; RECOVERY_BYTES]) {
            let shown = recovery_code(random);
            prop_assert_eq!(shown.len(), 19);
            let plain = shown.replace('-', "");
            prop_assert!(SecondFactorCode::parse(&shown) == Some(SecondFactorCode::Recovery(plain)));
            prop_assert_eq!(random == other, shown == recovery_code(other));
        }
    }

    #[test]
    fn freshness_ends_to_the_microsecond() {
        let (at, within) = (Micros(1_000), Span::seconds(600));
        assert!(is_fresh(None, within, at), "a key");
        assert!(is_fresh(Some(at), within, Micros(at.0 + within.0 - 1)));
        assert!(!is_fresh(Some(at), within, at + within));
        assert!(is_fresh(Some(at), within, Micros(0)), "a clock that steps back asks nobody");
        assert!(!is_fresh(Some(at), Span(0), at), "at once is too late when nothing is fresh enough");
    }
}
