//! Usage limits of an organization.

use super::Acus;
use crate::time::Micros;

/// One day in microseconds.
const DAY: i64 = 86_400_000_000;

/// The usage limits of an organization, and its usage in the current cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageLimits {
    /// Limit of one session; `None` for no limit.
    pub max_session_acus: Option<Acus>,
    /// Limit of one cycle; `None` for no limit.
    pub max_cycle_acus: Option<Acus>,
    /// Usage in the current cycle.
    pub cycle_used: Acus,
}

impl UsageLimits {
    /// What is left of the cycle's limit; `None` without a limit.
    pub fn cycle_left(&self) -> Option<Acus> {
        self.max_cycle_acus.map(|max| Acus(max.0.saturating_sub(self.cycle_used.0)))
    }
}

/// The day of a time: days since 1970-01-01, UTC.
pub fn day(time: Micros) -> i64 {
    time.0.div_euclid(DAY)
}

/// The cycle of a time, which is a calendar month in UTC: its first day, and the first day of the next cycle.
pub fn cycle_days(time: Micros) -> (i64, i64) {
    let (year, month, _) = date(day(time));
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    (day_of(year, month, 1), day_of(next.0, next.1, 1))
}

/// Year, month and day of a number of days since 1970, in the proleptic Gregorian calendar. Years are counted from
/// March, so that a leap day is the last day of its year.
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_convert_to_each_other() {
        for (days, is) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_778, (2026, 11, 21)),
        ] {
            assert_eq!(date(days), is);
            assert_eq!(day_of(is.0, is.1, is.2), days);
        }
        for days in -800_000..800_000 {
            let (year, month, day) = date(days);
            assert_eq!(day_of(year, month, day), days);
        }
    }

    #[test]
    fn a_cycle_is_a_calendar_month() {
        let at = |year, month, day| Micros(day_of(year, month, day) * DAY + 5);
        let month = |year, month, next: (i64, i64)| (day_of(year, month, 1), day_of(next.0, next.1, 1));
        assert_eq!(cycle_days(at(2026, 11, 21)), month(2026, 11, (2026, 12)));
        assert_eq!(cycle_days(at(2026, 12, 31)), month(2026, 12, (2027, 1)));
        assert_eq!(cycle_days(at(2028, 2, 29)), month(2028, 2, (2028, 3)));
        assert_eq!(day(Micros(-1)), -1);
    }
}
