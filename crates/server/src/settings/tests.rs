use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::*;

/// Settings from a file's text, variables and arguments.
fn load(
    file: Option<&str>,
    variables: &[(&str, &str)],
    arguments: &[(&'static str, &str)],
) -> Result<LoadedSettings, SettingsError> {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = file {
        std::fs::write(folder.path().join("tenure.toml"), text).unwrap();
    }
    Settings::load(&inputs(folder.path(), variables, arguments))
}

fn inputs(folder: &Path, variables: &[(&str, &str)], arguments: &[(&'static str, &str)]) -> SettingInputs {
    SettingInputs {
        config: None,
        folder: folder.to_owned(),
        environment: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        arguments: arguments.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
    }
}

/// The error and its hint, as a user sees them.
fn refusal(error: &SettingsError) -> String {
    format!("{error} | {}", error.hint().unwrap_or_default())
}

fn line<'a>(loaded: &'a LoadedSettings, name: &str) -> &'a SettingLine {
    loaded.lines.iter().find(|line| line.setting.name == name).unwrap()
}

#[test]
fn all_defaults_are_valid() {
    let settings = Settings::default();
    assert_eq!(settings.listen, "127.0.0.1:7420".parse().unwrap());
    assert_eq!(settings.body_limit, 1_048_576);
    assert_eq!(settings.feed_kept, Duration::from_hours(168));
    assert_eq!(settings.files, FileStore::Folder("tenure-data/files".into()));
    assert_eq!(settings.database.reveal(), "sqlite:tenure-data/tenure.db");
    settings.check_tls().unwrap();
}

#[test]
fn a_stronger_source_wins() {
    type Given<'a> = &'a [(&'static str, &'a str)];
    let file = Some("listen = '[::1]:1'\nsqlite_readers = 2\ninsecure_http = true");
    let rows: [(Option<&str>, Given<'_>, Given<'_>, &str, &str); 6] = [
        (None, &[], &[], "127.0.0.1:7420", "default"),
        (file, &[], &[], "[::1]:1", "tenure.toml"),
        (file, &[("TENURE_LISTEN", "[::1]:2")], &[], "[::1]:2", "TENURE_LISTEN"),
        (file, &[("TENURE_LISTEN", "[::1]:2")], &[("listen", "[::1]:3")], "[::1]:3", "--listen"),
        (None, &[("TENURE_LISTEN", "")], &[], "127.0.0.1:7420", "default"),
        (None, &[("LISTEN", "nonsense")], &[], "127.0.0.1:7420", "default"),
    ];
    for (file, variables, arguments, value, source) in rows {
        let loaded = load(file, variables, arguments).unwrap();
        assert_eq!(loaded.settings.listen, value.parse::<SocketAddr>().unwrap());
        let line = line(&loaded, "listen");
        assert_eq!((line.masked_value().as_str(), line.source.to_string().as_str()), (value, source));
    }
    let loaded = load(file, &[], &[]).unwrap();
    assert_eq!((loaded.settings.sqlite_readers, loaded.settings.insecure_http), (2, true));
}

#[test]
fn a_named_file_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("named.toml"), "sqlite_readers = 9").unwrap();
    let named = PathBuf::from("named.toml");
    let by_argument = SettingInputs {
        config: Some(named),
        ..inputs(folder.path(), &[("TENURE_CONFIG", "missing.toml")], &[])
    };
    assert_eq!(Settings::load(&by_argument).unwrap().settings.sqlite_readers, 9);
    let by_variable = inputs(folder.path(), &[("TENURE_CONFIG", "named.toml")], &[]);
    assert_eq!(Settings::load(&by_variable).unwrap().settings.sqlite_readers, 9);
    let missing = inputs(folder.path(), &[("TENURE_CONFIG", "missing.toml")], &[]);
    let error = Settings::load(&missing).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the settings file missing.toml: "), "{error}");
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_setting() {
    type Given<'a> = &'a [(&'a str, &'a str)];
    let rows: [(Option<&str>, Given<'_>, &str); 8] = [
        (Some("lisen = 'x'"), &[], "tenure.toml: lisen is not a setting | did you mean listen?"),
        (
            Some("public-url = 'x'"),
            &[],
            "tenure.toml: public-url is not a setting | did you mean public_url?",
        ),
        (Some("Listen = 'x'"), &[], "tenure.toml: Listen is not a setting | did you mean listen?"),
        (
            Some("[colour]\nred = 1"),
            &[],
            "tenure.toml: colour is not a setting | `tenure settings` prints all of them",
        ),
        (
            None,
            &[("TENURE_DATABSE", "x")],
            "the environment variable TENURE_DATABSE is not a setting | did you mean TENURE_DATABASE?",
        ),
        (
            None,
            &[("TENURE_COLOUR", "x")],
            "the environment variable TENURE_COLOUR is not a setting | `tenure settings` prints all of them",
        ),
        (
            None,
            &[("TENURE_TESTS", "x")],
            "the environment variable TENURE_TESTS is not a setting | `tenure settings` prints all of them",
        ),
        (
            Some("[listen]\nport = 1"),
            &[],
            "listen (from tenure.toml) is \"table\"; expected an IP address and a port such as 127.0.0.1:7420 or [::1]:7420 | ",
        ),
    ];
    for (file, variables, expected) in rows {
        assert_eq!(refusal(&load(file, variables, &[]).unwrap_err()), expected);
    }
    let others =
        [("TENURE_TOKEN", "x"), ("TENURE_SERVER", "x"), ("TENURE_TEST_X", "x"), ("TENURE_LOG", "warn")];
    assert_eq!(load(None, &others, &[]).unwrap().settings.log, "warn");
}

#[test]
fn an_invalid_value_is_reported_with_its_source() {
    let rows: [(&'static str, &str, &str); 24] = [
        ("listen", "localhost:7420", "an IP address"),
        ("listen", "127.0.0.1", "an IP address"),
        ("public_url", "tenure.example.com", "an http:// or https:// URL"),
        ("public_url", "https://u:p@example.com", "an http:// or https:// URL"),
        ("public_url", "https://example.com/?a=1", "an http:// or https:// URL"),
        ("database", "tenure.db", "sqlite:PATH"),
        ("database", "sqlite:", "sqlite:PATH"),
        ("database", "mysql://host/db", "sqlite:PATH"),
        ("files", "ftp://host", "a folder"),
        ("files", "s3://", "a folder"),
        ("insecure_http", "yes", "true or false"),
        ("log", "inof", "off, error"),
        ("log", "info,store=loud", "off, error"),
        ("log_format", "xml", "text or json"),
        ("body_limit", "0", "a size"),
        ("body_limit", "1.5MiB", "a size"),
        ("body_limit", "1Mb", "a size"),
        ("upload_limit", "99999999TiB", "a size"),
        ("idle_hold", "10", "a length of time"),
        ("idle_hold", "0s", "a length of time"),
        ("idle_hold", "30m1h", "a length of time"),
        ("feed_kept", "999999d", "a length of time"),
        ("sqlite_readers", "0", "a whole number"),
        ("sqlite_readers", "-1", "a whole number"),
    ];
    for (name, value, expected) in rows {
        let error = load(None, &[], &[(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} (from --{}) is ", name.replace('_', "-"))), "{error}");
        assert!(error.contains(&format!("; expected {expected}")), "{error}");
    }
}

#[test]
fn secrets_are_masked() {
    let rows = [
        (
            "database",
            "postgres://tenure:hunter2@db/tenure?sslmode=require",
            "postgres://tenure:***@db/tenure?sslmode=require",
        ),
        ("database", "postgres://tenure:hunter2/@?x@db/tenure", "postgres://tenure:***@db/tenure"),
        (
            "database",
            "postgres://db/tenure?user=a&password=hunter2&sslmode=off",
            "postgres://db/tenure?user=a&password=***&sslmode=off",
        ),
        ("database", "postgres://tenure@db/tenure", "postgres://tenure@db/tenure"),
        ("database", "sqlite:/data/tenure.db", "sqlite:/data/tenure.db"),
        ("files", "https://store/x?sig=hunter2", "https://store/x?sig=***"),
        ("files", "s3://bucket/files", "s3://bucket/files"),
    ];
    for (name, value, masked) in rows {
        let loaded = load(None, &[], &[(name, value)]).unwrap();
        assert_eq!(line(&loaded, name).masked_value(), masked);
        assert!(!format!("{loaded:?}").contains("hunter2"));
    }
    for wrong in ["pg://tenure:hunter2@db/tenure", "host=db password=hunter2 user=x", "tenure:hunter2@db"] {
        let error = load(None, &[("TENURE_DATABASE", wrong)], &[]).unwrap_err().to_string();
        assert!(error.contains("***") && !error.contains("hunter2"), "{error}");
    }
    let error =
        load(Some("listen = 1\ndatabase = postgres://u:hunter2@db"), &[], &[]).unwrap_err().to_string();
    assert!(error.contains("is not TOML: line 2: ") && !error.contains("hunter2"), "{error}");
    assert_eq!(Secrecy::Whole.mask("hunter2"), "***");
}

#[test]
fn plain_http_is_for_loopback_unless_insecure_http_is_set() {
    let rows = [
        ("127.0.0.1:1", "false", true),
        ("127.9.9.9:1", "false", true),
        ("[::1]:1", "false", true),
        ("[::ffff:127.0.0.1]:1", "false", true),
        ("0.0.0.0:1", "false", false),
        ("[::]:1", "false", false),
        ("10.0.0.1:1", "false", false),
        ("10.0.0.1:1", "true", true),
    ];
    for (listen, insecure, allowed) in rows {
        let loaded = load(None, &[], &[("listen", listen), ("insecure_http", insecure)]).unwrap();
        assert_eq!(loaded.settings.check_tls().is_ok(), allowed, "{listen} {insecure}");
    }
    let settings = load(None, &[], &[("listen", "0.0.0.0:80")]).unwrap().settings;
    let text = refusal(&settings.check_tls().unwrap_err());
    assert!(
        text.contains("0.0.0.0:80") && text.contains("--insecure-http") && text.contains("127.0.0.1:80"),
        "{text}"
    );
}

#[test]
fn the_public_url_is_derived_unless_given() {
    let rows = [
        ("", "127.0.0.1:9", "http://127.0.0.1:9"),
        ("", "0.0.0.0:9", "http://127.0.0.1:9"),
        ("", "[::1]:9", "http://[::1]:9"),
        ("https://tenure.example.com/", "0.0.0.0:9", "https://tenure.example.com"),
        ("https://example.com/tenure", "0.0.0.0:9", "https://example.com/tenure"),
    ];
    for (given, bound, expected) in rows {
        let settings = load(None, &[], &[("public_url", given)]).unwrap().settings;
        assert_eq!(settings.base_url(bound.parse().unwrap()), expected);
    }
}

#[test]
fn units_are_parsed() {
    let times =
        [("90s", 90_000), ("10m", 600_000), ("7d", 604_800_000), ("1h30m", 5_400_000), ("1s500ms", 1_500)];
    for (text, milliseconds) in times {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "s", "1", "1x", "1m1m", "1s1m", "1 m", "-1s", "1h30", "99999999999999999999s"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
    let sizes =
        [("1", 1), ("10B", 10), ("1MiB", 1 << 20), ("2GiB", 2 << 30), ("500MB", 500_000_000), ("3kB", 3_000)];
    for (text, bytes) in sizes {
        assert_eq!(parse_size(text), Some(bytes), "{text}");
    }
    for text in ["", "B", "0", "1MiB2", "1 MiB", "1K", "-1", "1.5", "é"] {
        assert_eq!(parse_size(text), None, "{text}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how a developer asks for the page to be written again")]
fn settings_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    if std::env::var_os("TENURE_TEST_WRITE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/settings.md differs from the table of settings; write it again with\n    \
         TENURE_TEST_WRITE_DOCS=1 cargo test -p server settings_page"
    );
}
