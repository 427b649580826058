//! A shell that runs `tenure` and remembers what was typed and answered.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `tenure` in a folder of its own, without the settings of whoever runs the tests.
pub struct Shell {
    folder: tempfile::TempDir,
    database: Option<String>,
    transcript: String,
}

impl Shell {
    /// A shell in an empty folder; `database` goes with every command.
    pub fn new(database: Option<&str>) -> Shell {
        let folder = tempfile::tempdir().unwrap();
        Shell { folder, database: database.map(str::to_owned), transcript: String::new() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `tenure` with these words, to be started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command.args(words).current_dir(self.folder.path());
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(database) = &self.database {
            command.env("TENURE_DATABASE", database);
        }
        command
    }

    /// Runs a line and remembers it; gives what was written to standard output.
    pub fn run(&mut self, line: &str) -> String {
        self.run_with(&line.split(' ').collect::<Vec<_>>())
    }

    /// The like with words that have spaces.
    pub fn run_with(&mut self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        self.remember(words, &output)
    }

    /// Remembers what was typed and answered.
    pub fn remember(&mut self, words: &[&str], output: &Output) -> String {
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        let complained = String::from_utf8(output.stderr.clone()).unwrap();
        let code = output.status.code().unwrap();
        let failed = if code == 0 { String::new() } else { format!("[exit code {code}]\n") };
        write!(self.transcript, "$ tenure {}\n{said}{complained}{failed}\n", words.join(" ")).unwrap();
        said
    }

    /// All that was typed and answered, with names in the place of what differs from run to run.
    pub fn transcript(&self) -> String {
        self.plain(&self.transcript)
    }

    fn plain(&self, text: &str) -> String {
        let mut text = text.replace(&self.folder.path().display().to_string(), "<folder>");
        if let Some(database) = &self.database {
            text = text.replace(database, "<database>");
        }
        let text = named(&text, "id", |word| uuid::Uuid::parse_str(word).is_ok() && word.len() == 36);
        let text = named(&text, "secret", |word| word.len() == 56 && word[3..].starts_with('_'));
        let text = lengths(&suffixes(&text));
        let text =
            named(&text, "time", |word| word.len() >= 20 && word.starts_with("20") && word.ends_with('Z'));
        let text =
            named(&text, "date", |word| word.len() == 10 && word.starts_with("20") && word.contains('-'));
        named(&text, "hour", |word| word.len() == 5 && word.as_bytes()[2] == b':')
    }
}

/// The ends of secrets, by which people tell keys apart, are random.
fn suffixes(text: &str) -> String {
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

/// How long a file is.
fn lengths(text: &str) -> String {
    let line = |line: &str| match (line.find('('), line.find(" bytes")) {
        (Some(from), Some(to)) if from < to => format!("{}<n>{}", &line[..=from], &line[to..]),
        _ => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Each word that is meant, by a name and the number of its first appearance: the same word has the same name.
fn named(text: &str, name: &str, meant: impl Fn(&str) -> bool) -> String {
    let mut known: Vec<String> = Vec::new();
    let mut plain = String::new();
    let boundary = |letter: char| !(letter.is_ascii_alphanumeric() || "-_:.".contains(letter));
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(boundary).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let bare = word.trim_end_matches(['.', ':']);
        if !bare.is_empty() && bare.is_char_boundary(3.min(bare.len())) && meant(bare) {
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
