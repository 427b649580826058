//! Programs without a browser that a person lets in (RFC 8628): the program shows a short code, the person types it
//! where it is signed in, and the program asks until it is answered.

use crate::login::Origin;
use crate::time::{Micros, Span};

/// How long a program waits between two questions at first, and how much longer after one that came too early.
pub const INTERVAL: Span = Span::seconds(5);
/// How long a program waits at most that keeps asking too early. From then on what comes too early changes nothing.
pub const MOST_INTERVAL: Span = Span::minutes(1);
/// How much earlier than that a question may arrive: it takes some time on its way.
const LEEWAY: Span = Span::seconds(1);
/// Letters that are hard to take for each other and spell no words (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has answered.
    Pending,
    /// A person let it in.
    Approved,
    /// A person did not.
    Denied,
    /// It has its key.
    Used,
}

impl State {
    /// The word for it in the store.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Approved => "approved",
            State::Denied => "denied",
            State::Used => "used",
        }
    }

    /// The state of a word.
    pub fn parse(name: &str) -> Option<State> {
        [State::Pending, State::Approved, State::Denied, State::Used]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// A program that asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceLogin {
    /// The id that the program's makers gave it. Anybody can send it.
    pub client: String,
    /// From where it asked.
    pub origin: Origin,
    /// When.
    pub created: Micros,
    /// From when on its codes are no good.
    pub expires: Micros,
    /// How long it has to wait between two questions.
    pub interval: Span,
    /// When it asked last.
    pub polled: Option<Micros>,
    /// How far it is.
    pub state: State,
}

/// What the program is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nobody has answered yet.
    Pending,
    /// It has asked too early; from now on it waits this long.
    SlowDown(Span),
    /// A person did not let it in.
    Denied,
    /// Nobody answered in time, or it has its key already.
    Expired,
    /// It gets its key.
    Ready,
}

impl DeviceLogin {
    /// What a question at `now` is answered with.
    pub fn answer(&self, now: Micros) -> Answer {
        if now >= self.expires || self.state == State::Used {
            return Answer::Expired;
        }
        let early = |last: Micros| now < last + self.interval - LEEWAY;
        match self.state {
            State::Denied => Answer::Denied,
            _ if self.polled.is_some_and(early) => {
                Answer::SlowDown(Span(self.interval.0 + INTERVAL.0).min(MOST_INTERVAL))
            }
            State::Approved => Answer::Ready,
            _ => Answer::Pending,
        }
    }
}

/// A code for people: 34 bits, which are enough for a code that lives for minutes and can be tried a few times.
pub fn user_code(random: [u8; 8]) -> String {
    let mut number = u64::from_be_bytes(random);
    let mut code = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        code.push(LETTERS[(number % 20) as usize] as char);
        number /= 20;
    }
    code
}

/// The code as people read it best.
pub fn shown(code: &str) -> String {
    match code.split_at_checked(LENGTH / 2) {
        Some((left, right)) => format!("{left}-{right}"),
        None => code.to_owned(),
    }
}

/// A code as a person typed it, in its one form: without hyphens and blanks, in upper case.
pub fn typed_code(text: &str) -> Option<String> {
    let bare = text.chars().filter(|c| !c.is_whitespace() && *c != '-').take(LENGTH + 1);
    let code = bare.collect::<String>().to_ascii_uppercase();
    (code.len() == LENGTH && code.bytes().all(|byte| LETTERS.contains(&byte))).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Micros = Micros(1_772_366_400_000_000);

    fn login(state: State, polled: Option<i64>) -> DeviceLogin {
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
    fn what_a_program_is_told() {
        let slower = Answer::SlowDown(Span::seconds(10));
        for (state, polled, at, expected) in [
            (State::Pending, None, 0, Answer::Pending),
            (State::Pending, Some(10), 14, Answer::Pending),
            (State::Pending, Some(10), 13, slower),
            (State::Approved, Some(10), 13, slower),
            (State::Approved, Some(10), 15, Answer::Ready),
            (State::Denied, Some(10), 11, Answer::Denied),
            (State::Used, None, 5, Answer::Expired),
            (State::Approved, None, 599, Answer::Ready),
            (State::Approved, None, 600, Answer::Expired),
            (State::Pending, None, 600, Answer::Expired),
            // A clock that stepped back: it waits.
            (State::Pending, Some(100), 0, slower),
        ] {
            let answer = login(state, polled).answer(START + Span::seconds(at));
            assert_eq!(answer, expected, "{state:?} {polled:?} {at}");
        }
    }

    #[test]
    fn nothing_else_is_a_code() {
        for bad in ["", "WDJB-MJH", "WDJB-MJHTX", "WDJB-MJHA", "WDJB_MJHT", "ＷDJBMJHT", "WDJBMJH\u{131}"] {
            assert_eq!(typed_code(bad), None, "{bad}");
        }
        assert_eq!(typed_code(" wdjb - mjht ").as_deref(), Some("WDJBMJHT"));
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_as_people_type_it(random: [u8; 8]) {
            let code = user_code(random);
            prop_assert_eq!(typed_code(&shown(&code)), Some(code.clone()));
            prop_assert_eq!(typed_code(&code.to_lowercase()), Some(code));
        }
    }
}
