//! CORS: a page of another site can read responses only when the settings list its origin.

use crate::settings::Settings;
use axum::http::{HeaderName, Method};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long browsers cache a preflight response.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Request headers that such a page can send.
const ALLOWED_HEADERS: [&str; 8] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "x-org-id",
    "x-organization-id",
    "x-request-id",
];

/// Response headers that such a page can read.
const EXPOSED_HEADERS: [&str; 9] = [
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

/// The middleware for the origins in the settings; `None` when there are none. Cookies are never allowed: a page of
/// another site must send its own key.
pub fn layer(settings: &Settings) -> Option<CorsLayer> {
    if settings.cors_origins.is_empty() {
        return None;
    }
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(settings.cors_origins.iter().cloned()))
            .allow_methods(methods)
            .allow_headers(ALLOWED_HEADERS.map(HeaderName::from_static))
            .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
            .max_age(PREFLIGHT_AGE),
    )
}
