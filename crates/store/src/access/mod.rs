//! Who may do what: proofs of permissions, and the credentials that they come from.
//!
//! `reads` and `lane` are here because no statement reads without a proof; `idempotency`, because a key belongs to the
//! credential that sent it.

pub(crate) mod authentication;
pub(crate) mod credentials;
pub(crate) mod idempotency;
pub(crate) mod key_families;
pub(crate) mod lane;
pub(crate) mod own_keys;
pub(crate) mod proofs;
pub(crate) mod reads;

pub use proofs::*;
