//! The API key of a worker or a host: where it comes from, and how it is forgotten there.
//!
//! A worker's command runs beside it, often as the same user. What the kernel keeps of a process is readable to that user
//! in `/proc`: its arguments always; its first environment, its memory and its open files unless the process says
//! otherwise. So a key is never an argument, the process says otherwise before it reads the key
//! ([`process::keep_memory_private`]), and a key from the environment is handed to a new image of the same process
//! that has no such variable.

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

/// The variable that a key may be in.
const VARIABLE: &str = "TENURE_TOKEN";

/// Longest text that is read, in bytes: more than any key, and less than a pipe holds.
const LONGEST: u64 = 4096;

/// Where the key is.
#[derive(Args)]
pub struct KeySource {
    /// File with the API key, or - for standard input; otherwise the key is taken from TENURE_TOKEN
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// Refused. It is here to say why.
    #[arg(long, value_name = "KEY", hide = true)]
    pub token: Option<String>,
    /// The key, once it was taken.
    #[arg(skip)]
    key: Option<ApiKey>,
}

/// A key that was taken from where it was.
struct ApiKey {
    secret: String,
    file: Option<Metadata>,
}

impl KeySource {
    /// Makes this process private and takes the key. Only while there are no threads and no open files of ours: what this
    /// process inherited beside standard input, output and error is closed, and a key in the environment makes
    /// the process start again without it.
    ///
    /// # Errors
    /// There is no key, or it cannot be read, or it was given where everybody can read it.
    pub fn take(&mut self) -> CommandResult<()> {
        process::keep_memory_private()?;
        if self.token.is_some() {
            return Err(CommandError::new(
                "a key on the command line can be read by every user of this machine (ps)",
            )
            .hint("give it in TENURE_TOKEN, or in a file with --token-file PATH (- is standard input)"));
        }
        let key = match (&self.token_file, variable()) {
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
                // As it was opened, perhaps by another user: this one may not be allowed to open it.
                read(std::io::stdin().as_fd().try_clone_to_owned().map(File::from), "standard input")?
            }
            (Some(path), None) => read(File::open(path), &path.display().to_string())?,
        };
        process::close_inherited_files();
        self.key = Some(key);
        Ok(())
    }

    /// The key.
    pub fn secret(&self) -> &str {
        self.key.as_ref().map_or("", |key| &key.secret)
    }

    /// Whether this user could read the file that the key came from.
    pub fn is_readable_by(&self, uid: u32, groups: &[u32]) -> bool {
        let file = self.key.as_ref().and_then(|key| key.file.as_ref());
        file.is_some_and(|file| {
            // An owner may change the mode.
            let mode = file.mode();
            file.uid() == uid || mode & 0o004 != 0 || (mode & 0o040 != 0 && groups.contains(&file.gid()))
        })
    }
}

/// Without the key.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("token_file", &self.token_file).finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "not a setting: a secret that must not stay where it was found"
)]
fn variable() -> Option<String> {
    std::env::var_os(VARIABLE).map(|key| key.to_string_lossy().into_owned()).filter(|key| !key.is_empty())
}

/// Starts this program again in the same process, without the variable and with the key on standard input. Removing the
/// variable alone would leave it in `/proc/<pid>/environ`, which shows what a program was started with. Returns
/// only when that fails.
fn start_without_variable(key: &str) -> CommandError {
    let cannot = |error: std::io::Error| {
        CommandError::new(format!("cannot start again without {VARIABLE} in the environment: {error}"))
            .hint("give the key on standard input: --token-file -")
    };
    if key.len() as u64 > LONGEST {
        return CommandError::new(format!("{VARIABLE} is no key: it has more than {LONGEST} characters"));
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

fn read(file: std::io::Result<File>, name: &str) -> CommandResult<ApiKey> {
    let mut secret = String::new();
    let read = file.and_then(|file| {
        let about = file.metadata()?;
        file.take(LONGEST).read_to_string(&mut secret)?;
        Ok(about)
    });
    let about =
        read.map_err(|error| CommandError::new(format!("cannot read the API key from {name}: {error}")))?;
    let secret = secret.trim().to_owned();
    if secret.is_empty() {
        return Err(CommandError::new(format!("there is no API key in {name}")));
    }
    Ok(ApiKey { secret, file: about.is_file().then_some(about) })
}
