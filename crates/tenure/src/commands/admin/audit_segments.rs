//! Sealed segments of the audit log in a folder.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use store::{AuditHead, BrokenEntry, SegmentEntry, SegmentWalk};

use crate::error::{CommandError, CommandResult};

/// Verifies all segments of a folder, the oldest first.
///
/// # Errors
/// The folder has no segment, a segment cannot be read, or an entry was changed.
pub fn verify_segments(
    folder: &Path,
    against: Option<AuditHead>,
    broken: impl Fn(BrokenEntry) -> CommandError,
) -> CommandResult<SegmentWalk> {
    let mut walk: Option<SegmentWalk> = None;
    for path in list_segments(folder)? {
        let wrong = |error: &dyn std::fmt::Display| CommandError::new(format!("{}: {error}", path.display()));
        for text in BufReader::new(File::open(&path).map_err(|error| wrong(&error))?).lines() {
            let text = text.map_err(|error| wrong(&error))?;
            let line: SegmentEntry = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
            walk.get_or_insert_with(|| SegmentWalk::new(&line, against)).take(&line).map_err(&broken)?;
        }
    }
    walk.ok_or_else(|| {
        CommandError::new(format!("there are no segments of the audit log in {}", folder.display()))
    })
}

/// The files in the order of their entries: their names start with the first entry's zero-padded number.
fn list_segments(folder: &Path) -> CommandResult<Vec<PathBuf>> {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    found.retain(|path| name(path).starts_with("audit-") && name(path).ends_with(".ndjson"));
    found.sort();
    Ok(found)
}
