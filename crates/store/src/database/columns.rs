//! The rows of a result, and the reader of their columns.

use super::{DatabaseError, Value};
use std::vec::IntoIter;
use uuid::Uuid;

/// The rows of a result. A function that takes [`Columns`] reads each, in the order of the SELECT.
///
/// Reading fails with [`DatabaseError::Failed`] when a column has another type, or when the function reads more or
/// fewer columns than there are. The cause is a mistake in the statement or damaged data, never a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows(Vec<Vec<Value>>);

impl Rows {
    pub(super) fn new(rows: Vec<Vec<Value>>) -> Rows {
        Rows(rows)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Total size of texts and bytes, in bytes.
    pub fn bytes_held(&self) -> usize {
        let size = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Null | Value::Int(_) | Value::Id(_) => 0,
        };
        self.0.iter().flatten().map(size).sum()
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] when a row and the function do not match.
    pub fn read_all<T>(
        self,
        mut read: impl FnMut(&mut Columns) -> Result<T, DatabaseError>,
    ) -> Result<Vec<T>, DatabaseError> {
        self.0.into_iter().map(|values| read_row(values, &mut read)).collect()
    }

    /// Reads the first row, if there is one.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] when the row and the function do not match.
    pub fn read_first<T>(
        self,
        read: impl FnOnce(&mut Columns) -> Result<T, DatabaseError>,
    ) -> Result<Option<T>, DatabaseError> {
        self.0.into_iter().next().map(|values| read_row(values, read)).transpose()
    }

    /// Reads the only row, such as a count.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] when there is not exactly one row, or when it and the function do not match.
    pub fn read_one<T>(
        self,
        read: impl FnOnce(&mut Columns) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        match <[_; 1]>::try_from(self.0) {
            Ok([values]) => read_row(values, read),
            Err(rows) => Err(DatabaseError::Failed(format!("{} rows where one was expected", rows.len()))),
        }
    }
}

fn read_row<T>(
    values: Vec<Value>,
    read: impl FnOnce(&mut Columns) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    let mut columns = Columns { next: 0, values: values.into_iter() };
    let row = read(&mut columns)?;
    match columns.values.len() {
        0 => Ok(row),
        left => {
            let width = columns.next + left;
            Err(DatabaseError::Failed(format!("a row has {width} columns, but {} were read", columns.next)))
        }
    }
}

/// The columns of a row. Each call reads the next one and moves its value out.
///
/// A call fails with [`DatabaseError::Failed`] when no column is left or its value has another type.
pub struct Columns {
    /// The position of the next column, for messages.
    next: usize,
    values: IntoIter<Value>,
}

impl Columns {
    /// A whole number.
    pub fn int(&mut self) -> Result<i64, DatabaseError> {
        self.maybe_int()?.ok_or_else(|| self.null_error())
    }

    /// Text.
    pub fn text(&mut self) -> Result<String, DatabaseError> {
        self.maybe_text()?.ok_or_else(|| self.null_error())
    }

    /// An id.
    pub fn id(&mut self) -> Result<Uuid, DatabaseError> {
        self.maybe_id()?.ok_or_else(|| self.null_error())
    }

    /// Bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>, DatabaseError> {
        self.maybe_bytes()?.ok_or_else(|| self.null_error())
    }

    /// A whole number, or `None` for NULL.
    pub fn maybe_int(&mut self) -> Result<Option<i64>, DatabaseError> {
        match self.take_next()? {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(value)),
            other => Err(self.type_error("a number", &other)),
        }
    }

    /// Text, or `None` for NULL.
    pub fn maybe_text(&mut self) -> Result<Option<String>, DatabaseError> {
        match self.take_next()? {
            Value::Null => Ok(None),
            Value::Text(value) => Ok(Some(value)),
            other => Err(self.type_error("text", &other)),
        }
    }

    /// An id, or `None` for NULL.
    pub fn maybe_id(&mut self) -> Result<Option<Uuid>, DatabaseError> {
        match self.take_next()? {
            Value::Null => Ok(None),
            Value::Id(value) => Ok(Some(value)),
            // SQLite has no type for ids: they are stored as bytes.
            Value::Bytes(bytes) if bytes.len() == 16 => Ok(Uuid::from_slice(&bytes).ok()),
            other => Err(self.type_error("an id", &other)),
        }
    }

    /// Bytes, or `None` for NULL.
    pub fn maybe_bytes(&mut self) -> Result<Option<Vec<u8>>, DatabaseError> {
        match self.take_next()? {
            Value::Null => Ok(None),
            Value::Bytes(value) => Ok(Some(value)),
            // So a column of ids can be read as bytes from both databases.
            Value::Id(value) => Ok(Some(value.into_bytes().to_vec())),
            other => Err(self.type_error("bytes", &other)),
        }
    }

    /// Skips all columns that are left.
    pub fn skip_rest(&mut self) {
        self.next += self.values.by_ref().count();
    }

    fn take_next(&mut self) -> Result<Value, DatabaseError> {
        let width = self.next;
        self.next += 1;
        self.values
            .next()
            .ok_or_else(|| DatabaseError::Failed(format!("no column {width} in a row of {width}")))
    }

    /// The error of the column that was just read.
    fn null_error(&self) -> DatabaseError {
        DatabaseError::Failed(format!("column {} is NULL where a value was expected", self.next - 1))
    }

    /// The error of the column that was just read. It does not show the value.
    fn type_error(&self, expected: &str, found: &Value) -> DatabaseError {
        let column = self.next - 1;
        DatabaseError::Failed(format!("column {column} holds {} where {expected} was expected", found.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        Rows::new(vec![vec![Value::Text("secret".into()), Value::Null, Value::Bytes(vec![0; 15])]])
    }

    #[test]
    fn columns_are_read_in_order() {
        let read = |columns: &mut Columns| Ok((columns.text()?, columns.maybe_int()?, columns.bytes()?));
        let expected = ("secret".to_owned(), None, vec![0; 15]);
        assert_eq!(rows().read_all(read).unwrap(), std::slice::from_ref(&expected));
        assert_eq!(rows().read_first(read).unwrap(), Some(expected.clone()));
        assert_eq!(rows().read_one(read).unwrap(), expected);
        assert_eq!(Rows::new(vec![]).read_first(read).unwrap(), None);
        assert!(Rows::new(vec![]).read_one(read).is_err());
    }

    #[test]
    fn a_wrong_column_is_an_error_that_does_not_show_the_value() {
        let errors = [
            (
                rows().read_one(|columns| columns.int().map(drop)),
                "column 0 holds text where a number was expected",
            ),
            (
                rows().read_one(|columns| columns.text().and(columns.text()).map(drop)),
                "column 1 is NULL where a value was expected",
            ),
            (
                rows().read_one(|columns| columns.text().and(columns.maybe_id()).and(columns.id()).map(drop)),
                "column 2 holds bytes where an id was expected",
            ),
        ];
        for (read, message) in errors {
            assert_eq!(read.unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn every_column_is_read_once() {
        let texts = |columns: &mut Columns| columns.text().and(columns.maybe_text());
        let error = rows().read_one(texts).unwrap_err();
        assert_eq!(error.to_string(), "a row has 3 columns, but 2 were read");
        let skip = |columns: &mut Columns| {
            let text = columns.text();
            columns.skip_rest();
            text
        };
        assert_eq!(rows().read_one(skip).unwrap(), "secret");
        let error = rows().read_one(|columns| {
            columns.skip_rest();
            columns.int()
        });
        assert_eq!(error.unwrap_err().to_string(), "no column 3 in a row of 3");
    }
}
