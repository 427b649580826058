//! Cursors: the position where a list goes on. They are opaque to clients.
//!
//! A cursor has a version, a position and an authentication code. The code covers the list, its reader, the
//! organization and the filter. An altered cursor, or one used with another filter or by another caller, does not
//! verify and is refused. It never starts again at page 1.

use crate::app::App;
use crate::failure::Failure;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Refusal;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The first byte of every cursor. Another layout needs another number.
const VERSION: u8 = 1;
const POSITION: usize = 16;
const CODE: usize = 16;
const LENGTH: usize = 1 + POSITION + CODE;

/// What a cursor is bound to: a list, its reader, the organization and the filter.
pub struct Binding {
    key: [u8; 32],
    context: [u8; 32],
}

/// The key that authenticates cursors. All servers of the account derive the same one.
pub fn key(app: &App) -> [u8; 32] {
    app.keys.derive_key("devin cursors")
}

impl Binding {
    /// Binds to the list of this name, read by `reader` in `organization` (the nil id for the account). `filter` is the
    /// filter as one unambiguous text.
    pub fn new(key: [u8; 32], list: &str, reader: Uuid, organization: Uuid, filter: &str) -> Binding {
        let digest = Sha256::new()
            .chain_update((list.len() as u64).to_be_bytes())
            .chain_update(list)
            .chain_update(reader.as_bytes())
            .chain_update(organization.as_bytes())
            .chain_update(filter);
        Binding { key, context: digest.finalize().into() }
    }

    /// Writes the cursor of a position.
    ///
    /// # Errors
    /// [`Failure::Internal`] for a key of a wrong length, which does not happen.
    pub fn write(&self, position: u128) -> Result<String, Failure> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend(position.to_be_bytes());
        let code = self.mac(&bytes)?.finalize().into_bytes();
        bytes.extend(&code[..CODE]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads the position of a cursor that this list gave.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for any other text.
    pub fn read(&self, text: &str) -> Result<u128, Failure> {
        let refused =
            || Refusal::invalid("after", "an end_cursor that this list gave you with the same filters");
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| refused())?;
        if bytes.len() != LENGTH || bytes[0] != VERSION {
            return Err(refused().into());
        }
        let (content, code) = bytes.split_at(1 + POSITION);
        self.mac(content)?.verify_truncated_left(code).map_err(|_| refused())?;
        let mut position = [0; POSITION];
        position.copy_from_slice(&content[1..]);
        Ok(u128::from_be_bytes(position))
    }

    fn mac(&self, content: &[u8]) -> Result<Hmac<Sha256>, Failure> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(Failure::internal)?;
        Ok(mac.chain_update(self.context).chain_update(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn binding(filter: &str) -> Binding {
        Binding::new([1; 32], "sessions", Uuid::from_u128(2), Uuid::from_u128(3), filter)
    }

    proptest! {
        #[test]
        fn a_cursor_is_parsed_back_and_a_damaged_one_is_refused(position: u128, at in 0usize..LENGTH, flip in 1u8..) {
            let text = binding("f").write(position).unwrap();
            prop_assert_eq!(binding("f").read(&text).unwrap(), position);
            prop_assert_eq!(binding("f").read(&format!("{text}==")).unwrap(), position);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            bytes[at] ^= flip;
            prop_assert!(binding("f").read(&URL_SAFE_NO_PAD.encode(&bytes)).is_err());
            bytes[at] ^= flip;
            for cut in 0..bytes.len() {
                prop_assert!(binding("f").read(&URL_SAFE_NO_PAD.encode(&bytes[..cut])).is_err());
            }
        }

        #[test]
        fn no_input_causes_a_panic(text in ".{0,80}") {
            prop_assert!(binding("f").read(&text).is_err());
        }
    }

    /// Another layout ends every live cursor.
    #[test]
    fn a_cursor_is_frozen() {
        assert_eq!(binding("f").write(7).unwrap(), "AQAAAAAAAAAAAAAAAAAAAAfOi-CS_yWZ0jDzNt-QMUI2");
    }

    #[test]
    fn a_cursor_belongs_to_one_list_reader_place_and_filter() {
        let text = binding("f").write(7).unwrap();
        let (reader, place) = (Uuid::from_u128(2), Uuid::from_u128(3));
        for other in [
            Binding::new([2; 32], "sessions", reader, place, "f"),
            Binding::new([1; 32], "insights", reader, place, "f"),
            Binding::new([1; 32], "sessions", place, place, "f"),
            Binding::new([1; 32], "sessions", reader, reader, "f"),
            Binding::new([1; 32], "sessions", reader, place, "g"),
        ] {
            assert!(other.read(&text).is_err());
        }
    }
}
