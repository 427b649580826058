//! Device logins (RFC 8628), for programs without a browser: the program shows a short code, a person enters the code
//! in a browser where they are signed in, and the program polls until the person has approved or denied it.

use crate::login::Origin;
use crate::time::{Micros, Span};

/// The initial interval between two polls, and the amount added to it after a poll that came too early.
pub const INTERVAL: Span = Span::seconds(5);
/// The longest interval. It does not grow further.
pub const MAX_INTERVAL: Span = Span::minutes(1);
/// How much earlier than the interval a poll may arrive: the time on the network varies.
const LEEWAY: Span = Span::seconds(1);
/// Letters that are hard to confuse and spell no words (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;

/// The state of a device login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceLoginState {
    /// Nobody has approved or denied it yet.
    Pending,
    /// A person approved it.
    Approved,
    /// A person denied it.
    Denied,
    /// The program got its key.
    Used,
}

impl DeviceLoginState {
    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            DeviceLoginState::Pending => "pending",
            DeviceLoginState::Approved => "approved",
            DeviceLoginState::Denied => "denied",
            DeviceLoginState::Used => "used",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<DeviceLoginState> {
        [
            DeviceLoginState::Pending,
            DeviceLoginState::Approved,
            DeviceLoginState::Denied,
            DeviceLoginState::Used,
        ]
        .into_iter()
        .find(|one| one.name() == name)
    }
}

/// A program's request for a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceLogin {
    /// The program's client id. It is not a secret: any program can send it.
    pub client: String,
    /// Where the request came from.
    pub origin: Origin,
    /// When the login was requested.
    pub created: Micros,
    /// When its codes expire.
    pub expires: Micros,
    /// The minimum interval between two polls.
    pub interval: Span,
    /// Time of the last poll.
    pub polled: Option<Micros>,
    /// Its state.
    pub state: DeviceLoginState,
}

/// The reply to a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollReply {
    /// Nobody has approved or denied the login yet.
    Pending,
    /// The poll came too early. This is the new interval.
    SlowDown(Span),
    /// A person denied the login.
    Denied,
    /// The codes have expired, or the program got its key before.
    Expired,
    /// The login is approved: the program gets its key.
    Ready,
}

impl DeviceLogin {
    /// The reply to a poll at `now`.
    pub fn poll_reply(&self, now: Micros) -> PollReply {
        if now >= self.expires || self.state == DeviceLoginState::Used {
            return PollReply::Expired;
        }
        let early = |last: Micros| now < last + self.interval - LEEWAY;
        match self.state {
            DeviceLoginState::Denied => PollReply::Denied,
            _ if self.polled.is_some_and(early) => {
                PollReply::SlowDown(Span(self.interval.0 + INTERVAL.0).min(MAX_INTERVAL))
            }
            DeviceLoginState::Approved => PollReply::Ready,
            _ => PollReply::Pending,
        }
    }
}

/// A new user code. It has 34 bits, which is enough for a code that expires in minutes and allows few attempts.
pub fn user_code(random: [u8; 8]) -> String {
    let mut number = u64::from_be_bytes(random);
    let mut code = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        code.push(LETTERS[(number % 20) as usize] as char);
        number /= 20;
    }
    code
}

/// The code with a hyphen in the middle, for display.
pub fn display_code(code: &str) -> String {
    match code.split_at_checked(LENGTH / 2) {
        Some((left, right)) => format!("{left}-{right}"),
        None => code.to_owned(),
    }
}

/// Parses a code that a person typed: ignores hyphens, blanks and case. Returns it in upper case, without hyphens.
pub fn parse_code(text: &str) -> Option<String> {
    let bare = text.chars().filter(|c| !c.is_whitespace() && *c != '-').take(LENGTH + 1);
    let code = bare.collect::<String>().to_ascii_uppercase();
    (code.len() == LENGTH && code.bytes().all(|byte| LETTERS.contains(&byte))).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Micros = Micros(1_772_366_400_000_000);

    fn login(state: DeviceLoginState, polled: Option<i64>) -> DeviceLogin {
        DeviceLogin {
            client: "x".into(),
            origin: Origin::default(),
            created: START,
            expires: START + Span::minutes(10),
            interval: INTERVAL,
            polled: polled.map(|seconds| START + Span::seconds(seconds)),
            state,
        }
    }

    #[test]
    fn every_state_has_its_poll_reply() {
        let slower = PollReply::SlowDown(Span::seconds(10));
        for (state, polled, at, expected) in [
            (DeviceLoginState::Pending, None, 0, PollReply::Pending),
            (DeviceLoginState::Pending, Some(10), 14, PollReply::Pending),
            (DeviceLoginState::Pending, Some(10), 13, slower),
            (DeviceLoginState::Approved, Some(10), 13, slower),
            (DeviceLoginState::Approved, Some(10), 15, PollReply::Ready),
            (DeviceLoginState::Denied, Some(10), 11, PollReply::Denied),
            (DeviceLoginState::Used, None, 5, PollReply::Expired),
            (DeviceLoginState::Approved, None, 599, PollReply::Ready),
            (DeviceLoginState::Approved, None, 600, PollReply::Expired),
            (DeviceLoginState::Pending, None, 600, PollReply::Expired),
            // After the clock stepped back, the program waits.
            (DeviceLoginState::Pending, Some(100), 0, slower),
        ] {
            let answer = login(state, polled).poll_reply(START + Span::seconds(at));
            assert_eq!(answer, expected, "{state:?} {polled:?} {at}");
        }
    }

    #[test]
    fn malformed_codes_are_refused() {
        for bad in ["", "WDJB-MJH", "WDJB-MJHTX", "WDJB-MJHA", "WDJB_MJHT", "ＷDJBMJHT", "WDJBMJH\u{131}"] {
            assert_eq!(parse_code(bad), None, "{bad}");
        }
        assert_eq!(parse_code(" wdjb - mjht ").as_deref(), Some("WDJBMJHT"));
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_as_people_type_it(random: [u8; 8]) {
            let code = user_code(random);
            prop_assert_eq!(parse_code(&display_code(&code)), Some(code.clone()));
            prop_assert_eq!(parse_code(&code.to_lowercase()), Some(code));
        }
    }
}
