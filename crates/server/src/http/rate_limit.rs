//! How many requests callers and addresses may send, and what they are told of it.

use super::client_address;
use super::middleware::Who;
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::front::connections::network;
use crate::front::rates::{BucketKey, RemainingQuota};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use std::net::SocketAddr;
use store::Caller;

const RATE: HeaderName = HeaderName::from_static("ratelimit");
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Takes a request that comes over a WebSocket out of the caller's quotas.
///
/// # Errors
/// [`RequestFailure::TooManyRequests`].
pub fn within(app: &App, caller: &Caller) -> Result<(), Failure> {
    let wait = of(caller).into_iter().find_map(|key| spend(app, key)?.wait);
    wait.map_or(Ok(()), |seconds| Err(RequestFailure::TooManyRequests { seconds }.into()))
}

/// What a caller's requests are taken out of.
pub fn of(caller: &Caller) -> [BucketKey; 2] {
    [BucketKey::Credential(caller.credential().0), BucketKey::Principal(caller.principal().0)]
}

/// Takes a request out of a quota, if there is one; says what is left.
pub fn spend(app: &App, key: BucketKey) -> Option<RemainingQuota> {
    let quota = key.quota(&app.settings)?;
    Some(app.front.rates.spend(key, quota, app.now()))
}

/// Whether an address sends too many requests. Whom a proxy speaks for is believed of proxies that are trusted alone.
pub fn crowding(app: &App, who: &Who, request: &Request) -> Option<RequestFailure> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    let address = network(client_address::client(app, peer.ip(), request.headers()));
    who.spend(app, BucketKey::Address(address)).err()
}

/// Says what is left of the quotas (draft-ietf-httpapi-ratelimit-headers-10), and when to come again. Of several
/// quotas `RateLimit` tells the one that has the smallest part left.
pub fn tell(response: &mut Response, left: &[(&'static str, RemainingQuota)]) {
    let part = |left: &RemainingQuota| left.requests as f64 / f64::from(left.quota.requests);
    let Some((name, least)) = left.iter().min_by(|one, other| part(&one.1).total_cmp(&part(&other.1))) else {
        return;
    };
    let policy = |(name, left): &(&str, RemainingQuota)| {
        format!("\"{name}\";q={};w={}", left.quota.requests, left.quota.seconds)
    };
    let policies = left.iter().map(policy).collect::<Vec<_>>().join(", ");
    let now = format!("\"{name}\";r={};t={}", least.requests, least.full_in);
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(policies).ok().map(|policies| (RATE_POLICY, policies)));
    headers.extend(HeaderValue::try_from(now).ok().map(|now| (RATE, now)));
    if let Some(seconds) = left.iter().filter_map(|(_, left)| left.wait).max() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}
