//! Watches of lists: how long a change takes to those it concerns, and what those cost that it does not concern.

use super::Run;
use super::lists::own_list;
use super::load::{fetch, get, post};
use super::output::{Aim, Figure, Row, Section, Spread};
use crate::Outcome;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// The watchers, and the lists that they watch.
const WATCHERS: usize = 10_000;
const LISTS: usize = 1_000;
/// The changes, and the time between two of them: a list gets at most one batch in 250 ms.
const CHANGES: usize = 300;
const PACE: Duration = Duration::from_millis(20);

/// Measures 10,000 watchers of 1,000 lists.
pub async fn measure(run: &Run<'_>) -> Outcome<Section> {
    let before = run.process.memory();
    let (told, mut heard) = mpsc::unbounded_channel();
    let mut open = Vec::with_capacity(WATCHERS);
    for list in 0..LISTS {
        let request = own_list(run, &format!("limit=1&filter=tags:watched-{list}"));
        let (_, body) = fetch(run.process.address, &request).await?;
        let token = serde_json::from_slice::<Value>(&body)?;
        let token = token["watch"].as_str().ok_or("a list without a token")?;
        let request = get(&format!("/tenure/v1/watch?token={token}"), Some(&run.keys.account));
        for _ in 0..WATCHERS / LISTS {
            let stream = open_watch(run.process.address, &request).await?;
            open.push(tokio::spawn(listen(stream, list, told.clone())));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = run.process.memory().saturating_sub(before) as f64 / WATCHERS as f64;
    let (mut times, mut quiet) = (Vec::new(), Vec::new());
    for change in 0..CHANGES {
        // No list twice within its pace.
        let list = change * 7 % LISTS;
        let processor = run.process.processor_time();
        create(run, list).await?;
        let acknowledged = Instant::now();
        for _ in 0..WATCHERS / LISTS {
            let next = tokio::time::timeout(Duration::from_secs(5), heard.recv()).await?;
            let (of, at): (usize, Instant) = next.ok_or("the watchers are gone")?;
            if of != list {
                return Err(format!("a change of list {list} came to list {of}").into());
            }
            times.push(at.saturating_duration_since(acknowledged).as_secs_f64() * 1e3);
        }
        quiet.push(run.process.processor_time().since(&processor) as f64 / 1e6);
        tokio::time::sleep(PACE).await;
    }
    open.iter().for_each(tokio::task::JoinHandle::abort);
    let row = Row::new(
        format!("{WATCHERS} watchers of {LISTS} lists, {CHANGES} changes of one list each"),
        vec![
            Figure::new("median, ms", Spread::one(percentile(&mut times, 0.5))),
            Figure::new("99 of 100, ms", Spread::one(percentile(&mut times, 0.99)))
                .aim(Some(Aim::AtMost(50.0))),
            Figure::new("memory for each, KB", Spread::one(each / 1e3)).aim(Some(Aim::AtMost(10.0))),
            Figure::new("processor for a change, ms", Spread::one(percentile(&mut quiet, 0.5))),
        ],
    );
    let text = "From the answer to the request that changes a session until a watcher has the event. The processor time has \
                the request, and the sending to ten watchers.";
    Ok(Section::new("watchers", format!("Watches on {}", run.server.kind()), text, vec![row]))
}

/// The value that a share of all is not above.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share).ceil() as usize;
    values.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// Opens a watch, and reads its first event.
async fn open_watch(address: SocketAddr, request: &[u8]) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let (mut text, mut buffer) = (Vec::new(), [0; 4_096]);
    while !text.windows(14).any(|part| part == b"event: changes") {
        let count = stream.read(&mut buffer).await?;
        text.extend_from_slice(&buffer[..count]);
        if count == 0 || text.starts_with(b"HTTP/1.1 4") || text.starts_with(b"HTTP/1.1 5") {
            return Err(format!("a watch was not opened: {}", String::from_utf8_lossy(&text)).into());
        }
    }
    Ok(stream)
}

/// Tells when an event comes.
async fn listen(mut stream: TcpStream, list: usize, told: mpsc::UnboundedSender<(usize, Instant)>) {
    let mut buffer = [0; 16_384];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let is_event = buffer[..count].windows(9).any(|part| part == b"\"entered\"");
        if is_event && told.send((list, Instant::now())).is_err() {
            return;
        }
    }
}

async fn create(run: &Run<'_>, list: usize) -> Outcome {
    let path = format!("/v3/organizations/org-{}/sessions", run.manifest.largest.0.simple());
    let body = json!({ "prompt": "watched", "tags": [format!("watched-{list}")] }).to_string();
    let (status, body) = fetch(run.process.address, &post(&path, &run.keys.devin, &body)).await?;
    if status == 200 { Ok(()) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into()) }
}
