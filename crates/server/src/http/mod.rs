//! HTTP code that all wires share: middleware, credentials, cookies, rate limits, and reading bodies.

pub mod client_address;
pub mod conditional;
pub mod cookies;
pub mod cors;
pub mod credential;
pub mod cursor;
pub mod event_stream;
pub mod idempotency;
pub mod middleware;
pub mod object;
pub mod pacing;
pub mod query;
pub mod rate_limit;
pub mod rfc3339;
pub mod route;
pub mod unreadable_body;
pub mod wire;
