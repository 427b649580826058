//! Authentication of callers, API keys, and service users.

pub mod api_keys;
pub mod authenticate;
pub mod issued_keys;
pub mod machine_grant;
pub mod own_keys;
pub mod service_users;
pub mod whoami;
