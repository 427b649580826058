//! Secrets of agent sessions: sealed when they come, opened for the session's worker, and sealed anew when the master
//! key is changed.

use crate::clock::Random;
use crate::failure::Failure;
use crate::master_key::{MasterKey, NONCE};
use crate::operations::second_factor;
use crate::state::App;
use domain::Refusal;
use domain::ids::{OrganizationId, SessionId};
use domain::time::Micros;
use serde_json::json;
use store::access::UseSessions;
use store::{By, NewAuditLine, Store, System};

/// How long the name of a secret may be, in characters.
const MAX_KEY_CHARS: usize = 256;
/// How long a secret may be, in bytes.
const MAX_VALUE_BYTES: usize = 65_536;
/// How many are sealed anew at once.
const AT_ONCE: u32 = 256;

/// Checks a secret.
///
/// # Errors
/// [`Refusal::Invalid`]; it does not say the value.
pub fn check(key: &str, value: &str) -> Result<(), Refusal> {
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
pub(super) async fn reveal(
    app: &App,
    organization: OrganizationId,
    id: SessionId,
) -> Result<Vec<(String, String)>, Failure> {
    let granted = System::for_jobs().within::<UseSessions>(organization);
    let sealed = app.store.session_secrets(&granted, id).await?;
    let open = |secret: store::SealedSecret| {
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
pub async fn rotate(
    store: &Store,
    keys: &MasterKey,
    random: &dyn Random,
    now: Micros,
) -> Result<u64, Failure> {
    let mut key = [0; 32];
    random.fill(&mut key);
    keys.add(key).map_err(Failure::internal)?;
    let line = NewAuditLine::new(By::NOBODY, "master_key.rotate", "", json!({}), now);
    store.audit_note(&System::for_administration(), &line).await?;
    Ok(secrets_anew(store, keys, random).await? + factors_anew(store, keys, random).await?)
}

async fn secrets_anew(store: &Store, keys: &MasterKey, random: &dyn Random) -> Result<u64, Failure> {
    let system = System::for_administration();
    let (mut done, mut after) = (0, None);
    loop {
        let some = store.all_secrets(&system, after.as_ref(), AT_ONCE).await?;
        let Some((last, _)) = some.last() else { return Ok(done) };
        after = Some(last.clone());
        for (place, secret) in some.iter().filter(|(_, secret)| !keys.is_newest(&secret.ciphertext)) {
            let anew = sealed_anew(keys, random, &secret.key, &secret.ciphertext)?;
            match store.replace_secret(&system, place, &secret.ciphertext, &anew).await {
                // Deleted meanwhile.
                Err(store::Error::Stale) => {}
                outcome => outcome.map(|()| done += 1)?,
            }
        }
    }
}

async fn factors_anew(store: &Store, keys: &MasterKey, random: &dyn Random) -> Result<u64, Failure> {
    let system = System::for_administration();
    let (mut done, mut after) = (0, None);
    loop {
        let some = store.all_factors(&system, after, AT_ONCE).await?;
        let Some((last, _)) = some.last() else { return Ok(done) };
        after = Some(*last);
        for (person, sealed) in some.iter().filter(|(_, sealed)| !keys.is_newest(sealed)) {
            let anew = sealed_anew(keys, random, &second_factor::place(*person), sealed)?;
            match store.replace_factor(&system, *person, sealed, &anew).await {
                // Taken away or proposed anew meanwhile.
                Err(store::Error::Stale) => {}
                outcome => outcome.map(|()| done += 1)?,
            }
        }
    }
}

fn sealed_anew(keys: &MasterKey, random: &dyn Random, of: &str, sealed: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut nonce = [0; NONCE];
    random.fill(&mut nonce);
    keys.seal(of, &keys.unseal(of, sealed)?, nonce)
}
