//! `tenure demo`: what it makes, what a second start keeps, and what `--fresh` may delete.

use crate::shell::Shell;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};

/// The title of the first command.
const NEWEST: &str = "The newest device sessions of Acme Mobile";

/// A demo that runs, and what it printed.
struct Demo {
    process: Child,
    screen: String,
}

impl Demo {
    fn start(shell: &Shell, words: &[&str]) -> Demo {
        let words = [&["demo", "--listen", "127.0.0.1:0"], words].concat();
        let mut process = shell.command(&words).spawn().unwrap();
        let mut screen = String::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            screen.push_str(&line.unwrap());
            screen.push('\n');
            if screen.ends_with("begins again.\n") {
                break;
            }
        }
        assert!(screen.contains("Ten commands worth trying"), "{screen}");
        Demo { process, screen }
    }

    /// What is said to be Ana's key.
    fn key(&self) -> &str {
        self.screen.split_whitespace().find(|word| word.starts_with("mob_")).unwrap()
    }

    /// Runs the command that is printed below a title, as somebody who pastes it.
    fn paste(&self, title: &str) -> serde_json::Value {
        let mut lines = self.screen.lines().skip_while(|line| !line.ends_with(title));
        let line = lines.nth(1).unwrap().trim();
        let output = Command::new("sh").args(["-c", line]).env("KEY", self.key()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Ctrl-C. What is at work is ended and told before the server goes, so nothing is complained about.
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
    let first = Demo::start(&shell, &[]);
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

    let second = Demo::start(&shell, &[]);
    assert_eq!(second.key(), key);
    assert_eq!(second.paste(NEWEST)["data"], page["data"]);
    second.stop();

    let fresh = Demo::start(&shell, &["--fresh"]);
    assert_ne!(fresh.key(), key);
    assert_ne!(fresh.paste(NEWEST)["data"], page["data"]);
    fresh.stop();
}

#[test]
fn a_demo_that_was_killed_while_it_was_made_begins_again() {
    let shell = Shell::new(None);
    Demo::start(&shell, &[]).stop();
    std::fs::remove_file(shell.folder().join("tenure-demo/keys.json")).unwrap();
    let output = shell.command(&["demo", "--listen", "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("--fresh"), "{said}");
    Demo::start(&shell, &["--fresh"]).stop();
}
