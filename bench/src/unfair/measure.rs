//! What the tenant and the health check see.

use super::client::{Client, Target};
use std::time::{Duration, Instant};

const PAGE: &str = "/v1/sessions?limit=20";
/// How long the tenant thinks between two pages.
const PAUSE: Duration = Duration::from_millis(5);
/// How often the health check asks.
const HEALTH_EVERY: Duration = Duration::from_millis(50);
/// When the tenant gives up on an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many sessions the tenant creates at once.
const CREATORS: usize = 4;

/// What a stretch of time was like; times in milliseconds.
pub struct Seen {
    /// Of each page, sorted.
    pages: Vec<f64>,
    /// Pages that did not come.
    pub failed: usize,
    /// The slowest answer of the health check.
    pub health: f64,
    /// Sessions created in a second.
    pub created: f64,
}

impl Seen {
    /// The time that this part of the pages did not take longer than.
    pub fn quantile(&self, part: f64) -> f64 {
        let last = self.pages.len().saturating_sub(1);
        let at = (last as f64 * part).ceil() as usize;
        self.pages.get(at).copied().unwrap_or(f64::INFINITY)
    }
}

/// One scenario.
pub struct Measured {
    pub quiet: Seen,
    pub attacked: Seen,
    /// The most memory that the server had, in MB.
    pub peak: u64,
    /// What it has a while after the attack, in MB; 0 when it is gone.
    pub after: u64,
    /// What the attacker says.
    pub note: String,
}

/// A tenant that reads pages for some time, and creates sessions beside that if it is told to.
pub async fn tenant(target: &Target, key: &str, creates: bool, time: Duration) -> Seen {
    let until = Instant::now() + time;
    let creators = (0..if creates { CREATORS } else { 0 }).map(|_| create(target, key, until));
    let creators = futures_util::future::join_all(creators);
    let ((mut pages, failed), health, created) =
        tokio::join!(read(target, key, until), health(target, until), creators);
    pages.sort_by(f64::total_cmp);
    let created = created.iter().sum::<u32>();
    Seen { pages, failed, health, created: f64::from(created) / time.as_secs_f64() }
}

async fn read(target: &Target, key: &str, until: Instant) -> (Vec<f64>, usize) {
    let mut client = Client::new(target, Some(key));
    let (mut times, mut failed) = (Vec::new(), 0);
    while Instant::now() < until {
        let (time, good) = timed(&mut client, PAGE).await;
        times.push(time);
        failed += usize::from(!good);
        tokio::time::sleep(PAUSE).await;
    }
    (times, failed)
}

async fn health(target: &Target, until: Instant) -> f64 {
    let mut client = Client::new(target, None);
    let mut worst = 0f64;
    while Instant::now() < until {
        let (time, good) = timed(&mut client, "/healthz").await;
        worst = worst.max(if good { time } else { f64::INFINITY });
        tokio::time::sleep(HEALTH_EVERY).await;
    }
    worst
}

async fn create(target: &Target, key: &str, until: Instant) -> u32 {
    let mut client = Client::new(target, Some(key));
    let mut created = 0;
    while Instant::now() < until {
        let answer =
            tokio::time::timeout(PATIENCE, client.call("POST", "/api/v1/sessions", Some("{}"))).await;
        created += u32::from(matches!(answer, Ok(Ok((201, _)))));
    }
    created
}

/// How long an answer took, and whether it was good.
async fn timed(client: &mut Client, path: &str) -> (f64, bool) {
    let began = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, client.call("GET", path, None)).await;
    (began.elapsed().as_secs_f64() * 1e3, matches!(answer, Ok(Ok((200, _)))))
}
