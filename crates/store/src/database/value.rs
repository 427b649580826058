//! Values of parameters and columns, the same for both databases.
//!
//! | here    | SQLite          | PostgreSQL                            |
//! |---------|-----------------|---------------------------------------|
//! | `Int`   | INTEGER         | BIGINT, INTEGER (and SMALLINT, BOOLEAN when read) |
//! | `Text`  | TEXT            | TEXT, VARCHAR                         |
//! | `Bytes` | BLOB            | BYTEA                                 |
//! | `Id`    | BLOB, 16 bytes  | UUID                                  |

use super::DatabaseError;
use uuid::Uuid;

/// The value of a parameter or a column.
///
/// Times are microseconds since 1970 as `Int`; booleans are 0 and 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// No value, for a column of any type.
    Null,
    /// A whole number.
    Int(i64),
    /// Text. It must not contain NUL: PostgreSQL cannot store it, so both databases refuse it.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An id.
    Id(Uuid),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<Uuid> for Value {
    fn from(value: Uuid) -> Self {
        Value::Id(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Value::Bytes(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Value::Bytes(value.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl Value {
    /// The name of the variant, for messages that must not show the value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "NULL",
            Value::Int(_) => "a number",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Id(_) => "an id",
        }
    }
}

/// One row of a result; columns are counted from 0.
///
/// Every getter fails with [`DatabaseError::Failed`] when there is no such column or its value has another type. The
/// cause is a mistake in the statement or damaged data, never a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    cells: Vec<Value>,
}

impl Row {
    pub(super) fn new(cells: Vec<Value>) -> Self {
        Row { cells }
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.cells.len()
    }

    /// Total size of texts and bytes, in bytes.
    pub fn bytes_held(&self) -> usize {
        let held = |cell: &Value| match cell {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Null | Value::Int(_) | Value::Id(_) => 0,
        };
        self.cells.iter().map(held).sum()
    }

    /// A whole number.
    pub fn int(&self, column: usize) -> Result<i64, DatabaseError> {
        present(column, self.maybe_int(column)?)
    }

    /// Text.
    pub fn text(&self, column: usize) -> Result<String, DatabaseError> {
        self.text_ref(column).map(str::to_owned)
    }

    /// Text, not copied.
    pub fn text_ref(&self, column: usize) -> Result<&str, DatabaseError> {
        present(column, self.maybe_text_ref(column)?)
    }

    /// An id.
    pub fn id(&self, column: usize) -> Result<Uuid, DatabaseError> {
        present(column, self.maybe_id(column)?)
    }

    /// Bytes.
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, DatabaseError> {
        self.bytes_ref(column).map(<[u8]>::to_vec)
    }

    /// Bytes, not copied.
    pub fn bytes_ref(&self, column: usize) -> Result<&[u8], DatabaseError> {
        present(column, self.maybe_bytes_ref(column)?)
    }

    /// A whole number, or `None` for NULL.
    pub fn maybe_int(&self, column: usize) -> Result<Option<i64>, DatabaseError> {
        match self.cell(column)? {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(*value)),
            other => Err(mismatch(column, "a number", other)),
        }
    }

    /// Text, or `None` for NULL.
    pub fn maybe_text(&self, column: usize) -> Result<Option<String>, DatabaseError> {
        Ok(self.maybe_text_ref(column)?.map(str::to_owned))
    }

    /// An id, or `None` for NULL.
    pub fn maybe_id(&self, column: usize) -> Result<Option<Uuid>, DatabaseError> {
        match self.cell(column)? {
            Value::Null => Ok(None),
            Value::Id(value) => Ok(Some(*value)),
            // SQLite has no type for ids: they are stored as bytes.
            Value::Bytes(bytes) if bytes.len() == 16 => Ok(Uuid::from_slice(bytes).ok()),
            other => Err(mismatch(column, "an id", other)),
        }
    }

    /// Bytes, or `None` for NULL.
    pub fn maybe_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, DatabaseError> {
        Ok(self.maybe_bytes_ref(column)?.map(<[u8]>::to_vec))
    }

    fn maybe_text_ref(&self, column: usize) -> Result<Option<&str>, DatabaseError> {
        match self.cell(column)? {
            Value::Null => Ok(None),
            Value::Text(value) => Ok(Some(value)),
            other => Err(mismatch(column, "text", other)),
        }
    }

    fn maybe_bytes_ref(&self, column: usize) -> Result<Option<&[u8]>, DatabaseError> {
        match self.cell(column)? {
            Value::Null => Ok(None),
            Value::Bytes(value) => Ok(Some(value)),
            // So a column of ids can be read as bytes from both databases.
            Value::Id(value) => Ok(Some(value.as_bytes())),
            other => Err(mismatch(column, "bytes", other)),
        }
    }

    fn cell(&self, column: usize) -> Result<&Value, DatabaseError> {
        self.cells.get(column).ok_or_else(|| {
            DatabaseError::Failed(format!("no column {column} in a row of {}", self.cells.len()))
        })
    }
}

fn present<T>(column: usize, value: Option<T>) -> Result<T, DatabaseError> {
    value.ok_or_else(|| DatabaseError::Failed(format!("column {column} is NULL where a value was expected")))
}

fn mismatch(column: usize, expected: &str, found: &Value) -> DatabaseError {
    DatabaseError::Failed(format!("column {column} holds {} where {expected} was expected", found.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_booleans_become_values() {
        assert_eq!(Value::from(None::<i64>), Value::Null);
        assert_eq!(Value::from(Some("a")), Value::Text("a".into()));
        assert_eq!(Value::from(true), Value::Int(1));
        assert_eq!(Value::from(u32::MAX), Value::Int(4_294_967_295));
    }

    #[test]
    fn a_wrong_column_is_an_error_that_does_not_show_the_value() {
        let row = Row::new(vec![Value::Text("secret".into()), Value::Null, Value::Bytes(vec![0; 15])]);
        for error in [row.int(0), row.int(1), row.int(7)].map(Result::unwrap_err) {
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(row.id(2).is_err(), "an id has sixteen bytes");
        assert_eq!(row.maybe_text(1).unwrap(), None);
        assert_eq!(row.text(0).unwrap(), "secret");
    }
}
