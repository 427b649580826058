//! Pages of other sites: none may read an answer, unless its origin is in the settings.

use crate::settings::Settings;
use axum::http::{HeaderName, Method};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser remembers what it was told.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What such a page may send beside what every page may.
const SENT: [&str; 8] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "x-org-id",
    "x-organization-id",
    "x-request-id",
];

/// What it may read beside what every page may.
const READ: [&str; 9] = [
    "deprecation",
    "etag",
    "idempotent-replayed",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "warning",
    "x-request-id",
];

/// The layer for the origins of the settings; nothing when there are none. Cookies are never allowed: a page of another
/// site comes with a key of its own, or not at all.
pub fn layer(settings: &Settings) -> Option<CorsLayer> {
    if settings.cors_origins.is_empty() {
        return None;
    }
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(settings.cors_origins.iter().cloned()))
            .allow_methods(methods)
            .allow_headers(SENT.map(HeaderName::from_static))
            .expose_headers(READ.map(HeaderName::from_static))
            .max_age(REMEMBERED),
    )
}
