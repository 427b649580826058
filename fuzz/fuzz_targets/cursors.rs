//! Cursors of Devin's lists: a list accepts only its own cursors.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u128, u8, u8, &str)| {
    let (text, position, at, flip, filter) = input;
    server::fuzzing::cursors(text, position, usize::from(at), flip, filter);
});
