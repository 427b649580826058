//! The commands as people and scripts run them: the real program, in a temporary folder.

mod administration;
mod audit;
mod audit_seal;
mod backup;
mod damage;
mod demo;
mod doctor;
mod durability;
mod former_names;
mod help;
mod operations;
mod private;
mod process;
mod refusals;
mod serving;
mod shell;
mod upgrade;
