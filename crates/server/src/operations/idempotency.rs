//! Idempotency keys: a repeated request runs once and gets the same response.

use crate::app::App;
use crate::failure::Failure;
use domain::Refusal;
use domain::time::Span;
use sha2::{Digest, Sha256};
pub use store::{IdempotencyScope, StoredResponse};

/// Maximum length of a key, in characters.
const MAX_KEY_CHARS: usize = 255;

/// What to do with a request that has a key.
#[derive(Debug)]
pub enum IdempotencyDecision {
    /// It is new: run it, then call [`finish_idempotent_request`] or [`abandon_idempotent_request`].
    New(IdempotencyToken),
    /// It was answered: send this response again.
    Replay(StoredResponse),
    /// It was answered, but its caller's permissions have changed since: check them before sending this response.
    CheckFirst(StoredResponse),
}

/// A request that has begun and must be finished or abandoned.
#[derive(Debug)]
#[must_use]
pub struct IdempotencyToken {
    scope: IdempotencyScope,
    /// Identifies the caller's permissions: see [`store::Caller::authority`].
    pub authority: [u8; 32],
}

/// Checks a key that a client sent.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn check_key(key: &str) -> Result<(), Refusal> {
    let plain = !key.is_empty() && key.chars().count() <= MAX_KEY_CHARS && !key.chars().any(char::is_control);
    if plain {
        return Ok(());
    }
    Err(Refusal::invalid("Idempotency-Key", format!("1 to {MAX_KEY_CHARS} characters")))
}

/// Begins a request. `authority` identifies the caller's permissions: see [`store::Caller::authority`].
///
/// A request whose server died before answering begins again when the first attempt can no longer be running: after
/// twice the request timeout, or at once when the database has a single server that has restarted since.
/// [`store::Store::find_earlier_creation`] finds what the first attempt created, so nothing is created twice.
///
/// # Errors
/// [`Refusal::KeyReused`] when the key came with another body; [`Refusal::KeyBusy`] while the first attempt runs.
pub async fn begin_idempotent_request(
    app: &App,
    scope: IdempotencyScope,
    body: &[u8],
    authority: [u8; 32],
) -> Result<IdempotencyDecision, Failure> {
    let digest: [u8; 32] = Sha256::digest(body).into();
    let now = app.now();
    let expires = now + Span::from(app.settings.idempotency_kept);
    let longest = Span::from(app.settings.request_timeout * 2);
    loop {
        match app.store.begin_idempotent_request(&scope, digest, now, expires).await? {
            store::IdempotencyState::New => {
                return Ok(IdempotencyDecision::New(IdempotencyToken { scope, authority }));
            }
            store::IdempotencyState::Repeated { digest: other, .. } if other != digest => {
                return Err(Refusal::KeyReused.into());
            }
            store::IdempotencyState::Repeated { response: Some(response), .. } => {
                return Ok(if response.authority == authority {
                    IdempotencyDecision::Replay(response)
                } else {
                    IdempotencyDecision::CheckFirst(response)
                });
            }
            store::IdempotencyState::Repeated { started, .. }
                if now.duration_since(started) < longest && !app.has_restarted_since(started) =>
            {
                return Err(Refusal::KeyBusy.into());
            }
            store::IdempotencyState::Repeated { started, .. } => {
                if app.store.restart_idempotent_request(&scope, started, now).await? {
                    return Ok(IdempotencyDecision::New(IdempotencyToken { scope, authority }));
                }
            }
        }
    }
}

/// Stores the response. It must not contain a secret that is shown only once.
pub async fn finish_idempotent_request(
    app: &App,
    token: IdempotencyToken,
    answer: &StoredResponse,
) -> Result<(), Failure> {
    Ok(app.store.finish_idempotent_request(&token.scope, answer).await?)
}

/// Forgets a request that failed, so that its key can be used again.
pub async fn abandon_idempotent_request(app: &App, token: IdempotencyToken) -> Result<(), Failure> {
    Ok(app.store.abandon_idempotent_request(&token.scope).await?)
}
