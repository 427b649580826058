//! `GET /tenure/v1/sessions/histogram`: how many sessions started, ended and were open over time.

use super::HandlerResult;
use super::visible::{Visible, check_names, read_zone};
use crate::app::App;
use crate::failure::Failure;
use crate::http::query::Query;
use crate::operations::sessions::facets::count_over_time;
use crate::operations::sessions::queries;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use domain::Refusal;
use domain::session::FieldValue;
use domain::time::Micros;
use index::{HistogramSeries, HistogramSplit, MAX_BUCKETS};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Unit, Zoned};
use protocol::sessions::{HistogramLine, SessionHistogram};
use protocol::time::Time;

/// The hours, or days, of a histogram without `from`.
const DEFAULT_HOURS: i64 = 48;
const DEFAULT_DAYS: i64 = 30;

/// What a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bucket {
    Hour,
    Day,
}

/// `GET /sessions/histogram`.
pub async fn get(Visible(visible): Visible, State(app): State<App>, query: Query) -> HandlerResult {
    check_names(&query, &["filter", "by", "split", "from", "until", "scope", "timezone"])?;
    let zone = read_zone(&query)?;
    let split = match query.text("split")? {
        None => None,
        Some("kind") => Some(HistogramSplit::Kind),
        Some("state") => Some(HistogramSplit::State),
        Some(_) => return Err(Failure::from(Refusal::invalid("split", "kind or state")).into()),
    };
    let boundaries = read_boundaries(&query, &zone, app.now())?;
    let text = query.text("filter")?.unwrap_or_default();
    let filter = queries::read_filter(&app, &visible, text, zone).await?;
    let series = count_over_time(&app, &visible, &filter.filter(), &boundaries, split).await?;
    let histogram = SessionHistogram {
        boundaries: boundaries.iter().map(|at| Time(at.0)).collect(),
        series: series.into_iter().map(write_series).collect(),
        filter_as_read: filter.text(),
    };
    Ok(Json(histogram).into_response())
}

fn write_series(series: HistogramSeries) -> HistogramLine {
    let value = series.value.map(|value| match value {
        FieldValue::Text(text) => text,
        FieldValue::Id(id) => id.to_string(),
    });
    let buckets = &series.buckets;
    HistogramLine {
        value,
        started: buckets.iter().map(|bucket| bucket.started).collect(),
        ended: buckets.iter().map(|bucket| bucket.ended).collect(),
        running: buckets.iter().map(|bucket| bucket.running).collect(),
    }
}

/// The boundaries of the buckets: whole hours or days of a time zone, from before `from` until after `until`.
fn read_boundaries(query: &Query, zone: &TimeZone, now: Micros) -> Result<Vec<Micros>, Failure> {
    let bucket = match query.text("by")? {
        None | Some("hour") => Bucket::Hour,
        Some("day") => Bucket::Day,
        Some(_) => return Err(Refusal::invalid("by", "hour or day").into()),
    };
    let until = query.time("until")?.unwrap_or(now);
    let default = match bucket {
        Bucket::Hour => DEFAULT_HOURS * 3_600,
        Bucket::Day => DEFAULT_DAYS * 86_400,
    };
    let from = query.time("from")?.unwrap_or(Micros(until.0.saturating_sub(default * 1_000_000)));
    let refused = || {
        let expected = format!("a time before until, at most {MAX_BUCKETS} hours or days before it");
        Failure::from(Refusal::invalid("from", expected))
    };
    if from > until {
        return Err(refused());
    }
    let zoned = |at: Micros| {
        let timestamp = Timestamp::from_microsecond(at.0).map_err(|_| refused())?;
        Ok::<_, Failure>(timestamp.to_zoned(zone.clone()))
    };
    let mut start = begin(&zoned(from)?, bucket).ok_or_else(refused)?;
    let mut boundaries = Vec::new();
    loop {
        let at = Micros(start.timestamp().as_microsecond());
        boundaries.push(at);
        if at > until {
            return Ok(boundaries);
        }
        if boundaries.len() > MAX_BUCKETS {
            return Err(refused());
        }
        let step = if bucket == Bucket::Hour { 1.hour() } else { 1.day() };
        start = start.checked_add(step).map_err(|_| refused())?;
    }
}

/// The beginning of the hour or day of a time.
fn begin(at: &Zoned, bucket: Bucket) -> Option<Zoned> {
    match bucket {
        Bucket::Hour => {
            at.round(jiff::ZonedRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc)).ok()
        }
        Bucket::Day => at.start_of_day().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundaries(query: &str, zone: &str, now: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let now = Micros(now.parse::<Timestamp>().unwrap().as_microsecond());
        let found = read_boundaries(&Query::read(query), &zone, now).unwrap();
        found.into_iter().map(|at| Timestamp::from_microsecond(at.0).unwrap().to_string()).collect()
    }

    #[test]
    fn buckets_are_hours_and_days_of_the_time_zone() {
        let now = "2026-03-29T12:30:00Z";
        assert_eq!(
            boundaries("by=hour&from=2026-03-29T10:59:00Z", "UTC", now),
            ["2026-03-29T10:00:00Z", "2026-03-29T11:00:00Z", "2026-03-29T12:00:00Z", "2026-03-29T13:00:00Z"]
        );
        // The day on which summer time begins has 23 hours.
        assert_eq!(
            boundaries("by=day&from=2026-03-28T12:00:00Z", "Europe/Berlin", now),
            ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"]
        );
        assert_eq!(boundaries("by=day", "UTC", now).len(), 32);
        assert_eq!(boundaries("", "UTC", now).len(), 50);
    }

    #[test]
    fn too_many_buckets_are_refused() {
        let now = Micros(1_772_366_400_000_000);
        for query in ["from=1990-01-01T00:00:00Z", "from=2030-01-01T00:00:00Z", "by=minute", "until=x"] {
            assert!(read_boundaries(&Query::read(query), &TimeZone::UTC, now).is_err(), "{query}");
        }
    }
}
