//! The commands, run as people and scripts run them: the real program, in a folder of its own.

mod administration;
mod audit;
mod audit_seal;
mod backup;
mod damage;
mod demo;
mod doctor;
mod durability;
mod private;
mod process;
mod refusals;
mod serving;
mod shell;
mod upgrade;
