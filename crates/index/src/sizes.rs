//! Sizes. The tests have small ones, so that short histories take every path.

const fn size(real: usize, in_tests: usize) -> usize {
    if cfg!(test) { in_tests } else { real }
}

/// How many of the newest sessions become rows together. At least as many stay as they are.
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
/// The most rows of one block in a list. More rows are a bit for each row of the block, which takes as much memory as a list
/// of so many.
pub(crate) const ARRAY: usize = size(3_072, 6);
/// A condition that selects at most so many rows has the other conditions checked row by row.
pub(crate) const FEW: u64 = size(2_048, 16) as u64;
/// Whether a row has any value of a field is read from the row if the field has more values than this. Otherwise it is read
/// from the sets of the values.
pub(crate) const MANY_VALUES: usize = size(64, 2);
/// How many more rows than the wanted ones are kept before those that are too far are dropped. With more, they are dropped
/// less often.
pub(crate) const SPARE: usize = size(256, 3);
