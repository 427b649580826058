//! What runs where the work is: [`host`] drives devices on behalf of Tenure servers.
//!
//! It knows the servers over the network only, through the `protocol` crate.

pub mod host;
