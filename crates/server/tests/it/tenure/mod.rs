//! Tenure's own wire over the sessions of all kinds.

mod lists;
mod visibility;
mod watches;
