//! Conversions between rows and the domain's types.

use crate::Result;
use crate::blocking::run_by_size;
use crate::database::{Batch, Columns, DatabaseError, Rows, Statement, Value};
use domain::ids::{
    AgentId, CredentialId, DeviceId, EventId, FileId, HoldId, HostId, InvitationId, MessageId, NodeId,
    OrganizationId, PrincipalId, SigningKeyId, TurnId, ViewId,
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
    SigningKeyId InvitationId ViewId
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
pub(crate) fn parse_word<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, DatabaseError> {
    parse(text).ok_or_else(|| DatabaseError::Failed(format!("unknown word {text:?} in the store")))
}

impl Columns {
    /// A time.
    pub(crate) fn time(&mut self) -> Result<Micros, DatabaseError> {
        self.int().map(Micros)
    }

    /// A time, or `None` for NULL.
    pub(crate) fn maybe_time(&mut self) -> Result<Option<Micros>, DatabaseError> {
        Ok(self.maybe_int()?.map(Micros))
    }

    /// A boolean.
    pub(crate) fn flag(&mut self) -> Result<bool, DatabaseError> {
        Ok(self.int()? != 0)
    }

    /// A count or a size.
    pub(crate) fn count(&mut self) -> Result<u64, DatabaseError> {
        Ok(u64::try_from(self.int()?).unwrap_or(0))
    }

    /// A word; see [`parse_word`].
    pub(crate) fn word<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<T, DatabaseError> {
        parse_word(&self.text()?, parse)
    }

    /// A word, or `None` for NULL.
    pub(crate) fn maybe_word<T>(
        &mut self,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, DatabaseError> {
        self.maybe_text()?.map(|text| parse_word(&text, parse)).transpose()
    }

    /// A JSON text.
    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> Result<T, DatabaseError> {
        parse_json(&self.text()?)
    }

    /// A JSON text, or `None` for NULL.
    pub(crate) fn maybe_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, DatabaseError> {
        self.maybe_text()?.map(|text| parse_json(&text)).transpose()
    }

    /// Scopes; NULL means no limit.
    pub(crate) fn maybe_scopes(&mut self) -> Result<Option<Scopes>, DatabaseError> {
        self.maybe_word(|text| Scopes::parse(text.split_whitespace()))
    }

    /// Four columns: when something ended, why, who ended it, and the evidence.
    pub(crate) fn maybe_ending(&mut self) -> Result<Option<(Micros, Ending)>, DatabaseError> {
        let (at, reason) = (self.maybe_time()?, self.maybe_word(EndReason::parse)?);
        let actor = self.maybe_id()?.map(PrincipalId);
        let evidence = self.maybe_text()?.unwrap_or_default();
        Ok(at.zip(reason).map(|(at, reason)| (at, Ending { reason, actor, evidence })))
    }
}

/// The times in the JSON text `$2`, as rows, in PostgreSQL.
macro_rules! postgres_times {
    () => {
        "SELECT CAST(value AS BIGINT) AS created_us
         FROM jsonb_array_elements_text(CAST(CAST($2 AS TEXT) AS jsonb)) value"
    };
}
pub(crate) use postgres_times;

/// Scopes as they are stored.
pub(crate) fn format_scopes(scopes: Option<Scopes>) -> Option<String> {
    scopes.map(|scopes| scopes.names().collect::<Vec<_>>().join(" "))
}

/// Sessions that were loaded by their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedSessions<T> {
    /// The sessions, newest first. A page ends early when its sessions are large.
    pub items: Vec<T>,
    /// How many of the keys have a session.
    pub found: usize,
}

/// A page with all sessions that were found.
impl<T> From<Vec<T>> for LoadedSessions<T> {
    fn from(items: Vec<T>) -> LoadedSessions<T> {
        LoadedSessions { found: items.len(), items }
    }
}

/// The size in bytes at which a page of rows with JSON ends, whatever its limit. A client decides how large such a
/// row is.
pub const MAX_PAGE_BYTES: i64 = 4 << 20;

/// Reads rows with JSON; see [`run_by_size`].
pub(crate) async fn read_by_size<T: Send + 'static>(
    rows: Rows,
    read: impl FnMut(&mut Columns) -> Result<T, DatabaseError> + Send + 'static,
) -> Result<Vec<T>> {
    Ok(run_by_size(rows.bytes_held(), move || rows.read_all(read)).await??)
}

/// Reads a page that ends early when its rows are large. The last column of its rows is the number of rows that it would
/// have otherwise, at most one more than `limit`. `total` has one count.
pub(crate) async fn read_page<T: Send + 'static>(
    rows: Rows,
    total: Rows,
    limit: u32,
    mut read: impl FnMut(&mut Columns) -> Result<T, DatabaseError> + Send + 'static,
) -> Result<ListSlice<T>> {
    let rows = read_by_size(rows, move |columns| Ok((read(columns)?, columns.count()?))).await?;
    let found = rows.first().map_or(0, |(_, found)| *found);
    let items = rows.into_iter().map(|(item, _)| item).take(limit as usize).collect::<Vec<_>>();
    Ok(ListSlice { more: found > items.len() as u64, total: total.read_one(Columns::count)?, items })
}

/// The JSON text of a value. Every type that is stored here can be written as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    Ok(serde_json::to_string(value).map_err(|error| json_error(&error))?)
}

pub(crate) fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, DatabaseError> {
    serde_json::from_str(text).map_err(|error| json_error(&error))
}

pub(crate) fn json_error(error: &serde_json::Error) -> DatabaseError {
    // Only the kind and the position: the error's own text may quote stored data.
    let position = format!("{:?} at {}:{}", error.classify(), error.line(), error.column());
    DatabaseError::Failed(format!("JSON in the store: {position}"))
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
pub(crate) fn list_page<T>(items: Vec<T>, total: Rows, offset: u64) -> Result<ListSlice<T>> {
    let total = total.read_one(Columns::count)?;
    let more = offset.saturating_add(items.len() as u64) < total;
    Ok(ListSlice { items, total, more })
}
