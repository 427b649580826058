//! Sizes. The tests have small ones, so that short histories take every path.

const fn size(real: usize, in_tests: usize) -> usize {
    if cfg!(test) { in_tests } else { real }
}

/// The number of newest sessions that become rows together, and at least as many stay as they are.
pub(crate) const SETTLE: usize = size(128, 5);
/// The rows of a new block. It has room for sessions with an old time, up to [`MAX_BLOCK`].
pub(crate) const BLOCK: usize = size(49_152, 36);
/// The most rows of a block, which are numbered in 16 bits.
pub(crate) const MAX_BLOCK: usize = size(1 << 16, 48);
/// The rows of a zone of a column. A zone knows its smallest and its largest number, so most zones are decided as a
/// whole.
pub(crate) const ZONE: usize = size(1_024, 8);
/// The rows of a chunk of a list of rows.
pub(crate) const CHUNK: usize = size(1_024, 8);
/// A set of more rows has a list or bits for each block. That costs some 50 bytes for each block that it has a row in, so
/// a list of fewer rows is smaller.
pub(crate) const LIST: usize = size(8_192, 20);
/// More rows of one block are a bit for each row, which takes as much memory as a list of so many.
pub(crate) const ARRAY: usize = size(3_072, 6);
/// The rows of a set of at most this size are judged one by one.
pub(crate) const FEW: u64 = size(2_048, 16) as u64;
/// A field with more values is looked up in the rows, instead of in the rows of each value.
pub(crate) const MANY_VALUES: usize = size(64, 2);
