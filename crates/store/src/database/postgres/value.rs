//! Values in PostgreSQL's binary format.

use crate::database::Value;
use std::error::Error;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

type BoxedError = Box<dyn Error + Sync + Send>;

impl ToSql for Value {
    /// The server says which type it expects. A value that does not fit is refused, not converted.
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        match (self, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Int(value), &Type::INT8) => value.to_sql(ty, out),
            (Value::Int(value), &Type::INT4) => i32::try_from(*value)?.to_sql(ty, out),
            (Value::Text(text), _) if text.contains('\0') => {
                Err("text with the character NUL cannot be stored".into())
            }
            (Value::Text(value), &Type::TEXT | &Type::VARCHAR) => value.to_sql(ty, out),
            (Value::Bytes(value), &Type::BYTEA) => value.to_sql(ty, out),
            (Value::Bytes(value), &Type::UUID) => Uuid::from_slice(value)?.to_sql(ty, out),
            (Value::Id(value), &Type::UUID) => value.to_sql(ty, out),
            (Value::Id(value), &Type::BYTEA) => value.as_bytes().as_slice().to_sql(ty, out),
            (other, ty) => Err(format!("{} was given where {ty} is needed", other.kind()).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        // What fits depends on the value, so to_sql decides.
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        Ok(match *ty {
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::Int(i16::from_sql(ty, raw)?.into()),
            // A comparison in a SELECT is a number in SQLite.
            Type::BOOL => Value::Int(bool::from_sql(ty, raw)?.into()),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::UUID => Value::Id(Uuid::from_sql(ty, raw)?),
            _ => Value::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxedError> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        const NUMBERS: [Type; 4] = [Type::INT8, Type::INT4, Type::INT2, Type::BOOL];
        const OTHERS: [Type; 4] = [Type::BYTEA, Type::UUID, Type::TEXT, Type::VARCHAR];
        NUMBERS.contains(ty) || OTHERS.contains(ty)
    }
}
