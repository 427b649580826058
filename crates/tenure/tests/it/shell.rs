//! A shell that runs `tenure` and records a transcript.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `tenure` in a temporary folder, without the settings of the user who runs the tests.
pub struct Shell {
    folder: tempfile::TempDir,
    database: Option<String>,
    transcript: String,
}

impl Shell {
    /// A shell in an empty folder; every command uses `database`.
    pub fn new(database: Option<&str>) -> Shell {
        let folder = tempfile::tempdir().unwrap();
        Shell { folder, database: database.map(str::to_owned), transcript: String::new() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command `tenure` with these arguments, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command.args(words).current_dir(self.folder.path());
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(database) = &self.database {
            command.env("TENURE_DATABASE", database);
        }
        command
    }

    /// Runs a line and records it; returns its standard output.
    pub fn run(&mut self, line: &str) -> String {
        self.run_with(&line.split(' ').collect::<Vec<_>>())
    }

    /// Runs arguments that can contain spaces; otherwise as [`Shell::run`].
    pub fn run_with(&mut self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        self.record(words, &output)
    }

    /// Records a command and its output; returns its standard output.
    pub fn record(&mut self, words: &[&str], output: &Output) -> String {
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        let code = output.status.code().unwrap();
        let failed = if code == 0 { String::new() } else { format!("[exit code {code}]\n") };
        write!(self.transcript, "$ tenure {}\n{stdout}{stderr}{failed}\n", words.join(" ")).unwrap();
        stdout
    }

    /// The transcript, with placeholders for values that differ between runs.
    pub fn transcript(&self) -> String {
        self.normalize(&self.transcript)
    }

    fn normalize(&self, text: &str) -> String {
        let mut text = text.replace(&self.folder.path().display().to_string(), "<folder>");
        if let Some(database) = &self.database {
            text = text.replace(database, "<database>");
        }
        let text = replace_words(&text, "id", |word| uuid::Uuid::parse_str(word).is_ok() && word.len() == 36);
        let text = replace_words(&text, "secret", |word| word.len() == 56 && word[3..].starts_with('_'));
        let text = replace_lengths(&replace_suffixes(&text));
        let text = replace_words(&text, "time", |word| {
            word.len() >= 20 && word.starts_with("20") && word.ends_with('Z')
        });
        let text = replace_words(&text, "date", |word| {
            word.len() == 10 && word.starts_with("20") && word.contains('-')
        });
        replace_words(&text, "hour", |word| word.len() == 5 && word.as_bytes()[2] == b':')
    }
}

/// The ends of secrets, by which people tell keys apart, are random.
fn replace_suffixes(text: &str) -> String {
    let mut plain = text.to_owned();
    for before in ["…", "\"suffix\": \""] {
        for after in text.split(before).skip(1) {
            let end = after.chars().take(4).collect::<String>();
            if end.chars().all(char::is_alphanumeric) {
                plain = plain.replace(&format!("{before}{end}"), &format!("{before}<end>"));
            }
        }
    }
    plain
}

/// Replaces lengths of files.
fn replace_lengths(text: &str) -> String {
    let line = |line: &str| match (line.find('('), line.find(" bytes")) {
        (Some(from), Some(to)) if from < to => format!("{}<n>{}", &line[..=from], &line[to..]),
        _ => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Replaces each matching word by a name and a number: the same word always gets the same number.
fn replace_words(text: &str, name: &str, matches: impl Fn(&str) -> bool) -> String {
    let mut known: Vec<String> = Vec::new();
    let mut plain = String::new();
    let boundary = |letter: char| !(letter.is_ascii_alphanumeric() || "-_:.".contains(letter));
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(boundary).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let bare = word.trim_end_matches(['.', ':']);
        if !bare.is_empty() && bare.is_char_boundary(3.min(bare.len())) && matches(bare) {
            let at = known.iter().position(|known| known == bare).unwrap_or_else(|| {
                known.push(bare.to_owned());
                known.len() - 1
            });
            write!(plain, "<{name} {}>{}", at + 1, &word[bare.len()..]).unwrap();
        } else {
            plain.push_str(word);
        }
        let next = after.chars().next().map_or(0, char::len_utf8);
        plain.push_str(&after[..next]);
        rest = &after[next..];
    }
    plain
}
