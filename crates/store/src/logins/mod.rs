//! Signing in: login sessions, second factors, device logins, and the keys that sign access tokens.

pub(crate) mod device_logins;
mod pruning;
pub(crate) mod rows;
pub(crate) mod second_factors;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
