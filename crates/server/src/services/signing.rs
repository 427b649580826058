//! The key that this server signs tokens with, and the public keys of all servers.

use super::ring_provider;
use crate::clock::{Clock, Random};
use crate::failure::Failure;
use crate::settings::Settings;
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

/// The private key that this server signs with.
pub struct SigningKey {
    /// The `kid` of its tokens.
    pub id: SigningKeyId,
    /// The key pair.
    pub secret: EncodingKey,
    created: Micros,
}

/// Makes, rotates and finds signing keys. It caches only keys that the store has, so their number is bounded.
pub struct Signer {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    folder: PathBuf,
    /// How long a key signs before a new one takes its place.
    rotates_after: Span,
    /// How long the longest session lasts: a public key is needed that long after its key signed last.
    longest_session: Span,
    current: tokio::sync::Mutex<Option<Arc<SigningKey>>>,
    public_keys: Mutex<HashMap<SigningKeyId, PublicKey>>,
}

/// A signing key in its file.
#[derive(Serialize, Deserialize)]
struct StoredSigningKey {
    id: String,
    created_us: i64,
    /// The 32 bytes that the pair is made from, in hexadecimal.
    seed: String,
}

impl Signer {
    /// A signer that keeps its key in the folder of the settings. It makes the key when it first signs.
    pub fn new(settings: &Settings, store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Signer {
        ring_provider::install();
        Signer {
            store,
            clock,
            random,
            folder: settings.signing_keys.clone(),
            rotates_after: Span::from(settings.signing_key_rotates),
            longest_session: Span::from(settings.login_long),
            current: tokio::sync::Mutex::default(),
            public_keys: Mutex::default(),
        }
    }

    /// The key to sign with now: the one in memory, the one in the file, or a new one.
    ///
    /// # Errors
    /// The file cannot be written, or the store fails.
    pub async fn current_key(&self) -> Result<Arc<SigningKey>, Failure> {
        let mut current = self.current.lock().await;
        let (now, rotates_after) = (self.clock.now(), self.rotates_after);
        if let Some(key) = current.as_ref().filter(|key| now < key.created + rotates_after) {
            return Ok(key.clone());
        }
        let path = self.folder.join(FILE);
        let stored = match read(&path).filter(|stored| now < Micros(stored.created_us) + rotates_after) {
            Some(stored) => stored,
            None => self.make_key(&path, now)?,
        };
        let (key, public) = parse(&stored).ok_or_else(|| Failure::internal("the signing key is damaged"))?;
        let retires = key.created + rotates_after + self.longest_session;
        let public = PublicKey { id: key.id, bytes: public, created: key.created, retires };
        self.store.store_public_key(&System::for_sign_in(), &public).await?;
        let key = Arc::new(key);
        *current = Some(key.clone());
        Ok(key)
    }

    fn make_key(&self, path: &Path, now: Micros) -> Result<StoredSigningKey, Failure> {
        let (mut seed, mut id) = ([0; 32], [0; 10]);
        self.random.fill(&mut seed);
        self.random.fill(&mut id);
        let stored = StoredSigningKey {
            id: SigningKeyId::new(now, id).to_string(),
            created_us: now.0,
            seed: seed.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let text = serde_json::to_vec(&stored).map_err(Failure::internal)?;
        write(&self.folder, path, &stored.id, &text)
            .map_err(|error| Failure::internal(format!("cannot keep a signing key: {error}")))?;
        tracing::info!(key = stored.id, "made a signing key");
        Ok(stored)
    }

    /// The public key of an id, if the store has it and it is not retired.
    ///
    /// # Errors
    /// The store fails.
    pub async fn public_key(&self, id: SigningKeyId) -> Result<Option<PublicKey>, Failure> {
        let cached = self.public_keys.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let key = match cached {
            Some(key) => Some(key),
            None => self.store.load_public_key(&System::for_sign_in(), id).await?,
        };
        let now = self.clock.now();
        let mut cache = self.public_keys.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, key| now < key.retires);
        let key = key.filter(|key| now < key.retires);
        if let Some(key) = &key {
            cache.insert(id, key.clone());
        }
        Ok(key)
    }
}

/// Reads the key file. A file that other users can read is ignored: its key is no secret any more.
fn read(path: &Path) -> Option<StoredSigningKey> {
    let text = std::fs::read(path).ok()?;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "other users can read the signing key: a new one is made");
        return None;
    }
    serde_json::from_slice(&text).ok()
}

fn write(folder: &Path, path: &Path, id: &str, text: &[u8]) -> std::io::Result<()> {
    crate::private_files::make_folder(folder)?;
    // Renamed when it is complete: another server may share the folder.
    let making = folder.join(format!("{id}.making"));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&making, path)
}

fn parse(stored: &StoredSigningKey) -> Option<(SigningKey, Vec<u8>)> {
    let digit = |at: usize| u8::from_str_radix(stored.seed.get(at..at + 2)?, 16).ok();
    let seed = (0..32).map(|byte| digit(byte * 2)).collect::<Option<Vec<u8>>>()?;
    let public = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?.public_key().as_ref().to_vec();
    let id = SigningKeyId(parse_uuid(&stored.id).filter(|id: &Uuid| !id.is_nil())?);
    let key = SigningKey { id, secret: EncodingKey::from_ed_der(&seed), created: Micros(stored.created_us) };
    Some((key, public))
}
