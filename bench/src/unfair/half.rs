//! Request bodies that are never completed.

use super::client::Target;
use crate::Outcome;
use bytes::Bytes;
use std::future::poll_fn;
use tokio::io::AsyncWriteExt;

const PATH: &str = "/tenure/v1/sign-in";
/// The announced length of the body, and the number of bytes that are sent.
const ANNOUNCED: usize = 1_000_000;
const SENT: usize = 999_000;
/// Streams in one HTTP/2 connection.
pub const STREAMS: usize = 50;

/// Sends most of a body over HTTP/1.1, and holds the connection until the server closes it.
pub async fn send_over_http1(target: &Target) -> Outcome {
    let mut line = target.connect("http/1.1").await?;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {ANNOUNCED}\r\n\r\n"
    );
    line.write_all(head.as_bytes()).await?;
    line.write_all(&vec![b' '; SENT]).await?;
    let mut response = [0; 64];
    tokio::io::AsyncReadExt::read(&mut line, &mut response).await?;
    Ok(())
}

/// Does the same over many streams of one HTTP/2 connection.
pub async fn send_over_http2(target: &Target) -> Outcome {
    let line = target.connect("h2").await?;
    let (mut client, connection) = h2::client::handshake(line).await?;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let request = http::Request::post(format!("https://localhost{PATH}"))
            .header("content-type", "application/json")
            .body(())?;
        client = client.ready().await?;
        let (response, body) = client.send_request(request, false)?;
        streams.push(async move {
            tokio::select! {
                _ = response => {}
                _ = send(body) => {}
            }
        });
    }
    let all = futures_util::future::join_all(streams);
    tokio::select! {
        ended = connection => ended?,
        _ = all => {}
    }
    Ok(())
}

/// Sends most of a body as fast as the server accepts it, and then waits.
async fn send(mut body: h2::SendStream<Bytes>) -> Outcome {
    let mut left = SENT;
    while left > 0 {
        body.reserve_capacity(left.min(16_384));
        let Some(room) = poll_fn(|context| body.poll_capacity(context)).await else { break };
        let part = room?.min(left);
        body.send_data(Bytes::from(vec![b' '; part]), false)?;
        left -= part;
    }
    std::future::pending().await
}
