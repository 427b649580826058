//! Requests that are repeated with the same idempotency key: they are done once and answered alike.

use crate::app::App;
use crate::failure::Failure;
use domain::Refusal;
use domain::time::Span;
use sha2::{Digest, Sha256};
pub use store::{IdempotencyScope, StoredResponse};

/// How long a key may be, in characters.
const MAX_KEY_CHARS: usize = 255;

/// How a request with a key goes on.
#[derive(Debug)]
pub enum IdempotencyDecision {
    /// It is the first one: do it, then [`finish_idempotent_request`] or [`abandon_idempotent_request`].
    New(IdempotencyToken),
    /// It was answered: answer so again.
    Replay(StoredResponse),
    /// It was answered, and what its caller may do has changed since: whether they may still is to be judged first.
    CheckFirst(StoredResponse),
}

/// A request that was begun and is to be finished or abandoned.
#[derive(Debug)]
#[must_use]
pub struct IdempotencyToken {
    scope: IdempotencyScope,
    /// What its caller is allowed to do.
    pub authority: [u8; 32],
}

/// Checks a key as a client sent it.
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

/// Begins a request. `authority` says what its caller may do: see [`store::Caller::authority`].
///
/// One that was begun and never answered, because its server died, is begun again once it can no longer be at work:
/// after twice the time that a request may take, or at once on a database that has one server only, which has started
/// since. What it had made by then is found by [`store::Store::find_earlier_creation`] and not made twice.
///
/// # Errors
/// [`Refusal::KeyReused`] when the key came with another body; [`Refusal::KeyBusy`] while the first one is at work.
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
            store::IdempotencyState::Held { digest: other, .. } if other != digest => {
                return Err(Refusal::KeyReused.into());
            }
            store::IdempotencyState::Held { answer: Some(answer), .. } => {
                return Ok(if answer.authority == authority {
                    IdempotencyDecision::Replay(answer)
                } else {
                    IdempotencyDecision::CheckFirst(answer)
                });
            }
            store::IdempotencyState::Held { started, .. }
                if now.since(started) < longest && !app.outlived(started) =>
            {
                return Err(Refusal::KeyBusy.into());
            }
            store::IdempotencyState::Held { started, .. } => {
                if app.store.restart_idempotent_request(&scope, started, now).await? {
                    return Ok(IdempotencyDecision::New(IdempotencyToken { scope, authority }));
                }
            }
        }
    }
}

/// Keeps the answer. What is shown once only must not be in it.
///
/// # Errors
/// Those of the store.
pub async fn finish_idempotent_request(
    app: &App,
    token: IdempotencyToken,
    answer: &StoredResponse,
) -> Result<(), Failure> {
    Ok(app.store.finish_idempotent_request(&token.scope, answer).await?)
}

/// Forgets a request that came to nothing: one that the server failed at may be tried again with the same key.
///
/// # Errors
/// Those of the store.
pub async fn abandon_idempotent_request(app: &App, token: IdempotencyToken) -> Result<(), Failure> {
    Ok(app.store.abandon_idempotent_request(&token.scope).await?)
}
