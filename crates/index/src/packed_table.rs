//! Numbers of each row of a block, in as few bits as those of its zone need. Several numbers of a row lie side by side, so
//! that one place of the memory has what is known of it.

use crate::bit_fields::{bits, distance, fit, read_bits, write_bits};
use crate::sizes::ZONE;

/// The numbers of [`ZONE`] rows: the distances of each column from a base, all of one width.
#[derive(Debug)]
struct Zone<const N: usize> {
    bases: [i64; N],
    widths: [u8; N],
    words: Box<[u64]>,
}

/// Every row has a number in each column. Equal numbers of a column take no memory.
#[derive(Debug)]
pub(crate) struct PackedTable<const N: usize> {
    zones: Vec<Zone<N>>,
    len: usize,
}

/// One number of each row.
pub(crate) type PackedColumn = PackedTable<1>;

impl<const N: usize> Default for PackedTable<N> {
    fn default() -> PackedTable<N> {
        PackedTable { zones: Vec::new(), len: 0 }
    }
}

impl PackedColumn {
    /// How many of the first `rows` rows `before` is true for. They must come before all others, as in a sorted column.
    pub(crate) fn partition_point(&self, rows: usize, before: impl Fn(i64) -> bool) -> usize {
        let (mut from, mut until) = (0, rows);
        while from < until {
            let middle = from + (until - from) / 2;
            if before(self.get(middle as u16, 0)) {
                from = middle + 1;
            } else {
                until = middle;
            }
        }
        from
    }
}

impl<const N: usize> PackedTable<N> {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends the numbers of the next row.
    pub(crate) fn push(&mut self, numbers: [i64; N]) {
        let at = self.len % ZONE;
        if at == 0 {
            // The next rows are like those before.
            let (bases, widths) =
                self.zones.last().map_or((numbers, [0; N]), |last| (last.bases, last.widths));
            self.zones.push(Zone { bases, widths, words: allocate(&widths) });
        }
        let zone = self.zones.last_mut().expect("a table has a zone for each of its rows");
        zone.set(at, numbers, at);
        if at + 1 == ZONE {
            zone.tighten(ZONE);
        }
        self.len += 1;
    }

    /// Replaces the numbers of a row.
    pub(crate) fn set(&mut self, row: u16, numbers: [i64; N]) {
        let (zone, at) = (usize::from(row) / ZONE, usize::from(row) % ZONE);
        let rows = ZONE.min(self.len - zone * ZONE);
        self.zones[zone].set(at, numbers, rows);
    }

    /// The number of a row in a column.
    #[inline]
    pub(crate) fn get(&self, row: u16, column: usize) -> i64 {
        self.zones[usize::from(row) / ZONE].get(usize::from(row) % ZONE, column)
    }

    /// All numbers of a row.
    pub(crate) fn row(&self, row: u16) -> [i64; N] {
        self.zones[usize::from(row) / ZONE].row(usize::from(row) % ZONE)
    }

    /// The numbers of some ascending rows in a column. The reads of a loop without other work wait for memory together.
    pub(crate) fn gather(&self, rows: &[u16], column: usize, numbers: &mut Vec<i64>) {
        numbers.clear();
        numbers.reserve(rows.len());
        for of_zone in rows.chunk_by(is_of_one_zone) {
            numbers.extend(of_zone.iter().map(self.zone_of(of_zone[0]).reader(column)));
        }
    }

    /// Adds the numbers of some ascending rows in a column to other numbers.
    pub(crate) fn add_to(&self, rows: &[u16], column: usize, mut sums: &mut [i64]) {
        for of_zone in rows.chunk_by(is_of_one_zone) {
            let (of_rows, rest) = sums.split_at_mut(of_zone.len());
            let numbers = of_zone.iter().map(self.zone_of(of_zone[0]).reader(column));
            of_rows.iter_mut().zip(numbers).for_each(|(sum, number)| *sum = sum.wrapping_add(number));
            sums = rest;
        }
    }

    fn zone_of(&self, row: u16) -> &Zone<N> {
        &self.zones[usize::from(row) / ZONE]
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        self.zones.shrink_to_fit();
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        let words = self.zones.iter().map(|zone| zone.words.len()).sum::<usize>();
        words * 8 + self.zones.capacity() * size_of::<Zone<N>>()
    }
}

fn is_of_one_zone(one: &u16, next: &u16) -> bool {
    usize::from(*one) / ZONE == usize::from(*next) / ZONE
}

/// Room for the rows of a zone.
fn allocate(widths: &[u8]) -> Box<[u64]> {
    let stride = widths.iter().map(|width| usize::from(*width)).sum::<usize>();
    vec![0; (ZONE * stride).div_ceil(64)].into_boxed_slice()
}

impl<const N: usize> Zone<N> {
    /// Where a column begins in a row, in bits. The end of the last column is the length of a row.
    fn offset(&self, column: usize) -> usize {
        self.widths[..column].iter().map(|width| usize::from(*width)).sum()
    }

