//! Sizes. The tests have small ones, so that short histories take every path.

const fn size(real: usize, in_tests: usize) -> usize {
    if cfg!(test) { in_tests } else { real }
}

/// The number of newest sessions that become rows together, and at least as many stay as they are.
pub(crate) const SETTLE: usize = size(128, 5);
/// How many sessions with an old time are merged into their blocks together.
pub(crate) const LATE: usize = size(4_096, 9);
/// The rows of a new block. It has room for sessions with an old time, up to [`MAX_BLOCK`].
pub(crate) const BLOCK: usize = size(49_152, 36);
/// The most rows of a block, which are numbered in 16 bits.
pub(crate) const MAX_BLOCK: usize = size(1 << 16, 48);
/// The rows of a zone of a column. A zone knows its smallest and its largest number, so most zones are decided as a
/// whole.
pub(crate) const ZONE: usize = size(1_024, 8);
/// A longer list of rows becomes a bitmap. A bitmap costs some 50 bytes for each block that it has a row in, so a short
/// list of rows of many blocks is smaller as a list.
pub(crate) const LIST: usize = size(1_024, 12);
/// The rows of a set of at most this size are judged one by one.
pub(crate) const FEW: u64 = size(2_048, 16) as u64;
/// How many rows a page looks at in vain before the whole list is computed instead.
pub(crate) const PATIENCE: usize = size(10_000, 20);
