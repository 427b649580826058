//! What the tenant and the health check experience.

use super::client::{Client, Target};
use std::time::{Duration, Instant};

const PAGE: &str = "/v1/sessions?limit=20";
/// Pause of the tenant between two pages.
const PAUSE: Duration = Duration::from_millis(5);
/// Time between two health checks.
const HEALTH_EVERY: Duration = Duration::from_millis(50);
/// Time limit of a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// Number of sessions that the tenant creates concurrently.
const CREATORS: usize = 4;

/// Measurements of one period; times in milliseconds.
pub struct PeriodStats {
    /// The time of each page, sorted.
    pages: Vec<f64>,
    /// Pages that failed.
    pub failed: usize,
    /// The slowest health check.
    pub health: f64,
    /// Sessions created per second.
    pub created: f64,
}

impl PeriodStats {
    /// The time within which this fraction of the pages arrived.
    pub fn quantile(&self, part: f64) -> f64 {
        let last = self.pages.len().saturating_sub(1);
        let at = (last as f64 * part).ceil() as usize;
        self.pages.get(at).copied().unwrap_or(f64::INFINITY)
    }
}

/// The result of one scenario.
pub struct Measured {
    pub quiet: PeriodStats,
    pub attacked: PeriodStats,
    /// The server's maximum memory, in MB.
    pub peak: u64,
    /// The server's memory a while after the attack, in MB; 0 if the server is gone.
    pub after: u64,
    /// The attacker's output.
    pub note: String,
}

/// Reads pages as a tenant for some time, and also creates sessions if `creates` is set.
pub async fn run_tenant(target: &Target, key: &str, creates: bool, time: Duration) -> PeriodStats {
    let until = Instant::now() + time;
    let creators = (0..if creates { CREATORS } else { 0 }).map(|_| create_sessions(target, key, until));
    let creators = futures_util::future::join_all(creators);
    let ((mut pages, failed), health, created) =
        tokio::join!(read_pages(target, key, until), check_health(target, until), creators);
    pages.sort_by(f64::total_cmp);
    let created = created.iter().sum::<u32>();
    PeriodStats { pages, failed, health, created: f64::from(created) / time.as_secs_f64() }
}

async fn read_pages(target: &Target, key: &str, until: Instant) -> (Vec<f64>, usize) {
    let mut client = Client::new(target, Some(key));
    let (mut times, mut failed) = (Vec::new(), 0);
    while Instant::now() < until {
        let (time, good) = time_request(&mut client, PAGE).await;
        times.push(time);
        failed += usize::from(!good);
        tokio::time::sleep(PAUSE).await;
    }
    (times, failed)
}

async fn check_health(target: &Target, until: Instant) -> f64 {
    let mut client = Client::new(target, None);
    let mut worst = 0f64;
    while Instant::now() < until {
        let (time, good) = time_request(&mut client, "/healthz").await;
        worst = worst.max(if good { time } else { f64::INFINITY });
        tokio::time::sleep(HEALTH_EVERY).await;
    }
    worst
}

async fn create_sessions(target: &Target, key: &str, until: Instant) -> u32 {
    let mut client = Client::new(target, Some(key));
    let mut created = 0;
    while Instant::now() < until {
        let response =
            tokio::time::timeout(REQUEST_LIMIT, client.call("POST", "/api/v1/sessions", Some("{}"))).await;
        created += u32::from(matches!(response, Ok(Ok((201, _)))));
    }
    created
}

/// The time of a request in milliseconds, and whether it succeeded.
async fn time_request(client: &mut Client, path: &str) -> (f64, bool) {
    let began = Instant::now();
    let response = tokio::time::timeout(REQUEST_LIMIT, client.call("GET", path, None)).await;
    (began.elapsed().as_secs_f64() * 1e3, matches!(response, Ok(Ok((200, _)))))
}