    #[inline]
    fn get(&self, at: usize, column: usize) -> i64 {
        let from = at * self.offset(N) + self.offset(column);
        let number = read_bits(&self.words, from, usize::from(self.widths[column]));
        self.bases[column].wrapping_add(number as i64)
    }

    /// Reads the numbers of rows in a column.
    #[inline]
    fn reader(&self, column: usize) -> impl Fn(&u16) -> i64 {
        let (offset, stride) = (self.offset(column), self.offset(N));
        let (base, width) = (self.bases[column], usize::from(self.widths[column]));
        move |row| {
            let from = usize::from(*row) % ZONE * stride + offset;
            base.wrapping_add(read_bits(&self.words, from, width) as i64)
        }
    }

    fn row(&self, at: usize) -> [i64; N] {
        let mut from = at * self.offset(N);
        std::array::from_fn(|column| {
            let width = usize::from(self.widths[column]);
            let number = read_bits(&self.words, from, width);
            from += width;
            self.bases[column].wrapping_add(number as i64)
        })
    }

    /// Sets the numbers of a row. There are `rows` rows.
    fn set(&mut self, at: usize, numbers: [i64; N], rows: usize) {
        let fits = |column: usize| {
            let (base, number) = (self.bases[column], numbers[column]);
            number >= base && bits(distance(base, number)) <= self.widths[column]
        };
        let misfits = std::array::from_fn::<_, N, _>(|column| !fits(column));
        if misfits.contains(&true) {
            self.fit(misfits, Some(numbers), rows);
        }
        self.write(at, numbers);
    }

    /// Gives the columns no more bits than they need.
    fn tighten(&mut self, rows: usize) {
        self.fit([true; N], None, rows);
    }

    /// Chooses other bases and widths for some columns, with which the numbers of one more row fit.
    fn fit(&mut self, columns: [bool; N], more: Option<[i64; N]>, rows: usize) {
        let all = (0..rows).map(|at| self.row(at)).collect::<Vec<_>>();
        for column in (0..N).filter(|column| columns[*column]) {
            let numbers = all.iter().chain(&more).map(|row| row[column]);
            let bounds = numbers.fold(None, |bounds: Option<(i64, i64)>, number| {
                let (least, most) = bounds.unwrap_or((number, number));
                Some((least.min(number), most.max(number)))
            });
            let (least, most) = bounds.unwrap_or((0, 0));
            (self.bases[column], self.widths[column]) = fit(least, most);
        }
        self.words = allocate(&self.widths);
        for (at, numbers) in all.into_iter().enumerate() {
            self.write(at, numbers);
        }
    }

    fn write(&mut self, at: usize, numbers: [i64; N]) {
        let mut from = at * self.offset(N);
        for (column, number) in numbers.into_iter().enumerate() {
            let width = usize::from(self.widths[column]);
            write_bits(&mut self.words, from, width, distance(self.bases[column], number));
            from += width;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), 0i64..9, -5i64..1 << 20, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
    }

    fn numbers() -> impl Strategy<Value = [i64; 3]> {
        (number(), 0i64..1_000, number()).prop_map(|(one, two, three)| [one, two, three])
    }

    proptest! {
        #[test]
        fn numbers_are_stored_exactly(
            pushed in proptest::collection::vec(numbers(), 1..100),
            changed in proptest::collection::vec((any::<u16>(), numbers()), 0..100),
        ) {
            let (mut table, mut plain) = (PackedTable::default(), pushed.clone());
            pushed.iter().for_each(|numbers| table.push(*numbers));
            for (at, numbers) in changed {
                let at = usize::from(at) % plain.len();
                table.set(at as u16, numbers);
                plain[at] = numbers;
            }
            for (row, numbers) in plain.iter().enumerate() {
                prop_assert_eq!(&table.row(row as u16), numbers);
                prop_assert_eq!(table.get(row as u16, 1), numbers[1]);
            }
            let rows = (0..plain.len() as u16).filter(|row| row % 3 > 0).collect::<Vec<_>>();
            let mut gathered = Vec::new();
            table.gather(&rows, 2, &mut gathered);
            prop_assert_eq!(&gathered, &rows.iter().map(|row| table.get(*row, 2)).collect::<Vec<_>>());
            table.add_to(&rows, 1, &mut gathered);
            let sum = |row: &u16| table.get(*row, 2).wrapping_add(table.get(*row, 1));
            prop_assert_eq!(gathered, rows.iter().map(sum).collect::<Vec<_>>());
        }

        #[test]
        fn sorted_columns_are_searched(mut numbers in proptest::collection::vec(number(), 1..100)) {
            let searched = numbers.clone();
            numbers.sort_unstable();
            let mut sorted = PackedColumn::default();
            numbers.iter().for_each(|number| sorted.push([*number]));
            for number in searched {
                let before = numbers.iter().filter(|other| **other < number).count();
                prop_assert_eq!(sorted.partition_point(sorted.len(), |other| other < number), before);
            }
        }
    }
}
