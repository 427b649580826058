//! Histograms agree with a plain loop.

use super::*;
use crate::{Histogram, HistogramBucket, HistogramSeries, HistogramSplit};

#[derive(Debug, Clone)]
struct HistogramQuestion {
    scope: ListScope,
    filter: Filter,
    boundaries: Vec<Micros>,
    split: Option<HistogramSplit>,
}

fn boundaries() -> impl Strategy<Value = Vec<Micros>> {
    let time = || prop_oneof![-50_000i64..500_000, 0i64..3_000];
    let some = proptest::collection::btree_set(time(), 0..40).prop_map(Vec::from_iter);
    let even = (time(), 1i64..40_000, 0i64..60)
        .prop_map(|(first, length, buckets)| (0..=buckets).map(|at| first + at * length).collect());
    let times = prop_oneof![some, even];
    times.prop_map(|times: Vec<i64>| times.into_iter().map(|time| Micros(START + time)).collect())
}

fn histogram_question() -> impl Strategy<Value = HistogramQuestion> {
    let split = prop_oneof![Just(None), Just(Some(HistogramSplit::Kind)), Just(Some(HistogramSplit::State))];
    let filter = prop_oneof![1 => Just(Filter::EVERY), 2 => filter()];
    (scope(), filter, boundaries(), split).prop_map(|(scope, filter, boundaries, split)| HistogramQuestion {
        scope,
        filter,
        boundaries,
        split,
    })
}

fn count_in_buckets(list: &[&Summary], now: Micros, boundaries: &[Micros]) -> Vec<HistogramBucket> {
    let buckets = boundaries.windows(2).map(|bucket| {
        let is_within = |time: Micros| bucket[0] <= time && time < bucket[1];
        let last = Micros(bucket[1].0 - 1).min(now);
        let created = |summary: &Summary| summary.key.id.creation_time();
        let count = |counts: &dyn Fn(&Summary) -> bool| list.iter().filter(|one| counts(one)).count() as u64;
        HistogramBucket {
            started: count(&|one| is_within(created(one))),
            ended: count(&|one| one.end_at(now).is_some_and(is_within)),
            running: count(&|one| created(one) <= last && one.end_at(now).is_none_or(|end| end > last)),
        }
    });
    buckets.collect()
}

impl Both {
    fn compare_histogram(&mut self, question: &HistogramQuestion) -> Result<(), TestCaseError> {
        if self.index.needs_advance(self.now) {
            self.index.advance(self.now);
        }
        let HistogramQuestion { scope, filter, boundaries, split } = question;
        let list = self.list(scope, filter);
        let values = match split {
            None => vec![None],
            Some(HistogramSplit::Kind) => SessionKind::ALL.map(|kind| Some(kind.name())).to_vec(),
            Some(HistogramSplit::State) => SessionState::all().map(|state| Some(state.name())).collect(),
        };
        let series = values.into_iter().map(|value| {
            let has_value = |one: &&&Summary| match split {
                None => true,
                Some(HistogramSplit::Kind) => Some(one.key.kind.name()) == value,
                Some(HistogramSplit::State) => Some(one.state_at(self.now).name()) == value,
            };
            let of_value = list.iter().filter(has_value).copied().collect::<Vec<_>>();
            let buckets = count_in_buckets(&of_value, self.now, boundaries);
            HistogramSeries { value: value.map(|value| FieldValue::Text(value.to_owned())), buckets }
        });
        let is_empty = |series: &HistogramSeries| {
            series.buckets.iter().all(|bucket| *bucket == HistogramBucket::default())
        };
        let mut series = series.filter(|series| split.is_none() || !is_empty(series)).collect::<Vec<_>>();
        series.sort_by(|one, other| one.value.cmp(&other.value));
        let expected = Histogram { series };
        let ask = |filter: &Filter| self.index.histogram(scope, filter, self.now, boundaries, *split);
        prop_assert_eq!(&ask(filter), &expected);
        // Two parts of a list are as much as the list.
        let agents = Filter::has_text(ValueField::Kind, ["agent"]);
        let mut parts = ask(&Filter::And(vec![filter.clone(), agents.clone()]));
        parts.add(ask(&Filter::And(vec![filter.clone(), Filter::Not(Box::new(agents))])));
        prop_assert_eq!(&parts, &expected);
        Ok(())
    }
}

proptest! {
    #[test]
    fn histograms_agree_with_a_plain_loop(
        steps in proptest::collection::vec(step(), 1..number_of("INDEX_TEST_CHANGES", 500)),
        questions in proptest::collection::vec(histogram_question(), number_of("INDEX_TEST_FILTERS", 24)),
    ) {
        let mut both = Both::new();
        for (at, step) in steps.iter().enumerate() {
            both.take(*step);
            if at % 97 == 0 {
                both.compare_histogram(&questions[at % questions.len()])?;
            }
        }
        for question in &questions {
            both.compare_histogram(question)?;
        }
    }
}

#[test]
fn a_login_session_that_expired_without_a_sweep_ended_when_it_expired() {
    let mut both = Both::new();
    let look = Look { organization: 0, kind: 2, owner: 0, state: 0, bits: 0, number: 0 };
    for number in 0..100 {
        let mut login = summary(key(look, START + number, number as u64), 1, look);
        login.expires = Some(Micros(START + 1_000));
        both.put(login);
    }
    let boundaries = [0, 500, 1_000, 1_500, 2_000].map(|at| Micros(START + at));
    let mut running = |now: i64| {
        both.now = Micros(START + now);
        both.index.advance(both.now);
        let found = both.index.histogram(
            &ListScope::Organization(OrganizationId::PEOPLE),
            &Filter::EVERY,
            both.now,
            &boundaries,
            None,
        );
        found.series[0].buckets.iter().map(|bucket| (bucket.ended, bucket.running)).collect::<Vec<_>>()
    };
    assert_eq!(running(999), [(0, 100), (0, 100), (0, 100), (0, 100)]);
    assert_eq!(running(1_000), [(0, 100), (0, 100), (100, 0), (0, 0)]);
    assert_eq!(running(50), [(0, 51), (0, 51), (0, 51), (0, 51)]);
}

#[test]
fn a_session_that_ended_before_it_was_created_was_never_open() {
    let mut both = Both::new();
    let look = Look { organization: 0, kind: 0, owner: 0, state: 3, bits: 0, number: 0 };
    for number in 0..100 {
        let mut device = summary(key(look, START + 1_000 + number, number as u64), 1, look);
        // Clocks differ. One that ended in the future is still open.
        let end = if number < 50 { START + number * 10 } else { START + 1_500 + number };
        device.ended = Some((Micros(end), EndReason::Idle));
        both.put(device);
    }
    both.now = Micros(START + 1_400);
    let scope = ListScope::Organization(organization(0));
    let boundaries = [0, 500, 1_000, 1_500, 2_000].map(|at| Micros(START + at)).to_vec();
    let question = HistogramQuestion { scope, filter: Filter::EVERY, boundaries, split: None };
    both.compare_histogram(&question).unwrap();
    let found = both.index.histogram(&question.scope, &Filter::EVERY, both.now, &question.boundaries, None);
    let buckets = found.series[0].buckets.iter();
    let buckets = buckets.map(|bucket| (bucket.started, bucket.ended, bucket.running)).collect::<Vec<_>>();
    assert_eq!(buckets, [(0, 50, 0), (0, 0, 0), (100, 0, 50), (0, 50, 50)]);
}
