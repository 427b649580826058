//! The API key of a worker or a host: reading it, and removing it from where it was.
//!
//! A worker's command often runs as the same user as the worker. That user can read in `/proc` the arguments of any of its
//! processes, and their first environment, memory and open files unless a process forbids it. So a key is never an
//! argument; the process forbids the rest before it reads the key ([`process::keep_memory_private`]); and a key from the
//! environment is passed to a new image of this process that does not have the variable.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use clap::Args;

use crate::error::{CommandError, CommandResult};
use crate::process;

/// The environment variable of the key.
const VARIABLE: &str = "TENURE_TOKEN";

/// Longest key that is read, in bytes: longer than any key, and shorter than a pipe's buffer.
const MAX_KEY: u64 = 4096;

/// The arguments that name the source of the key.
#[derive(Args)]
pub struct KeySource {
    /// File with the API key, or - for standard input [default: the key is in TENURE_TOKEN]
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// Always refused, with the reason.
    #[arg(long, value_name = "KEY", hide = true)]
    pub token: Option<String>,
    /// The key, once it is read.
    #[arg(skip)]
    key: Option<LoadedKey>,
}

/// A key that was read.
struct LoadedKey {
    secret: String,
    file: Option<Metadata>,
}

impl KeySource {
    /// Makes this process private and reads the key. Call it before this process has threads or open files: it closes
    /// inherited files, and a key in the environment makes the process start again without the variable.
    ///
    /// # Errors
    /// There is no key, there are two, it cannot be read, or it is an argument, which every user can read.
    pub fn take(&mut self) -> CommandResult<()> {
        process::keep_memory_private()?;
        if self.token.is_some() {
            return Err(CommandError::new(
                "a key on the command line can be read by every user of this machine (ps)",
            )
            .hint("give it in TENURE_TOKEN, or in a file with --token-file PATH (- is standard input)"));
        }
        let key = match (&self.token_file, read_variable()) {
            (Some(_), Some(_)) => {
                return Err(CommandError::new(
                    "the key is given twice: in TENURE_TOKEN and with --token-file",
                ));
            }
            (None, Some(key)) => return Err(start_without_variable(&key)),
            (None, None) => {
                return Err(CommandError::new("there is no API key").hint(
                    "give it in TENURE_TOKEN, or in a file with --token-file PATH (- is standard input)",
                ));
            }
            (Some(path), None) if path.as_os_str() == "-" => {
                // The open file itself: this user may lack the permission to open it again.
                read(std::io::stdin().as_fd().try_clone_to_owned().map(File::from), "standard input")?
            }
            (Some(path), None) => read(File::open(path), &path.display().to_string())?,
        };
        process::close_inherited_files();
        self.key = Some(key);
        Ok(())
    }

    /// The key; empty before [`KeySource::take`].
    pub fn secret(&self) -> &str {
        self.key.as_ref().map_or("", |key| &key.secret)
    }

    /// Whether a user with these groups can read the file of the key.
    pub fn is_readable_by(&self, uid: u32, groups: &[u32]) -> bool {
        let file = self.key.as_ref().and_then(|key| key.file.as_ref());
        file.is_some_and(|file| {
            // An owner can change the mode.
            let mode = file.mode();
            file.uid() == uid || mode & 0o004 != 0 || (mode & 0o040 != 0 && groups.contains(&file.gid()))
        })
    }
}

/// Omits the key.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("token_file", &self.token_file).finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "not a setting: a secret that must not stay where it was found"
)]
fn read_variable() -> Option<String> {
    std::env::var_os(VARIABLE).map(|key| key.to_string_lossy().into_owned()).filter(|key| !key.is_empty())
}

/// Starts this program again in the same process, without the variable and with the key on standard input. Removing the
/// variable would leave it in `/proc/<pid>/environ`, which shows the first environment. Returns only on failure.
fn start_without_variable(key: &str) -> CommandError {
    let cannot = |error: std::io::Error| {
        CommandError::new(format!("cannot start again without {VARIABLE} in the environment: {error}"))
            .hint("give the key on standard input: --token-file -")
    };
    if key.len() as u64 > MAX_KEY {
        return CommandError::new(format!("{VARIABLE} is not a key: it has more than {MAX_KEY} characters"));
    }
    let handed_over = std::io::pipe().and_then(|(reader, mut writer)| {
        writer.write_all(key.as_bytes())?;
        Ok((reader, std::env::current_exe()?))
    });
    let (reader, program) = match handed_over {
        Ok(handed_over) => handed_over,
        Err(error) => return cannot(error),
    };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    cannot(again.args(arguments).args(["--token-file", "-"]).env_remove(VARIABLE).stdin(reader).exec())
}

fn read(file: std::io::Result<File>, name: &str) -> CommandResult<LoadedKey> {
    let mut secret = String::new();
    let read = file.and_then(|file| {
        let about = file.metadata()?;
        file.take(MAX_KEY).read_to_string(&mut secret)?;
        Ok(about)
    });
    let about =
        read.map_err(|error| CommandError::new(format!("cannot read the API key from {name}: {error}")))?;
    let secret = secret.trim().to_owned();
    if secret.is_empty() {
        return Err(CommandError::new(format!("there is no API key in {name}")));
    }
    Ok(LoadedKey { secret, file: about.is_file().then_some(about) })
}
