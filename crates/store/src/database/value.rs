//! Values of parameters and columns, the same for both databases.
//!
//! | here    | SQLite          | PostgreSQL                            |
//! |---------|-----------------|---------------------------------------|
//! | `Int`   | INTEGER         | BIGINT, INTEGER (and SMALLINT, BOOLEAN when read) |
//! | `Text`  | TEXT            | TEXT, VARCHAR                         |
//! | `Bytes` | BLOB            | BYTEA                                 |
//! | `Id`    | BLOB, 16 bytes  | UUID                                  |

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
}
