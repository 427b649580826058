//! Times on Tenure's own wire.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A time in microseconds since 1970, written as RFC 3339 in UTC with six digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
        let timestamp = Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::MAX);
        f.write_str(&PRINTER.timestamp_to_string(&timestamp))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        let timestamp = text.parse::<Timestamp>().map_err(serde::de::Error::custom)?;
        Ok(Time(timestamp.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn a_time_has_six_digits_and_is_read_back() {
        for (micros, text) in [
            (0, "\"1970-01-01T00:00:00.000000Z\""),
            (1_772_366_400_000_007, "\"2026-03-01T12:00:00.000007Z\""),
        ] {
            assert_eq!(serde_json::to_string(&Time(micros)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Time>(text).unwrap(), Time(micros));
        }
        assert_eq!(
            serde_json::from_str::<Time>("\"2026-03-01T13:00:00+01:00\"").unwrap().0,
            1_772_366_400_000_000
        );
        assert!(serde_json::from_str::<Time>("\"yesterday\"").is_err());
    }
}
