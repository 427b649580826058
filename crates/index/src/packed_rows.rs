//! Ascending rows, each as the distance from the one before, in as few bytes as the distances need.

use crate::posting::RowId;

/// The rows in some bytes.
#[derive(Debug, Clone)]
pub(crate) struct PackedRows<'a> {
    bytes: &'a [u8],
    last: RowId,
}

impl<'a> PackedRows<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> PackedRows<'a> {
        PackedRows { bytes, last: 0 }
    }
}

impl Iterator for PackedRows<'_> {
    type Item = RowId;

    #[inline]
    fn next(&mut self) -> Option<RowId> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u32::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                self.last = self.last.wrapping_add(number);
                return Some(self.last);
            }
            shift += 7;
        }
    }
}

/// The bytes of the distance of a row from the one before, and how many they are.
pub(crate) fn encode(distance: u32) -> ([u8; LONGEST], usize) {
    let (mut bytes, mut at, mut number) = ([0; LONGEST], 0, distance);
    while number >= 0x80 {
        bytes[at] = number as u8 | 0x80;
        number >>= 7;
        at += 1;
    }
    bytes[at] = number as u8;
    (bytes, at + 1)
}

/// The most bytes of one row.
pub(crate) const LONGEST: usize = 5;

/// Some rows, in one allocation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunk {
    used: u32,
    count: u32,
    last: RowId,
    bytes: Box<[u8]>,
}

impl Chunk {
    /// A chunk of ascending rows.
    pub(crate) fn new(rows: &[RowId]) -> Chunk {
        let mut bytes = Vec::with_capacity(rows.len() * 3);
        let mut last = 0;
        for row in rows {
            let (distance, length) = encode(row - last);
            bytes.extend_from_slice(&distance[..length]);
            last = *row;
        }
        Chunk { used: bytes.len() as u32, count: rows.len() as u32, last, bytes: bytes.into_boxed_slice() }
    }

    /// Appends a row after the last one.
    pub(crate) fn push(&mut self, row: RowId) {
        let (distance, length) = encode(row - self.last);
        let (used, until) = (self.used as usize, self.used as usize + length);
        if until > self.bytes.len() {
            // There are many chunks: doubling each would waste half of the memory.
            let mut bytes = std::mem::take(&mut self.bytes).into_vec();
            let length = until + until / 4 + 3;
            bytes.reserve_exact(length - bytes.len());
            bytes.resize(length, 0);
            self.bytes = bytes.into_boxed_slice();
        }
        self.bytes[used..until].copy_from_slice(&distance[..length]);
        (self.used, self.count, self.last) = (until as u32, self.count + 1, row);
    }

    pub(crate) fn rows(&self) -> PackedRows<'_> {
        PackedRows::new(&self.bytes[..self.used as usize])
    }

    pub(crate) fn contains(&self, row: RowId) -> bool {
        self.rows().take_while(|other| *other <= row).last() == Some(row)
    }

    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn last(&self) -> RowId {
        self.last
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        if self.bytes.len() > self.used as usize {
            self.bytes = self.bytes[..self.used as usize].into();
        }
    }

    /// About how many bytes it holds outside itself.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + ALLOCATION
    }
}

/// What an allocation costs beside its content, about.
pub(crate) const ALLOCATION: usize = 12;
