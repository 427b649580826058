//! Isolation between organizations, users and roles.

pub mod callers;
mod homes;
mod joining;
mod roles;
mod serving;
mod walk;
