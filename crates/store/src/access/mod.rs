//! Grants, credentials and the reads that need them.
//!
//! `reads` and `lane` are here because every read needs a grant, and `idempotency` because a caller owns the key.

pub(crate) mod authentication;
pub(crate) mod credentials;
pub(crate) mod grants;
pub(crate) mod idempotency;
pub(crate) mod key_families;
pub(crate) mod lane;
pub(crate) mod own_keys;
pub(crate) mod reads;
pub(crate) mod scope;
pub(crate) mod visible;
pub(crate) mod watch;

pub use grants::*;
