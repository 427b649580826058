//! A running server, started as the program, and requests to it.

use crate::shell::Shell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr};

/// A running server; killed when dropped.
pub struct Serving {
    process: Child,
    log: BufReader<ChildStderr>,
    /// Log lines that nobody has waited for yet: jobs log while the server starts.
    unclaimed: Vec<String>,
    address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Serving {
    /// Starts `tenure serve` on a free port with more arguments, and waits until it serves.
    pub fn start(shell: &Shell, words: &[&str]) -> Serving {
        let words = [&["serve", "--listen", "127.0.0.1:0"], words].concat();
        let mut process = shell.command(&words).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut serving = Serving { process, log, unclaimed: Vec::new(), address: String::new() };
        let line = serving.wait_for_log("url=");
        let url = line.split("http://").nth(1).unwrap();
        serving.address = url.trim_matches(|letter: char| !letter.is_ascii_digit()).to_owned();
        serving
    }

    /// Waits for a log line that contains `words`, and was not waited for before.
    pub fn wait_for_log(&mut self, words: &str) -> String {
        if let Some(position) = self.unclaimed.iter().position(|line| line.contains(words)) {
            return self.unclaimed.remove(position);
        }
        loop {
            let mut line = String::new();
            let length = self.log.read_line(&mut line).unwrap();
            assert_ne!(length, 0, "{words} was never logged: {:?}", self.unclaimed);
            if line.contains(words) {
                return line;
            }
            self.unclaimed.push(line);
        }
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a request; returns the status and the body.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        send_request(&self.address, method, path, headers, body)
    }

    /// Sends a GET without a key; returns the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.send("GET", path, &[], "")
    }

    /// Reads the metrics from a separate address; returns the status and the body.
    pub fn get_metrics(&self, address: &str) -> (u16, String) {
        send_request(address, "GET", "/metrics", &[], "")
    }
}

fn send_request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    connection.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    (status, response.split_once("\r\n\r\n").unwrap().1.to_owned())
}
