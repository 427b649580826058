//! Checks the heads of requests: their size and their `Host` header.

use crate::failure::RequestFailure;
use crate::settings::Settings;
use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Request, Version, header};

/// Bytes of a header line besides its name and value: `: ` and the line break.
const COLON_AND_END: usize = 4;

/// What is wrong with a request's head. It is an extension of the request, for the wire that words it.
#[derive(Debug, Clone)]
pub struct HeadFailure(pub RequestFailure);

/// Checks a head. Returns what is wrong with it.
pub fn check_head(request: &Request<Body>, settings: &Settings) -> Option<RequestFailure> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let length = target + uri.authority().map_or(0, |authority| authority.as_str().len());
    if length as u64 > settings.line_limit {
        return Some(RequestFailure::TargetTooLong { limit: settings.line_limit });
    }
    let headers = request.headers();
    if bytes(headers) > settings.header_limit || headers.len() > settings.header_count as usize {
        let (bytes, count) = (settings.header_limit, settings.header_count);
        return Some(RequestFailure::HeadTooLarge { bytes, count });
    }
    if request.method() == Method::CONNECT {
        // This server is no proxy: no path has this method.
        return Some(RequestFailure::Method);
    }
    let wrong = || RequestFailure::Head("expected one Host header with a name and perhaps a port".to_owned());
    (!names_one_host(request.version(), uri.authority().is_some(), headers)).then(wrong)
}

fn bytes(headers: &HeaderMap) -> u64 {
    let sizes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + COLON_AND_END);
    sizes.sum::<usize>() as u64
}

/// RFC 9112, section 3.2. With two headers, programs that read the first and programs that read the last would see different
/// requests.
fn names_one_host(version: Version, authority: bool, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, _) => version < Version::HTTP_11 || (authority && version >= Version::HTTP_2),
        (Some(_), Some(_)) => false,
    }
}

/// An empty one is valid: a client sends it when its target has no authority.
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}
