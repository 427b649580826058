//! Histograms: how many sessions of a list started, ended and were open over time.

use super::block_counts::BlockCounter;
use super::conditions::Conditions;
use super::evaluate::Scratch;
use super::tally::Matching;
use crate::sessions::Index;
use domain::session::{FieldValue, Filter, ListScope, SessionKind, SessionState, Summary, ValueField};
use domain::time::Micros;

/// The most buckets of a histogram.
pub const MAX_BUCKETS: usize = 1_000;

/// What the sessions of a histogram are split by: a field of which every session has one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistogramSplit {
    /// The kind.
    Kind,
    /// The state at the time of the question, also for buckets of the past.
    State,
}

/// The sessions of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistogramBucket {
    /// How many were created in it.
    pub started: u64,
    /// How many ended in it.
    pub ended: u64,
    /// How many were open in its last microsecond, or at the time of the question if that is earlier.
    pub running: u64,
}

/// The sessions with one value, or all sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSeries {
    /// The value that the sessions have; `None` without a split.
    pub value: Option<FieldValue>,
    /// The buckets, in order.
    pub buckets: Vec<HistogramBucket>,
}

/// How many sessions started, ended and were open over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// A series for each value that has sessions in some bucket, in the order of the values; or one series without a split.
    pub series: Vec<HistogramSeries>,
}

impl Histogram {
    /// Adds the sessions of another list, counted in the same buckets.
    pub fn add(&mut self, other: Histogram) {
        for added in other.series {
            match self.series.binary_search_by(|series| series.value.cmp(&added.value)) {
                Ok(at) => {
                    for (bucket, added) in self.series[at].buckets.iter_mut().zip(added.buckets) {
                        bucket.started += added.started;
                        bucket.ended += added.ended;
                        bucket.running += added.running;
                    }
                }
                Err(at) => self.series.insert(at, added),
            }
        }
    }
}

impl HistogramSplit {
    fn field(self) -> ValueField {
        match self {
            HistogramSplit::Kind => ValueField::Kind,
            HistogramSplit::State => ValueField::State,
        }
    }

    fn values(self) -> Vec<&'static str> {
        match self {
            HistogramSplit::Kind => SessionKind::ALL.map(SessionKind::name).to_vec(),
            HistogramSplit::State => SessionState::all().map(SessionState::name).collect(),
        }
    }

    fn value_of(self, summary: &Summary, now: Micros) -> &'static str {
        match self {
            HistogramSplit::Kind => summary.key.kind.name(),
            HistogramSplit::State => summary.state_at(now).name(),
        }
    }
}

impl Index {
    /// Counts the sessions that match a filter in buckets of time. Each of the ascending `boundaries` ends a bucket and
    /// begins the next one, so there is one bucket less.
    ///
    /// A session ends at [`Summary::end_at`]: a login session that has expired, as in [`Summary::state_at`], ended when it
    /// expired, although the sweep has not ended it yet.
    pub fn histogram(
        &self,
        scope: &ListScope,
        filter: &Filter,
        now: Micros,
        boundaries: &[Micros],
        split: Option<HistogramSplit>,
    ) -> Histogram {
        debug_assert!(!self.needs_advance(now), "the index is moved to the time of the question first");
        debug_assert!(boundaries.len() <= MAX_BUCKETS + 1 && boundaries.is_sorted());
        let clock = BucketClock::new(boundaries, now);
        let values = split.map_or(vec![""], HistogramSplit::values);
        let mut counts = values.iter().map(|_| BucketCounts::new(boundaries.len())).collect::<Vec<_>>();
        for summary in self.recent_matching(scope, filter, now) {
            let value = split.map_or("", |split| split.value_of(summary, now));
            let of_value = counts.iter_mut().zip(&values).filter(|(_, other)| **other == value);
            let (created, end) = (summary.key.id.creation_time().0, summary.end_at(now));
            for (counts, _) in of_value {
                counts.add_start(&clock, created);
                if let Some(end) = end {
                    counts.add_end(&clock, created, end.0);
                }
            }
        }
        self.count_rows(scope, filter, &clock, split, &mut counts);
        let series = counts.into_iter().zip(values).map(|(counts, value)| HistogramSeries {
            value: split.map(|_| FieldValue::Text(value.to_owned())),
            buckets: counts.into_buckets(),
        });
        let has_sessions = |series: &HistogramSeries| {
            split.is_none() || series.buckets.iter().any(|bucket| *bucket != HistogramBucket::default())
        };
        let mut series = series.filter(has_sessions).collect::<Vec<_>>();
        series.sort_by(|one, other| one.value.cmp(&other.value));
        Histogram { series }
    }

