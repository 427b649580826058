//! A lock file beside an SQLite database, so that only one server serves it.

use crate::database::DatabaseError;
use crate::database::dump::sibling_path;
use crate::database::location::{self, Location};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The right to serve a database, while it lives. The system releases the lock when the process ends, however it
/// ends; the file stays.
#[derive(Debug)]
pub struct ServerLock {
    _file: Option<File>,
}

impl ServerLock {
    /// Takes the right to serve a database. Any number of servers may serve one PostgreSQL database.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] with the path and the process id when another server has the lock, or when the lock
    /// file cannot be created.
    pub fn take(url: &str) -> Result<ServerLock, DatabaseError> {
        match location::parse(url)? {
            Location::Sqlite(path) => lock_file(&path).map(|file| ServerLock { _file: Some(file) }),
            Location::Postgres(..) => Ok(ServerLock { _file: None }),
        }
    }
}

fn lock_file(path: &Path) -> Result<File, DatabaseError> {
    let path = resolve_links(path);
    let lock = sibling_path(&path, "lock");
    let failed = |error: std::io::Error| {
        DatabaseError::Failed(format!("cannot make the lock {}: {error}", lock.display()))
    };
    if let Some(folder) = lock.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&lock).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(lock_conflict(&path, file)),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// The path without symbolic links, so that two names of one file share a lock.
fn resolve_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn lock_conflict(path: &Path, mut file: File) -> DatabaseError {
    let mut by = String::new();
    let _ = file.read_to_string(&mut by);
    DatabaseError::Failed(format!(
        "{} is served already, by process {}: one SQLite file has one server. Stop that one first, or use PostgreSQL for \
         several servers",
        path.display(),
        by.trim()
    ))
}
