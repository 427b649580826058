//! The attacker, a separate process. It prints `ready` once it has begun, and at the end the responses it got.

use super::client::{Client, Target};
use super::{Scenario, data, half};
use crate::Outcome;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Pause after a refusal, because the attacker shares the cores with the tenant.
const PAUSE: Duration = Duration::from_millis(20);
/// Nodes in a frame of 8 MiB.
const NODES: usize = 1_198_372;
/// WebSockets per key.
const SOCKETS: usize = 200;
/// Definitions in the two doubling schemas: one that is refused, and the largest that is accepted.
const DEFINITIONS: [usize; 2] = [21, 8];

/// Options of the attacker.
#[derive(Debug, Args)]
pub struct Attack {
    scenario: Scenario,
    address: SocketAddr,
    folder: PathBuf,
    seconds: u64,
}

/// Counts the responses of each kind.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<BTreeMap<String, u32>>>);

impl Tally {
    fn add(&self, what: impl ToString) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what.to_string()).or_default() += 1;
    }

    /// Sends a request, and waits a moment if it was refused.
    async fn call(
        &self,
        client: &mut Client,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Option<Vec<u8>> {
        match client.call(method, path, body).await {
            Ok((status, body)) => {
                self.add(status);
                if status < 300 {
                    return Some(body);
                }
            }
            Err(_) => self.add("cut off"),
        }
        tokio::time::sleep(PAUSE).await;
        None
    }
}

impl Attack {
    /// Attacks for some seconds.
    pub async fn run(self) -> Outcome {
        let target = Target::new(self.address, &data::certificate(&self.folder))?;
        let attacker = Attacker { target, keys: data::keys(&self.folder)?, tally: Tally::default() };
        let mut tasks = match self.scenario {
            Scenario::Search => attacker.search(),
            Scenario::Frames => attacker.frames(),
            Scenario::Subscribers => attacker.subscribers().await?,
            Scenario::Bodies => attacker.bodies(),
            Scenario::Schema => attacker.schema()?,
            Scenario::Messages => attacker.messages().await?,
        };
        println!("ready");
        let time = Duration::from_secs(self.seconds);
        let _ = tokio::time::timeout(time, async { while tasks.join_next().await.is_some() {} }).await;
        let counts = attacker.tally.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        println!("{}", counts.join(", "));
        // Not awaited: the server may still be busy with the last requests.
        tasks.detach_all();
        Ok(())
    }
}

type Tasks = tokio::task::JoinSet<()>;

struct Attacker {
    target: Target,
    keys: HashMap<String, Vec<String>>,
    tally: Tally,
}

impl Attacker {
    fn key(&self, name: &str) -> Outcome<&str> {
        Ok(self.keys.get(name).and_then(|keys| keys.first()).ok_or("a key is missing")?)
    }

    fn client(&self, name: &str) -> Outcome<Client> {
        Ok(Client::new(&self.target, Some(self.key(name)?)))
    }

    fn search(&self) -> Tasks {
        let mut tasks = Tasks::new();
        let paths = ["/v1/sessions?search=zzz", "/v1/sessions/facets", "/v1/sessions/facets?search=zzz"];
        for path in paths.into_iter().cycle().take(8) {
            let Ok(mut client) = self.client("search") else { continue };
            let tally = self.tally.clone();
            tasks.spawn(async move {
                loop {
                    tally.call(&mut client, "GET", path, None).await;
                }
            });
        }
        tasks
    }

