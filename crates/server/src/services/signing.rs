//! This server's signing key, and everybody's public halves.

use super::ring_provider;
use crate::app::App;
use crate::failure::Failure;
use domain::ids::{SigningKeyId, parse_uuid};
use domain::time::{Micros, Span};
use jsonwebtoken::EncodingKey;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use store::{PublicKey, Store, System};
use uuid::Uuid;

const FILE: &str = "signing-key.json";

/// The key that this server signs with.
pub struct OwnKey {
    /// The `kid` of its tokens.
    pub id: SigningKeyId,
    /// The pair.
    pub secret: EncodingKey,
    created: Micros,
}

/// Keys in memory. Only keys that the store has are kept, so their number is bounded.
pub struct Signer {
    folder: PathBuf,
    making: tokio::sync::Mutex<Option<Arc<OwnKey>>>,
    known: Mutex<HashMap<SigningKeyId, PublicKey>>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    created_us: i64,
    /// The 32 bytes that the pair is made from, in hexadecimal.
    seed: String,
}

impl Signer {
    /// A signer whose key is, or will be, in this folder. It is made when it is first needed.
    pub fn new(folder: PathBuf) -> Signer {
        ring_provider::install();
        Signer { folder, making: tokio::sync::Mutex::default(), known: Mutex::default() }
    }

    /// The key to sign with now: the one in memory, the one in the file, or a new one.
    ///
    /// # Errors
    /// When the file cannot be written, or the store fails.
    pub async fn current(&self, app: &App) -> Result<Arc<OwnKey>, Failure> {
        let mut slot = self.making.lock().await;
        let (now, rotates) = (app.now(), Span::from(app.settings.signing_key_rotates));
        let fresh = |key: &OwnKey| now < key.created + rotates;
        if let Some(key) = slot.as_ref().filter(|key| fresh(key)) {
            return Ok(key.clone());
        }
        let path = self.folder.join(FILE);
        let kept = match read(&path).filter(|kept| now < Micros(kept.created_us) + rotates) {
            Some(kept) => kept,
            None => self.make(app, &path)?,
        };
        let (key, public) = parse(&kept).ok_or_else(|| Failure::internal("the signing key is damaged"))?;
        // Whatever it signs last lives as long as a session may.
        let retires = key.created + rotates + Span::from(app.settings.login_long);
        let public = PublicKey { id: key.id, bytes: public, created: key.created, retires };
        app.store.store_public_key(&System::sign_in(), &public).await?;
        let key = Arc::new(key);
        *slot = Some(key.clone());
        Ok(key)
    }

    fn make(&self, app: &App, path: &Path) -> Result<Kept, Failure> {
        let now = app.now();
        let seed: [u8; 32] = app.random_bytes();
        let kept = Kept {
            id: SigningKeyId::new(now, app.random_bytes()).to_string(),
            created_us: now.0,
            seed: seed.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let text = serde_json::to_vec(&kept).map_err(Failure::internal)?;
        write(&self.folder, path, &kept.id, &text)
            .map_err(|error| Failure::internal(format!("cannot keep a signing key: {error}")))?;
        tracing::info!(key = kept.id, "made a signing key");
        Ok(kept)
    }

    /// The public half of a key, if the store has it and it is not retired.
    ///
    /// # Errors
    /// Only those of the store.
    pub async fn public(
        &self,
        store: &Store,
        system: &System,
        id: SigningKeyId,
        now: Micros,
    ) -> Result<Option<PublicKey>, Failure> {
        let cached = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let key = match cached {
            Some(key) => Some(key),
            None => store.load_public_key(system, id).await?,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, key| now < key.retires);
        let key = key.filter(|key| now < key.retires);
        if let Some(key) = &key {
            known.insert(id, key.clone());
        }
        Ok(key)
    }
}

/// What is in the file, unless others may read it: then it is not this server's own any more.
fn read(path: &Path) -> Option<Kept> {
    let text = std::fs::read(path).ok()?;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others may read the signing key: a new one is made");
        return None;
    }
    serde_json::from_slice(&text).ok()
}

fn write(folder: &Path, path: &Path, id: &str, text: &[u8]) -> std::io::Result<()> {
    crate::private_files::make_folder(folder)?;
    // Under a name of its own until it is complete: another server may share the folder.
    let making = folder.join(format!("{id}.making"));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&making, path)
}

fn parse(kept: &Kept) -> Option<(OwnKey, Vec<u8>)> {
    let digit = |at: usize| u8::from_str_radix(kept.seed.get(at..at + 2)?, 16).ok();
    let seed = (0..32).map(|byte| digit(byte * 2)).collect::<Option<Vec<u8>>>()?;
    let public = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?.public_key().as_ref().to_vec();
    let id = SigningKeyId(parse_uuid(&kept.id).filter(|id: &Uuid| !id.is_nil())?);
    let key = OwnKey { id, secret: EncodingKey::from_ed_der(&seed), created: Micros(kept.created_us) };
    Some((key, public))
}