    /// Counts the matching rows. Without a split, all are of the first value.
    fn count_rows(
        &self,
        scope: &ListScope,
        filter: &Filter,
        clock: &BucketClock<'_>,
        split: Option<HistogramSplit>,
        counts: &mut [BucketCounts],
    ) {
        let every = ListScope::Account { organizations: None, deleted: true };
        let select = |field: ValueField, value: &str| {
            Conditions::new(&self.rows, &every, &Filter::has_text(field, [value]), clock.now)
        };
        let expired =
            select(ValueField::State, SessionState::Login(domain::session::LoginState::Expired).name());
        let split = split
            .into_iter()
            .flat_map(|split| split.values().into_iter().map(move |value| (split.field(), value)));
        let of_values = split.map(|(field, value)| select(field, value)).collect::<Vec<_>>();
        let matching = Matching::new(&Conditions::new(&self.rows, scope, filter, clock.now));
        let mut scratch = Scratch::default();
        let (mut of_value, mut has_expired) = (scratch.take(), scratch.take());
        for number in &self.rows.order {
            let rows = matching.rows_of(*number);
            let block = &self.rows.blocks[usize::from(*number)];
            if rows.is_empty() || clock.is_over(block.first().0) {
                continue;
            }
            expired.evaluate(*number, &mut has_expired, &mut scratch);
            let mut counter = BlockCounter::new(block, clock, &has_expired);
            if of_values.is_empty() {
                counter.count(rows, &mut counts[0]);
            }
            for (conditions, counts) in of_values.iter().zip(&mut *counts) {
                conditions.evaluate(*number, &mut of_value, &mut scratch);
                of_value.and(rows);
                counter.count(&of_value, counts);
            }
        }
    }
}

/// Finds the bucket of a time.
pub(super) struct BucketClock<'a> {
    pub(super) boundaries: &'a [Micros],
    pub(super) now: Micros,
    /// Buckets are about as long as each other: the average length says where to look first.
    buckets_per_micro: f64,
}

impl BucketClock<'_> {
    fn new(boundaries: &[Micros], now: Micros) -> BucketClock<'_> {
        let (first, last) = (boundaries.first().copied(), boundaries.last().copied());
        let length = first.zip(last).map_or(0, |(first, last)| last.0.saturating_sub(first.0));
        let buckets = boundaries.len().saturating_sub(1);
        let buckets_per_micro = if length > 0 { buckets as f64 / length as f64 } else { 0.0 };
        BucketClock { boundaries, now, buckets_per_micro }
    }

    /// How many boundaries are not after a time: 0 before the first bucket, and then one more than the bucket's number.
    #[inline]
    pub(super) fn position(&self, time: i64) -> usize {
        let Some(first) = self.boundaries.first() else { return 0 };
        let guess = (time.saturating_sub(first.0) as f64 * self.buckets_per_micro) as usize;
        let is_within = |position: usize| {
            position.checked_sub(1).is_none_or(|before| self.boundaries[before].0 <= time)
                && self.boundaries.get(position).is_none_or(|after| time < after.0)
        };
        let guess = guess.min(self.boundaries.len() - 1);
        match [guess + 1, guess].into_iter().find(|position| is_within(*position)) {
            Some(position) => position,
            None => self.boundaries.partition_point(|boundary| boundary.0 <= time),
        }
    }

    /// Whether a time is after the last bucket.
    fn is_over(&self, time: i64) -> bool {
        self.boundaries.last().is_none_or(|last| time >= last.0)
    }
}

/// Counts of one value, by the positions of [`BucketClock::position`].
pub(super) struct BucketCounts {
    pub(super) started: Vec<u64>,
    pub(super) ended: Vec<u64>,
    /// By how many more sessions are open, as far as it is known at the time of the question.
    pub(super) opened: Vec<i64>,
}

impl BucketCounts {
    fn new(boundaries: usize) -> BucketCounts {
        let positions = boundaries + 1;
        BucketCounts { started: vec![0; positions], ended: vec![0; positions], opened: vec![0; positions] }
    }

    /// Counts a session that was created at a time.
    pub(super) fn add_start(&mut self, clock: &BucketClock<'_>, created: i64) {
        let position = clock.position(created);
        self.started[position] += 1;
        self.opened[position] += i64::from(created <= clock.now.0);
    }

    /// Counts the end of a session.
    #[inline]
    pub(super) fn add_end(&mut self, clock: &BucketClock<'_>, created: i64, end: i64) {
        let position = clock.position(end);
        self.ended[position] += 1;
        // A session that ended before it was created was never open: clocks differ.
        let closed = if end < created { clock.position(created) } else { position };
        self.opened[closed] -= i64::from(end.max(created) <= clock.now.0);
    }

    fn into_buckets(self) -> Vec<HistogramBucket> {
        let mut open = self.opened[0];
        let positions = 1..self.started.len().saturating_sub(1);
        positions
            .map(|position| {
                open += self.opened[position];
                let (started, ended) = (self.started[position], self.ended[position]);
                HistogramBucket { started, ended, running: open.unsigned_abs() }
            })
            .collect()
    }
}