    fn frames(&self) -> Tasks {
        let frame = Message::text(format!("[{}]", vec![r#"{"":0}"#; NODES].join(",")));
        let mut tasks = Tasks::new();
        for _ in 0..4 {
            let (target, tally, frame) = (self.target.clone(), self.tally.clone(), frame.clone());
            tasks.spawn(async move {
                loop {
                    let ended = send_frames(&target, &tally, &frame).await;
                    tally.add(if ended.is_ok() { "closed" } else { "cut off" });
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        tasks
    }

    /// Opens all subscriptions first. A refused one is not retried.
    async fn subscribers(&self) -> Outcome<Tasks> {
        let mut tasks = Tasks::new();
        let keys = self.keys.get("subscribers").ok_or("keys are missing")?;
        for key in keys.iter().flat_map(|key| std::iter::repeat_n(key, SOCKETS)) {
            let subscribed = subscribe(&self.target, key).await;
            let Ok(mut socket) = subscribed else {
                self.tally.add("refused");
                continue;
            };
            self.tally.add("subscribed");
            tasks.spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
        }
        Ok(tasks)
    }

    fn bodies(&self) -> Tasks {
        let mut tasks = Tasks::new();
        for _ in 0..half::STREAMS {
            let (target, tally) = (self.target.clone(), self.tally.clone());
            tasks.spawn(async move {
                loop {
                    let _ = half::send_over_http1(&target).await;
                    tally.add("ended over HTTP/1.1");
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        let (target, tally) = (self.target.clone(), self.tally.clone());
        tasks.spawn(async move {
            loop {
                let _ = half::send_over_http2(&target).await;
                tally.add("ended over HTTP/2");
                tokio::time::sleep(PAUSE).await;
            }
        });
        tasks
    }

    fn schema(&self) -> Outcome<Tasks> {
        let bodies = DEFINITIONS.map(|definitions| {
            json!({ "prompt": "go", "structured_output_schema": doubling_schema(definitions) }).to_string()
        });
        let (mut member, worker) = (self.client("member")?, self.key("worker")?.to_owned());
        let (target, tally) = (self.target.clone(), self.tally.clone());
        let mut tasks = Tasks::new();
        tasks.spawn(async move {
            for body in bodies.iter().cycle() {
                let path = "/v3/organizations/sessions";
                if tally.call(&mut member, "POST", path, Some(body)).await.is_some() {
                    let _ = report_bad_value(&target, &worker, &tally).await;
                }
            }
        });
        Ok(tasks)
    }

    /// Posts the messages first.
    async fn messages(&self) -> Outcome<Tasks> {
        let mut member = self.client("member")?;
        let made = self.tally.call(&mut member, "POST", "/v1/sessions", Some("{}")).await;
        let made: Value = serde_json::from_slice(&made.ok_or("a session could not be created")?)?;
        let path = format!("/v1/sessions/{}/messages", made["id"].as_str().unwrap_or_default());
        // The server refuses the first messages, which have too many nodes. The others are the largest that it
        // accepts.
        for (nodes, node) in
            [(148_000, r#"{"":0}"#.to_owned()), (6_600, format!(r#"{{"":"{}"}}"#, "x".repeat(145)))]
        {
            let nodes = vec![node; nodes].join(",");
            let message = r#"{"role":"user","content":[{"type":"text","text":"x"}]}"#;
            let body = format!(r#"{{"message":{message},"metadata":{{"a":[{nodes}]}}}}"#);
            for _ in 0..12 {
                self.tally.call(&mut member, "POST", &path, Some(&body)).await;
            }
        }
        let mut tasks = Tasks::new();
        for _ in 0..4 {
            let (mut client, tally, path) = (self.client("member")?, self.tally.clone(), path.clone());
            tasks.spawn(async move {
                loop {
                    tally.call(&mut client, "GET", &path, None).await;
                }
            });
        }
        Ok(tasks)
    }
}

/// A JSON Schema whose work doubles with each definition.
fn doubling_schema(definitions: usize) -> Value {
    let mut all = serde_json::Map::new();
    for number in 0..definitions {
        let next = json!({ "$ref": format!("#/definitions/a{}", number + 1) });
        all.insert(format!("a{number}"), json!({ "anyOf": [next, next] }));
    }
    all.insert(format!("a{definitions}"), json!({ "type": "string" }));
    json!({ "$ref": "#/definitions/a0", "definitions": all })
}

async fn open_socket(
    target: &Target,
    key: Option<&str>,
) -> Outcome<WebSocketStream<super::client::TlsConnection>> {
    let mut request = "wss://localhost/ws".into_client_request()?;
    if let Some(key) = key {
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse()?);
    }
    let line = target.connect("http/1.1").await?;
    Ok(tokio_tungstenite::client_async(request, line).await?.0)
}

async fn send_frames(target: &Target, tally: &Tally, frame: &Message) -> Outcome {
    let mut socket = open_socket(target, None).await?;
    loop {
        socket.send(frame.clone()).await?;
        match socket.next().await {
            Some(Ok(Message::Text(_))) => tally.add("frames answered"),
            _ => return Ok(()),
        }
    }
}

async fn subscribe(target: &Target, key: &str) -> Outcome<WebSocketStream<super::client::TlsConnection>> {
    let mut socket = open_socket(target, Some(key)).await?;
    socket
        .send(Message::text(r#"{"jsonrpc":"2.0","id":1,"method":"devices.subscribe","params":{}}"#))
        .await?;
    match socket.next().await {
        Some(Ok(Message::Text(text))) if text.contains("\"ok\"") => Ok(socket),
        _ => Err("not subscribed".into()),
    }
}

/// Claims a turn, and reports a value that does not match the schema.
async fn report_bad_value(target: &Target, key: &str, tally: &Tally) -> Outcome {
    let mut worker = Client::new(target, Some(key));
    let claim = json!({ "worker": "w" }).to_string();
    let claimed = tally.call(&mut worker, "POST", "/tenure/v1/work/claim", Some(&claim)).await;
    let turn: Value = serde_json::from_slice(&claimed.ok_or("no turn")?)?;
    let path = format!("/tenure/v1/work/{}/report", turn["session"].as_str().unwrap_or_default());
    let mut report = json!({ "first": 0, "items": [{ "type": "structured_output", "value": 7 }] });
    for name in ["organization", "turn", "fence"] {
        report[name] = turn[name].clone();
    }
    // Reports of a turn use its own token, if it has one.
    let mut own = Client::new(target, Some(turn["token"].as_str().unwrap_or(key)));
    tally.call(&mut own, "POST", &path, Some(&report.to_string())).await;
    Ok(())
}
