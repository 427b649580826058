//! Segments of the audit log: entries that were exported to a file and may be deleted.
//!
//! A segment is a file with one JSON document on each line ([`SegmentEntry`]). It has all columns as stored, so that
//! each hash can be computed again. The database keeps the sequence and hash of a segment's last entry, where the log
//! continues. Its triggers refuse to delete an entry that is in no segment.

use crate::access::System;
use crate::access::lane::Scan;
use crate::audit::attribution::Attribution;
use crate::audit::chain::{AuditHead, BrokenEntry, ChainLink, ChainWalk, EntryHash, read_hex, to_hex};
use crate::audit::log::{NewAuditEntry, batch_with_entry, entries};
use crate::database::{Columns, DatabaseError, Value};
use crate::rows::{any_rows, batch, one_row, values};
use crate::{Error, Result, Store};
use domain::time::Micros;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

/// Entries deleted in one batch.
const AT_ONCE: i64 = 1000;

const BETWEEN: &str = entries!("sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3");

/// Only entries that are older than `$1`, and never the newest one: the log must not become empty.
const LAST_OLD: &str = "
    SELECT sequence FROM audit
    WHERE hash IS NOT NULL AND sequence < (SELECT MAX(sequence) FROM audit)
      AND sequence < COALESCE((SELECT sequence FROM audit WHERE at_us >= $1 ORDER BY sequence LIMIT 1), $2)
    ORDER BY sequence DESC LIMIT 1";

/// An entry in a segment. Ids have their usual form and hashes are hexadecimal; `details` and `was` are JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// The sequence.
    pub sequence: i64,
    organization: Uuid,
    at_us: i64,
    principal: Option<Uuid>,
    action: Option<String>,
    thing: Option<String>,
    details: Option<String>,
    credential: Option<Uuid>,
    login: Option<Uuid>,
    address: Option<String>,
    was: Option<String>,
    previous: Option<String>,
    hash: Option<String>,
}

/// An exported segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The sequence of its first entry.
    pub first: i64,
    /// Its last entry.
    pub head: AuditHead,
    /// The name of its file.
    pub file: String,
    /// SHA-256 of the file.
    pub digest: EntryHash,
}

/// Checks the entries of segments one after another.
pub struct SegmentWalk(pub(crate) ChainWalk);

impl SegmentWalk {
    /// Begins before the first entry of a segment. The hash before it is trusted. `against` is an earlier head.
    pub fn new(first: &SegmentEntry, against: Option<AuditHead>) -> SegmentWalk {
        let previous = first.previous.as_deref().and_then(parse_hex).and_then(|hash| hash.try_into().ok());
        SegmentWalk(ChainWalk::start_after(first.sequence - 1, previous, against))
    }

    /// Checks the next entry.
    ///
    /// # Errors
    /// [`BrokenEntry`] when the entry was changed or is not the next one.
    pub fn take(&mut self, entry: &SegmentEntry) -> std::result::Result<(), BrokenEntry> {
        self.0.take(entry.sequence, entry.link())
    }

    /// The last entry so far.
    pub fn head(&self) -> Option<AuditHead> {
        self.0.head()
    }
}

impl SegmentEntry {
    /// Whether it has a hash. Entries from before the chain have none.
    pub fn is_chained(&self) -> bool {
        self.hash.is_some()
    }

    fn link(&self) -> Option<ChainLink> {
        let text = |text: &Option<String>| Value::from(text.clone());
        let bytes = |text: &Option<String>| match text {
            Some(text) => parse_hex(text).map(Some),
            None => Some(None),
        };
        let fields = vec![
            Value::from(self.organization),
            Value::from(self.at_us),
            Value::from(self.principal),
            text(&self.action),
            text(&self.thing),
            text(&self.details),
            Value::from(self.credential),
            Value::from(self.login),
            text(&self.address),
            text(&self.was),
        ];
        Some(ChainLink { fields, previous: bytes(&self.previous)?, hash: bytes(&self.hash)? })
    }
}

