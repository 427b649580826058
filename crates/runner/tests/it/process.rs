//! The `mobilecli` process: found, restarted and ended by the host.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::unix::pipe;

use crate::fake_mobilecli::{FakeMobilecli, PHONE};
use crate::fake_server::{EVENT_LIMIT, FakeServer, Host};

/// A program that writes its arguments to a pipe and then sleeps; the test answers at the address in its place.
const PROGRAM: &str = r#"#!/bin/sh
echo "$$ $*" > "$(dirname "$0")/log"
case "$*" in *daemon*) exit ;; esac
exec sleep 1000
"#;

struct ProgramLog(Lines<BufReader<pipe::Receiver>>);

impl ProgramLog {
    /// Creates the program in `dir`. Returns its path and the log of its runs.
    fn program(dir: &Path) -> (std::path::PathBuf, Self) {
        let log = dir.join("log");
        assert!(std::process::Command::new("mkfifo").arg(&log).status().unwrap().success());
        let program = dir.join("mobilecli");
        std::fs::write(&program, PROGRAM).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Also open for writing, so that the pipe does not close with a writer.
        let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(log).unwrap();
        (program, Self(BufReader::new(pipe).lines()))
    }

    /// Process id and arguments of the next run.
    async fn next(&mut self) -> (i32, String) {
        let line = tokio::time::timeout(EVENT_LIMIT, self.0.next_line()).await.unwrap().unwrap().unwrap();
        let (id, arguments) = line.split_once(' ').unwrap();
        (id.parse().unwrap(), arguments.to_owned())
    }
}

async fn serve_mobilecli(arguments: &str) -> FakeMobilecli {
    let listen = arguments.rsplit(' ').next().unwrap();
    FakeMobilecli::start(TcpListener::bind(listen).await.unwrap()).await
}

fn is_gone(id: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    status.is_empty() || status.contains(") Z ")
}

#[tokio::test]
async fn mobilecli_is_restarted_when_it_dies_and_ended_with_its_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (program, mut log) = ProgramLog::program(dir.path());
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |options| {
        options.simulate.clear();
        options.mobilecli = Some(program);
    });
    let mut connection = server.accept().await;
    let (first, arguments) = log.next().await;
    assert!(arguments.contains("--insecure-storage server start --listen 127.0.0.1:"), "{arguments}");
    let _mobilecli = serve_mobilecli(&arguments).await;
    connection.devices(|all| all.iter().any(|device| device.online)).await;

    let process = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    assert!(log.next().await.1.contains("daemon stop"));
    let (second, arguments) = log.next().await;
    let mobilecli = serve_mobilecli(&arguments).await;
    while mobilecli.params_of("device.io.tap").is_empty() {
        let tap = serde_json::json!({"x": 1, "y": 1});
        let _ = connection.ask(PHONE, 1, "device.io.tap", tap).await;
    }

    host.stop().await;
    assert!(log.next().await.1.contains("daemon stop"));
    assert!(is_gone(first) && is_gone(second));
}
