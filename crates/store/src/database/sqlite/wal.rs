//! The index of the write-ahead log, which all processes that use the database map into memory.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The size of its head in bytes.
const HEAD: usize = 48;
/// The version of the format, in the first four bytes (<https://sqlite.org/walformat.html>, 2.1).
const FORMAT: u32 = 3_007_000;

/// The head of the index. It has a counter of commits, so no two commits leave the same one.
pub(super) type WalHead = [u8; HEAD];

/// The index of a database's log. Cheap to clone.
#[derive(Clone)]
pub(super) struct WalIndex {
    /// `None` where it is not a file that can be read. It is never closed: a process that closes a file loses all its locks of
    /// it, also those that SQLite holds.
    file: Option<Arc<ManuallyDrop<File>>>,
}

impl WalIndex {
    /// The index of a database that is open.
    pub(super) fn open(path: &Path) -> WalIndex {
        let open = || {
            // SQLite puts it beside the file that a link points to.
            let mut path = path.canonicalize().ok()?.into_os_string();
            path.push("-shm");
            Some(Arc::new(ManuallyDrop::new(File::open(path).ok()?)))
        };
        WalIndex { file: open() }
    }

    /// The head, which is written before a commit returns; `None` where it cannot be read.
    pub(super) fn read_head(&self) -> Option<WalHead> {
        let mut head = [0; HEAD];
        self.file.as_ref()?.read_exact_at(&mut head, 0).ok()?;
        head.starts_with(&FORMAT.to_ne_bytes()).then_some(head)
    }
}
