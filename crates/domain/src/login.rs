//! Login sessions: a person signed in, from where, how, and until when.
//!
//! A login session's id is public: it stands in lists and in answers. What signs a person in is a secret apart from
//! it, which travels inside of a signed token and is kept as a hash.

use crate::ids::{CredentialId, PrincipalId, SessionId};
use crate::principal::Scopes;
use crate::session::{EndReason, Ending};
use crate::time::{Micros, Span};
use std::net::IpAddr;

/// A use is noted when the last note is this old: sliding renewal writes at most once a minute.
pub const RENEW_EVERY: Span = Span::seconds(60);
/// Bytes of a user agent that are kept.
pub const MAX_AGENT: usize = 512;

/// How somebody showed who they are, in the words of RFC 8176.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// With a password.
    Password,
    /// With a code that can be used once.
    OneTime,
    /// With an API key, which made the session.
    Key,
    /// With more than one factor; the others that are named say which.
    MultiFactor,
    /// By an issuer that the account trusts. The registry of RFC 8176 has no word for it; `fed` is what others say.
    Federated,
}

impl Method {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Method::Password => "pwd",
            Method::OneTime => "otp",
            Method::Key => "key",
            Method::MultiFactor => "mfa",
            Method::Federated => "fed",
        }
    }

    /// The method of a word.
    pub fn parse(name: &str) -> Option<Method> {
        use Method::*;
        [Password, OneTime, Key, MultiFactor, Federated].into_iter().find(|method| method.name() == name)
    }
}

/// From where a session was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The peer's address, or what a trusted proxy says it is.
    pub remote_ip: Option<IpAddr>,
    /// What the client calls itself; see [`agent_text`].
    pub agent: String,
    /// What kind of client that is: `pc`, `smartphone`, `crawler`, …
    pub agent_type: String,
}

/// A login session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Public; says when it was created.
    pub id: SessionId,
    /// Who is signed in.
    pub owner: PrincipalId,
    /// Grows with every change that a reader could see.
    pub revision: i64,
    /// Last use, to about a minute.
    pub seen: Micros,
    /// Unused for this long, it is over.
    pub idle: Span,
    /// Then it is over in any case.
    pub expires: Micros,
    /// When its owner last showed who they are.
    pub authenticated: Micros,
    /// And how.
    pub methods: Vec<Method>,
    /// From where it was opened.
    pub origin: Origin,
    /// The API key that opened it: it ends with that key.
    pub credential: Option<CredentialId>,
    /// What it may at most; nothing is whatever its owner may.
    pub scopes: Option<Scopes>,
    /// When and how it ended, which is final.
    pub ended: Option<(Micros, Ending)>,
}

impl Login {
    /// When it is over if nobody uses it again.
    pub fn idle_until(&self) -> Micros {
        self.seen + self.idle
    }

    /// Why time has ended it, if it has: at its end to the microsecond, not after it.
    pub fn over(&self, now: Micros) -> Option<EndReason> {
        if now >= self.expires {
            Some(EndReason::Expired)
        } else if now >= self.idle_until() {
            Some(EndReason::Idle)
        } else {
            None
        }
    }

    /// Whether it opens anything.
    pub fn alive(&self, now: Micros) -> bool {
        self.ended.is_none() && self.over(now).is_none()
    }
}

/// Which of all login sessions; what is nothing is any.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginQuery {
    /// Whose.
    pub owner: Option<uuid::Uuid>,
    /// Opened from this address.
    pub remote_ip: Option<IpAddr>,
    /// Opened by this kind of client; see [`Origin::agent_type`].
    pub agent_type: Option<String>,
    /// Opened before then, in microseconds since 1970.
    pub opened_before_us: Option<i64>,
    /// Authenticated by this method among others, by its word.
    pub method: Option<String>,
}

impl LoginQuery {
    /// Whether a session is one of them.
    pub fn fits(&self, login: &Login) -> bool {
        let method = |name: &str| login.methods.iter().any(|method| method.name() == name);
        self.owner.is_none_or(|owner| login.owner.0 == owner)
            && self.remote_ip.is_none_or(|ip| login.origin.remote_ip == Some(ip))
            && self.agent_type.as_deref().is_none_or(|kind| login.origin.agent_type == kind)
            && self.opened_before_us.is_none_or(|before| login.id.created().0 < before)
            && self.method.as_deref().is_none_or(method)
    }
}

/// The last use to note when one was noted at `seen`; nothing when that is fresh enough, or when the clock stepped
/// back.
pub fn renewal(seen: Micros, now: Micros) -> Option<Micros> {
    (now >= seen + RENEW_EVERY).then_some(now)
}

/// Which sessions must give way, least recently used first, before one more may be opened under a limit. Refusing the
/// new one instead would let whoever stole a password lock its owner out.
pub fn displaced(open: &[Login], limit: u32) -> Vec<SessionId> {
    let mut oldest = open.iter().collect::<Vec<_>>();
    oldest.sort_by_key(|login| (login.seen, login.id));
    let room = (limit.max(1) - 1) as usize;
    oldest.iter().take(open.len().saturating_sub(room)).map(|login| login.id).collect()
}

