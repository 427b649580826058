//! What a filter may have at most, so that reading and answering it is cheap.

/// The bytes of a text.
pub const MAX_BYTES: usize = 4_096;
/// How deep parentheses and negations are nested.
pub const MAX_DEPTH: usize = 32;
/// The comparisons and words.
pub const MAX_TERMS: usize = 64;
/// The values of one list.
pub const MAX_VALUES: usize = 200;
/// The faults that are reported: the first ones.
pub const MAX_FAULTS: usize = 100;
