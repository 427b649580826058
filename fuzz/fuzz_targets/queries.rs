//! The filter language: any text is read, or has faults that lie in it. A query is written as a text that is read as the same
//! query. Any place of any text can be completed, and a completion replaces a part of the text.
#![no_main]

use domain::session::Field;
use domain::time::Micros;
use filter::{CountedValue, ValueSource, LocalTime, complete, find_completed_field, read};
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

struct Values;

impl ValueSource for Values {
    fn find_values(&self, _: Field, text: &str) -> Vec<CountedValue> {
        vec![CountedValue { text: format!("{text}x"), help: None, count: Some(1) }]
    }
}

fuzz_target!(|input: (&str, u8)| {
    let (text, cursor) = (input.0, usize::from(input.1));
    let local = LocalTime { now: Micros(1_772_366_400_000_000), zone: TimeZone::UTC };
    let length = text.chars().count();
    match read(text, &local) {
        Ok(query) => assert_eq!(read(&query.to_string(), &local), Ok(query)),
        Err(faults) => {
            assert!(faults.as_slice().iter().all(|fault| fault.at + fault.length <= length));
            assert!(!faults.render(text).is_empty());
        }
    }
    let _ = find_completed_field(text, cursor);
    let completion = complete(text, cursor, &Values);
    assert!(completion.at + completion.length <= length);
});
