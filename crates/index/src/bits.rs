//! Sets of rows of a block, as a bit for each row.

/// A set of rows of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

/// The bits below a position.
fn below(position: usize) -> u64 {
    (1 << position) - 1
}

impl Bits {
    /// Whether a row is in the set.
    #[inline]
    pub(crate) fn get(&self, row: u16) -> bool {
        self.0.get(usize::from(row) / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Adds a row, or takes it away. Returns whether that changed the set.
    pub(crate) fn set(&mut self, row: u16, is_in: bool) -> bool {
        let (word, bit) = (usize::from(row) / 64, 1 << (row % 64));
        if word >= self.0.len() {
            if !is_in {
                return false;
            }
            self.0.resize(word + 1, 0);
        }
        let before = self.0[word];
        self.0[word] = if is_in { before | bit } else { before & !bit };
        before != self.0[word]
    }

    /// Makes it empty, with room for some rows.
    pub(crate) fn clear(&mut self, rows: usize) {
        self.0.clear();
        self.0.resize(rows.div_ceil(64), 0);
    }

    /// Adds a row that there is room for.
    #[inline]
    pub(crate) fn add(&mut self, row: u16) {
        self.0[usize::from(row) / 64] |= 1 << (row % 64);
    }

    /// Makes it a copy of another set, with room for some rows.
    pub(crate) fn copy(&mut self, other: &Bits, rows: usize) {
        self.0.clear();
        self.0.extend_from_slice(&other.0);
        self.0.resize(rows.div_ceil(64), 0);
    }

    /// Keeps the rows that another set has too.
    pub(crate) fn and(&mut self, other: &Bits) {
        let shared = self.0.len().min(other.0.len());
        self.0[..shared].iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
        self.0[shared..].fill(0);
    }

    /// Takes away the rows of another set.
    pub(crate) fn and_not(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= !other);
    }

    /// Adds the rows of another set, as far as there is room for them.
    pub(crate) fn or(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// Takes away the rows of `from..until`.
    pub(crate) fn clear_range(&mut self, from: usize, until: usize) {
        let until = until.min(self.0.len() * 64);
        if from >= until {
            return;
        }
        let (first, last) = (from / 64, (until - 1) / 64);
        let (before, after) = (below(from % 64), !below((until - 1) % 64) << 1);
        if first == last {
            self.0[first] &= before | after;
        } else {
            self.0[first] &= before;
            self.0[first + 1..last].fill(0);
            self.0[last] &= after;
        }
    }

    /// The number of rows.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The number of rows of `from..until`.
    pub(crate) fn count_range(&self, from: usize, until: usize) -> u64 {
        let until = until.min(self.0.len() * 64);
        if from >= until {
            return 0;
        }
        let (first, last) = (from / 64, (until - 1) / 64);
        let count = |word: u64| u64::from(word.count_ones());
        let (after, before) = (!below(from % 64), below((until - 1) % 64) << 1 | 1);
        if first == last {
            return count(self.0[first] & after & before);
        }
        let between = self.0[first + 1..last].iter().map(|word| count(*word)).sum::<u64>();
        count(self.0[first] & after) + between + count(self.0[last] & before)
    }

    /// The number of rows that another set has too.
    pub(crate) fn count_within(&self, other: &Bits) -> u64 {
        self.0.iter().zip(&other.0).map(|(word, other)| u64::from((word & other).count_ones())).sum()
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Visits all rows, in order.
    #[inline]
    pub(crate) fn visit(&self, mut visit: impl FnMut(u16)) {
        for (at, word) in self.0.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                visit((at * 64 + word.trailing_zeros() as usize) as u16);
                word &= word - 1;
            }
        }
    }

    /// The rows from a position on, in order.
    pub(crate) fn rows_from(&self, from: usize) -> impl Iterator<Item = u16> {
        let mut at = from / 64;
        let mut word = self.0.get(at).map_or(0, |word| word & !below(from % 64));
        std::iter::from_fn(move || {
            while word == 0 {
                at += 1;
                word = *self.0.get(at)?;
            }
            let row = at * 64 + word.trailing_zeros() as usize;
            word &= word - 1;
            Some(row as u16)
        })
    }

    /// Reads the rows of `from..until`, in order.
    pub(crate) fn collect(&self, from: usize, until: usize, rows: &mut Vec<u16>) {
        rows.clear();
        rows.extend(self.rows_from(from).take_while(|row| usize::from(*row) < until));
    }

    /// Takes away the rows of `from..until` that `keep` is false for.
    pub(crate) fn retain(&mut self, from: usize, until: usize, mut keep: impl FnMut(u16) -> bool) {
        for at in from / 64..until.div_ceil(64).min(self.0.len()) {
            let mut word = self.0[at];
            while word != 0 {
                let row = at * 64 + word.trailing_zeros() as usize;
                if (from..until).contains(&row) && !keep(row as u16) {
                    self.0[at] &= !(1 << (row % 64));
                }
                word &= word - 1;
            }
        }
    }

    /// Visits the rows below `before`, in descending order, until `visit` returns `false`. Returns whether it never did.
    ///
    /// The first `skipped` rows are left out, and `skipped` becomes the number that is still to be left out in other sets.
    pub(crate) fn visit_back(
        &self,
        before: usize,
        skipped: &mut u64,
        mut visit: impl FnMut(u16) -> bool,
    ) -> bool {
        let words = before.div_ceil(64).min(self.0.len());
        for at in (0..words).rev() {
            let mut word = self.0[at];
            if before < (at + 1) * 64 {
                word &= below(before % 64);
            }
            let rows = u64::from(word.count_ones());
            if rows <= *skipped {
                *skipped -= rows;
                continue;
            }
            while word != 0 {
                let bit = 63 - word.leading_zeros() as usize;
                word &= !(1 << bit);
                if *skipped > 0 {
                    *skipped -= 1;
                } else if !visit((at * 64 + bit) as u16) {
                    return false;
                }
            }
        }
        true
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        self.0.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn rows() -> impl Strategy<Value = BTreeSet<u16>> {
        proptest::collection::btree_set(0u16..300, 0..200)
    }

    fn bits(rows: &BTreeSet<u16>) -> Bits {
        let mut bits = Bits::default();
        bits.clear(300);
        rows.iter().for_each(|row| bits.add(*row));
        bits
    }

    fn plain(bits: &Bits) -> BTreeSet<u16> {
        let mut rows = BTreeSet::new();
        bits.visit(|row| {
            rows.insert(row);
        });
        rows
    }

    proptest! {
        #[test]
        fn they_are_a_set(one in rows(), other in rows(), from in 0usize..330, until in 0usize..330, skip in 0u64..200) {
            let change = |change: &dyn Fn(&mut Bits)| {
                let mut changed = bits(&one);
                change(&mut changed);
                plain(&changed)
            };
            let other_bits = bits(&other);
            prop_assert_eq!(change(&|bits| bits.and(&other_bits)), &one & &other);
            prop_assert_eq!(change(&|bits| bits.or(&other_bits)), &one | &other);
            prop_assert_eq!(change(&|bits| bits.and_not(&other_bits)), &one - &other);
            prop_assert_eq!(bits(&one).count_within(&other_bits), (&one & &other).len() as u64);
            let range = |row: &u16| (from..until).contains(&usize::from(*row));
            let inside = one.iter().filter(|row| range(row)).count() as u64;
            prop_assert_eq!(bits(&one).count_range(from, until), inside);
            let mut collected = Vec::new();
            bits(&one).collect(from, until, &mut collected);
            prop_assert_eq!(collected, one.iter().copied().filter(|row| range(row)).collect::<Vec<_>>());
            let outside = one.iter().copied().filter(|row| !range(row)).collect::<BTreeSet<_>>();
            prop_assert_eq!(change(&|bits| bits.clear_range(from, until)), outside);
            let kept = one.iter().copied().filter(|row| !range(row) || row % 3 == 0).collect::<BTreeSet<_>>();
            prop_assert_eq!(change(&|bits| bits.retain(from, until, |row| row % 3 == 0)), kept);
            let after = one.iter().copied().filter(|row| usize::from(*row) >= from).collect::<Vec<_>>();
            prop_assert_eq!(bits(&one).rows_from(from).collect::<Vec<_>>(), after);
            let before = one.iter().copied().filter(|row| usize::from(*row) < until).collect::<Vec<_>>();
            let (mut back, mut skipped) = (Vec::new(), skip);
            bits(&one).visit_back(until, &mut skipped, |row| { back.push(row); true });
            let expected = before.iter().rev().skip(skip as usize).copied().collect::<Vec<_>>();
            prop_assert_eq!(back, expected);
            prop_assert_eq!(skipped, skip.saturating_sub(before.len() as u64));
        }
    }
}
