//! Rounds in which candidates alternate.

use super::load::{self, Requests};
use super::output::Spread;
use super::process::{Process, postgres_time};
use crate::Outcome;
use std::time::Duration;

/// How rounds are measured.
#[derive(Clone, Copy)]
pub struct Rounds {
    /// Number of rounds of each candidate.
    pub rounds: usize,
    /// How long a round takes.
    pub duration: Duration,
    /// Number of connections.
    pub connections: usize,
    /// The process of a connection to PostgreSQL, whose cluster's time counts.
    pub backend: Option<u32>,
}

/// A server and the requests to it.
pub struct Candidate<'a> {
    /// The server.
    pub process: &'a Process,
    /// The requests.
    pub requests: Requests,
}

/// The figures of a candidate, round by round.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Responses per second.
    pub rates: Vec<f64>,
    /// The server's processor time for a request, in microseconds.
    pub processor: Vec<f64>,
    /// The database's processor time for a request, in microseconds.
    pub database: Vec<f64>,
    /// The times of responses in microseconds, when there is one connection.
    pub times: Vec<f64>,
}

impl<'a> Candidate<'a> {
    /// One request to a server.
    pub fn one(process: &'a Process, request: Vec<u8>) -> Candidate<'a> {
        Candidate { process, requests: vec![request].into() }
    }
}

impl Figures {
    /// The rates of this candidate divided by those of another in the same rounds.
    pub fn ratio(&self, other: &Figures) -> Spread {
        Spread::new(self.rates.iter().zip(&other.rates).map(|(own, other)| own / other))
    }

    /// The processor time of another candidate divided by this one's in the same rounds.
    pub fn processor_ratio(&self, other: &Figures) -> Spread {
        Spread::new(self.processor.iter().zip(&other.processor).map(|(own, other)| other / own))
    }
}

impl Rounds {
    /// Measures all candidates in turn, round by round. The first round of each is shorter and does not count: it fills
    /// caches.
    pub async fn alternate(&self, candidates: &[Candidate<'_>]) -> Outcome<Vec<Figures>> {
        let mut all = vec![Figures::default(); candidates.len()];
        for candidate in candidates {
            let requests = candidate.requests.clone();
            load::run(candidate.process.address, requests, self.connections, self.duration / 4).await?;
        }
        for _ in 0..self.rounds {
            for (candidate, figures) in candidates.iter().zip(&mut all) {
                self.measure(candidate, figures).await?;
            }
        }
        Ok(all)
    }

    async fn measure(&self, candidate: &Candidate<'_>, figures: &mut Figures) -> Outcome {
        let database = || self.backend.map(postgres_time).unwrap_or_default();
        let before = (candidate.process.processor_time(), database());
        let requests = candidate.requests.clone();
        let round = load::run(candidate.process.address, requests, self.connections, self.duration).await?;
        let after = (candidate.process.processor_time(), database());
        let each = |time: u64| time as f64 / 1e3 / round.responses.max(1) as f64;
        figures.rates.push(round.responses as f64 / round.seconds);
        figures.processor.push(each(after.0.since(&before.0)));
        figures.database.push(each(after.1.since(&before.1)));
        figures.times.extend(round.times);
        Ok(())
    }
}
