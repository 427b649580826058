//! The file of a backup.
//!
//! It consists of a line that identifies the format, the manifest as one line of JSON, the parts one after another, and the
//! SHA-256 of all that. The checksum finds accidental changes. It is not a signature: store backups where nobody else can
//! write.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{CommandError, CommandResult};

const MAGIC: &[u8] = b"tenure backup 1\n";
const SUM_BYTES: u64 = 32;
/// Longest manifest, in bytes.
const MAX_MANIFEST: usize = 64 << 10;

/// Describes the parts of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the program that wrote the backup.
    pub program: String,
    /// When it was written, in microseconds since 1970.
    pub made_us: i64,
    /// `sqlite` or `postgres`.
    pub database: String,
    /// The version of the database's schema.
    pub schema: i64,
    /// The PostgreSQL schema of the tables; empty for SQLite.
    pub place: String,
    /// The head of the audit log.
    pub audit: Option<String>,
    /// Length of the dump.
    pub dump_bytes: u64,
    /// Length of the list of files: one JSON document per line.
    pub files_bytes: u64,
    /// Length of the master key's file; 0 if the backup does not contain it.
    pub master_key_bytes: u64,
}

/// A file in the folder of uploads and recordings. A backup lists files without their content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Path within the folder.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// A file that is removed when this is dropped, unless it was renamed.
pub struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// Creates a hidden file in the folder of another file, named after it.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create_beside(path: &Path, what: &str) -> CommandResult<TemporaryFile> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        TemporaryFile::create(path.with_file_name(format!(".{name}.tenure-{what}")))
    }

    /// Creates an empty file that only its owner can read. It replaces one that an earlier attempt left.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: PathBuf) -> CommandResult<TemporaryFile> {
        for end in ["", "-wal", "-shm", "-journal"] {
            let mut left = path.clone().into_os_string();
            left.push(end);
            let _ = std::fs::remove_file(left);
        }
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        opened.map_err(|error| CommandError::new(format!("cannot create {}: {error}", path.display())))?;
        Ok(TemporaryFile(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a backup, under a temporary name until it is complete.
///
/// # Errors
/// The file cannot be written.
pub fn write_backup(
    path: &Path,
    manifest: &Manifest,
    dump: &Path,
    files: &str,
    master_key: &[u8],
) -> CommandResult<()> {
    let unwritable =
        |error: io::Error| CommandError::new(format!("cannot write {}: {error}", path.display()));
    let temporary = TemporaryFile::create_beside(path, "making")?;
    let file = OpenOptions::new().write(true).open(temporary.path()).map_err(unwritable)?;
    let mut out = HashingWriter { inner: BufWriter::new(file), sum: Sha256::new() };
    let write_parts = |out: &mut HashingWriter<BufWriter<File>>| -> io::Result<()> {
        out.write_all(MAGIC)?;
        serde_json::to_writer(&mut *out, manifest)?;
        out.write_all(b"\n")?;
        io::copy(&mut BufReader::new(File::open(dump)?), out)?;
        out.write_all(files.as_bytes())?;
        out.write_all(master_key)?;
        let sum: [u8; 32] = out.sum.clone().finalize().into();
        out.inner.write_all(&sum)?;
        out.inner.flush()?;
        out.inner.get_ref().sync_all()
    };
    write_parts(&mut out).map_err(unwritable)?;
    std::fs::rename(temporary.path(), path).map_err(unwritable)
}

/// An open backup whose checksum is correct.
pub struct Archive {
    file: File,
    /// Its manifest.
    pub manifest: Manifest,
    /// Offset of the first part.
    parts: u64,
}

impl Archive {
    /// Opens a backup and reads all of it to verify its checksum.
    ///
    /// # Errors
    /// The file cannot be read, is not a backup, or was changed.
    pub fn open(path: &Path) -> CommandResult<Archive> {
        let unreadable =
            |error: io::Error| CommandError::new(format!("cannot read {}: {error}", path.display()));
        let damaged = || {
            CommandError::new(format!(
                "{} is not a backup of tenure, or it is damaged: nothing was restored",
                path.display()
            ))
            .hint("its checksum is wrong; use another copy of it")
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let body = length.checked_sub(SUM_BYTES).ok_or_else(damaged)?;
        let mut sum = HashingWriter { inner: io::sink(), sum: Sha256::new() };
        io::copy(&mut BufReader::new((&mut file).take(body)), &mut sum).map_err(unreadable)?;
        let mut expected = Vec::new();
        file.read_to_end(&mut expected).map_err(unreadable)?;
        let sum: [u8; 32] = sum.sum.finalize().into();
        if expected != sum {
            return Err(damaged());
        }
        let (manifest, parts) = read_manifest(&mut file).map_err(unreadable)?.ok_or_else(damaged)?;
        let within = [manifest.dump_bytes, manifest.files_bytes, manifest.master_key_bytes];
        let end = within.into_iter().try_fold(parts, u64::checked_add);
        if end != Some(body) {
            return Err(damaged());
        }
        Ok(Archive { file, manifest, parts })
    }

    /// Copies the dump to an existing file.
    ///
    /// # Errors
    /// One of the files cannot be read or written.
    pub fn extract_dump(&mut self, into: &Path) -> CommandResult<()> {
        self.file.seek(SeekFrom::Start(self.parts))?;
        let mut out = OpenOptions::new().write(true).truncate(true).open(into)?;
        io::copy(&mut BufReader::new((&mut self.file).take(self.manifest.dump_bytes)), &mut out)?;
        Ok(out.sync_all()?)
    }

    /// Reads the list of files.
    ///
    /// # Errors
    /// The backup cannot be read, or the list is malformed.
    pub fn read_files(&mut self) -> CommandResult<Vec<BackupFile>> {
        let bytes = self.read_part(self.manifest.dump_bytes, self.manifest.files_bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let files = text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>();
        files.map_err(|error| CommandError::new(format!("the list of files in the backup: {error}")))
    }

    /// Reads the master key's file, if the backup contains it.
    ///
    /// # Errors
    /// The backup cannot be read.
    pub fn read_master_key(&mut self) -> CommandResult<Option<Vec<u8>>> {
        let before = self.manifest.dump_bytes + self.manifest.files_bytes;
        let bytes = self.read_part(before, self.manifest.master_key_bytes)?;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn read_part(&mut self, from: u64, length: u64) -> CommandResult<Vec<u8>> {
        self.file.seek(SeekFrom::Start(self.parts + from))?;
        let mut bytes = Vec::new();
        (&mut self.file).take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads the manifest and the offset of the first part. `None` if the file is not a backup.
fn read_manifest(file: &mut File) -> io::Result<Option<(Manifest, u64)>> {
    file.seek(SeekFrom::Start(0))?;
    let mut start = Vec::new();
    file.take((MAGIC.len() + MAX_MANIFEST) as u64).read_to_end(&mut start)?;
    let Some(rest) = start.strip_prefix(MAGIC) else { return Ok(None) };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let manifest = serde_json::from_slice(&rest[..end]).ok();
    Ok(manifest.map(|manifest| (manifest, (MAGIC.len() + end + 1) as u64)))
}

/// Hashes the bytes that pass through.
struct HashingWriter<W> {
    inner: W,
    sum: Sha256,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_with_any_bit_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, dump) = (folder.path().join("a.backup"), folder.path().join("dump"));
        std::fs::write(&dump, "the dump").unwrap();
        let manifest = Manifest {
            program: "1".into(),
            made_us: 7,
            database: "sqlite".into(),
            schema: 4,
            place: String::new(),
            audit: None,
            dump_bytes: 8,
            files_bytes: 0,
            master_key_bytes: 3,
        };
        write_backup(&path, &manifest, &dump, "", b"key").unwrap();
        let mut archive = Archive::open(&path).unwrap();
        assert_eq!(
            (archive.read_files().unwrap().len(), archive.read_master_key().unwrap().unwrap()),
            (0, b"key".to_vec())
        );
        let into = TemporaryFile::create(folder.path().join("out")).unwrap();
        archive.extract_dump(into.path()).unwrap();
        assert_eq!(std::fs::read(into.path()).unwrap(), b"the dump");
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bad in [
                [&good[..at], &[good[at] ^ 1], &good[at + 1..]].concat(),
                good[..at].to_vec(),
                [&good[..at], b"x", &good[at..]].concat(),
            ] {
                std::fs::write(&path, bad).unwrap();
                assert!(Archive::open(&path).is_err(), "byte {at}");
            }
        }
    }
}
