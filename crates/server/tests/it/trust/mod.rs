//! That nobody reaches what is not theirs.

mod callers;
mod homes;
mod joining;
mod roles;
mod serving;
mod walk;
