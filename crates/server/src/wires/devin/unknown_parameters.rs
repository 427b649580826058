//! Warns of unknown query parameters. The vendor ignores them silently, and its users complain of that most. Tenure
//! ignores them too, and the answer says so.

use super::query::{ParsedQuery, Query};
use crate::http::route::Route;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

/// Most names in one warning.
const MAX_NAMES: usize = 20;
/// Most bytes of a name in a warning.
const MAX_NAME: usize = 64;

/// The names that a route knows, in several lists.
type KnownNames = &'static [&'static [&'static str]];

/// The route, with the header `Warning` on successful responses to requests with other parameters than it knows.
pub fn warn(route: Route) -> Route {
    Route { handler: route.handler.layer(from_fn_with_state(route.query, warn_of_unknown)), ..route }
}

async fn warn_of_unknown(State(known): State<KnownNames>, mut request: Request, next: Next) -> Response {
    let query = Query::read(request.uri().query());
    let names = query.as_ref().ok().and_then(|query| unknown_names(known, query));
    let text = names.and_then(|names| HeaderValue::from_str(&sentence(&names)).ok());
    request.extensions_mut().insert(ParsedQuery(query));
    let mut response = next.run(request).await;
    if let Some(text) = text.filter(|_| response.status().is_success()) {
        response.headers_mut().insert(header::WARNING, text);
    }
    response
}

/// The names in a request's query that its route does not know. `None` when there are none.
fn unknown_names(known: KnownNames, query: &Query) -> Option<Vec<String>> {
    // A parameter without a name is not worth a warning.
    let strange = |name: &&str| !name.is_empty() && !known.iter().any(|known| known.contains(name));
    let names = query.names().into_iter().filter(strange).map(str::to_owned).collect::<Vec<_>>();
    (!names.is_empty()).then_some(names)
}

fn sentence(names: &[String]) -> String {
    let listed = names.iter().take(MAX_NAMES).map(|name| escape_name(name)).collect::<Vec<_>>().join(", ");
    let more = if names.len() > MAX_NAMES { ", ...".to_owned() } else { String::new() };
    format!("299 tenure \"unknown query parameters were ignored: {listed}{more}\"")
}

/// Escapes a name for a quoted string of a header: characters that are not plain are percent-encoded.
fn escape_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    let byte = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().take(MAX_NAME).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_name_can_be_sent_in_a_header(names in proptest::collection::vec(".{0,100}", 1..30)) {
            let text = sentence(&names);
            prop_assert!(HeaderValue::from_str(&text).is_ok());
            prop_assert_eq!(text.matches('"').count(), 2);
            prop_assert!(text.len() < 5_000);
        }
    }

    #[test]
    fn names_are_shown() {
        let names = ["limit".to_owned(), "a\"b\r\n".to_owned()];
        let expected = "299 tenure \"unknown query parameters were ignored: limit, a%22b%0D%0A\"";
        assert_eq!(sentence(&names), expected);
    }
}