/// What somebody is to a person whose profile or password they ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The person.
    Itself,
    /// Whoever made the person as a sub user.
    Maker,
    /// An administrator of the account.
    Administrator,
}

/// What somebody wants of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To know the profile.
    See,
    /// To change the profile or the password.
    Change,
}

/// What binds a sub user to the one who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ties {
    /// Who made it; `None` for everybody who is no sub user.
    pub maker: Option<PrincipalId>,
    /// Whether it has not shown yet that its address is its own.
    pub pending: bool,
    /// Whether its maker manages the members of every organization that it is a member of.
    pub managed: bool,
    /// Whether it has a role in the account.
    pub account_role: bool,
}

/// What `caller` is to `person`. `None` for everybody who may not do what they want: a maker changes a sub user until
/// it has shown that its address is its own, and sees it for as long as it is a member only where the maker manages
/// members.
pub fn standing(
    caller: PrincipalId,
    administrator: bool,
    person: PrincipalId,
    reach: Reach,
    ties: Ties,
) -> Option<Standing> {
    let bound = ties.managed && !ties.account_role && (reach == Reach::See || ties.pending);
    if caller == person {
        Some(Standing::Itself)
    } else if ties.maker == Some(caller) && bound {
        Some(Standing::Maker)
    } else {
        administrator.then_some(Standing::Administrator)
    }
}

/// What a client calls itself as it is kept: without control characters, at most [`MAX_AGENT`] bytes, whole characters.
pub fn agent_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for character in String::from_utf8_lossy(bytes).chars().filter(|character| !hidden(*character)) {
        if text.len() + character.len_utf8() > MAX_AGENT {
            break;
        }
        text.push(character);
    }
    text
}

