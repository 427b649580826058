//! What a run needs besides the data: keys made by the real commands, and running servers.

use super::Server;
use super::dataset::{FEW, Manifest, PAGE};
use super::process::{Process, Start, free_address};
use crate::Outcome;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The keys of a run.
#[derive(Clone)]
pub struct Keys {
    /// A member of the largest organization, by wire.
    pub mobilenext: String,
    /// See `mobilenext`.
    pub everruns: String,
    /// See `mobilenext`.
    pub devin: String,
    /// The same person, who has 20 login sessions.
    pub probe: String,
    /// A person with 100 login sessions.
    pub page: String,
    /// A service user that may see all sessions of the account.
    pub account: String,
}

/// The program under test.
pub struct Tenure<'a> {
    /// The program.
    pub program: &'a Path,
    /// The folder of the data set, where the program runs.
    pub folder: PathBuf,
    /// The database.
    pub database: &'a str,
}

impl<'a> Tenure<'a> {
    /// The program on a data set.
    pub fn new(program: &'a Path, folder: PathBuf, manifest: &'a Manifest) -> Tenure<'a> {
        Tenure { program, folder, database: &manifest.database }
    }

    /// Runs a command and reads its JSON.
    pub fn command(&self, arguments: &[&str]) -> Outcome<Value> {
        self.command_with_input(arguments, "")
    }

    /// Runs a command that reads a line, and reads its JSON.
    pub fn command_with_input(&self, arguments: &[&str], input: &str) -> Outcome<Value> {
        let mut child = Command::new(self.program)
            .args(arguments)
            .args(["--json", "--database", self.database])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut standard_input) = child.stdin.take() {
            // A command that reads nothing may have ended already.
            let _ = writeln!(standard_input, "{input}");
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("tenure {}: {said}", arguments.join(" ")).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Makes the keys.
    pub fn make_keys(&self, manifest: &Manifest) -> Outcome<Keys> {
        let largest = manifest.largest.0.to_string();
        let key = |owner: &[&str], wire: &str| -> Outcome<String> {
            let mut arguments = vec!["admin", "key", "create", "--wire", wire, "--name", "bench report"];
            arguments.extend(owner);
            let made = self.command(&arguments)?;
            Ok(made["secret"].as_str().ok_or("a key without a secret")?.to_owned())
        };
        let service = self.command(&["admin", "service-user", "create", "report", "--role", "viewer"])?;
        let service = service["id"].as_str().ok_or("a service user without an id")?.to_owned();
        let few = ["--user", FEW, "--org", &largest];
        Ok(Keys {
            mobilenext: key(&few, "mobilenext")?,
            everruns: key(&few, "everruns")?,
            devin: key(&few, "devin")?,
            probe: key(&["--user", FEW], "probe")?,
            page: key(&["--user", PAGE], "probe")?,
            account: key(&["--service-user", &service], "devin")?,
        })
    }

    /// Starts a server. Returns it with the time until it was ready.
    pub async fn serve(&self) -> Outcome<(Process, Duration)> {
        let address = free_address().await?;
        let arguments = ["serve", "--database", self.database, "--listen", &address.to_string()];
        // Nothing of the data set may become too old.
        let kept = ["TENURE_FEED_KEPT", "TENURE_LOGIN_HISTORY"];
        let environment = kept.map(|name| (name.to_owned(), "36500d".to_owned()));
        let environment = environment
            .into_iter()
            .chain(
                [
                    ("TENURE_LOG", "info,access=off"),
                    ("NO_COLOR", "1"),
                    ("TENURE_WEBSOCKETS_PER_CREDENTIAL", "15000"),
                    ("TENURE_WEBSOCKETS_PER_PRINCIPAL", "15000"),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
            )
            .collect();
        let start = Start {
            program: self.program,
            arguments: arguments.map(str::to_owned).to_vec(),
            environment,
            folder: &self.folder,
            log: "server.log",
            address,
        };
        let began = Instant::now();
        let mut process = start.spawn()?;
        let ready = process.wait_until_ready("/readyz", began).await?;
        Ok((process, ready))
    }

    /// The number of bytes of the session index, from the server's log; 0 when it does not say.
    pub fn index_bytes(&self) -> u64 {
        let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        let line = log.lines().rfind(|line| line.contains("the sessions are loaded")).unwrap_or_default();
        let bytes = line.split("bytes=").nth(1).unwrap_or_default();
        bytes.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

/// Starts a server that answers with the same bytes, whatever is asked: the ceiling.
pub async fn start_ceiling(folder: &Path, bytes: &[u8]) -> Outcome<Process> {
    std::fs::write(folder.join("ceiling.body"), bytes)?;
    let address = free_address().await?;
    let start = Start {
        program: &std::env::current_exe()?,
        arguments: vec!["static".into(), "ceiling.body".into(), address.to_string()],
        environment: Vec::new(),
        folder,
        log: "ceiling.log",
        address,
    };
    let began = Instant::now();
    let mut process = start.spawn()?;
    process.wait_until_ready("/", began).await?;
    Ok(process)
}

/// The folder of a data set.
pub fn folder_of(data: &Path, server: &Server, sessions: u64) -> PathBuf {
    data.join(super::dataset::folder_name(server, sessions))
}
