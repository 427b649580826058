//! The sweep: ends idle holds, expired requests, empty sessions and the holds of lost hosts, and deletes old entries
//! and files.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents::turns;
use crate::operations::clock_check;
use crate::operations::devices;
use crate::operations::devices::files;
use crate::operations::login;
use domain::device::DeviceCommand;
use domain::session::{EndReason, SessionKey};
use domain::time::{Micros, Span};
use store::access::UseSessions;
use store::{DueHold, System};

/// How many batches of deleted sessions one sweep purges, and the most rows of a batch.
const PURGES: u32 = 100;
const PURGED_ROWS: u32 = 1_000;

/// Runs one sweep. A failed step is logged and tried again by the next sweep; the other steps run. Nothing is ended
/// or deleted while the clock is not trusted: everything would look old.
pub async fn sweep(app: &App) {
    match clock_check::check_clock(app).await {
        Ok(true) => end_and_delete(app).await,
        Ok(false) => {}
        Err(error) => {
            tracing::error!(error = error.log_text(), "cannot check the clock, so nothing was swept")
        }
    }
    app.queue.request_run();
}

async fn end_and_delete(app: &App) {
    for (step, outcome) in [
        ("due", end_due(app).await),
        ("hosts", release_lost_hosts(app).await),
        ("feed", prune_feed(app).await),
        ("files", files::remove_expired_files(app).await),
        ("leases", turns::end_expired_leases(app).await),
        ("deleted sessions", purge_deleted_sessions(app).await),
        ("idempotency keys", prune_idempotency(app).await),
        ("logins", login::sessions::sweep_logins(app).await),
    ] {
        if let Err(error) = outcome {
            tracing::error!(step, error = error.log_text(), "a step of the sweep failed");
        }
    }
}

async fn end_due(app: &App) -> Result<(), Failure> {
    let now = app.now();
    let settings = &app.settings;
    let idle = Span::from(settings.idle_hold);
    let expires = Span::from(settings.pending_expires);
    let empty = Span::from(settings.session_idle);
    let due =
        app.store.list_due(&System::for_background_jobs(), now - idle, now - expires, now - empty).await?;
    for hold in &due.idle {
        let evidence = format!(
            "idle {} min, last command {}",
            now.duration_since(hold.last).whole_minutes(),
            format_time(hold.last)
        );
        release_hold(app, hold, EndReason::Idle, evidence).await;
    }
    for hold in &due.expired {
        let evidence =
            format!("no device within {} min, asked for {}", expires.whole_minutes(), format_time(hold.last));
        release_hold(app, hold, EndReason::Expired, evidence).await;
    }
    for (session, last) in &due.empty {
        let evidence = format!(
            "nothing held for {} min, since {}",
            now.duration_since(*last).whole_minutes(),
            format_time(*last)
        );
        end_session(app, *session, EndReason::Idle, evidence).await;
    }
    for session in &due.ownerless {
        let evidence = "its owner was suspended or deleted, or left the organization".to_owned();
        end_session(app, *session, EndReason::OwnerGone, evidence).await;
    }
    for session in &due.orphaned {
        end_session(app, *session, EndReason::OrganizationDeleted, "the organization was deleted".to_owned())
            .await;
    }
    Ok(())
}

async fn release_lost_hosts(app: &App) -> Result<(), Failure> {
    let grace = app.settings.host_grace;
    // The hosts of a server that was down need time to reconnect.
    if app.now() - Span::from(grace) < app.started {
        return Ok(());
    }
    let system = System::for_background_jobs();
    for lost in app.store.list_lost_hosts(&system, app.now() - Span::from(grace)).await? {
        // The host may have reconnected since the list was read. Then its server has recorded that.
        if app.hosts.get(lost.host).is_some() {
            continue;
        }
        tracing::warn!(host = %lost.host, name = lost.name, "a host is lost");
        app.store.set_host_offline(&system, lost.host).await?;
        for hold in &lost.holds {
            let evidence = format!("host {} away for more than {} s", lost.name, grace.as_secs());
            release_hold(app, hold, EndReason::HostLost, evidence).await;
        }
    }
    Ok(())
}

async fn prune_feed(app: &App) -> Result<(), Failure> {
    let retention = Span::from(app.settings.feed_kept);
    app.store.prune_changes(&System::for_background_jobs(), app.now() - retention).await?;
    Ok(app.store.prune_access_changes(&System::for_background_jobs()).await?)
}

/// Purges deleted agent sessions in small batches, so that other writes get through.
async fn purge_deleted_sessions(app: &App) -> Result<(), Failure> {
    for _ in 0..PURGES {
        if !app.store.purge_agents(&System::for_background_jobs(), PURGED_ROWS, app.now()).await? {
            break;
        }
    }
    Ok(())
}

async fn prune_idempotency(app: &App) -> Result<(), Failure> {
    Ok(app.store.prune_idempotency(&System::for_background_jobs(), app.now()).await?)
}

async fn release_hold(app: &App, due: &DueHold, reason: EndReason, evidence: String) {
    if let Err(error) = devices::sessions::end_hold(app, due, reason, &evidence).await {
        tracing::error!(session = %due.session.id, error = error.log_text(), "cannot end a hold");
    }
}

async fn end_session(app: &App, session: SessionKey, reason: EndReason, evidence: String) {
    let granted = System::for_background_jobs().grant::<UseSessions>(session.organization);
    let command = DeviceCommand::End { reason, evidence };
    let ended =
        devices::sessions::change_device_session(app, &granted, session.id, |_| Ok(command.clone())).await;
    if let Err(error) = ended {
        tracing::error!(session = %session.id, error = error.log_text(), "cannot end a session");
    }
}

/// The time of day, in UTC, for a sentence.
fn format_time(time: Micros) -> String {
    jiff::Timestamp::from_microsecond(time.0)
        .map_or_else(|_| "?".to_owned(), |time| time.strftime("%H:%M").to_string())
}
