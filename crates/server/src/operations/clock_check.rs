//! Checks that the clock is right before the sweep deletes what is old.

use crate::app::App;
use crate::failure::Failure;
use domain::clock_watch::{AGREES, ClockVerdict, ClockWatch};
use domain::time::{Micros, Span};
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::System;

/// How often a trusted time is stored for the next start.
const NOTE_EVERY: Span = Span::minutes(1);

/// What this server knows of its clock. Watching begins with the first check.
#[derive(Default)]
pub struct Clocks(Mutex<ClockState>);

#[derive(Default)]
struct ClockState {
    watch: Option<ClockWatch>,
    verdict: Option<ClockVerdict>,
    noted: Option<Micros>,
}

impl Clocks {
    /// Why nothing is deleted now, as a sentence; `None` while the clock is trusted.
    pub fn distrust_reason(&self) -> Option<String> {
        let (what, by) = match self.state().verdict? {
            ClockVerdict::Sound => return None,
            ClockVerdict::Jumped(by) => ("the clock jumped ahead", by),
            ClockVerdict::Started(by) => ("the clock is ahead of when a server last ran", by),
            ClockVerdict::AheadOfDatabase(by) => ("the clock is ahead of the database's", by),
        };
        let minutes = by.whole_minutes();
        Some(format!("nothing is deleted for its age: {what} by {minutes} minutes; see `tenure admin clock`"))
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares the clocks; true when the sweep may delete what is old. Logs each change of the result.
///
/// # Errors
/// The database cannot be read or written.
pub async fn check_clock(app: &App) -> Result<bool, Failure> {
    let system = System::for_background_jobs();
    let known = app.store.load_believed_time(&system).await?;
    let database = app.store.load_database_time(&system).await?;
    let (wall, steady) = (app.now(), Span::from(app.clock.steady()));
    let note = {
        let mut state = app.clocks.state();
        let mut watch = state.watch.take().unwrap_or_else(|| ClockWatch::new(wall, steady, known));
        let mut verdict = watch.compare(wall, steady, database);
        // An operator has accepted the time, or another server of the database trusts about the same time.
        let vouched = known.is_some_and(|known| {
            wall.duration_since(known) <= AGREES && known.duration_since(wall) <= AGREES
        });
        if matches!(verdict, ClockVerdict::Jumped(_) | ClockVerdict::Started(_)) && vouched {
            watch.accept(wall, steady);
            verdict = ClockVerdict::Sound;
        }
        state.watch = Some(watch);
        log_change(state.verdict.replace(verdict), verdict);
        let note = verdict == ClockVerdict::Sound
            && state.noted.is_none_or(|noted| wall.duration_since(noted) >= NOTE_EVERY);
        if note {
            state.noted = Some(wall);
        }
        (verdict == ClockVerdict::Sound, note)
    };
    app.metrics.set_clock_trusted(note.0);
    if note.1 {
        app.store.store_believed_time(&system, wall).await?;
    }
    Ok(note.0)
}

fn log_change(before: Option<ClockVerdict>, now: ClockVerdict) {
    let sound = |verdict| verdict == ClockVerdict::Sound;
    match (before.is_none_or(sound), now) {
        (true, ClockVerdict::Sound) => {}
        (false, ClockVerdict::Sound) => {
            tracing::info!("the clock is trusted again: the sweep deletes again what is old")
        }
        (false, _) => {}
        (true, ClockVerdict::Jumped(by) | ClockVerdict::Started(by) | ClockVerdict::AheadOfDatabase(by)) => {
            tracing::error!(
                minutes = by.whole_minutes(),
                reason = ?now,
                "the clock is ahead: nothing is deleted for its age until it is right again, or until \
                 `tenure admin clock accept`"
            )
        }
    }
}
