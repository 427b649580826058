//! Secrets of agent sessions: sealed when they arrive and unsealed for the session's worker. When the master key is
//! rotated, they and the second factors are sealed again.

use crate::app::App;
use crate::clock::Random;
use crate::failure::Failure;
use crate::operations::login::second_factor;
use crate::services::master_key::MasterKey;
use crate::services::master_key::NONCE;
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::time::Micros;
use serde_json::json;
use store::access::UseSessions;
use store::{Attribution, NewAuditEntry, SealedSecret, SecretPlace, Store, System};

/// Maximum length of the name of a secret, in characters.
const MAX_KEY_CHARS: usize = 256;
/// Maximum length of a secret, in bytes.
const MAX_VALUE_BYTES: usize = 65_536;
/// How many secrets are read at once.
const AT_ONCE: u32 = 256;

/// Checks the name and value of a secret.
///
/// # Errors
/// [`Refusal::Invalid`], which does not reveal the value.
pub fn check_secret(key: &str, value: &str) -> Result<(), Refusal> {
    let named = !key.is_empty() && key.chars().count() <= MAX_KEY_CHARS;
    if !named || key.contains('=') || key.chars().any(char::is_control) {
        let expected = format!("a key of 1 to {MAX_KEY_CHARS} characters without `=` and control characters");
        return Err(Refusal::invalid("session_secrets", expected));
    }
    if value.len() > MAX_VALUE_BYTES || value.contains('\0') {
        return Err(Refusal::invalid(
            "session_secrets",
            format!("a value of at most {MAX_VALUE_BYTES} bytes"),
        ));
    }
    Ok(())
}

/// The secrets of a session, for the worker of its turn only.
pub(crate) async fn unseal_session_secrets(
    app: &App,
    organization: OrganizationId,
    id: SessionId,
) -> Result<Vec<(String, String)>, Failure> {
    let granted = System::for_workers().grant::<UseSessions>(organization);
    let sealed = app.store.list_session_secrets(&granted, id).await?;
    let open = |secret: SealedSecret| {
        let value = app.keys.unseal(&secret.key, &secret.ciphertext)?;
        Ok((secret.key, value))
    };
    sealed.into_iter().map(open).collect()
}

/// Adds a master key to the file and seals every secret of sessions and second factors with it; returns their number.
/// It can be interrupted and repeated. The old keys stay in the file: a running server may seal with one of them
/// until it has read the new key.
///
/// # Errors
/// The database or the key file cannot be read or written, or a secret cannot be unsealed.
pub async fn rotate_master_key(
    store: &Store,
    keys: &MasterKey,
    random: &dyn Random,
    now: Micros,
) -> Result<u64, Failure> {
    let mut key = [0; 32];
    random.fill(&mut key);
    keys.add(key).map_err(Failure::internal)?;
    let line = NewAuditEntry::new(Attribution::TENURE, "master_key.rotate", "", json!({}), now);
    let system = System::for_administration();
    store.record_audit_entry(&system, &line).await?;
    let (mut resealed, mut after) = (0, None);
    loop {
        let items = list_sealed_items(store, &system, after.as_ref()).await?;
        for sealed in items.iter().filter(|sealed| !keys.is_newest(&sealed.ciphertext)) {
            resealed += u64::from(reseal(store, &system, keys, random, sealed).await?);
        }
        let Some(last) = items.into_iter().last() else { return Ok(resealed) };
        after = Some(last.place);
    }
}

/// Counts the secrets of sessions and second factors, and those that these keys can unseal.
///
/// # Errors
/// The database cannot be read.
pub async fn count_secrets(
    store: &Store,
    system: &System,
    keys: Option<&MasterKey>,
) -> store::Result<SecretCounts> {
    let (mut counts, mut after) = (SecretCounts::default(), None);
    loop {
        let items = list_sealed_items(store, system, after.as_ref()).await?;
        let opens = |sealed: &&SealedItem| {
            keys.is_some_and(|keys| keys.unseal(&sealed.context, &sealed.ciphertext).is_ok())
        };
        counts.all += items.len();
        counts.opened += items.iter().filter(opens).count();
        let Some(last) = items.into_iter().last() else { return Ok(counts) };
        after = Some(last.place);
    }
}

/// How many secrets are stored, and how many can be unsealed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecretCounts {
    /// All secrets.
    pub all: usize,
    /// Those that can be unsealed.
    pub opened: usize,
}

/// A stored ciphertext that is sealed with the master key.
struct SealedItem {
    place: SealedItemKey,
    /// The context that it is sealed in.
    context: String,
    ciphertext: Vec<u8>,
}

/// The key of its row.
enum SealedItemKey {
    Session(SecretPlace),
    SecondFactor(PrincipalId),
}

/// The next items after a key: first the secrets of sessions, then the second factors.
async fn list_sealed_items(
    store: &Store,
    system: &System,
    after: Option<&SealedItemKey>,
) -> store::Result<Vec<SealedItem>> {
    let (session, person) = match after {
        None => (None, None),
        Some(SealedItemKey::Session(place)) => (Some(place), None),
        Some(SealedItemKey::SecondFactor(person)) => (None, Some(*person)),
    };
    if person.is_none() {
        let items = store.list_all_secrets(system, session, AT_ONCE).await?;
        if !items.is_empty() {
            let sealed = |(place, secret): (SecretPlace, SealedSecret)| SealedItem {
                place: SealedItemKey::Session(place),
                context: secret.key,
                ciphertext: secret.ciphertext,
            };
            return Ok(items.into_iter().map(sealed).collect());
        }
    }
    let items = store.list_second_factors(system, person, AT_ONCE).await?;
    let sealed = |(person, ciphertext)| SealedItem {
        place: SealedItemKey::SecondFactor(person),
        context: second_factor::seal_context(person),
        ciphertext,
    };
    Ok(items.into_iter().map(sealed).collect())
}

/// Seals an item with the newest key; false when it was changed or removed meanwhile.
async fn reseal(
    store: &Store,
    system: &System,
    keys: &MasterKey,
    random: &dyn Random,
    sealed: &SealedItem,
) -> Result<bool, Failure> {
    let SealedItem { place, context, ciphertext: before } = sealed;
    let mut nonce = [0; NONCE];
    random.fill(&mut nonce);
    let after = keys.seal(context, &keys.unseal(context, before)?, nonce)?;
    let replaced = match place {
        SealedItemKey::Session(place) => store.replace_secret(system, place, before, &after).await,
        SealedItemKey::SecondFactor(person) => {
            store.replace_second_factor(system, *person, before, &after).await
        }
    };
    match replaced {
        Err(store::Error::Stale) => Ok(false),
        outcome => Ok(outcome.map(|()| true)?),
    }
}
