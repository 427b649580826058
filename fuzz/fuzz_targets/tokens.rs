//! Signed tokens: only what the key has signed is accepted, whatever the header says.
#![no_main]

use libfuzzer_sys::fuzz_target;

// A header and claims, and a position in a valid token with a replacement.
fuzz_target!(|input: (&str, &str, u16, u8)| {
    let (header, claims, at, put) = input;
    server::fuzzing::tokens(header, claims, usize::from(at), put);
});
