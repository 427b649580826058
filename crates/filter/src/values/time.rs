//! Times, such as `2026-11-19`, `2026-11-19T14:32Z`, `-24h` or `today`.

use super::duration::parse_duration;
use crate::LocalTime;
use domain::time::Micros;
use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan};

/// The words for times.
pub(crate) const WORDS: [&str; 4] = ["today", "yesterday", "tomorrow", "now"];

/// What a written time stands for: a day, a minute, a second, or one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrittenTime {
    /// Its first moment.
    pub(crate) start: Micros,
    /// The moment after it. That of a moment is the moment itself.
    pub(crate) end: Micros,
}

/// Reads a time. Without an offset it is in the time zone of the caller.
pub(crate) fn parse_time(text: &str, local: &LocalTime) -> Option<WrittenTime> {
    let today = || to_timestamp(local.now).to_zoned(local.zone.clone()).date();
    let moment = |time: Micros| Some(WrittenTime { start: time, end: time });
    match text.to_ascii_lowercase().as_str() {
        "now" => return moment(clamp(i128::from(local.now.0))),
        "today" => return read_day(today(), local),
        "yesterday" => return read_day(today().yesterday().ok()?, local),
        "tomorrow" => return read_day(today().tomorrow().ok()?, local),
        _ => {}
    }
    let now = i128::from(local.now.0);
    if let Some(ago) = text.strip_prefix('-') {
        return moment(clamp(now - i128::from(parse_duration(ago)?)));
    }
    if let Some(later) = text.strip_prefix('+') {
        return moment(clamp(now + i128::from(parse_duration(later)?)));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TtZz".contains(&byte)) {
        return None;
    }
    match text.split_once(['T', 't']) {
        Some((date, time)) => read_time_of_day(text, date, time, local),
        None => read_day(read_date(text)?, local),
    }
}

/// Reads `YYYY-MM-DD`.
fn read_date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten()
}

fn read_day(date: Date, local: &LocalTime) -> Option<WrittenTime> {
    let start_of = |date: Date| Some(date.to_zoned(local.zone.clone()).ok()?.timestamp());
    let start = start_of(date)?;
    let end = start_of(date.tomorrow().ok()?)?;
    Some(WrittenTime { start: from_timestamp(start), end: from_timestamp(end) })
}

/// Reads a date with a time of day, which has an offset or is in the caller's time zone.
fn read_time_of_day(text: &str, date: &str, time: &str, local: &LocalTime) -> Option<WrittenTime> {
    read_date(date)?;
    let clock = time.split(['Z', 'z', '+', '-']).next().unwrap_or_default();
    let start = if clock.len() < time.len() {
        text.parse::<Timestamp>().ok()?
    } else {
        local.zone.to_timestamp(text.parse::<DateTime>().ok()?).ok()?
    };
    let length = match (clock.matches(':').count(), clock.contains('.')) {
        (1, false) => 1.minute(),
        (2, false) => 1.second(),
        (2, true) => 1.microsecond(),
        _ => return None,
    };
    let end = start.checked_add(length).ok()?;
    Some(WrittenTime { start: from_timestamp(start), end: from_timestamp(end) })
}

/// A time in UTC that is read back as the same moment.
pub(crate) fn write_time(time: Micros) -> String {
    to_timestamp(time).to_string()
}

fn from_timestamp(time: Timestamp) -> Micros {
    clamp(i128::from(time.as_microsecond()))
}

fn to_timestamp(time: Micros) -> Timestamp {
    Timestamp::from_microsecond(time.0).unwrap_or(Timestamp::MAX)
}

/// No session is older than 1970, and no calendar goes beyond the year 9999.
fn clamp(micros: i128) -> Micros {
    Micros(micros.clamp(0, i128::from(Timestamp::MAX.as_microsecond())) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    fn local(now: &str, zone: &str) -> LocalTime {
        let now = Micros(now.parse::<Timestamp>().unwrap().as_microsecond());
        LocalTime { now, zone: TimeZone::get(zone).unwrap() }
    }

    #[test]
    fn times_are_read_in_the_zone_of_the_caller() {
        // Berlin is one hour ahead of UTC in November. The clock goes back on 25 October.
        let berlin = local("2026-11-20T23:30:00Z", "Europe/Berlin");
        for (text, expected) in [
            ("2026-11-19", Some(("2026-11-18T23:00:00Z", "2026-11-19T23:00:00Z"))),
            ("2026-10-25", Some(("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"))),
            ("today", Some(("2026-11-20T23:00:00Z", "2026-11-21T23:00:00Z"))),
            ("Yesterday", Some(("2026-11-19T23:00:00Z", "2026-11-20T23:00:00Z"))),
            ("tomorrow", Some(("2026-11-21T23:00:00Z", "2026-11-22T23:00:00Z"))),
            ("now", Some(("2026-11-20T23:30:00Z", "2026-11-20T23:30:00Z"))),
            ("-24h", Some(("2026-11-19T23:30:00Z", "2026-11-19T23:30:00Z"))),
            ("+5m", Some(("2026-11-20T23:35:00Z", "2026-11-20T23:35:00Z"))),
            ("-99999w", Some(("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"))),
            ("2026-11-19T14:32Z", Some(("2026-11-19T14:32:00Z", "2026-11-19T14:33:00Z"))),
            ("2026-11-19T14:32", Some(("2026-11-19T13:32:00Z", "2026-11-19T13:33:00Z"))),
            ("2026-11-19t14:32:05z", Some(("2026-11-19T14:32:05Z", "2026-11-19T14:32:06Z"))),
            (
                "2026-11-19T14:32:05.25+02:00",
                Some(("2026-11-19T12:32:05.25Z", "2026-11-19T12:32:05.250001Z")),
            ),
            ("", None),
            ("24h", None),
            ("-24", None),
            ("yesterdy", None),
            ("2026", None),
            ("2026-11", None),
            ("20261119", None),
            ("2026-02-30", None),
            ("2026-11-19T", None),
            ("2026-11-19T14", None),
            ("2026-11-19T25:00Z", None),
            ("9999-12-31", None),
            ("2026-11-19T14:32[Europe/Berlin]", None),
        ] {
            let found = parse_time(text, &berlin).map(|time| (write_time(time.start), write_time(time.end)));
            let expected = expected.map(|(start, end)| (start.to_owned(), end.to_owned()));
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn written_times_are_read_back(micros in 0..Timestamp::MAX.as_microsecond() - 60_000_000) {
            let found = parse_time(&write_time(Micros(micros)), &local("2026-11-20T23:30:00Z", "UTC"));
            prop_assert_eq!(found.map(|time| time.start), Some(Micros(micros)));
        }
    }
}
