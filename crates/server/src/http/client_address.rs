//! The client of a request: its address and its user agent.

use crate::app::App;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use domain::login::{Origin, normalize_user_agent};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use woothee::parser::Parser;

/// Extractor: the origin of a request.
pub struct RequestOrigin(pub Origin);

impl FromRequestParts<App> for RequestOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<RequestOrigin, Infallible> {
        let agent = parts.headers.get(header::USER_AGENT);
        let agent = agent.map(|agent| normalize_user_agent(agent.as_bytes())).unwrap_or_default();
        let agent_type = client_kind(&agent);
        let remote_ip = address(app, &parts.extensions, &parts.headers);
        Ok(RequestOrigin(Origin { remote_ip, agent, agent_type }))
    }
}

/// The client's address. `None` without a connection, as in tests.
pub fn address(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    peer.map(|peer| resolve_client(app, peer, headers))
}

/// The peer's address, or that of the client behind a trusted proxy. `X-Forwarded-For` of other peers is ignored.
pub fn resolve_client(app: &App, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let lines = headers.get_all("x-forwarded-for").iter();
    // A header that is not valid text counts as a malformed address, which ends the search.
    let lines = lines.map(|line| line.to_str().unwrap_or("?")).collect::<Vec<_>>();
    app.settings.trusted_proxies.client(peer, &lines)
}

/// The kind of a client by its user agent: `pc`, `smartphone`, `mobilephone`, `appliance`, `crawler`, `misc` or `unknown`.
fn client_kind(agent: &str) -> String {
    let category = Parser::new().parse(agent).map_or("unknown", |found| found.category);
    category.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::client_kind;
    use proptest::prelude::*;

    #[test]
    fn kinds_of_clients() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                     Version/18.2 Mobile/15E148 Safari/604.1";
        let crawler = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        for (agent, expected) in
            [(firefox, "pc"), (phone, "smartphone"), (crawler, "crawler"), ("", "unknown"), ("x", "unknown")]
        {
            assert_eq!(client_kind(agent), expected, "{agent}");
        }
    }

    proptest! {
        #[test]
        fn every_text_has_a_kind(agent in "\\PC{0,200}", known in "(Mozilla/5.0 \\()?[a-zA-Z0-9/;:. _()-]{0,100}") {
            prop_assert!(client_kind(&agent).len() < 20 && client_kind(&known).len() < 20);
        }
    }
}
