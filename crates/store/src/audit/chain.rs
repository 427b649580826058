//! The chain of hashes over the audit log, and the check that no entry was changed.
//!
//! The content hash of an entry is SHA-256 of [`DOMAIN`] and its ten fields in this order: organization, time,
//! principal, action, thing, details, credential, login, address, previous value. Each field is one byte for present
//! (1) or absent (0), its length in eight bytes, and its bytes. Ids have sixteen bytes, the time has eight
//! (microseconds since 1970), texts are UTF-8 as stored, and details and previous value are JSON texts. The hash of
//! an entry is SHA-256 of the hash of the entry before it (32 zero bytes for the first), the sequence in eight bytes,
//! and the content hash. Numbers are big-endian.
//!
//! Someone who can write to the database could compute another chain. So operators keep an [`AuditHead`] elsewhere
//! from time to time: a log that contains it was not changed up to there.

use crate::access::System;
use crate::access::lane::Scan;
use crate::audit::log::{AuditEntry, entries, read_entry};
use crate::audit::segments::SegmentWalk;
use crate::database::{Columns, DatabaseError, Value};
use crate::rows::values;
use crate::{Result, Store};
use domain::time::Micros;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::str::FromStr;

/// The hash before the first entry.
pub(crate) const GENESIS: [u8; 32] = [0; 32];
const DOMAIN: &[u8] = b"tenure audit line 1";
/// The prefix of a written head.
const HEAD: &str = "tenure-audit-1";
/// Entries in one read.
const AT_ONCE: u32 = 1000;

const FROM: &str = entries!("sequence > $1 ORDER BY sequence LIMIT $2");
const BETWEEN: &str = entries!("sequence > $1 AND at_us >= $2 AND at_us < $3 ORDER BY sequence LIMIT $4");
const LAST: &str = "SELECT sequence, hash FROM audit WHERE sequence > 0 ORDER BY sequence DESC LIMIT 1";

pub(crate) type EntryHash = [u8; 32];

/// The end of the chain at some time, for keeping elsewhere. Written as `tenure-audit-1:` sequence `:` hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The sequence of the last entry.
    pub sequence: i64,
    /// The hash of the last entry.
    pub hash: EntryHash,
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}:{}:{}", self.sequence, to_hex(&self.hash))
    }
}

impl FromStr for AuditHead {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<AuditHead, String> {
        let head = || {
            let (sequence, hash) = text.trim().strip_prefix(HEAD)?.strip_prefix(':')?.split_once(':')?;
            let byte = |at: usize| u8::from_str_radix(hash.get(at..at + 2)?, 16).ok();
            let bytes = (0..32).map(|at| byte(at * 2)).collect::<Option<Vec<u8>>>()?;
            let sequence = sequence.parse().ok().filter(|sequence: &i64| *sequence > 0)?;
            let head = AuditHead { sequence, hash: bytes.try_into().ok()? };
            // Only the canonical form: no sign, no capitals, nothing after it.
            (head.to_string() == text.trim()).then_some(head)
        };
        head().ok_or_else(|| format!("expected what `tenure admin audit checkpoint` printed, {HEAD}:…"))
    }
}

/// The result of a check that found no error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditProof {
    /// Number of entries checked.
    pub entries: u64,
    /// Number of entries from before the chain began; they cannot be checked.
    pub unchained: u64,
    /// The last entry.
    pub head: Option<AuditHead>,
}

/// The first entry that fails the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenEntry {
    /// Its sequence.
    pub sequence: i64,
    /// What is wrong: a predicate without its subject.
    pub problem: String,
}

/// An entry with its hashes, for export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainedEntry {
    /// The entry.
    pub entry: AuditEntry,
    /// The hash of the entry before, in hexadecimal; `None` for entries from before the chain.
    pub previous: Option<String>,
    /// Its own hash.
    pub hash: Option<String>,
}

