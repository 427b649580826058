//! What a running server owns: each service does one thing and knows neither [`App`](crate::App) nor the operations.

pub mod host_connections;
pub mod issuer;
pub mod mailer;
pub mod master_key;
pub mod metrics;
pub mod password_hasher;
pub mod queue_runner;
pub mod recaptcha;
pub(crate) mod ring_provider;
pub mod schema_validator;
pub mod signing;
pub mod throttle;
