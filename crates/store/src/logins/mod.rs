//! Signing in: login sessions, second factors, the logins of devices, and the keys that sign access tokens.

pub(crate) mod device_logins;
pub(crate) mod second_factors;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