/// The content hash of an entry. The fields are in the order of the INSERT statement.
pub(crate) fn hash_content(fields: &[Value]) -> Result<EntryHash> {
    let mut hash = Sha256::new().chain_update(DOMAIN);
    for field in fields {
        let time;
        let bytes: Option<&[u8]> = match field {
            Value::Null => None,
            Value::Int(number) => {
                time = number.to_be_bytes();
                Some(&time)
            }
            Value::Text(text) => Some(text.as_bytes()),
            Value::Bytes(bytes) => Some(bytes),
            Value::Id(id) => Some(id.as_bytes()),
        };
        hash.update([u8::from(bytes.is_some())]);
        let bytes = bytes.unwrap_or_default();
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    Ok(hash.finalize().into())
}

/// The fields and hashes that tie an entry to the one before it.
pub(crate) struct ChainLink {
    /// In the order of [`hash_content`].
    pub(crate) fields: Vec<Value>,
    pub(crate) previous: Option<Vec<u8>>,
    pub(crate) hash: Option<Vec<u8>>,
}

/// Reads the sequence of an entry and its link; `None` when the rest cannot be read. The fields are not parsed, because
/// two texts with the same meaning have different hashes.
fn read_link(columns: &mut Columns) -> Result<(i64, Option<ChainLink>), DatabaseError> {
    let sequence = columns.int()?;
    let mut read = || {
        Ok(ChainLink {
            fields: vec![
                columns.id()?.into(),
                columns.int()?.into(),
                columns.maybe_id()?.into(),
                columns.maybe_text()?.into(),
                columns.maybe_text()?.into(),
                columns.maybe_text()?.into(),
                columns.maybe_id()?.into(),
                columns.maybe_id()?.into(),
                columns.maybe_text()?.into(),
                columns.maybe_text()?.into(),
            ],
            previous: columns.maybe_bytes()?,
            hash: columns.maybe_bytes()?,
        })
    };
    let link: Result<_, DatabaseError> = read();
    columns.skip_rest();
    Ok((sequence, link.ok()))
}

/// Checks entries one after another.
pub(crate) struct ChainWalk {
    /// The sequence and hash of the last entry; no hash before the first entry that has one.
    last: i64,
    hash: Option<EntryHash>,
    proof: AuditProof,
    against: Option<AuditHead>,
}

impl ChainWalk {
    /// Begins after an entry that is trusted.
    pub(crate) fn start_after(last: i64, hash: Option<EntryHash>, against: Option<AuditHead>) -> ChainWalk {
        ChainWalk { last, hash, proof: AuditProof::default(), against }
    }

    pub(crate) fn head(&self) -> Option<AuditHead> {
        self.proof.head
    }

    /// Checks the next entry.
    pub(crate) fn take(
        &mut self,
        sequence: i64,
        link: Option<ChainLink>,
    ) -> std::result::Result<(), BrokenEntry> {
        let expected = self.last + 1;
        let broken = |sequence, problem: &str| Err(BrokenEntry { sequence, problem: problem.to_owned() });
        if sequence != expected {
            return broken(expected, "is missing");
        }
        self.last = sequence;
        let Some(ChainLink { fields, previous, hash }) = link else {
            return broken(sequence, "cannot be read");
        };
        let (previous, hash) = match (previous, hash) {
            (Some(previous), Some(hash)) => (previous, hash),
            (None, None) if self.hash.is_none() => {
                self.proof.unchained += 1;
                return self.compare(sequence, GENESIS);
            }
            _ => return broken(sequence, "has no hash"),
        };
        if previous != self.hash.unwrap_or(GENESIS) {
            return broken(sequence, "does not follow the entry before it");
        }
        let Ok(content) = hash_content(&fields) else { return broken(sequence, "cannot be read") };
        let link =
            Sha256::new().chain_update(previous).chain_update(sequence.to_be_bytes()).chain_update(content);
        let link: EntryHash = link.finalize().into();
        if hash != link {
            return broken(sequence, "was changed: its hash is not that of its content");
        }
        self.hash = Some(link);
        self.proof.entries += 1;
        self.proof.head = Some(AuditHead { sequence, hash: link });
        self.compare(sequence, link)
    }

    fn compare(&self, sequence: i64, hash: EntryHash) -> std::result::Result<(), BrokenEntry> {
        match self.against {
            Some(head) if head.sequence == sequence && head.hash != hash => {
                Err(BrokenEntry { sequence, problem: "differs from the entry at the checkpoint".into() })
            }
            _ => Ok(()),
        }
    }

    fn end(self) -> std::result::Result<AuditProof, BrokenEntry> {
        match self.against {
            Some(head) if head.sequence > self.last => {
                let problem =
                    format!("is missing: the log was cut off, the checkpoint is of line {}", head.sequence);
                Err(BrokenEntry { sequence: self.last + 1, problem })
            }
            _ => Ok(self.proof),
        }
    }
}

impl Store {
    /// Checks the audit log, or its last entries: none was changed, removed or inserted. `against` is an earlier head
    /// that the log must contain; without one, entries that were cut off at the end are not noticed. Sealed entries
    /// are trusted: see [`Store::verify_audit_after`].
    pub async fn verify_audit(
        &self,
        system: &System,
        last: Option<u32>,
        against: Option<AuditHead>,
    ) -> Result<std::result::Result<AuditProof, BrokenEntry>> {
        let sealed = self.load_sealed_audit_head(system).await?;
        let (from, hash) = sealed.map_or((0, None), |sealed| (sealed.sequence, Some(sealed.hash)));
        let mut walk = ChainWalk::start_after(from, hash, against);
        if let Some(head) = against.filter(|head| head.sequence < from) {
            let problem = "was sealed: pass the segments with --segments".to_owned();
            return Ok(Err(BrokenEntry { sequence: head.sequence, problem }));
        }
        if let Some(Err(broken)) = hash.map(|hash| walk.compare(from, hash)) {
            return Ok(Err(broken));
        }
        if let Some(last) = last {
            self.skip(system, last, &mut walk).await?;
        }
        self.walk_on(system, walk).await
    }

    /// Continues with the log after its segments were checked. The segments must lead to it.
    pub async fn verify_audit_after(
        &self,
        system: &System,
        segments: SegmentWalk,
    ) -> Result<std::result::Result<AuditProof, BrokenEntry>> {
        let SegmentWalk(walk) = segments;
        let sealed = self.load_sealed_audit_head(system).await?;
        if sealed.map(|sealed| (sealed.sequence, Some(sealed.hash))) != Some((walk.last, walk.hash)) {
            let problem = "is the end of the segments, but the log does not continue from it".to_owned();
            return Ok(Err(BrokenEntry { sequence: walk.last, problem }));
        }
        self.walk_on(system, walk).await
    }

    async fn walk_on(
        &self,
        system: &System,
        mut walk: ChainWalk,
    ) -> Result<std::result::Result<AuditProof, BrokenEntry>> {
        loop {
            let rows = self.read_unscoped(system, Scan(FROM), values![walk.last, AT_ONCE]).await?;
            let entries = rows.read_all(read_link)?;
            let is_last = entries.len() < AT_ONCE as usize;
            for (sequence, link) in entries {
                if let Err(broken) = walk.take(sequence, link) {
                    return Ok(Err(broken));
                }
            }
            if is_last {
                return Ok(walk.end());
            }
        }
    }

    /// Skips to the last entries. The entry before them is trusted.
    async fn skip(&self, system: &System, last: u32, walk: &mut ChainWalk) -> Result<()> {
        let newest = self.read_unscoped(system, LAST, values![]).await?.read_first(read_head)?;
        let Some((newest, _)) = newest else { return Ok(()) };
        let before = newest.saturating_sub(i64::from(last));
        if before <= walk.last {
            return Ok(());
        }
        let trusted = "SELECT sequence, hash FROM audit WHERE sequence = $1";
        let trusted = self.read_unscoped(system, trusted, values![before]).await?.read_first(read_head)?;
        if let Some((sequence, hash)) = trusted {
            (walk.last, walk.hash) = (sequence, hash);
        }
        Ok(())
    }

    /// The end of the chain; `None` when no entry has a hash yet.
    pub async fn load_audit_head(&self, system: &System) -> Result<Option<AuditHead>> {
        let newest = self.read_unscoped(system, LAST, values![]).await?.read_first(read_head)?;
        Ok(newest.and_then(|(sequence, hash)| Some(AuditHead { sequence, hash: hash? })))
    }

    /// The entries after a sequence within a span of time, oldest first.
    pub async fn export_audit(
        &self,
        system: &System,
        after: i64,
        since: Micros,
        until: Micros,
        limit: u32,
    ) -> Result<Vec<ChainedEntry>> {
        let rows = self.read_unscoped(system, Scan(BETWEEN), values![after, since, until, limit]).await?;
        Ok(rows.read_all(|columns| {
            let entry = read_entry(columns)?;
            Ok(ChainedEntry { entry, previous: read_hex(columns)?, hash: read_hex(columns)? })
        })?)
    }
}

/// The sequence of an entry and its hash, if it has one.
fn read_head(columns: &mut Columns) -> Result<(i64, Option<EntryHash>), DatabaseError> {
    Ok((columns.int()?, columns.maybe_bytes()?.and_then(|hash| hash.try_into().ok())))
}

/// A hash in hexadecimal, or `None` for NULL.
pub(crate) fn read_hex(columns: &mut Columns) -> Result<Option<String>, DatabaseError> {
    Ok(columns.maybe_bytes()?.map(|bytes| to_hex(&bytes)))
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_one_another() {
        let of = |fields: &[Value]| hash_content(fields).unwrap();
        let text = |text: &str| Value::Text(text.into());
        assert_ne!(of(&[text("ab"), text("c")]), of(&[text("a"), text("bc")]));
        assert_ne!(of(&[text(""), Value::Null]), of(&[Value::Null, text("")]));
        assert_ne!(of(&[Value::Null]), of(&[text("")]));
        assert_eq!(of(&[text("a")]), of(&[text("a")]));
    }

    #[test]
    fn a_head_is_read_as_it_is_written_and_nothing_else_is() {
        let head = AuditHead { sequence: 7, hash: [0xab; 32] };
        let text = head.to_string();
        assert_eq!(text.parse(), Ok(head));
        assert_eq!(format!(" {text}\n").parse(), Ok(head));
        let bad = [
            text.replace(":7:", ":+7:"),
            text.replace(":7:", ":0:"),
            text.to_uppercase(),
            format!("{text}0"),
            text.replace("ab", "AB"),
            text[..text.len() - 1].to_owned(),
            String::new(),
            "tenure-audit-1:1:é".to_owned(),
        ];
        for text in bad {
            assert!(text.parse::<AuditHead>().is_err(), "{text}");
        }
    }
}
