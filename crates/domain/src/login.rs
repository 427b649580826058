//! Login sessions: who is signed in, from where, how, and until when.
//!
//! A login session's id is public: lists and responses contain it. The secret of the session is separate: it is part of
//! a signed token, and only its hash is stored.

use crate::agent::TimeRange;
use crate::ids::{CredentialId, PrincipalId, SessionId};
use crate::principal::Scopes;
use crate::session::{EndReason, Ending, Filter, TimeField, ValueField};
use crate::time::{Micros, Span};
use std::net::IpAddr;

/// How often the last use of a session is recorded: renewal writes at most once a minute.
pub const RENEW_EVERY: Span = Span::seconds(60);
/// Maximum length of a stored user agent, in bytes.
pub const MAX_AGENT: usize = 512;

/// An authentication method, by its name in RFC 8176.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// A password.
    Password,
    /// A one-time code.
    OneTime,
    /// An API key.
    Key,
    /// More than one factor; the session's other methods say which.
    MultiFactor,
    /// An issuer that the account trusts. RFC 8176 has no name for it; `fed` is in common use.
    Federated,
}

impl Method {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Method::Password => "pwd",
            Method::OneTime => "otp",
            Method::Key => "key",
            Method::MultiFactor => "mfa",
            Method::Federated => "fed",
        }
    }

    /// The method with this name.
    pub fn parse(name: &str) -> Option<Method> {
        use Method::*;
        [Password, OneTime, Key, MultiFactor, Federated].into_iter().find(|method| method.name() == name)
    }
}

/// The client that opened a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The client's address: the peer's, or the one that a trusted proxy states.
    pub remote_ip: Option<IpAddr>,
    /// The client's user agent; see [`normalize_user_agent`].
    pub agent: String,
    /// The kind of client: `pc`, `smartphone`, `crawler`, …
    pub agent_type: String,
}

/// A login session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its id, which is public and contains the time of creation.
    pub id: SessionId,
    /// The person who is signed in.
    pub owner: PrincipalId,
    /// Incremented with every change that clients can see.
    pub revision: i64,
    /// Time of the last use, accurate to about a minute.
    pub seen: Micros,
    /// It ends when it is unused for this long.
    pub idle: Span,
    /// It ends at this time in any case.
    pub expires: Micros,
    /// When its owner last authenticated.
    pub authenticated: Micros,
    /// The methods of that authentication.
    pub methods: Vec<Method>,
    /// The client that opened it.
    pub origin: Origin,
    /// The API key that opened it. It ends when that key does.
    pub credential: Option<CredentialId>,
    /// Upper bound on its permissions; `None` means no bound beyond its owner's permissions.
    pub scopes: Option<Scopes>,
    /// When and why it ended.
    pub ended: Option<(Micros, Ending)>,
}

impl Login {
    /// When it ends unless it is used again.
    pub fn idle_until(&self) -> Micros {
        self.seen + self.idle
    }

    /// Why it has expired at `now`, if it has. It ends exactly at its end time, not after it.
    pub fn expiry_reason(&self, now: Micros) -> Option<EndReason> {
        if now >= self.expires {
            Some(EndReason::Expired)
        } else if now >= self.idle_until() {
            Some(EndReason::Idle)
        } else {
            None
        }
    }

    /// Whether it has neither ended nor expired.
    pub fn is_open(&self, now: Micros) -> bool {
        self.ended.is_none() && self.expiry_reason(now).is_none()
    }
}

/// A query for login sessions. A field that is `None` matches all.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginQuery {
    /// The owner.
    pub owner: Option<uuid::Uuid>,
    /// The address of the client that opened it.
    pub remote_ip: Option<IpAddr>,
    /// The kind of the client that opened it; see [`Origin::agent_type`].
    pub agent_type: Option<String>,
    /// Opened before this time, in microseconds since 1970.
    pub opened_before_us: Option<i64>,
    /// The name of one of its methods.
    pub method: Option<String>,
}

