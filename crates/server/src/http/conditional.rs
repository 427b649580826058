//! Conditional requests (RFC 9110, section 13): an answer that the client already has is not sent again.
//!
//! A tag is a hash of what an answer says: which sessions in which revisions, how many there are, and who asked, because
//! a cursor belongs to its reader. So the body of an answer that is not sent is not made.

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
use std::hash::{BuildHasher, Hash};

/// Another version of the server may write the same sessions in another way.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What identifies an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u64);

impl Tag {
    /// The tag of an answer with these sessions for a reader. `rest` is what else the answer says.
    pub fn new(reader: Option<PrincipalId>, sessions: &[ListedSession], rest: impl Hash) -> Tag {
        Tag(FixedState::with_seed(0).hash_one((VERSION, reader, sessions, rest)))
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

    /// Answers with a body, or with 304 when the client has it.
    ///
    /// # Errors
    /// Those of `respond`.
    pub fn respond(
        &self,
        tag: Tag,
        respond: impl FnOnce() -> Result<Response, Failure>,
    ) -> Result<Response, Failure> {
        let mut response = if self.have(tag) { StatusCode::NOT_MODIFIED.into_response() } else { respond()? };
        tag.set_header(response.headers_mut());
        Ok(response)
    }
}

/// An answer with one session, or 304 when the client has it.
///
/// # Errors
/// None today.
pub fn respond_with_session(known: &KnownTags, session: &ListedSession) -> Result<Response, Failure> {
    let tag = Tag::new(None, std::slice::from_ref(session), ());
    known.respond(tag, || Ok(json_response(StatusCode::OK, session.body.get().into())))
}

#[cfg(test)]
mod tests {
    use super::*;

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
