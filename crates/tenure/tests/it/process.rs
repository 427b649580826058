//! What other processes can see of a server, a host and a worker.

use crate::shell::Shell;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Child;

/// A user that runs nothing else here.
const NOBODY: u32 = 65_534;

/// A running process; killed when dropped.
struct RunningProcess(Child);

impl Drop for RunningProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl RunningProcess {
    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_writes_no_core_dump_and_cannot_be_traced() {
    let shell = Shell::new(None);
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
    if rustix::process::geteuid().is_root() {
        // Root can read everything, so the process must belong to another user.
        fs::set_permissions(shell.folder(), fs::Permissions::from_mode(0o777)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    // A low limit of open files, as in a shell: the server must raise it.
    let files = getrlimit(Resource::Nofile);
    assert!(files.maximum.is_none_or(|most| most > 256));
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..files }).unwrap();
    let started = command.spawn();
    setrlimit(Resource::Nofile, files).unwrap();
    let mut serving = RunningProcess(started.unwrap());
    let mut log = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("serving")), "it serves");
    let limits = fs::read_to_string(serving.file("limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let mut values = line.split_whitespace();
        (values.next().unwrap().to_owned(), values.next().unwrap().to_owned())
    };
    assert_eq!(limit("Max core file size"), ("0".to_owned(), "0".to_owned()));
    let (files, most) = limit("Max open files");
    assert_eq!(files, most);
    // Linux gives the files of a private process to root.
    assert_eq!(fs::metadata(serving.file("environ")).unwrap().uid(), 0);
    drop(log);
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_and_a_host_are_private() {
    // The key that is searched for afterwards; nobody has it.
    let key = format!("tnr_{}", "q".repeat(52));
    let worker = ["worker", "--server", "http://127.0.0.1:9", "--exec", "cat"];
    let host = ["host", "--server", "http://127.0.0.1:9", "--simulate", "1"];
    for words in [&worker[..], &host[..]] {
        let shell = Shell::new(None);
        let mut command = shell.command(words);
        command.env("TENURE_TOKEN", &key);
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(shell.folder(), fs::Permissions::from_mode(0o777)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut running = RunningProcess(command.spawn().unwrap());
        let mut log = BufReader::new(running.0.stderr.take().unwrap()).lines();
        assert!(log.any(|line| line.unwrap().contains("127.0.0.1:9")), "it tries to connect with the key");
        for file in ["environ", "mem", "maps"] {
            assert_eq!(fs::metadata(running.file(file)).unwrap().uid(), 0, "{file} of {words:?}");
        }
        let limits = fs::read_to_string(running.file("limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
        // Not even root finds the key in the arguments and the first environment.
        let mut started = fs::read(running.file("cmdline")).unwrap();
        started.extend(fs::read(running.file("environ")).unwrap_or_default());
        let started = String::from_utf8_lossy(&started).into_owned();
        assert!(started.contains("127.0.0.1:9") && !started.contains(&key), "{words:?}: {started}");
        drop(log);
    }
}
