//! Checks of the settings and of the database.

use domain::time::Micros;
use server::clock::{Clock, Stopwatch, SystemClock};
use server::settings::Settings;

use super::Findings;
use crate::administration::{Administration, format_time, now};

/// Shorter passwords are only for compatibility with Probe.dev's wire.
const MIN_PASSWORD: u32 = 8;
/// The difference of two clocks from which lists look out of order, in microseconds.
const MAX_CLOCK_DIFFERENCE: i64 = 2_000_000;
/// The difference from a monotonic clock during the check that counts as a jump, in microseconds.
const MAX_JUMP: i64 = 500_000;
/// How many entries at the end of the audit log are checked; `tenure admin audit verify` checks all.
const LAST_ENTRIES: u32 = 1000;

/// Finds settings that are less safe than the defaults.
pub fn check_settings(settings: &Settings, findings: &mut Findings) {
    let check = "settings";
    if settings.insecure_http && !settings.listen.ip().to_canonical().is_loopback() {
        let wrong = format!(
            "plain HTTP is served on {}: anybody on the network can read keys and sessions",
            settings.listen
        );
        findings.add_problem(
            check,
            wrong,
            "listen on loopback behind a proxy with TLS, and unset insecure_http",
        );
    }
    if settings.probe_recoverable_tokens {
        let wrong = "API tokens of Probe.dev's wire are stored readable (probe_recoverable_tokens)";
        findings.add_problem(
            check,
            wrong,
            "unset it: clients then see a token only once, when it is created",
        );
    }
    if settings.password_min < MIN_PASSWORD {
        let wrong = format!("passwords of {} characters are allowed (password_min)", settings.password_min);
        findings.add_problem(check, wrong, format!("set it to {MIN_PASSWORD} or more"));
    }
    findings.finish_check(check);
}

/// Compares the machine's clock with the database's, with stored times, and with a monotonic clock.
pub async fn check_clock(admin: &Administration, findings: &mut Findings) -> store::Result<()> {
    let check = "clock";
    let (watch, began) = (Stopwatch::start(), now());
    let todo = "synchronize the clocks of all servers and of the database by NTP (timedatectl status)";
    if let Some(theirs) = admin.store.load_database_time(&admin.system).await? {
        let apart = theirs.0 - SystemClock.now().0;
        if apart.abs() > MAX_CLOCK_DIFFERENCE {
            let wrong = format!("the database's clock is {} ms away from this machine's", apart / 1000);
            findings.add_problem(check, wrong, todo);
        }
    }
    if let Some(newest) = admin.store.load_newest_time(&admin.system).await?
        && newest.0 > now().0 + MAX_CLOCK_DIFFERENCE
    {
        let wrong = format!("the newest record is from {}, which is in the future", format_time(newest));
        findings.add_problem(check, wrong, todo);
    }
    let steady = i64::try_from(watch.elapsed().as_micros()).unwrap_or(i64::MAX);
    if (now().0 - began.0 - steady).abs() > MAX_JUMP {
        findings.add_problem(check, "the clock was set during this check", todo);
    }
    findings.finish_check(check);
    Ok(())
}

/// Finds records whose counterpart is missing, and sessions that a server should have ended.
pub async fn check_orphans(
    settings: &Settings,
    admin: &Administration,
    findings: &mut Findings,
) -> store::Result<()> {
    let check = "holds and sessions";
    let patience = i64::try_from((settings.sweep_interval * 6).as_micros()).unwrap_or(i64::MAX);
    let orphans = admin.store.count_orphans(&admin.system, Micros(now().0.saturating_sub(patience))).await?;
    let report = "this is a bug in Tenure: keep a backup of this state and report it";
    for (count, what, todo) in [
        (orphans.holds, "holds are open in sessions that have ended", report),
        (orphans.devices, "devices are held by holds that do not exist", report),
        (orphans.logins, "login sessions are incomplete", report),
        (orphans.texts, "agent sessions are not found by their words", report),
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

/// Compares the memory that the index of all sessions takes with the memory of this machine.
pub async fn check_memory(admin: &Administration, findings: &mut Findings) -> store::Result<()> {
    let check = "memory";
    let sessions = admin.store.count_sessions_of_all_kinds(&admin.system).await?;
    let needed = index::estimate_bytes(sessions);
    if let Some(all) = read_memory_size().filter(|all| needed > all / 2) {
        let what = format!(
            "the index of {sessions} sessions takes about {} MiB of the {} MiB that this machine has",
            needed >> 20,
            all >> 20
        );
        findings.add_advice(check, what, "run the server with more memory, or delete old sessions");
    }
    findings.finish_check(check);
    Ok(())
}

/// The memory of this machine in bytes, on Linux.
fn read_memory_size() -> Option<u64> {
    let about = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = about.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes = line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?;
    Some(kibibytes << 10)
}

/// Verifies the end of the audit log.
pub async fn check_audit(admin: &Administration, findings: &mut Findings) -> store::Result<()> {
    let check = "audit log";
    if let Err(broken) = admin.store.verify_audit(&admin.system, Some(LAST_ENTRIES), None).await? {
        let wrong = format!("entry {} {}", broken.sequence, broken.problem);
        let todo = "somebody changed the database by hand: compare with a backup, and run `tenure admin audit verify`";
        findings.add_problem(check, wrong, todo);
    }
    findings.finish_check(check);
    Ok(())
}
