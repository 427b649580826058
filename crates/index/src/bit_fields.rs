//! Numbers of some bits each, one after another in words.

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
