//! The session index: which sessions match a filter, how many, and with which values. It holds a [`Summary`] of every
//! session of every kind in memory and answers exactly. It is pure: no I/O and no clock.
//!
//! The newest sessions are kept as they are, and [`Filter::matches`] judges each. When they have settled, they become
//! rows of a block: up to 65,536 sessions in the order of lists. Each value of a field has the set of its rows, times
//! and numbers have columns. A page walks back from its cursor until it is full; a total is the size of an
//! intersection.
//!
//! The tests compare it with a plain loop over [`Filter::matches`].
//!
//! [`Summary`]: domain::session::Summary
//! [`Filter::matches`]: domain::session::Filter::matches

mod block;
mod column;
mod dictionary;
mod late;
mod organizations;
mod posting;
mod query;
mod rows;
mod sessions;
mod sizes;
#[cfg(test)]
mod tests;

pub use query::{Facet, Selection};
pub use sessions::{Index, Memory, SessionRef};
