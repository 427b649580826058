//! Lengths of time and sizes as people write them: `90s`, `1h30m`, `7d`; `1MiB`, `500MB`, `4096`.

use std::time::Duration;

/// Units of time, longest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size, in bytes.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A hundred years: longer is a mistake, and adding it to a time could overflow.
const LONGEST_MS: u64 = 36_525 * 86_400_000;

/// Parses a length of time: numbers with the units `d`, `h`, `m`, `s` and `ms`, longest first, each at most once. `None`
/// for anything else, for zero and for more than a hundred years.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = TIME_UNITS.iter();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (number, unit, after) = leading_term(rest)?;
        // The search goes on from the last unit, so units are in order and each comes at most once.
        let (_, milliseconds) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*milliseconds)?)?;
        rest = after;
    }
    (1..=LONGEST_MS).contains(&total).then(|| Duration::from_millis(total))
}

/// Parses a size in bytes: a positive whole number with or without a unit (`kB`, `MiB`, …). `None` for anything else.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit, after) = leading_term(text)?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    let total = number.checked_mul(*bytes)?;
    // Sizes are stored in the database, whose integers are signed.
    (after.is_empty() && total > 0 && i64::try_from(total).is_ok()).then_some(total)
}

/// Splits `1h30m` into 1, `h` and `30m`.
fn leading_term(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, after) = rest.split_at(letters);
    // A number without a unit must end the text.
    let complete = letters > 0 || after.is_empty();
    Some((number.parse().ok()?, unit, after)).filter(|_| complete)
}
