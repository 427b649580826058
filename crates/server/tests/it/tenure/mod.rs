//! Tenure's own wire over the sessions of all kinds, and all that surrounds them.

mod at_work;
mod directory;
mod fleet;
mod lists;
mod views;
mod visibility;
mod watches;
