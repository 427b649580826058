//! Signed tokens: what was not signed with the key, as it stands, is none, whatever its header says.
#![no_main]

use libfuzzer_sys::fuzz_target;

// A header and claims of one's own, and a place of a good token and what to put there.
fuzz_target!(|input: (&str, &str, u16, u8)| {
    let (header, claims, at, put) = input;
    server::fuzzing::tokens(header, claims, usize::from(at), put);
});
