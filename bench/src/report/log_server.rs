//! The least that a durable create can cost: each request is written to a file or a table before it is answered, and all
//! that wait share one write.

use crate::Outcome;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use store::testing::bulk::BareTables;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Bytes of a row in the file.
const ROW: usize = 256;
/// The most requests that share a write.
const GROUP: usize = 256;
/// The response to a request.
const BODY: &str =
    r#"{"id":"01987a6b-5c4d-7e8f-9012-3456789abcde","created_at":"2026-11-29T10:00:00.000000Z"}"#;

/// A bare log.
#[derive(Debug, Args)]
pub struct Log {
    /// A file, or the URL of a PostgreSQL database
    target: String,
    /// The address to listen on
    listen: SocketAddr,
}

/// Requests that wait for a write.
type Waiting = mpsc::Sender<oneshot::Sender<()>>;

impl Log {
    /// Serves until it is killed.
    pub async fn run(self) -> Outcome {
        let (sender, receiver) = mpsc::channel(4 * GROUP);
        if self.target.starts_with("postgres") {
            let tables = BareTables::create(&self.target).await?;
            tokio::spawn(write_rows(tables, receiver));
        } else {
            let file = File::create(&self.target)?;
            std::thread::spawn(move || write_file(file, receiver));
        }
        let routes = Router::new().route("/", get(async || "ready").post(create)).with_state(sender);
        Ok(axum::serve(TcpListener::bind(self.listen).await?, routes).await?)
    }
}

async fn create(State(waiting): State<Waiting>, _body: Bytes) -> impl IntoResponse {
    let (sender, receiver) = oneshot::channel();
    let is_written = waiting.send(sender).await.is_ok() && receiver.await.is_ok();
    let status = if is_written { StatusCode::CREATED } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, [(header::CONTENT_TYPE, "application/json")], BODY)
}

fn write_file(mut file: File, mut waiting: mpsc::Receiver<oneshot::Sender<()>>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
        let rows = vec![b'x'; ROW * group.len()];
        if file.write_all(&rows).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        for done in group.drain(..) {
            // A client that left needs no answer.
            let _ = done.send(());
        }
    }
}

async fn write_rows(tables: BareTables, mut waiting: mpsc::Receiver<oneshot::Sender<()>>) {
    let mut group = Vec::with_capacity(GROUP);
    let mut number = 0;
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let count = group.len() as i64;
        if let Err(error) = tables.insert(number, count).await {
            eprintln!("{error}");
            return;
        }
        number += count;
        for done in group.drain(..) {
            // A client that left needs no answer.
            let _ = done.send(());
        }
    }
}
