//! A server that runs, as the program, and requests to it.

use crate::shell::Shell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr};

/// A server that runs, killed at the end.
pub struct Serving {
    process: Child,
    log: BufReader<ChildStderr>,
    address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Serving {
    /// Starts `tenure serve` on a free port with more words, and waits until it serves.
    pub fn start(shell: &Shell, words: &[&str]) -> Serving {
        let words = [&["serve", "--listen", "127.0.0.1:0"], words].concat();
        let mut process = shell.command(&words).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut serving = Serving { process, log, address: String::new() };
        let line = serving.logged("url=");
        let url = line.split("http://").nth(1).unwrap();
        serving.address = url.trim_matches(|letter: char| !letter.is_ascii_digit()).to_owned();
        serving
    }

    /// The next line of the log with these words.
    pub fn logged(&mut self, words: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "{words} was never said: {all}");
            if line.contains(words) {
                return line;
            }
            all.push_str(&line);
        }
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a request; gives the status and the body.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        exchange(&self.address, method, path, headers, body)
    }

    /// The status and the body of a page that needs no key.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.send("GET", path, &[], "")
    }

    /// The metrics at an address of their own.
    pub fn at(&self, address: &str) -> (u16, String) {
        exchange(address, "GET", "/metrics", &[], "")
    }
}

fn exchange(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut line = TcpStream::connect(address).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    line.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}
