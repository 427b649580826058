//! Numbers, such as `5`, `1.50` or `200k`.

/// A number in parts of a size: with six decimals, `1.5` is 1,500,000. A number that has no exact place among them is
/// refused.
pub(crate) fn parse_number(text: &str, decimals: u32) -> Option<i64> {
    let (digits, exponent) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 3),
        (at, 'M') => (&text[..at], 6),
        _ => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let zeros = (decimals + exponent).checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let number = format!("{whole}{fraction}").parse::<i64>().ok()?;
    number.checked_mul(10i64.checked_pow(zeros)?)
}

/// A number that is stored in parts of a size, as people write it.
pub(crate) fn write_number(number: i64, decimals: u32) -> String {
    let size = 10i64.pow(decimals);
    let fraction = format!("{:0width$}", number % size, width = decimals as usize);
    match fraction.trim_end_matches('0') {
        "" => (number / size).to_string(),
        fraction => format!("{}.{fraction}", number / size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_exact() {
        for (text, decimals, expected) in [
            ("5", 0, Some(5)),
            ("5", 6, Some(5_000_000)),
            ("1.50", 6, Some(1_500_000)),
            ("0.000001", 6, Some(1)),
            ("0.0000001", 6, None),
            ("200k", 0, Some(200_000)),
            ("1.5k", 0, Some(1_500)),
            ("1.5", 0, None),
            ("2.0", 0, Some(2)),
            ("2M", 6, Some(2_000_000_000_000)),
            ("0", 0, Some(0)),
            ("", 0, None),
            ("k", 0, None),
            (".5", 6, None),
            ("5.", 6, None),
            ("-1", 6, None),
            ("1e3", 0, None),
            ("99999999999999999999", 0, None),
            ("9999999999999M", 6, None),
        ] {
            assert_eq!(parse_number(text, decimals), expected, "{text} {decimals}");
        }
    }

    proptest! {
        #[test]
        fn written_numbers_are_read_back(number in 0..i64::MAX, decimals in 0u32..7) {
            prop_assert_eq!(parse_number(&write_number(number, decimals), decimals), Some(number));
        }
    }
}
