//! The commands of `tenure admin` under their former names: same output, and a line that names the new command.

use crate::shell::Shell;
use store::testing::empty_sqlite;

/// What a command wrote to standard output and to standard error.
fn run(shell: &Shell, line: &str) -> (String, String) {
    let output = shell.command(&line.split(' ').collect::<Vec<_>>()).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_former_name_works_and_names_the_new_one() {
    let place = empty_sqlite();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("admin org create Acme");
    shell.run("admin user create ana@example.com --org Acme --role admin");
    shell.run("admin user create bob@example.com --org Acme --role admin");
    let key = std::path::Path::new(place.url.strip_prefix("sqlite:").unwrap()).with_file_name("master.key");
    std::fs::write(key, format!("1 {}\n", "07".repeat(32))).unwrap();
    for line in [
        "org list --json",
        "user list",
        "member role bob@example.com --org Acme --role readonly --json",
        "service-user list",
        "key list --json",
        "login-sessions list",
        "master-key rotate",
        "audit verify --against HEAD",
        "clock accept --json",
    ] {
        let head = run(&shell, "admin audit checkpoint").0;
        let line = line.replace("HEAD", head.trim());
        let name = line.split(' ').next().unwrap();
        let (mut output, notice) = run(&shell, &line);
        assert_eq!(
            notice,
            format!("note: `tenure {name}` is now `tenure admin {name}`; the former name still works\n")
        );
        let (mut expected, silence) = run(&shell, &format!("admin {line}"));
        assert_eq!(silence, "");
        if name == "clock" {
            // It prints the time.
            output.truncate("{\n  \"believed\"".len());
            expected.truncate(output.len());
        }
        assert_eq!(output, expected, "{line}");
    }
}

#[test]
fn a_former_name_fails_as_the_new_one_does() {
    let shell = Shell::new(None);
    let output = shell.command(&["org", "list"]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(errors.starts_with("note: `tenure org` is now `tenure admin org`"), "{errors}");
    assert!(errors.contains("error: there is no database at"), "{errors}");
}

#[test]
fn the_help_shows_the_new_names_only() {
    let shell = Shell::new(None);
    let names = |line: &str| {
        let help = run(&shell, line).0;
        let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
        commands.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let top = [
        "serve", "demo", "host", "worker", "admin", "backup", "restore", "doctor", "migrate", "settings",
        "version",
    ];
    assert_eq!(names("--help"), top);
    let admin =
        ["org", "user", "member", "service-user", "key", "login-sessions", "master-key", "audit", "clock"];
    assert_eq!(names("admin --help"), admin);
}
