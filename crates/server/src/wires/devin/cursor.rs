//! Cursors of this wire: `end_cursor` of a page is `after` of the next.

use crate::app::App;
use crate::failure::Failure;
use crate::http::cursor::CursorBinding;
use domain::Refusal;
use uuid::Uuid;

/// What a cursor is bound to; see [`CursorBinding`]. Its position is a number.
pub struct Binding(CursorBinding);

/// The key that authenticates cursors. All servers of the account derive the same one.
pub fn key(app: &App) -> [u8; 32] {
    app.keys.derive_key("devin cursors")
}

impl Binding {
    /// Binds to a list; see [`CursorBinding::new`].
    pub fn new(key: [u8; 32], list: &str, reader: Uuid, organization: Uuid, filter: &str) -> Binding {
        Binding(CursorBinding::new(key, list, reader, organization, filter))
    }

    /// Writes the cursor of a position.
    ///
    /// # Errors
    /// Those of [`CursorBinding::write`].
    pub fn write(&self, position: u128) -> Result<String, Failure> {
        self.0.write(&position.to_be_bytes())
    }

    /// Reads the position of a cursor that this list gave.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for any other text.
    pub fn read(&self, text: &str) -> Result<u128, Failure> {
        let position = self.0.read(text).and_then(|bytes| bytes.try_into().ok()).map(u128::from_be_bytes);
        let refused =
            || Refusal::invalid("after", "an end_cursor that this list gave you with the same filters");
        Ok(position.ok_or_else(refused)?)
    }
}
