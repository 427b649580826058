//! Errors are plain sentences, and a refused command creates nothing.

use crate::shell::Shell;

#[test]
fn mistakes_are_sentences() {
    let mut shell = Shell::new(None);
    shell.run("admin org list");
    shell.run("admin user list --database sqlite:nowhere/tenure.db");
    shell.run("admin org list --database mysql://localhost/tenure");
    shell.run("admin org list --database postgres://127.0.0.1:9/tenure");
    shell.run("serve --listen 0.0.0.0:7420");
    shell.run("serve --listen localhost");
    shell.run("serve --public-url tenure.example.com");
    shell.run("admin user create ana --org Acme --role admin");
    shell.run("admin key create --wire telnet --user ana@example.com");
    shell.run("demo --fresh --database sqlite:precious.db");
    shell.run("worker --server http://127.0.0.1:9 --exec cat --token tnr_x");
    shell.run("worker --server http://127.0.0.1:9 --exec cat");
    shell.run("worker --server http://127.0.0.1:9 --exec cat --token-file nowhere");
    shell.run("host --server http://127.0.0.1:9 --token-file -");
    let made = std::fs::read_dir(shell.folder()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(made.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
    // A host creates its folder before it looks for devices.
    std::fs::write(shell.folder().join("key"), "tnr_x\n").unwrap();
    shell.run("host --server http://127.0.0.1:9 --token-file key");
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn settings_come_from_the_file_the_environment_and_arguments() {
    let mut shell = Shell::new(None);
    let run = |shell: &mut Shell, line: &str, variable: Option<(&str, &str)>| {
        let words = line.split(' ').collect::<Vec<_>>();
        let mut command = shell.command(&words);
        command.envs(variable);
        let output = command.output().unwrap();
        shell.record(&words, &output)
    };
    let file = shell.folder().join("tenure.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:1\"\nidle_hold = \"5m\"\n").unwrap();
    let database = ("TENURE_DATABASE", "postgres://tenure:hunter2@127.0.0.1/tenure");
    let printed = run(&mut shell, "settings", Some(database));
    assert!(!printed.contains("hunter2"), "a password is masked");
    let line = |name: &str| printed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("listen ").contains("127.0.0.1:1") && line("listen ").contains("tenure.toml"), "{printed}");
    assert!(line("database ").contains("TENURE_DATABASE"), "{printed}");
    std::fs::write(&file, "idel_hold = \"5m\"\n").unwrap();
    run(&mut shell, "settings", None);
    std::fs::write(&file, "idle_hold = \"soon\"\n").unwrap();
    run(&mut shell, "settings", None);
    std::fs::remove_file(&file).unwrap();
    run(&mut shell, "settings", Some(("TENURE_IDEL_HOLD", "5m")));
    let refused = shell.transcript();
    insta::assert_snapshot!(
        &refused[refused.find("$ tenure settings\nerror").or(refused.find("[exit")).unwrap()..]
    );
}
