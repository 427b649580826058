//! Conversions between rows and the domain's types.

use crate::blocking::run_by_size;
use crate::database::{Batch, DatabaseError, Row, Statement, Value};
use crate::{Error, Result};
use domain::ids::{
    AgentId, CredentialId, DeviceId, EventId, FileId, HoldId, HostId, InvitationId, MessageId, NodeId,
    OrganizationId, PrincipalId, SigningKeyId, TurnId,
};
use domain::page::ListSlice;
use domain::principal::Scopes;
use domain::session::{EndReason, Ending};
use domain::time::Micros;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

macro_rules! id_values {
    ($($id:ident)*) => {$(
        impl From<$id> for Value {
            fn from(id: $id) -> Value {
                Value::Id(id.0)
            }
        }
    )*};
}

id_values! {
    OrganizationId PrincipalId CredentialId HoldId DeviceId HostId FileId NodeId AgentId MessageId EventId TurnId
    SigningKeyId InvitationId
}

impl From<Micros> for Value {
    fn from(time: Micros) -> Value {
        Value::Int(time.0)
    }
}

/// The values of `$1`, `$2`, … in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::database::Value::from($value)),*] };
}
pub(crate) use values;

/// A statement that may change any number of rows.
pub(crate) fn any_rows(sql: &'static str, values: Vec<Value>) -> Statement {
    Statement { sql, values, exactly_one: false }
}

/// A statement that must change exactly one row; otherwise the batch is rolled back.
pub(crate) fn one_row(sql: &'static str, values: Vec<Value>) -> Statement {
    Statement { sql, values, exactly_one: true }
}

/// A batch that locks these organizations.
pub(crate) fn batch<const N: usize>(locks: [OrganizationId; N], statements: Vec<Statement>) -> Batch {
    let locks = locks.map(|organization| organization.0).into_iter().collect::<BTreeSet<_>>();
    Batch { locks, statements, ..Batch::default() }
}

/// Parses a word that the store uses. A newer version wrote an unknown word: an error is better than a guess.
pub(crate) fn parse_word<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(text)
        .ok_or_else(|| Error::Database(DatabaseError::Failed(format!("unknown word {text:?} in the store"))))
}

/// A time; NULL is `None`.
pub(crate) fn maybe_time(row: &Row, column: usize) -> Result<Option<Micros>> {
    Ok(row.maybe_int(column)?.map(Micros))
}

/// A column of scopes; NULL means no limit.
pub(crate) fn maybe_scopes(row: &Row, column: usize) -> Result<Option<Scopes>> {
    let text = row.maybe_text(column)?;
    text.map(|text| parse_word(&text, |text| Scopes::parse(text.split_whitespace()))).transpose()
}

/// Scopes as they are stored.
pub(crate) fn format_scopes(scopes: Option<Scopes>) -> Option<String> {
    scopes.map(|scopes| scopes.names().collect::<Vec<_>>().join(" "))
}

/// Four columns: when something ended, why, who ended it, and the evidence.
pub(crate) fn read_ending(row: &Row, column: usize) -> Result<Option<(Micros, Ending)>> {
    let (Some(at), Some(reason)) = (row.maybe_int(column)?, row.maybe_text(column + 1)?) else {
        return Ok(None);
    };
    let reason = parse_word(&reason, EndReason::parse)?;
    let actor = row.maybe_id(column + 2)?.map(PrincipalId);
    Ok(Some((
        Micros(at),
        Ending { reason, actor, evidence: row.maybe_text(column + 3)?.unwrap_or_default() },
    )))
}

/// The size in bytes at which a page of rows with JSON ends, whatever its limit. A client decides how large such a
/// row is.
pub(crate) const MAX_PAGE_BYTES: i64 = 4 << 20;

/// Reads rows; see [`run_by_size`].
pub(crate) async fn read_rows<T: Send + 'static>(
    rows: Vec<Row>,
    read: impl Fn(&Row) -> Result<T> + Send + 'static,
) -> Result<Vec<T>> {
    let bytes = rows.iter().map(Row::bytes_held).sum();
    run_by_size(bytes, move || rows.iter().map(read).collect()).await?
}

/// The JSON text of a value. Every type that is stored here can be written as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| json_error(&error))
}

/// Parses a JSON column.
pub(crate) fn parse_json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T> {
    serde_json::from_str(row.text_ref(column)?).map_err(|error| json_error(&error))
}

fn json_error(error: &serde_json::Error) -> Error {
    // Only the kind and the position: the error's own text may quote stored data.
    let place = format!("{:?} at {}:{}", error.classify(), error.line(), error.column());
    Error::Database(DatabaseError::Failed(format!("JSON in the store: {place}")))
}

/// A pattern for LIKE that finds a text anywhere, with `\` as its escape.
pub(crate) fn contains_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// A page at an offset. `total` is the result of a second statement, which counts.
pub(crate) fn list_page<T>(items: Vec<T>, total: &[Row], offset: u64) -> Result<ListSlice<T>> {
    let total = total.first().map_or(Ok(0), |row| row.int(0))?;
    let total = u64::try_from(total).unwrap_or(0);
    let more = offset.saturating_add(items.len() as u64) < total;
    Ok(ListSlice { items, total, more })
}
