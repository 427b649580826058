//! Hosts and workers as a whole, against a server on loopback that says what a test tells it to.
#![allow(missing_docs)]

mod connection;
mod fake_mobilecli;
mod fake_server;
mod fencing;
mod mobilecli;
mod process;
mod simulated;
mod work_server;
mod worker;
mod worker_ends;
