//! Signing in, login sessions, and signing out.

pub(crate) mod attempt_budgets;
pub mod challenge;
pub mod device_code;
mod key_sessions;
pub mod known_browsers;
pub mod oidc;
pub mod passwords;
pub(crate) mod policies;
pub mod revoke_by_query;
pub mod second_factor;
pub mod sessions;
pub mod sign_in;
pub mod tokens;
