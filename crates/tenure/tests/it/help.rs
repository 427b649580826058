//! What `--help` shows of the settings, and what `--help-all` shows.

use crate::shell::Shell;

/// The long options that a help text lists, without those of the help itself.
fn options(help: &str) -> Vec<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let options = lines.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    let names = options.map(|option| option.split(['[', '=', ',']).next().unwrap().to_owned());
    names.filter(|name| !name.starts_with("--help")).collect()
}

#[test]
fn help_shows_ten_options_and_help_all_every_setting() {
    let mut shell = Shell::new(None);
    let settings: serde_json::Value = serde_json::from_str(&shell.run("settings --json")).unwrap();
    let settings = settings.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap());
    let settings = settings.map(|name| format!("--{}", name.replace('_', "-"))).collect::<Vec<_>>();
    let everywhere = ["--database", "--config", "--json"];
    let common = ["--listen", "--public-url", "--tls-cert", "--tls-key", "--insecure-http"];
    for (command, own) in [("serve", &["--files", "--log"][..]), ("demo", &["--fresh", "--log"])] {
        let mut expected = [&everywhere[..], &common, own].concat();
        expected.sort_unstable();
        for flag in ["--help", "-h"] {
            let mut short = options(&shell.run(&format!("{command} {flag}")));
            short.sort_unstable();
            assert_eq!(short, expected, "{command} {flag}");
        }
        assert_eq!(expected.len(), 10);
        let all = options(&shell.run(&format!("{command} --help-all")));
        assert!(settings.iter().all(|setting| all.contains(setting)), "{command}: {all:?}");
        assert!(expected.iter().all(|option| all.iter().any(|one| one == option)), "{command}: {all:?}");
    }
    assert!(settings.len() > 60 && settings.contains(&"--idle-hold".to_owned()));
    assert!(shell.run("serve --help").contains("--help-all"));
}
