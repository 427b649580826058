//! A number for each row of a block, in as few bits as the numbers of its zone need.

use crate::sizes::ZONE;

/// The numbers of [`ZONE`] rows: their distances from a base, all of one width.
#[derive(Debug)]
struct Zone {
    base: i64,
    width: u8,
    words: Box<[u64]>,
}

/// Every row has a number. Equal numbers take no memory.
#[derive(Debug, Default)]
pub(crate) struct PackedColumn {
    zones: Vec<Zone>,
    len: usize,
}

impl PackedColumn {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends the number of the next row.
    pub(crate) fn push(&mut self, number: i64) {
        let at = self.len % ZONE;
        if at == 0 {
            self.zones.push(Zone { base: number, width: 0, words: Box::default() });
        }
        let zone = self.zones.last_mut().expect("a column has a zone for each of its rows");
        zone.set(at, number, at);
        self.len += 1;
    }

    /// Replaces the number of a row.
    pub(crate) fn set(&mut self, row: u16, number: i64) {
        let (zone, at) = (usize::from(row) / ZONE, usize::from(row) % ZONE);
        let rows = ZONE.min(self.len - zone * ZONE);
        self.zones[zone].set(at, number, rows);
    }

    /// The number of a row.
    #[inline]
    pub(crate) fn get(&self, row: u16) -> i64 {
        self.zones[usize::from(row) / ZONE].get(usize::from(row) % ZONE)
    }

    /// How many of the first `rows` rows `before` is true for. They must come before all others, as in a sorted column.
    pub(crate) fn partition_point(&self, rows: usize, before: impl Fn(i64) -> bool) -> usize {
        let (mut from, mut until) = (0, rows);
        while from < until {
            let middle = from + (until - from) / 2;
            if before(self.get(middle as u16)) {
                from = middle + 1;
            } else {
                until = middle;
            }
        }
        from
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        self.zones.shrink_to_fit();
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        let words = self.zones.iter().map(|zone| zone.words.len()).sum::<usize>();
        words * 8 + self.zones.capacity() * size_of::<Zone>()
    }
}

impl Zone {
    #[inline]
    fn get(&self, at: usize) -> i64 {
        self.base.wrapping_add(self.read(at) as i64)
    }

    /// Sets one of the numbers, of which there are `rows`.
    fn set(&mut self, at: usize, number: i64, rows: usize) {
        if number < self.base || bits(distance(self.base, number)) > self.width {
            self.fit(number, rows);
        }
        self.write(at, distance(self.base, number));
    }

    /// Chooses another base and width, with which one more number fits.
    fn fit(&mut self, number: i64, rows: usize) {
        let numbers = (0..rows).map(|at| self.get(at)).collect::<Vec<_>>();
        let (least, most) = numbers
            .iter()
            .fold((number, number), |(least, most), other| (least.min(*other), most.max(*other)));
        let (base, width) = fit(least, most);
        let words = vec![0; (ZONE * usize::from(width)).div_ceil(64)].into_boxed_slice();
        *self = Zone { base, width, words };
        for (at, number) in numbers.into_iter().enumerate() {
            self.write(at, distance(base, number));
        }
    }

    #[inline]
    fn read(&self, at: usize) -> u64 {
        let width = usize::from(self.width);
        read_bits(&self.words, at * width, width)
    }

    fn write(&mut self, at: usize, number: u64) {
        let width = usize::from(self.width);
        write_bits(&mut self.words, at * width, width, number);
    }
}

/// The number in some bits.
#[inline]
pub(crate) fn read_bits(words: &[u64], from: usize, width: usize) -> u64 {
    if width == 0 {
        return 0;
    }
    let (word, shift) = (from / 64, from % 64);
    let mut number = words[word] >> shift;
    if shift + width > 64 {
        number |= words[word + 1] << (64 - shift);
    }
    number & (u64::MAX >> (64 - width))
}

/// Writes a number into some bits.
pub(crate) fn write_bits(words: &mut [u64], from: usize, width: usize, number: u64) {
    if width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - width);
    let (word, shift) = (from / 64, from % 64);
    words[word] = words[word] & !(mask << shift) | number << shift;
    if shift + width > 64 {
        let rest = 64 - shift;
        words[word + 1] = words[word + 1] & !(mask >> rest) | number >> rest;
    }
}

/// The distance of a number from a smaller one.
pub(crate) fn distance(base: i64, number: i64) -> u64 {
    number.wrapping_sub(base) as u64
}

/// The base and the width with which numbers from `least` to `most` fit.
pub(crate) fn fit(least: i64, most: i64) -> (i64, u8) {
    // With zero as the base, smaller numbers will fit too.
    let base = if least >= 0 && bits(most as u64) == bits(distance(least, most)) { 0 } else { least };
    (base, bits(distance(base, most)))
}

/// How many bits a number has.
pub(crate) fn bits(number: u64) -> u8 {
    (64 - number.leading_zeros()) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), 0i64..9, -5i64..1 << 20, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
    }

    proptest! {
        #[test]
        fn numbers_are_stored_exactly(
            pushed in proptest::collection::vec(number(), 1..100),
            changed in proptest::collection::vec((any::<u16>(), number()), 0..100),
        ) {
            let (mut column, mut plain) = (PackedColumn::default(), pushed.clone());
            pushed.iter().for_each(|number| column.push(*number));
            for (at, number) in changed {
                let at = usize::from(at) % plain.len();
                column.set(at as u16, number);
                plain[at] = number;
            }
            let found = (0..column.len()).map(|row| column.get(row as u16)).collect::<Vec<_>>();
            prop_assert_eq!(&found, &plain);

            let mut sorted = PackedColumn::default();
            plain.sort_unstable();
            plain.iter().for_each(|number| sorted.push(*number));
            for number in pushed {
                let before = plain.iter().filter(|other| **other < number).count();
                prop_assert_eq!(sorted.partition_point(sorted.len(), |other| other < number), before);
            }
        }
    }
}
