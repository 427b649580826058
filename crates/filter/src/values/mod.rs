//! Times, lengths of time and numbers, as people write them and as they are written back.

pub(crate) mod duration;
pub(crate) mod number;
pub(crate) mod time;
