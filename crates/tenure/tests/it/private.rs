//! Only the owner can read what the program creates.

use crate::serving::Serving;
use crate::shell::Shell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Collects the files and folders that others have any right to; returns how many there are in all.
fn find_open_to_others(folder: &Path, found: &mut Vec<PathBuf>) -> usize {
    let mut all = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all += 1;
        if path.metadata().unwrap().permissions().mode() & 0o077 != 0 {
            found.push(path.clone());
        }
        if path.is_dir() {
            all += find_open_to_others(&path, found);
        }
    }
    all
}

fn upload(serving: &Serving, key: &str) {
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n";
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "multipart/form-data; boundary=b")];
    let (status, body) = serving.send("POST", "/v3/organizations/attachments", &headers, body);
    assert_eq!(status, 200, "{body}");
}

#[test]
fn a_fresh_install_is_its_owners_alone_and_an_older_one_is_closed() {
    let mut shell = Shell::new(None);
    let serving = Serving::start(&shell, &[]);
    shell.run("admin org create Acme");
    shell.run("admin user create ana@example.com --org Acme --role admin");
    let key = shell.run("admin key create --user ana@example.com --wire devin --name laptop --json");
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    upload(&serving, key["secret"].as_str().unwrap());
    shell.run("backup tenure-data/a.backup");
    let mut open = Vec::new();
    let all = find_open_to_others(shell.folder(), &mut open);
    assert!(all > 6, "{all} files and folders were looked at");
    assert_eq!(open, Vec::<PathBuf>::new());
    let output = shell.run("doctor");
    assert!(output.lines().all(|line| line.starts_with("ok ")), "{output}");
    drop(serving);
    // As earlier versions left it.
    let files = shell.folder().join("tenure-data/files");
    std::fs::set_permissions(&files, Permissions::from_mode(0o755)).unwrap();
    drop(Serving::start(&shell, &[]));
    assert_eq!(files.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}
