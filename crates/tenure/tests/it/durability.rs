//! Files that cannot be written: what was acknowledged stays, and the rest is a sentence.

use crate::shell::Shell;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A command that may not make any file longer than so many blocks of 512 bytes.
fn limited(shell: &Shell, blocks: u64, words: &str) -> bool {
    let program = shell.command(&[]).get_program().to_owned();
    // Ignored, so that a write fails as it does on a full disk, and does not end the program.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {words}");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).arg(program).current_dir(shell.folder()).env_clear();
    command.output().unwrap().status.success()
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let mut shell = Shell::new(None);
    shell.run("migrate");
    let length = shell.folder().join("tenure-data/tenure.db").metadata().unwrap().len();
    let mut made = Vec::new();
    // The file may grow by a little only; bash counts in blocks of 1024 bytes.
    for number in 0..400 {
        if !limited(&shell, length / 1024 + 24, &format!("org create o{number}")) {
            break;
        }
        made.push(number);
    }
    assert!(!made.is_empty() && made.len() < 400, "{} were made", made.len());
    let listed = shell.run("org list --json");
    assert_eq!(listed.matches("\"name\"").count(), made.len());
    let whole = shell.run("audit verify");
    assert!(whole.contains(&format!("whole: {} lines", made.len())), "{whole}");
    // With room again, it goes on.
    shell.run("org create later");
    assert!(shell.run("org list").contains("later"));
}

#[test]
fn a_database_that_may_not_be_written_is_refused_in_a_sentence() {
    let mut shell = Shell::new(None);
    shell.run("migrate");
    let folder = shell.folder().to_owned();
    let set = |path: &str, mode: u32| {
        std::fs::set_permissions(folder.join(path), Permissions::from_mode(mode)).unwrap()
    };
    set("", 0o755);
    set("tenure-data", 0o755);
    set("tenure-data/tenure.db", 0o444);
    let words = ["org", "create", "Acme"];
    let mut command = shell.command(&words);
    // Nothing is read-only to root.
    if folder.metadata().unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let Ok(output) = command.output() else {
        // The program itself is where only root may go.
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("may not write to it"), "{said}");
    set("tenure-data/tenure.db", 0o600);
    shell.run("org create Acme");
    assert!(shell.run("org list").contains("Acme"));
}
