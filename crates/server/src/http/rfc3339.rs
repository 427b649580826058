//! RFC 3339 times, which several wires use.

use domain::time::Micros;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};

/// A time as RFC 3339 in UTC with six digits, so that a cursor made from it is exact.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Micros);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
        let timestamp = Timestamp::from_microsecond(self.0.0).unwrap_or(Timestamp::MAX);
        f.write_str(&PRINTER.timestamp_to_string(&timestamp))
    }
}

/// Reads a time. Fractions of a microsecond are rounded up, so that a page of everything before this time omits nothing.
pub fn parse_time(text: &str) -> Option<Micros> {
    if text.len() > 64 {
        return None;
    }
    // An unescaped `+` of an offset arrives as a space.
    let timestamp: Timestamp = text.parse().or_else(|_| text.replacen(' ', "+", 1).parse()).ok()?;
    let nanos = timestamp.as_nanosecond();
    i64::try_from(nanos.div_euclid(1_000) + i128::from(nanos.rem_euclid(1_000) > 0)).ok().map(Micros)
}
