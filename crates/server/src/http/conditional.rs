//! Conditional requests (RFC 9110, section 13): an answer that the client already has is not sent again.
//!
//! A tag is a hash of what an answer says: the texts of its sessions, how many there are, and who asked, because a cursor
//! belongs to its reader. The texts have been hashed when they were encoded, so an answer that is not sent is not put
//! together. Revisions would not do: a restored backup may use them again, and another version of the server may write a
//! session in another way.

use super::middleware::json_response;
use crate::failure::Failure;
use crate::operations::sessions::ListedSession;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::ids::PrincipalId;
use foldhash::quality::FixedState;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash, Hasher};

/// What identifies an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u64);

impl Tag {
    /// The tag of an answer with these sessions for a reader. `rest` is what else the answer says.
    pub fn new(reader: Option<PrincipalId>, sessions: &[ListedSession], rest: impl Hash) -> Tag {
        let mut hasher = FixedState::default().build_hasher();
        (reader, rest).hash(&mut hasher);
        sessions.iter().for_each(|listed| listed.body.hash(&mut hasher));
        Tag(hasher.finish())
    }

    /// The tag of an answer with one session.
    pub fn new_for_session(listed: &ListedSession) -> Tag {
        Tag::new(None, std::slice::from_ref(listed), ())
    }

    /// Adds the header with which a client can ask whether its copy is still right. Caches store nothing all the same:
    /// only programs that keep the answer themselves use it.
    pub fn set_header(self, headers: &mut HeaderMap) {
        if let Ok(tag) = HeaderValue::try_from(self.to_text()) {
            headers.insert(header::ETAG, tag);
        }
    }

    fn to_text(self) -> String {
        format!("\"{:016x}\"", self.0)
    }
}

/// Extractor: the tags of the answers that the client has (`If-None-Match`).
#[derive(Debug, Clone, Default)]
pub struct KnownTags(Vec<HeaderValue>);

impl<S: Sync> FromRequestParts<S> for KnownTags {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<KnownTags, Infallible> {
        Ok(KnownTags(parts.headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect()))
    }
}

impl KnownTags {
    /// Whether the client has the answer. Weak tags count as strong ones.
    pub fn have(&self, tag: Tag) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let wanted = tag.to_text();
        let values = self.0.iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == wanted)
    }

    /// Answers with JSON, or with 304 when the client has it.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn respond(
        &self,
        tag: Tag,
        encode: impl FnOnce() -> Result<Vec<u8>, Failure>,
    ) -> Result<Response, Failure> {
        let mut response = match self.have(tag) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => json_response(StatusCode::OK, encode()?),
        };
        tag.set_header(response.headers_mut());
        Ok(response)
    }
}

/// The JSON of one session, or 304 when the client has it.
///
/// # Errors
/// Those of [`KnownTags::respond`].
pub fn respond_with_session(known: &KnownTags, listed: &ListedSession) -> Result<Response, Failure> {
    known.respond(Tag::new_for_session(listed), || Ok(listed.body.text().into()))
}

/// Extractor: the tags that the answer must have now, or else the request changes nothing (`If-Match`).
#[derive(Debug, Clone, Default)]
pub struct ExpectedTags(Vec<HeaderValue>);

impl<S: Sync> FromRequestParts<S> for ExpectedTags {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ExpectedTags, Infallible> {
        Ok(ExpectedTags(parts.headers.get_all(header::IF_MATCH).iter().cloned().collect()))
    }
}

impl ExpectedTags {
    /// Whether the request demands anything.
    pub fn are_given(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether the tag is one of them. Weak tags are none.
    pub fn include(&self, tag: Tag) -> bool {
        let wanted = tag.to_text();
        let values = self.0.iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || tag == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::session_bodies::SessionBody;
    use domain::ids::{OrganizationId, SessionId};
    use domain::session::{SessionKey, SessionKind};
    use domain::time::Micros;
    use index::SessionRef;
    use serde_json::value::RawValue;

    #[test]
    fn a_tag_is_found_in_every_form() {
        let tag = Tag::new(None, &[], 1);
        let text = tag.to_text();
        let known = |values: &[&str]| {
            KnownTags(values.iter().map(|value| HeaderValue::from_str(value).unwrap()).collect())
        };
        for values in [
            &[text.as_str()][..],
            &["*"],
            &[&format!("W/{text}")],
            &["\"other\"", &format!("\"x\" , {text}")],
        ] {
            assert!(known(values).have(tag), "{values:?}");
        }
        let bare = text.trim_matches('"');
        for values in [&[][..], &[""], &["\"\""], &[bare], &["\"other\""], &[&format!("w/{text}")]] {
            assert!(!known(values).have(tag), "{values:?}");
        }
    }

    #[test]
    fn an_expected_tag_must_be_the_same() {
        let tag = Tag::new(None, &[], 1);
        let text = tag.to_text();
        let expected = |value: &str| ExpectedTags(vec![HeaderValue::from_str(value).unwrap()]);
        for value in [text.as_str(), "*", &format!("\"other\", {text}")] {
            assert!(expected(value).include(tag), "{value}");
        }
        for value in ["", "\"other\"", text.trim_matches('"'), &format!("W/{text}")] {
            assert!(!expected(value).include(tag), "{value}");
        }
        assert!(expected("").are_given() && !ExpectedTags::default().are_given());
    }

    /// A backup that was restored may use revisions again for other texts.
    #[test]
    fn a_tag_depends_on_the_texts_of_the_sessions() {
        let key = SessionKey {
            organization: OrganizationId(uuid::Uuid::from_u128(1)),
            kind: SessionKind::Agent,
            id: SessionId::new(Micros(5), 1),
        };
        let session = SessionRef { key, revision: 3 };
        let listed = |text: &str| {
            let body = SessionBody::new(RawValue::from_string(text.to_owned()).unwrap());
            [ListedSession { session, body }]
        };
        let tag = |text| Tag::new(None, &listed(text), ());
        assert_eq!(tag("{\"a\":1}"), tag("{\"a\":1}"));
        assert_ne!(tag("{\"a\":1}"), tag("{\"a\":2}"));
        let mut pinned = listed("{\"pinned\":false}");
        pinned[0].set_last_field("pinned").unwrap();
        assert_eq!(pinned[0].body.text(), "{\"pinned\":true}");
        assert_ne!(Tag::new(None, &pinned, ()), tag("{\"pinned\":false}"));
        assert!(pinned[0].set_last_field("pinned").is_err());
    }

    #[test]
    fn a_tag_depends_on_everything_that_an_answer_says() {
        let reader = Some(PrincipalId(uuid::Uuid::from_u128(1)));
        let tag = Tag::new(reader, &[], (1, false));
        assert_eq!(tag, Tag::new(reader, &[], (1, false)));
        for other in [
            Tag::new(None, &[], (1, false)),
            Tag::new(reader, &[], (2, false)),
            Tag::new(reader, &[], (1, true)),
        ] {
            assert_ne!(tag, other);
        }
    }
}
