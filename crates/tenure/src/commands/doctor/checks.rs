//! What is in the database, and the settings.

use domain::time::Micros;
use server::clock::{Clock, Stopwatch, SystemClock};
use server::settings::Settings;

use super::Findings;
use crate::administration::{Administration, format_time, now};

/// The vendor of Probe.dev's wire allows shorter ones; nobody else should.
const MIN_PASSWORD: u32 = 8;
/// How far two clocks may be apart before lists are in a wrong order to look at.
const APART: i64 = 2_000_000;
/// How far the clock may run from a steady one while the doctor looks.
const JUMP: i64 = 500_000;
/// How many lines at the end of the audit log are checked; `tenure audit verify` checks all.
const LINES: u32 = 1000;

/// What was chosen that is less safe than the default.
pub fn check_settings(settings: &Settings, findings: &mut Findings) {
    let check = "settings";
    if settings.insecure_http && !settings.listen.ip().to_canonical().is_loopback() {
        let wrong = format!(
            "plain HTTP is served on {}: all keys and sessions can be read on the way",
            settings.listen
        );
        findings.add_problem(
            check,
            wrong,
            "listen on loopback behind a proxy with TLS, and unset insecure_http",
        );
    }
    if settings.probe_recoverable_tokens {
        let wrong = "API tokens of Probe.dev's wire are kept readable (probe_recoverable_tokens)";
        findings.add_problem(check, wrong, "unset it: clients are shown a token once, when it is made");
    }
    if settings.password_min < MIN_PASSWORD {
        let wrong = format!("passwords of {} characters are allowed (password_min)", settings.password_min);
        findings.add_problem(check, wrong, format!("set it to {MIN_PASSWORD} or more"));
    }
    findings.finish_check(check);
}

/// The machine's clock against the database's, against what is kept, and against one that cannot be set.
pub async fn check_clock(admin: &Administration, findings: &mut Findings) -> store::Result<()> {
    let check = "clock";
    let (watch, began) = (Stopwatch::start(), now());
    let todo = "let NTP keep the clocks of all servers and of the database (timedatectl status)";
    if let Some(theirs) = admin.store.load_database_time(&admin.system).await? {
        let apart = theirs.0 - SystemClock.now().0;
        if apart.abs() > APART {
            let wrong = format!("the database's clock is {} ms away from this machine's", apart / 1000);
            findings.add_problem(check, wrong, todo);
        }
    }
    if let Some(newest) = admin.store.load_newest_time(&admin.system).await?
        && newest.0 > now().0 + APART
    {
        let wrong = format!("something was made at {}, which is yet to come", format_time(newest));
        findings.add_problem(check, wrong, todo);
    }
    let steady = i64::try_from(watch.elapsed().as_micros()).unwrap_or(i64::MAX);
    if (now().0 - began.0 - steady).abs() > JUMP {
        findings.add_problem(check, "the clock was set while the doctor looked", todo);
    }
    findings.finish_check(check);
    Ok(())
}

/// Halves without their other half, and what a server would have ended.
pub async fn check_orphans(
    settings: &Settings,
    admin: &Administration,
    findings: &mut Findings,
) -> store::Result<()> {
    let check = "holds and sessions";
    let patience = i64::try_from((settings.sweep_interval * 6).as_micros()).unwrap_or(i64::MAX);
    let orphans = admin.store.count_orphans(&admin.system, Micros(now().0.saturating_sub(patience))).await?;
    let report = "this is a fault of Tenure: keep a backup of this state and report it";
    for (count, what, todo) in [
        (orphans.holds, "holds are open in sessions that are not", report),
        (orphans.devices, "devices are held by holds that are not there", report),
        (orphans.logins, "login sessions lack a half", report),
        (
            orphans.sessions,
            "device sessions are open in deleted organizations",
            "start a server: it ends them",
        ),
    ] {
        if count > 0 {
            findings.add_problem(check, format!("{count} {what}"), todo);
        }
    }
    findings.finish_check(check);
    Ok(())
}

/// The end of the audit log.
pub async fn check_audit(admin: &Administration, findings: &mut Findings) -> store::Result<()> {
    let check = "audit log";
    if let Err(broken) = admin.store.verify_audit(&admin.system, Some(LINES), None).await? {
        let wrong = format!("line {} {}", broken.sequence, broken.why);
        let todo =
            "somebody changed the database by hand: compare with a backup, and see `tenure audit verify`";
        findings.add_problem(check, wrong, todo);
    }
    findings.finish_check(check);
    Ok(())
}
