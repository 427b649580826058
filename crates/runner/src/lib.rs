//! The programs that run next to the work: [`host`] drives devices for Tenure servers, [`worker`] runs the turns of
//! agents.
//!
//! Both know the servers only over the network, through the `protocol` crate.

mod backoff;
mod child_process;
mod clock;
pub mod host;
mod options;
pub mod worker;