impl LoginQuery {
    /// The filter of the sessions that match.
    pub fn to_filter(&self) -> Filter {
        let text = |field, text: &Option<String>| text.as_ref().map(|text| Filter::has_text(field, [text]));
        let before =
            |us: i64| Filter::Time(TimeField::Created, TimeRange { from: None, until: Some(Micros(us)) });
        let all = [
            self.owner.map(|owner| Filter::has_id(ValueField::Owner, [owner])),
            text(ValueField::Address, &self.remote_ip.map(|ip| ip.to_string())),
            text(ValueField::Client, &self.agent_type),
            text(ValueField::Method, &self.method),
            self.opened_before_us.map(before),
        ];
        Filter::And(all.into_iter().flatten().collect())
    }
}

/// The last use to record when the recorded one is `seen`; `None` when that is recent enough, or when the clock stepped
/// back.
pub fn renewal(seen: Micros, now: Micros) -> Option<Micros> {
    (now >= seen + RENEW_EVERY).then_some(now)
}

/// The sessions to end, least recently used first, so that one more can be opened under a limit. If the new one were
/// refused instead, a thief of a password could lock its owner out.
pub fn sessions_to_displace(open: &[Login], limit: u32) -> Vec<SessionId> {
    let mut oldest = open.iter().collect::<Vec<_>>();
    oldest.sort_by_key(|login| (login.seen, login.id));
    let room = (limit.max(1) - 1) as usize;
    oldest.iter().take(open.len().saturating_sub(room)).map(|login| login.id).collect()
}

/// The relation of a caller to a person whose profile or password they want to see or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonRelation {
    /// The caller is the person.
    Same,
    /// The caller created the person as a sub user.
    Maker,
    /// The caller is an administrator of the account.
    Administrator,
}

/// The access to a person that a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonAccess {
    /// See the profile.
    See,
    /// Change the profile or the password.
    Change,
}

/// What decides the access of a sub user's creator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubUserTies {
    /// Who created the sub user; `None` for a person who is not a sub user.
    pub maker: Option<PrincipalId>,
    /// Whether the sub user has not confirmed their address yet.
    pub pending: bool,
    /// Whether the creator manages the members of every organization that the sub user is a member of.
    pub managed: bool,
    /// Whether the sub user has a role in the account.
    pub account_role: bool,
}

/// The relation of `caller` to `person`, or `None` if the caller has no such access. The creator of a sub user can
/// change them until they confirm their address, and can see them while the creator manages the members of all of
/// their organizations and they have no role in the account.
pub fn relation_to_person(
    caller: PrincipalId,
    administrator: bool,
    person: PrincipalId,
    reach: PersonAccess,
    ties: SubUserTies,
) -> Option<PersonRelation> {
    let bound = ties.managed && !ties.account_role && (reach == PersonAccess::See || ties.pending);
    if caller == person {
        Some(PersonRelation::Same)
    } else if ties.maker == Some(caller) && bound {
        Some(PersonRelation::Maker)
    } else {
        administrator.then_some(PersonRelation::Administrator)
    }
}

/// A user agent as it is stored: without control characters, cut at a character to at most [`MAX_AGENT`] bytes.
pub fn normalize_user_agent(bytes: &[u8]) -> String {
    let mut text = String::new();
    for character in String::from_utf8_lossy(bytes).chars().filter(|character| !is_invisible(*character)) {
        if text.len() + character.len_utf8() > MAX_AGENT {
            break;
        }
        text.push(character);
    }
    text
}

