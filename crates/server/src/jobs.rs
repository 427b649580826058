//! The background jobs of a server. Each runs in its own task until the server stops.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::audit_sealing;
use crate::operations::clock_check;
use crate::operations::devices::fleet;
use crate::operations::devices::hosts;
use crate::operations::devices::queue;
use crate::operations::sweep;
use crate::serve::open_files;
use crate::signals;
use std::time::Duration;

/// How often a server records in the store which hosts are connected to it: several times within the shortest time that a
/// host may be away.
const LINKS_EVERY: Duration = Duration::from_secs(5);

/// How often the files of the certificate are checked for changes.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(10);

/// How often audit entries that are old enough are sealed.
const SEAL_EVERY: Duration = Duration::from_secs(3600);

/// How often watches are told which login sessions have expired by themselves.
const EXPIRED_EVERY: Duration = Duration::from_secs(1);

/// Starts all jobs.
pub fn start(app: &App) {
    app.tasks.spawn(queue::run_queue(app.clone()));
    app.tasks.spawn(signals::follow(app.clone()));
    app.tasks.spawn(app.sessions.clone().run(app.stop.clone()));
    let every = app.settings.sweep_interval;
    repeat(app, every, |app| async move {
        sweep::sweep(&app).await;
        if let Err(error) = fleet::count_devices(&app).await {
            tracing::warn!(error = error.log_text(), "devices could not be counted");
        }
    });
    repeat(app, app.settings.database_check, |app| async move {
        // Damage is logged where it is found.
        if let Err(error) = app.store.database().check().await {
            tracing::warn!(%error, "the database could not be checked, or is damaged");
        }
    });
    if let Some(kept) = app.settings.audit_kept {
        repeat(app, SEAL_EVERY, move |app| async move {
            if let Err(error) = seal_audit(&app, kept).await {
                tracing::error!(
                    error = error.log_text(),
                    "old lines of the audit log could not be sealed: they stay"
                );
            }
        });
    }
    repeat(app, EXPIRED_EVERY, |app| async move {
        if let Err(error) = app.sessions.tell_expired(app.now()).await {
            tracing::debug!(error = error.log_text(), "watches were not told which sessions have expired");
        }
    });
    if app.front.tls.is_some() {
        repeat(app, CERTIFICATE_EVERY, |app| async move { app.front.refresh() });
    }
    repeat(app, LINKS_EVERY, |app| async move {
        if let Err(error) = hosts::renew_host_links(&app).await {
            tracing::warn!(%error, "cannot record which hosts are connected");
        }
    });
}

/// Seals audit entries that are old enough, unless the clock is in doubt.
async fn seal_audit(app: &App, retention: Duration) -> Result<(), Failure> {
    if !clock_check::check_clock(app).await? {
        return Ok(());
    }
    let archive = open_files(&app.settings.audit_archive).map_err(Failure::internal)?;
    audit_sealing::seal_audit_log(&app.store, &*archive, app.now() - retention.into(), app.now()).await?;
    Ok(())
}

fn repeat<F: Future<Output = ()> + Send>(
    app: &App,
    every: Duration,
    job: impl Fn(App) -> F + Send + 'static,
) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let mut ticks = tokio::time::interval(every);
        // After a stall, one run replaces the missed ones.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => job(app.clone()).await,
                () = app.stop.cancelled() => break,
            }
        }
    });
}