/// Characters that do something to the line they stand in instead of being seen.
fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Where a client may be sent after it signed in or out: a path of this server, or a URL below its own. Whatever
/// could lead elsewhere (`//host`, `\\host`, `javascript:`, `user@host`, line breaks) is dropped.
pub fn return_url(text: &str, base: &str) -> Option<String> {
    let plain = text.chars().all(|character| character.is_ascii_graphic() && character != '\\');
    let path = match text.strip_prefix(base) {
        Some(rest) if rest.is_empty() || rest.starts_with(['?', '#']) => {
            return plain.then(|| text.to_owned());
        }
        Some(rest) => rest,
        None => text,
    };
    (plain && path.starts_with('/') && !path.starts_with("//")).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const START: Micros = Micros(1_772_366_400_000_000);

    fn login(seen: Micros, tail: u64) -> Login {
        Login {
            id: SessionId::new(START, tail),
            owner: PrincipalId(Uuid::from_u128(1)),
            revision: 1,
            seen,
            idle: Span::minutes(60),
            expires: START + Span::minutes(180),
            authenticated: START,
            methods: vec![Method::Password],
            origin: Origin::default(),
            credential: None,
            scopes: None,
            ended: None,
        }
    }

    #[test]
    fn a_session_is_over_to_the_microsecond() {
        let fresh = login(START, 1);
        let used = login(START + Span::minutes(179), 1);
        for (login, at, expected) in [
            (&fresh, Span(0), None),
            (&fresh, Span(Span::minutes(60).0 - 1), None),
            (&fresh, Span::minutes(60), Some(EndReason::Idle)),
            (&used, Span(Span::minutes(180).0 - 1), None),
            (&used, Span::minutes(180), Some(EndReason::Expired)),
        ] {
            assert_eq!(login.over(START + at), expected, "{at:?}");
            assert_eq!(login.alive(START + at), expected.is_none());
        }
        // A clock that steps back opens nothing that has ended, and ends nothing.
        assert!(fresh.alive(START - Span::minutes(5)));
        let ending = Ending { reason: EndReason::SignedOut, actor: None, evidence: String::new() };
        let ended = Login { ended: Some((START, ending)), ..fresh };
        assert!(!ended.alive(START));
    }

    #[test]
    fn a_query_fits_what_it_says() {
        let mut found = login(START, 1);
        found.origin.remote_ip = Some("192.0.2.1".parse().unwrap());
        found.origin.agent_type = "pc".to_owned();
        let any = LoginQuery::default();
        assert!(any.fits(&found));
        let cases = [
            (LoginQuery { owner: Some(Uuid::from_u128(1)), ..any.clone() }, true),
            (LoginQuery { owner: Some(Uuid::from_u128(2)), ..any.clone() }, false),
            (LoginQuery { remote_ip: found.origin.remote_ip, ..any.clone() }, true),
            (LoginQuery { remote_ip: Some("192.0.2.2".parse().unwrap()), ..any.clone() }, false),
            (LoginQuery { agent_type: Some("pc".into()), ..any.clone() }, true),
            (LoginQuery { agent_type: Some("PC".into()), ..any.clone() }, false),
            (LoginQuery { opened_before_us: Some(START.0 + 1), ..any.clone() }, true),
            (LoginQuery { opened_before_us: Some(START.0), ..any.clone() }, false),
            (LoginQuery { method: Some("pwd".into()), ..any.clone() }, true),
            (LoginQuery { method: Some("otp".into()), ..any.clone() }, false),
            (LoginQuery { owner: Some(Uuid::from_u128(1)), method: Some("otp".into()), ..any }, false),
        ];
        for (query, fits) in cases {
            assert_eq!(query.fits(&found), fits, "{query:?}");
        }
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let noted =
            [0, 59, 60, 61, -100].map(|seconds| renewal(START, Micros(START.0 + seconds * 1_000_000)));
        let at = |seconds| Some(START + Span::seconds(seconds));
        assert_eq!(noted, [None, None, at(60), at(61), None]);
    }

    proptest! {
        #[test]
        fn the_least_recently_used_give_way(seen in proptest::collection::vec(0i64..50, 0..20), limit in 0u32..10) {
            let open = seen.iter().zip(0..).map(|(seen, tail)| login(START + Span(*seen), tail)).collect::<Vec<_>>();
            let gone = displaced(&open, limit);
            let stay = open.iter().filter(|login| !gone.contains(&login.id)).collect::<Vec<_>>();
            prop_assert!(stay.len() < limit.max(1) as usize, "there is room for one");
            prop_assert!(gone.is_empty() || stay.len() + 1 == limit.max(1) as usize, "and for no more than one");
            for login in open.iter().filter(|login| gone.contains(&login.id)) {
                prop_assert!(stay.iter().all(|other| (login.seen, login.id) < (other.seen, other.id)));
            }
        }

        #[test]
        fn any_user_agent_is_one_short_line(bytes: Vec<u8>) {
            let text = agent_text(&bytes);
            prop_assert!(text.len() <= MAX_AGENT && !text.chars().any(hidden));
        }

        #[test]
        fn a_return_url_stays_here(text in "[/\\\\:@a-z.#? \r\n]{0,12}") {
            if let Some(url) = return_url(&text, "https://here") {
                prop_assert!(url.starts_with('/') && !url.starts_with("//") && !url.contains(['\\', '\r', '\n']));
            }
        }
    }

    #[test]
    fn return_urls() {
        let base = "https://here.example";
        for good in ["/", "/a?b#c", base, "https://here.example/a", "https://here.example?x"] {
            assert_eq!(return_url(good, base).as_deref(), Some(good));
        }
        for bad in [
            "",
            "a",
            "//evil",
            "/\\evil",
            "\\\\evil",
            "javascript:alert(1)",
            "https://evil",
            "https://here.example.evil/",
            "https://here.example@evil/",
            "https://here.example//evil",
            "https://here.example:1/",
            "/a\r\nSet-Cookie: x",
            "/ä",
        ] {
            assert_eq!(return_url(bad, base), None, "{bad}");
        }
    }

    #[test]
    fn who_stands_where() {
        use Reach::{Change, See};
        use Standing::{Administrator, Itself, Maker};
        let [me, maker, other] = [1, 2, 3].map(|n| PrincipalId(Uuid::from_u128(n)));
        let new = Ties { maker: Some(maker), pending: true, managed: true, account_role: false };
        let verified = Ties { pending: false, ..new };
        let elsewhere = Ties { managed: false, ..new };
        let of_account = Ties { account_role: true, ..new };
        for (caller, administrator, ties, sees, changes) in [
            (me, true, new, Some(Itself), Some(Itself)),
            (me, false, elsewhere, Some(Itself), Some(Itself)),
            (maker, false, new, Some(Maker), Some(Maker)),
            (maker, false, verified, Some(Maker), None),
            (maker, true, verified, Some(Maker), Some(Administrator)),
            (maker, false, elsewhere, None, None),
            (maker, false, of_account, None, None),
            (maker, true, of_account, Some(Administrator), Some(Administrator)),
            (other, false, new, None, None),
            (other, true, new, Some(Administrator), Some(Administrator)),
        ] {
            let found = [See, Change].map(|reach| standing(caller, administrator, me, reach, ties));
            assert_eq!(found, [sees, changes], "{caller} {administrator} {ties:?}");
        }
        let nobodys = Ties { maker: None, ..new };
        assert_eq!(standing(me, false, maker, See, nobodys), None, "a sub user does not reach its maker");
    }

    #[test]
    fn user_agents_are_cut_between_characters() {
        assert_eq!(agent_text(b"curl/8\r\n\x1b[31mred\0"), "curl/8[31mred");
        let long = "ä".repeat(MAX_AGENT);
        assert_eq!(agent_text(long.as_bytes()).len(), MAX_AGENT);
        assert_eq!(agent_text(&[b"a".as_slice(), long.as_bytes()].concat()).len(), MAX_AGENT - 1);
    }
}
