//! Lengths of time, such as `5m` or `2h30m`.

/// The units in microseconds, largest first.
const UNITS: [(&str, i64); 6] = [
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
];

/// The microseconds of numbers with units.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let length = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(length);
        let size = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(size)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// Microseconds as numbers with units, days at most.
pub(crate) fn write_duration(micros: i64) -> String {
    let mut out = String::new();
    let mut left = micros;
    for (name, size) in &UNITS[1..] {
        if left >= *size {
            out.push_str(&format!("{}{name}", left / size));
            left %= size;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_time_are_numbers_with_units() {
        for (text, expected, written) in [
            ("5m", Some(300_000_000), "5m"),
            ("2h30m", Some(9_000_000_000), "2h30m"),
            ("90s", Some(90_000_000), "1m30s"),
            ("1w", Some(604_800_000_000), "7d"),
            ("250ms", Some(250_000), "250ms"),
            ("0s", Some(0), "0s"),
            ("", None, ""),
            ("5", None, ""),
            ("m", None, ""),
            ("5x", None, ""),
            ("5 m", None, ""),
            ("-5m", None, ""),
            ("5M", None, ""),
            ("99999999999999w", None, ""),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
            assert_eq!(expected.map(write_duration).unwrap_or_default(), written, "{text}");
        }
    }

    proptest! {
        #[test]
        fn written_lengths_are_read_back(millis in 0..i64::MAX / 1_000) {
            prop_assert_eq!(parse_duration(&write_duration(millis * 1_000)), Some(millis * 1_000));
        }
    }
}
