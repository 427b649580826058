//! The master key, which seals secrets. It is not in the database, so a copy of the database alone reveals no secret.
//!
//! Its file has one line `version key` for each key, in hexadecimal. The last key seals; all keys open. A sealed secret
//! begins with a byte for its format and the version of its key.

use crate::failure::Failure;
use crate::private_files;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The format: XChaCha20-Poly1305 with the nonce before the ciphertext.
const FORM: u8 = 1;
/// Bytes of the format and the version.
const HEADER: usize = 5;
/// Bytes of a nonce.
pub const NONCE: usize = 24;

type Keys = BTreeMap<u32, [u8; 32]>;

/// The keys of the file. The file is read again when a secret names an unknown key: the key was rotated meanwhile.
pub struct MasterKey {
    path: PathBuf,
    keys: Mutex<Keys>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("path", &self.path).finish_non_exhaustive()
    }
}

impl MasterKey {
    /// Opens the file. Without one, makes it with `random` as its key, readable by its owner only.
    ///
    /// # Errors
    /// The file cannot be read or made, or is malformed.
    pub fn open_or_make(path: &Path, random: [u8; 32]) -> io::Result<MasterKey> {
        match MasterKey::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => return outcome,
        }
        match write(path, &Keys::from([(1, random)]), true) {
            // Another server has made it first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            outcome => outcome?,
        }
        MasterKey::open(path)
    }

    /// Opens the file.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub fn open(path: &Path) -> io::Result<MasterKey> {
        Ok(MasterKey { path: path.to_owned(), keys: Mutex::new(read(path)?) })
    }

    /// Seals a text for its owner `of`. Only [`MasterKey::unseal`] with the same owner opens it.
    ///
    /// # Errors
    /// Encryption failed.
    pub fn seal(&self, of: &str, text: &str, nonce: [u8; NONCE]) -> Result<Vec<u8>, Failure> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, key) =
            keys.last_key_value().ok_or_else(|| Failure::internal("there is no master key"))?;
        let payload = Payload { msg: text.as_bytes(), aad: of.as_bytes() };
        let sealed = XChaCha20Poly1305::new(&(*key).into())
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Failure::internal("a secret cannot be sealed"))?;
        let header = [FORM].into_iter().chain(version.to_be_bytes()).chain(nonce);
        Ok(header.chain(sealed).collect())
    }

    /// Opens a sealed text of the owner `of`.
    ///
    /// # Errors
    /// It was altered, has another owner, or its key is lost.
    pub fn unseal(&self, of: &str, sealed: &[u8]) -> Result<String, Failure> {
        let broken =
            || Failure::internal("a secret cannot be opened: it was altered, or its key is not in the file");
        let nonce = sealed.get(HEADER..HEADER + NONCE).and_then(|nonce| <[u8; NONCE]>::try_from(nonce).ok());
        let nonce = nonce.filter(|_| sealed[0] == FORM).ok_or_else(broken)?;
        let key = self.key(version(sealed).ok_or_else(broken)?).ok_or_else(broken)?;
        let payload = Payload { msg: &sealed[HEADER + NONCE..], aad: of.as_bytes() };
        let text = XChaCha20Poly1305::new(&key.into()).decrypt(&XNonce::from(nonce), payload);
        String::from_utf8(text.map_err(|_| broken())?).map_err(|_| broken())
    }

    /// Whether a text is sealed with the newest key.
    pub fn is_newest(&self, sealed: &[u8]) -> bool {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.last_key_value().map(|(newest, _)| *newest) == version(sealed)
    }

    /// A key for one purpose, derived from the oldest key, so that it survives a rotation of the master key.
    pub fn derive_key(&self, purpose: &str) -> [u8; 32] {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = keys.first_key_value().map_or([0; 32], |(_, key)| *key);
        // The key has a fixed length, so key and purpose cannot be confused.
        Sha256::new()
            .chain_update("tenure derived key")
            .chain_update(oldest)
            .chain_update(purpose)
            .finalize()
            .into()
    }

    /// Adds a key, which seals from now on. Running servers read it when they first meet a secret that it sealed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, random: [u8; 32]) -> io::Result<()> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut more = read(&self.path)?;
        let next = more.last_key_value().map_or(1, |(newest, _)| newest + 1);
        more.insert(next, random);
        write(&self.path, &more, false)?;
        *keys = more;
        Ok(())
    }

    fn key(&self, version: u32) -> Option<[u8; 32]> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains_key(&version)
            && let Ok(again) = read(&self.path)
        {
            *keys = again;
        }
        keys.get(&version).copied()
    }
}

fn version(sealed: &[u8]) -> Option<u32> {
    let bytes = sealed.get(1..HEADER)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn read(path: &Path) -> io::Result<Keys> {
    let text = std::fs::read_to_string(path)?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is no master key", path.display()));
    let line = |line: &str| {
        let (version, key) = line.split_once(' ')?;
        Some((version.parse().ok()?, unhex(key.trim())?))
    };
    let keys = text.lines().map(|text| line(text).ok_or_else(wrong)).collect::<io::Result<Keys>>()?;
    if keys.is_empty() { Err(wrong()) } else { Ok(keys) }
}

/// Writes the file under a temporary name and moves it into place, so that it is never half written. With `new`, an
/// existing file is an error.
fn write(path: &Path, keys: &Keys, new: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        private_files::make_folder(folder)?;
    }
    let text = keys.iter().fold(String::new(), |mut text, (version, key)| {
        let _ = writeln!(text, "{version} {}", hex(key));
        text
    });
    let making = path.with_extension(format!("making-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&making)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A hard link fails where a file exists; a rename replaces it.
    let placed = if new { std::fs::hard_link(&making, path) } else { std::fs::rename(&making, path) };
    let _ = std::fs::remove_file(&making);
    placed
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_data_opens_only_for_its_purpose_and_with_every_former_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/master.key");
        let key = MasterKey::open_or_make(&path, [1; 32]).unwrap();
        let sealed = key.seal("TOKEN", "hunter2", [9; NONCE]).unwrap();
        assert_eq!(key.unseal("TOKEN", &sealed).unwrap(), "hunter2");
        assert!(key.unseal("OTHER", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.unseal("TOKEN", &altered).is_err(), "byte {at}");
            assert!(key.unseal("TOKEN", &sealed[..at]).is_err(), "cut at {at}");
        }
        // A second server takes the key that is there; and one that runs notices a new one.
        let other = MasterKey::open_or_make(&path, [2; 32]).unwrap();
        assert_eq!(other.unseal("TOKEN", &sealed).unwrap(), "hunter2");
        key.add([3; 32]).unwrap();
        let newer = key.seal("TOKEN", "hunter3", [8; NONCE]).unwrap();
        assert_eq!(other.unseal("TOKEN", &newer).unwrap(), "hunter3");
        assert_eq!(other.unseal("TOKEN", &sealed).unwrap(), "hunter2");
        assert!(!key.is_newest(&sealed) && key.is_newest(&newer));
        assert!(!newer.windows(7).any(|part| part == b"hunter3"));
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_private_and_an_invalid_one_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::open_or_make(&path, [1; 32]).unwrap().add([2; 32]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for text in ["", "1 00", "x", "1 zz"] {
            std::fs::write(&path, text).unwrap();
            assert!(MasterKey::open_or_make(&path, [1; 32]).is_err(), "{text:?}");
        }
    }
}
