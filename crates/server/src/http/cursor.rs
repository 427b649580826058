//! Cursors: the position where a list goes on. They are opaque to clients.
//!
//! A cursor has a version, a position in bytes and an authentication code. The code covers the list, its reader, the
//! organization and the filter. An altered cursor, or one used with another filter or by another caller, does not
//! verify and is refused. It never starts again at page 1.

use crate::failure::Failure;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The first byte of every cursor. Another layout needs another number.
const VERSION: u8 = 1;
const CODE: usize = 16;

/// What a cursor is bound to: a list, its reader, the organization and the filter.
pub struct CursorBinding {
    key: [u8; 32],
    context: [u8; 32],
}

impl CursorBinding {
    /// Binds to the list of this name, read by `reader` in `organization` (the nil id for the account). `filter` is the
    /// filter as one unambiguous text.
    pub fn new(key: [u8; 32], list: &str, reader: Uuid, organization: Uuid, filter: &str) -> CursorBinding {
        let digest = Sha256::new()
            .chain_update((list.len() as u64).to_be_bytes())
            .chain_update(list)
            .chain_update(reader.as_bytes())
            .chain_update(organization.as_bytes())
            .chain_update(filter);
        CursorBinding { key, context: digest.finalize().into() }
    }

    /// Writes the cursor of a position.
    ///
    /// # Errors
    /// [`Failure::Internal`] for a key of a wrong length, which does not happen.
    pub fn write(&self, position: &[u8]) -> Result<String, Failure> {
        let mut bytes = Vec::with_capacity(1 + position.len() + CODE);
        bytes.push(VERSION);
        bytes.extend(position);
        let code = self.mac(&bytes)?.finalize().into_bytes();
        bytes.extend(&code[..CODE]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads the position of a cursor that this list gave; `None` for any other text.
    pub fn read(&self, text: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
        let (content, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE)?)?;
        let position = content.strip_prefix(&[VERSION])?;
        self.mac(content).ok()?.verify_truncated_left(code).ok()?;
        Some(position.to_vec())
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

    fn binding(filter: &str) -> CursorBinding {
        CursorBinding::new([1; 32], "sessions", Uuid::from_u128(2), Uuid::from_u128(3), filter)
    }

    proptest! {
        #[test]
        fn a_cursor_is_parsed_back_and_a_damaged_one_is_refused(position: [u8; 16], at in 0usize..33, flip in 1u8..) {
            let text = binding("f").write(&position).unwrap();
            let read = |text: &str| binding("f").read(text);
            prop_assert_eq!(read(&text).unwrap(), position);
            prop_assert_eq!(read(&format!("{text}==")).unwrap(), position);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            bytes[at] ^= flip;
            prop_assert!(read(&URL_SAFE_NO_PAD.encode(&bytes)).is_none());
            bytes[at] ^= flip;
            for cut in 0..bytes.len() {
                prop_assert!(read(&URL_SAFE_NO_PAD.encode(&bytes[..cut])).is_none());
            }
        }

        #[test]
        fn no_input_causes_a_panic(text in ".{0,80}") {
            prop_assert!(binding("f").read(&text).is_none());
        }
    }

    /// Another layout ends every live cursor.
    #[test]
    fn a_cursor_is_frozen() {
        assert_eq!(
            binding("f").write(&7_u128.to_be_bytes()).unwrap(),
            "AQAAAAAAAAAAAAAAAAAAAAfOi-CS_yWZ0jDzNt-QMUI2"
        );
    }

    #[test]
    fn a_cursor_belongs_to_one_list_reader_place_and_filter() {
        let text = binding("f").write(&7_u128.to_be_bytes()).unwrap();
        let (reader, place) = (Uuid::from_u128(2), Uuid::from_u128(3));
        for other in [
            CursorBinding::new([2; 32], "sessions", reader, place, "f"),
            CursorBinding::new([1; 32], "insights", reader, place, "f"),
            CursorBinding::new([1; 32], "sessions", place, place, "f"),
            CursorBinding::new([1; 32], "sessions", reader, reader, "f"),
            CursorBinding::new([1; 32], "sessions", reader, place, "g"),
        ] {
            assert!(other.read(&text).is_none());
        }
    }
}
