//! `tenure demo`: what it creates, what a second start keeps, and what `--fresh` deletes.

use crate::shell::Shell;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};

/// The title of the first printed command.
const NEWEST: &str = "The newest device sessions of Acme Mobile";

/// A running demo, and its output.
struct RunningDemo {
    process: Child,
    screen: String,
}

impl RunningDemo {
    fn start(shell: &Shell, words: &[&str]) -> RunningDemo {
        let words = [&["demo", "--listen", "127.0.0.1:0"], words].concat();
        let mut process = shell.command(&words).spawn().unwrap();
        let mut screen = String::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            screen.push_str(&line.unwrap());
            screen.push('\n');
            if screen.ends_with("starts over.\n") {
                break;
            }
        }
        assert!(screen.contains("Ten commands worth trying"), "{screen}");
        RunningDemo { process, screen }
    }

    /// Ana's key, as printed.
    fn key(&self) -> &str {
        self.screen.split_whitespace().find(|word| word.starts_with("mob_")).unwrap()
    }

    /// Runs the command that is printed below a title.
    fn paste(&self, title: &str) -> serde_json::Value {
        let mut lines = self.screen.lines().skip_while(|line| !line.ends_with(title));
        let line = lines.nth(1).unwrap().trim();
        let output = Command::new("sh").args(["-c", line]).env("KEY", self.key()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Presses Ctrl-C. The worker and the host report what they ended before the server stops, so nothing is logged.
    fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
        let mut complaints = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        assert_eq!(complaints, "");
    }
}

#[test]
fn the_commands_it_prints_work_and_a_second_start_keeps_its_data() {
    let shell = Shell::new(None);
    let first = RunningDemo::start(&shell, &[]);
    let page = first.paste(NEWEST);
    assert_eq!(page["data"].as_array().unwrap().len(), 5);
    let next = first.paste("The page after them");
    assert_ne!(next["data"][0]["id"], page["data"][0]["id"]);
    assert_eq!(first.paste("One session")["id"], page["data"][4]["id"]);
    assert_eq!(first.paste("in the order of commits")["changes"].as_array().unwrap().len(), 3);
    let agents = || first.paste("as Everruns' clients see them")["data"].clone();
    assert_eq!(agents().as_array().unwrap().len(), 5);
    let key = first.key().to_owned();
    while !agents().to_string().contains(r#""status":"active""#) {}
    first.stop();

    let second = RunningDemo::start(&shell, &[]);
    assert_eq!(second.key(), key);
    assert_eq!(second.paste(NEWEST)["data"], page["data"]);
    second.stop();

    let fresh = RunningDemo::start(&shell, &["--fresh"]);
    assert_ne!(fresh.key(), key);
    assert_ne!(fresh.paste(NEWEST)["data"], page["data"]);
    fresh.stop();
}

#[test]
fn a_demo_that_was_killed_while_it_was_made_begins_again() {
    let shell = Shell::new(None);
    RunningDemo::start(&shell, &[]).stop();
    std::fs::remove_file(shell.folder().join("tenure-demo/keys.json")).unwrap();
    let output = shell.command(&["demo", "--listen", "127.0.0.1:0"]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains("--fresh"), "{errors}");
    RunningDemo::start(&shell, &["--fresh"]).stop();
}
