//! Tests of whole hosts and workers, against a server on the loopback interface that each test controls.
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
