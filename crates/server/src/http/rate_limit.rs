//! Rate limits of callers and addresses, and the headers that report them.

use super::client_address;
use super::middleware::RequestCaller;
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::front::connections::network;
use crate::front::rates::{BucketKey, RemainingQuota};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use std::fmt::Write;
use std::net::SocketAddr;
use store::Caller;

const RATE: HeaderName = HeaderName::from_static("ratelimit");
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// About the length of a header, in bytes.
const HEADER_LENGTH: usize = 128;

/// Counts a request over a WebSocket in the caller's quotas.
///
/// # Errors
/// [`RequestFailure::TooManyRequests`] when a quota is used up.
pub fn spend_for_message(app: &App, caller: &Caller) -> Result<(), Failure> {
    let wait = caller_keys(caller).into_iter().find_map(|key| spend(app, key)?.wait);
    wait.map_or(Ok(()), |seconds| Err(RequestFailure::TooManyRequests { seconds }.into()))
}

/// The quotas that a caller's requests are counted in.
pub fn caller_keys(caller: &Caller) -> [BucketKey; 2] {
    [BucketKey::Credential(caller.credential().0), BucketKey::Principal(caller.principal().0)]
}

/// Counts a request in a quota and returns what is left. `None` without a quota.
pub fn spend(app: &App, key: BucketKey) -> Option<RemainingQuota> {
    let quota = key.quota(&app.settings)?;
    Some(app.front.rates.spend(key, quota, app.now()))
}

/// Counts a request in its address's quota, and returns the failure when it is used up. Only trusted proxies are believed
/// about addresses.
pub fn spend_for_address(app: &App, caller: &RequestCaller, request: &Request) -> Option<RequestFailure> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    let address = network(client_address::resolve_client(app, peer.ip(), request.headers()));
    caller.spend(app, BucketKey::Address(address)).err()
}

/// Sets the headers that report quotas (draft-ietf-httpapi-ratelimit-headers-10) and when to retry. `RateLimit` reports the
/// quota with the smallest part left.
pub fn set_headers(response: &mut Response, left: &[(&'static str, RemainingQuota)]) {
    let part = |left: &RemainingQuota| left.requests as f64 / f64::from(left.quota.requests);
    let Some((name, least)) = left.iter().min_by(|one, other| part(&one.1).total_cmp(&part(&other.1))) else {
        return;
    };
    // Written piece by piece into one buffer: every response has these headers.
    let mut policies = String::with_capacity(HEADER_LENGTH);
    for (name, left) in left {
        let comma = if policies.is_empty() { "" } else { ", " };
        let _ = write!(policies, "{comma}\"{name}\";q={};w={}", left.quota.requests, left.quota.seconds);
    }
    let mut now = String::with_capacity(HEADER_LENGTH);
    let _ = write!(now, "\"{name}\";r={};t={}", least.requests, least.full_in);
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(policies).ok().map(|policies| (RATE_POLICY, policies)));
    headers.extend(HeaderValue::try_from(now).ok().map(|now| (RATE, now)));
    if let Some(seconds) = left.iter().filter_map(|(_, left)| left.wait).max() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}
