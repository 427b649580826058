//! What runs where the work is: [`host`] drives devices on behalf of Tenure servers, [`worker`] runs the turns of
//! agents.
//!
//! It knows the servers over the network only, through the `protocol` crate.

mod backoff;
mod child_process;
mod clock;
pub mod host;
mod options;
pub mod worker;
