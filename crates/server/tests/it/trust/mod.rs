//! That nobody reaches what is not theirs.

pub mod callers;
mod homes;
mod joining;
mod roles;
mod serving;
mod walk;
