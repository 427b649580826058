//! Single cases.

use super::*;

#[test]
fn values_that_no_session_has_are_forgotten() {
    let mut index = Index::default();
    let look = |number| Look { organization: 0, kind: 1, owner: 0, state: 0, bits: 1 << 15, number };
    let session = |number: i64| {
        let key = key(look(0), START + number, number as u64);
        let mut summary = summary(key, number, look(number));
        summary.owner = PrincipalId(Uuid::from_u128(number as u128));
        summary
    };
    let mut most = 0;
    for number in 0..20_000 {
        index.apply(session(number));
        if number >= 100 {
            index.remove(&session(number - 100).key);
        }
        if number >= 50 {
            // The session gets another tag.
            index.apply(Summary { key: session(number - 50).key, ..session(number) });
        }
        most = most.max(index.rows.dictionary.len());
    }
    assert!(most < 500, "{most} values of some hundred sessions");
    assert!(index.memory().bytes() < 1 << 22, "{:?}", index.memory());
    let everything = ListScope::Account { organizations: None, deleted: true };
    let tags = index.facets(&everything, &Filter::EVERY, Micros(START), [ValueField::Tag]);
    assert_eq!(tags[0].iter().map(|facet| facet.count).sum::<u64>(), 100);
    for number in 19_900..20_000 {
        index.remove(&session(number).key);
    }
    assert!(index.is_empty());
    assert_eq!(index.rows.dictionary.len(), 0);
}

#[test]
fn archived_sessions_are_counted_as_such() {
    let mut index = Index::default();
    let looks = |archived: bool| Look {
        organization: 0,
        kind: 1,
        owner: 0,
        state: 0,
        bits: if archived { 24 | 32 } else { 32 },
        number: 0,
    };
    for number in 0..40 {
        index.apply(summary(key(looks(false), START + number, number as u64), 1, looks(false)));
    }
    for number in 0..10 {
        index.apply(summary(key(looks(false), START + number, number as u64), 2, looks(true)));
    }
    for (archived, count) in [(true, 10), (false, 30)] {
        let filter = Filter::flag(ValueField::Archived, archived);
        let scope = ListScope::Organization(organization(0));
        let [tags] = index.facets(&scope, &filter, Micros(START), [ValueField::Tag]);
        assert_eq!(tags, [Facet { value: FieldValue::Text("a".into()), count }], "archived: {archived}");
    }
}

#[test]
fn sessions_of_two_organizations_may_have_one_id() {
    let mut index = Index::default();
    let look = Look { organization: 0, kind: 1, owner: 0, state: 0, bits: 0, number: 0 };
    let keys = [0, 1, 2, 3].map(|number| key(Look { organization: number, ..look }, START, 7));
    for key in keys {
        index.apply(summary(key, 5, look));
    }
    for key in keys {
        index.apply(summary(key, 6, look));
        assert_eq!(index.revision(&key), Some(6));
    }
    index.remove(&keys[1]);
    let left = keys.map(|key| index.revision(&key));
    assert_eq!(left, [Some(6), None, Some(6), Some(6)]);
    assert_eq!(index.summary(&keys[1]), None);
    assert_eq!(index.summary(&keys[2]), Some(summary(keys[2], 6, look).normalize()));
    assert_eq!(index.len(), 3);
}

#[test]
fn lengths_of_time_are_exact_at_their_ends() {
    let mut both = Both::new();
    let looks = |number: i64| Look {
        organization: 0,
        kind: (number % 3) as u8,
        owner: 0,
        state: (number % 4) as u8,
        bits: 0,
        number,
    };
    for number in 0..60 {
        let created = START + number / 4;
        let mut summary = summary(key(looks(number), created, number as u64), 1, looks(number));
        summary.ended = (number % 2 == 0).then(|| (Micros(created + number % 5), EndReason::Idle));
        summary.expires = (number % 5 > 0).then(|| Micros(START + 8 + number % 5));
        both.put(summary);
    }
    both.now = Micros(START + 10);
    both.index.advance(both.now);
    let scope = ListScope::Account { organizations: None, deleted: false };
    let ends = || (-1..9).map(Some).chain([None]);
    for field in SpanField::ALL {
        for (from, until) in ends().flat_map(|from| ends().map(move |until| (from, until))) {
            let filter = Filter::Span(field, NumberRange { from, until });
            let expected = both.list(&scope, &filter).len() as u64;
            let found = both.index.count(&scope, &filter, both.now);
            assert_eq!(found, expected, "{field:?} {from:?} {until:?}");
        }
        let all = Filter::Span(field, NumberRange::default());
        assert!(!both.list(&scope, &all).is_empty(), "{field:?}");
    }
}
