//! Doors for the fuzz targets (`fuzz/`), which see only what is public. There is no such module without the feature
//! `fuzzing`, but in tests. Each panics when something does not hold.

use crate::operations::login::tokens;
use crate::operations::login::tokens::Use;
use crate::wires::{devin, everruns};

/// Ids as the wires of agents read them.
pub fn ids(text: &str) {
    everruns::fuzzing::ids(text);
    devin::fuzzing::ids(text);
}

/// A text as a cursor, and a good cursor with one byte of it changed.
pub fn cursors(text: &str, position: u128, at: usize, flip: u8, filter: &str) {
    devin::fuzzing::cursors(text, position, at, flip, filter);
}

/// A query as the wires of agents read it.
pub fn filters(query: &str) {
    everruns::fuzzing::filters(query);
    devin::fuzzing::filters(query);
}

/// A token made of a header and claims, and a good one with one byte of it changed.
pub fn tokens(header: &str, claims: &str, at: usize, put: u8) {
    for usage in [Use::Session, Use::Verify, Use::Restore] {
        tokens::fuzzing::check_forged(usage, header, claims);
        tokens::fuzzing::check_altered(usage, at, put);
    }
}

#[cfg(test)]
mod tests {
    /// Runs each target with a first input, so that a broken target is known before a long run.
    #[test]
    fn every_target_runs() {
        for text in ["", "\n\u{e0}", "x", "first=1&after=x", "session_0123456789abcdef0123456789abcdef"] {
            super::ids(text);
            super::filters(text);
            for at in [0, 1, 2, 10, 255] {
                super::cursors(text, 1 << 100, at, 1, "tags=a");
                super::tokens(r#"{"alg":"EdDSA"}"#, text, at, b'A');
            }
        }
    }
}