impl Store {
    /// The end of the last segment, where the log continues.
    pub async fn load_sealed_audit_head(&self, system: &System) -> Result<Option<AuditHead>> {
        let sql = "SELECT last_line, hash FROM audit_segments ORDER BY last_line DESC LIMIT 1";
        let rows = self.read_unscoped(system, Scan(sql), values![]).await?;
        let head = rows.read_first(|columns| Ok((columns.int()?, columns.bytes()?.try_into())))?;
        match head {
            Some((sequence, Ok(hash))) => Ok(Some(AuditHead { sequence, hash })),
            Some((_, Err(_))) => {
                Err(DatabaseError::Failed("a segment of the audit log has no hash".into()).into())
            }
            None => Ok(None),
        }
    }

    /// The last entry that may be sealed: it and all before it were written before this time.
    pub async fn find_sealable_audit_entry(&self, system: &System, before: Micros) -> Result<Option<i64>> {
        let rows = self.read_unscoped(system, Scan(LAST_OLD), values![before, i64::MAX]).await?;
        Ok(rows.read_first(Columns::int)?)
    }

    /// At most `limit` entries in the format of a segment, from `after` (exclusive) to `through`.
    pub async fn list_audit_segment_entries(
        &self,
        system: &System,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<SegmentEntry>> {
        let rows = self.read_unscoped(system, Scan(BETWEEN), values![after, through, limit]).await?;
        Ok(rows.read_all(read_segment_entry)?)
    }

    /// Records that a segment was exported, and writes an audit entry. From now on its entries may be deleted.
    ///
    /// # Errors
    /// [`Error::Stale`] when another server has sealed meanwhile.
    pub async fn seal_audit(&self, _: &System, segment: &Segment, now: Micros) -> Result<()> {
        let head = segment.head;
        let sql = "INSERT INTO audit_segments (last_line, hash, first_line, file, digest, sealed_us)
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let values = values![
            head.sequence,
            &head.hash[..],
            segment.first,
            segment.file.as_str(),
            &segment.digest[..],
            now
        ];
        let details = json!({
            "first": segment.first, "head": head.to_string(), "file": segment.file, "sha256": to_hex(&segment.digest),
        });
        let entry = NewAuditEntry::new(Attribution::TENURE, "audit.seal", head.sequence, details, now);
        self.apply(batch_with_entry([], vec![one_row(sql, values)], &entry)?, |_| Error::Stale).await
    }

    /// Deletes some sealed entries. Returns whether there may be more.
    pub async fn delete_sealed_audit_entries(&self, system: &System) -> Result<bool> {
        let Some(sealed) = self.load_sealed_audit_head(system).await? else { return Ok(false) };
        let sql = "SELECT sequence FROM audit WHERE sequence <= $1 ORDER BY sequence LIMIT 1";
        let rows = self.read_unscoped(system, sql, values![sealed.sequence]).await?;
        let Some(first) = rows.read_first(Columns::int)? else { return Ok(false) };
        let through = sealed.sequence.min(first.saturating_add(AT_ONCE));
        let statement = any_rows("DELETE FROM audit WHERE sequence <= $1", values![through]);
        self.database.apply(batch([], vec![statement])).await?;
        Ok(through < sealed.sequence)
    }
}

fn read_segment_entry(columns: &mut Columns) -> Result<SegmentEntry, DatabaseError> {
    Ok(SegmentEntry {
        sequence: columns.int()?,
        organization: columns.id()?,
        at_us: columns.int()?,
        principal: columns.maybe_id()?,
        action: columns.maybe_text()?,
        thing: columns.maybe_text()?,
        details: columns.maybe_text()?,
        credential: columns.maybe_id()?,
        login: columns.maybe_id()?,
        address: columns.maybe_text()?,
        was: columns.maybe_text()?,
        previous: read_hex(columns)?,
        hash: read_hex(columns)?,
    })
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}
