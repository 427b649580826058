//! Seals old audit entries: exports them to a file, reads the file again to check it, and deletes them from the
//! database.

use crate::failure::Failure;
use domain::time::Micros;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use store::{AuditHead, Segment, SegmentEntry, SegmentWalk, Store, System};

/// How many entries are read at once.
const AT_ONCE: u32 = 1000;
/// About how many entries a segment has at most: its file is built in memory.
const MAX_ENTRIES: i64 = 20_000;

/// The result of sealing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SealedSegments {
    /// Number of segments.
    pub segments: u32,
    /// Number of entries in them.
    pub entries: i64,
    /// The last sealed entry, if anything was ever sealed.
    pub head: Option<AuditHead>,
}

/// Exports the entries from before a time to files and deletes them. First it deletes entries that an interrupted run
/// exported but did not delete.
///
/// # Errors
/// An entry is damaged, or a file cannot be written or differs from what was written. Then its entries stay.
pub async fn seal_audit_log(
    store: &Store,
    archive: &dyn ObjectStore,
    before: Micros,
    now: Micros,
) -> Result<SealedSegments, Failure> {
    let system = System::for_background_jobs();
    while store.delete_sealed_audit_entries(&system).await? {}
    let mut sealed =
        SealedSegments { head: store.load_sealed_audit_head(&system).await?, ..SealedSegments::default() };
    let Some(through) = store.find_sealable_audit_entry(&system, before).await? else { return Ok(sealed) };
    loop {
        let after = sealed.head.map_or(0, |head| head.sequence);
        if after >= through {
            return Ok(sealed);
        }
        let segment = export_segment(store, archive, after, through).await?;
        store.seal_audit(&system, &segment, now).await?;
        while store.delete_sealed_audit_entries(&system).await? {}
        sealed.segments += 1;
        sealed.entries += segment.head.sequence - after;
        sealed.head = Some(segment.head);
        tracing::info!(file = segment.file, head = %segment.head, "sealed a segment of the audit log");
    }
}

/// Writes the next segment and reads it again.
async fn export_segment(
    store: &Store,
    archive: &dyn ObjectStore,
    after: i64,
    through: i64,
) -> Result<Segment, Failure> {
    let entries = load_segment_entries(store, after, through).await?;
    let mut text = Vec::new();
    for entry in &entries {
        serde_json::to_writer(&mut text, entry).map_err(Failure::internal)?;
        text.push(b'\n');
    }
    let head = check_entries(&entries)?;
    // The name has the start of the hash. After a restore the log may continue differently, and then both files are
    // kept.
    let hash = head.to_string().rsplit(':').next().map(|hash| hash[..8].to_owned()).unwrap_or_default();
    let file = format!("audit-{:012}-{:012}-{hash}.ndjson", after + 1, head.sequence);
    let path = Path::from(file.as_str());
    archive.put(&path, PutPayload::from(text.clone())).await.map_err(Failure::internal)?;
    let stored =
        archive.get(&path).await.map_err(Failure::internal)?.bytes().await.map_err(Failure::internal)?;
    if stored != text {
        return Err(Failure::internal(format!(
            "{file} differs from what was written: its entries stay in the log"
        )));
    }
    Ok(Segment { first: after + 1, head, file, digest: Sha256::digest(&text).into() })
}

/// The entries of the next segment. It ends at an entry with a hash: entries from before the chain have none.
async fn load_segment_entries(store: &Store, after: i64, through: i64) -> Result<Vec<SegmentEntry>, Failure> {
    let system = System::for_background_jobs();
    let mut entries: Vec<SegmentEntry> = Vec::new();
    loop {
        let last = entries.last().map_or(after, |entry| entry.sequence);
        let more = store.list_audit_segment_entries(&system, last, through, AT_ONCE).await?;
        let end = more.is_empty();
        entries.extend(more);
        let long =
            entries.last().is_some_and(|entry| entry.sequence - after >= MAX_ENTRIES && entry.is_chained());
        if end || long {
            return Ok(entries);
        }
    }
}

/// Checks that the entries form a chain; returns the last one.
fn check_entries(entries: &[SegmentEntry]) -> Result<AuditHead, Failure> {
    let empty = || Failure::internal("the audit log has no entry to seal");
    let mut walk = SegmentWalk::new(entries.first().ok_or_else(empty)?, None);
    for entry in entries {
        walk.take(entry).map_err(|broken| {
            Failure::internal(format!("entry {} of the audit log {}", broken.sequence, broken.problem))
        })?;
    }
    walk.head().ok_or_else(empty)
}
