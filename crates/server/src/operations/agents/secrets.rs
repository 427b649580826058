//! Secrets of agent sessions: sealed when they come and opened for the session's worker; and, with second factors, sealed
//! anew when the master key is changed.

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

/// How long the name of a secret may be, in characters.
const MAX_KEY_CHARS: usize = 256;
/// How long a secret may be, in bytes.
const MAX_VALUE_BYTES: usize = 65_536;
/// How many are read at once.
const AT_ONCE: u32 = 256;

/// Checks a secret.
///
/// # Errors
/// [`Refusal::Invalid`]; it does not say the value.
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

/// The secrets of a session: for the worker that has its turn, and nobody else.
pub(crate) async fn unseal_session_secrets(
    app: &App,
    organization: OrganizationId,
    id: SessionId,
) -> Result<Vec<(String, String)>, Failure> {
    let granted = System::background_jobs().grant::<UseSessions>(organization);
    let sealed = app.store.list_session_secrets(&granted, id).await?;
    let open = |secret: SealedSecret| {
        let value = app.keys.unseal(&secret.key, &secret.ciphertext)?;
        Ok((secret.key, value))
    };
    sealed.into_iter().map(open).collect()
}

/// Adds a new master key and seals every secret with it, of sessions and of second factors; gives how many. May be
/// interrupted and begun again. The old keys stay in the file: a server that runs may seal with one of them until it has
/// seen the new one.
///
/// # Errors
/// Those of the store, and of the file.
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
    let system = System::administration();
    store.record_audit_entry(&system, &line).await?;
    let (mut done, mut after) = (0, None);
    loop {
        let some = list_sealed_items(store, &system, after.as_ref()).await?;
        for sealed in some.iter().filter(|sealed| !keys.is_newest(&sealed.ciphertext)) {
            done += u64::from(reseal(store, &system, keys, random, sealed).await?);
        }
        let Some(last) = some.into_iter().last() else { return Ok(done) };
        after = Some(last.place);
    }
}

/// Looks at every secret, of sessions and of second factors; says how many of them these keys open.
///
/// # Errors
/// Those of the store.
pub async fn count_secrets(
    store: &Store,
    system: &System,
    keys: Option<&MasterKey>,
) -> store::Result<SecretCounts> {
    let (mut found, mut after) = (SecretCounts::default(), None);
    loop {
        let some = list_sealed_items(store, system, after.as_ref()).await?;
        let opens = |sealed: &&SealedItem| {
            keys.is_some_and(|keys| keys.unseal(&sealed.of, &sealed.ciphertext).is_ok())
        };
        found.all += some.len();
        found.opened += some.iter().filter(opens).count();
        let Some(last) = some.into_iter().last() else { return Ok(found) };
        after = Some(last.place);
    }
}

/// How many of the secrets that are kept can be opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecretCounts {
    /// How many there are.
    pub all: usize,
    /// How many of them can be opened.
    pub opened: usize,
}

/// Something that is sealed with the master key.
struct SealedItem {
    place: SealedItemKey,
    /// What it is sealed as.
    of: String,
    ciphertext: Vec<u8>,
}

/// Where it is kept.
enum SealedItemKey {
    Session(SecretPlace),
    SecondFactor(PrincipalId),
}

/// The next ones after a place: those of sessions, and then second factors.
async fn list_sealed_items(
    store: &Store,
    system: &System,
    after: Option<&SealedItemKey>,
) -> store::Result<Vec<SealedItem>> {
    let (of_session, person) = match after {
        None => (None, None),
        Some(SealedItemKey::Session(place)) => (Some(place), None),
        Some(SealedItemKey::SecondFactor(person)) => (None, Some(*person)),
    };
    if person.is_none() {
        let some = store.list_all_secrets(system, of_session, AT_ONCE).await?;
        if !some.is_empty() {
            let sealed = |(place, secret): (SecretPlace, SealedSecret)| SealedItem {
                place: SealedItemKey::Session(place),
                of: secret.key,
                ciphertext: secret.ciphertext,
            };
            return Ok(some.into_iter().map(sealed).collect());
        }
    }
    let some = store.list_second_factors(system, person, AT_ONCE).await?;
    let sealed = |(person, ciphertext)| SealedItem {
        place: SealedItemKey::SecondFactor(person),
        of: second_factor::seal_context(person),
        ciphertext,
    };
    Ok(some.into_iter().map(sealed).collect())
}

/// Whether it was still there to be replaced.
async fn reseal(
    store: &Store,
    system: &System,
    keys: &MasterKey,
    random: &dyn Random,
    sealed: &SealedItem,
) -> Result<bool, Failure> {
    let SealedItem { place, of, ciphertext: before } = sealed;
    let mut nonce = [0; NONCE];
    random.fill(&mut nonce);
    let after = keys.seal(of, &keys.unseal(of, before)?, nonce)?;
    let replaced = match place {
        SealedItemKey::Session(place) => store.replace_secret(system, place, before, &after).await,
        SealedItemKey::SecondFactor(person) => {
            store.replace_second_factor(system, *person, before, &after).await
        }
    };
    match replaced {
        // Taken away or given anew meanwhile.
        Err(store::Error::Stale) => Ok(false),
        outcome => Ok(outcome.map(|()| true)?),
    }
}
