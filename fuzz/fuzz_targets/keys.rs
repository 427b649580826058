//! API keys: only a created key is accepted, to the last character. Malformed keys do not reach the store.
#![no_main]

use domain::credential::{KeySecret, Wire};
use libfuzzer_sys::fuzz_target;

// A position, a replacement, and where to cut.
fuzz_target!(|input: (&str, [u8; 28], u8, char, u8)| {
    let (text, random, at, put, cut) = input;
    if let Some(secret) = KeySecret::parse(text) {
        assert_eq!(secret.reveal(), text);
    }
    let (_, _, prefix) = Wire::ALL[usize::from(cut) % Wire::ALL.len()];
    let wire = Wire::ALL.iter().find(|(.., known)| *known == prefix).map(|(wire, ..)| *wire);
    let Some(wire) = wire else { return };
    let made = KeySecret::new(wire, random).reveal().to_owned();
    assert!(KeySecret::parse(&made).is_some());
    let mut altered = made.chars().collect::<Vec<_>>();
    let at = usize::from(at) % altered.len();
    altered[at] = put;
    let altered = altered.into_iter().collect::<String>();
    // The checksum has 32 bits: an altered key that passes it is one in four thousand million, and not one in the store.
    assert!(altered == made || KeySecret::parse(&altered).is_none(), "{altered} passes for {made}");
    let cut = usize::from(cut) % made.len();
    assert!(KeySecret::parse(&made[..cut]).is_none(), "a part of a key passes");
    assert!(KeySecret::parse(&format!("{made}{put}")).is_none(), "more than a key passes");
});
