//! The commands, run as people and scripts run them: the real program, in a folder of its own.

mod administration;
mod audit;
mod demo;
mod refusals;
mod shell;
