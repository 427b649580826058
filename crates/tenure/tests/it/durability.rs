//! Files that cannot be written: acknowledged changes stay, and the error is a plain sentence.

use crate::shell::Shell;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs a command that cannot make any file longer than `blocks` blocks of 1024 bytes; returns whether it succeeded.
fn run_with_file_limit(shell: &Shell, blocks: u64, words: &str) -> bool {
    let program = shell.command(&[]).get_program().to_owned();
    // With the signal ignored, a write fails as on a full disk instead of ending the program.
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
    // The file can grow only a little.
    for number in 0..400 {
        if !run_with_file_limit(&shell, length / 1024 + 24, &format!("admin org create o{number}")) {
            break;
        }
        made.push(number);
    }
    assert!(!made.is_empty() && made.len() < 400, "{} were made", made.len());
    let listed = shell.run("admin org list --json");
    assert_eq!(listed.matches("\"name\"").count(), made.len());
    let whole = shell.run("admin audit verify");
    assert!(whole.contains(&format!("intact: {} entries", made.len())), "{whole}");
    // Without the limit, it works again.
    shell.run("admin org create later");
    assert!(shell.run("admin org list").contains("later"));
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
    let words = ["admin", "org", "create", "Acme"];
    let mut command = shell.command(&words);
    // Root could write to a read-only file.
    if folder.metadata().unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let Ok(output) = command.output() else {
        // Only root can reach the program itself.
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("may not write to it"), "{errors}");
    set("tenure-data/tenure.db", 0o600);
    shell.run("admin org create Acme");
    assert!(shell.run("admin org list").contains("Acme"));
}