/// Characters that are not visible but change how the line around them is displayed.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The URL to redirect to after sign-in or sign-out: a path of this server, or a URL below `base`. `None` for a text
/// that could lead elsewhere (`//host`, `\\host`, `javascript:`, `user@host`, line breaks).
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
            assert_eq!(login.expiry_reason(START + at), expected, "{at:?}");
            assert_eq!(login.is_open(START + at), expected.is_none());
        }
        // After the clock stepped back, no session ends and no ended session opens.
        assert!(fresh.is_open(START - Span::minutes(5)));
        let ending = Ending { reason: EndReason::SignedOut, actor: None, evidence: String::new() };
        let ended = Login { ended: Some((START, ending)), ..fresh };
        assert!(!ended.is_open(START));
    }

    #[test]
    fn a_query_selects_matching_logins() {
        let mut found = login(START, 1);
        found.origin.remote_ip = Some("192.0.2.1".parse().unwrap());
        found.origin.agent_type = "pc".to_owned();
        let any = LoginQuery::default();
        let matches = |query: &LoginQuery| query.to_filter().matches(&found.summary(None), START);
        assert!(matches(&any));
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
            assert_eq!(matches(&query), fits, "{query:?}");
        }
    }

    #[test]
    fn a_use_is_recorded_once_a_minute() {
        let noted =
            [0, 59, 60, 61, -100].map(|seconds| renewal(START, Micros(START.0 + seconds * 1_000_000)));
        let at = |seconds| Some(START + Span::seconds(seconds));
        assert_eq!(noted, [None, None, at(60), at(61), None]);
    }

    proptest! {
        #[test]
        fn the_least_recently_used_sessions_end(seen in proptest::collection::vec(0i64..50, 0..20), limit in 0u32..10) {
            let open = seen.iter().zip(0..).map(|(seen, tail)| login(START + Span(*seen), tail)).collect::<Vec<_>>();
            let gone = sessions_to_displace(&open, limit);
            let stay = open.iter().filter(|login| !gone.contains(&login.id)).collect::<Vec<_>>();
            prop_assert!(stay.len() < limit.max(1) as usize, "there is room for one");
            prop_assert!(gone.is_empty() || stay.len() + 1 == limit.max(1) as usize, "and for no more than one");
            for login in open.iter().filter(|login| gone.contains(&login.id)) {
                prop_assert!(stay.iter().all(|other| (login.seen, login.id) < (other.seen, other.id)));
            }
        }

        #[test]
        fn any_user_agent_is_one_short_line(bytes: Vec<u8>) {
            let text = normalize_user_agent(&bytes);
            prop_assert!(text.len() <= MAX_AGENT && !text.chars().any(is_invisible));
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
    fn every_relation_of_two_users() {
        use PersonAccess::{Change, See};
        use PersonRelation::{Administrator, Maker, Same};
        let [me, maker, other] = [1, 2, 3].map(|n| PrincipalId(Uuid::from_u128(n)));
        let new = SubUserTies { maker: Some(maker), pending: true, managed: true, account_role: false };
        let verified = SubUserTies { pending: false, ..new };
        let elsewhere = SubUserTies { managed: false, ..new };
        let of_account = SubUserTies { account_role: true, ..new };
        for (caller, administrator, ties, sees, changes) in [
            (me, true, new, Some(Same), Some(Same)),
            (me, false, elsewhere, Some(Same), Some(Same)),
            (maker, false, new, Some(Maker), Some(Maker)),
            (maker, false, verified, Some(Maker), None),
            (maker, true, verified, Some(Maker), Some(Administrator)),
            (maker, false, elsewhere, None, None),
            (maker, false, of_account, None, None),
            (maker, true, of_account, Some(Administrator), Some(Administrator)),
            (other, false, new, None, None),
            (other, true, new, Some(Administrator), Some(Administrator)),
        ] {
            let found = [See, Change].map(|reach| relation_to_person(caller, administrator, me, reach, ties));
            assert_eq!(found, [sees, changes], "{caller} {administrator} {ties:?}");
        }
        let nobodys = SubUserTies { maker: None, ..new };
        assert_eq!(
            relation_to_person(me, false, maker, See, nobodys),
            None,
            "a sub user does not reach its maker"
        );
    }

    #[test]
    fn user_agents_are_cut_between_characters() {
        assert_eq!(normalize_user_agent(b"curl/8\r\n\x1b[31mred\0"), "curl/8[31mred");
        let long = "ä".repeat(MAX_AGENT);
        assert_eq!(normalize_user_agent(long.as_bytes()).len(), MAX_AGENT);
        assert_eq!(normalize_user_agent(&[b"a".as_slice(), long.as_bytes()].concat()).len(), MAX_AGENT - 1);
    }
}
