//! Administration on the command line, with the same output on both databases.

use crate::shell::Shell;
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use store::testing::{TestPlace, empty_postgres, empty_sqlite};

/// A field of a JSON document.
fn field(document: &str, name: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap();
    document[name].as_str().unwrap().to_owned()
}

fn people(place: &TestPlace) -> String {
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("migrate --json");
    shell.run("admin org list");
    shell.run_with(&["admin", "org", "create", "Acme Mobile"]);
    shell.run_with(&["admin", "org", "create", "Acme Mobile"]);
    shell.run("admin org create Globex --json");
    shell.run_with(&["admin", "org", "set", "Acme Mobile", "--max-devices", "5"]);
    shell.run("admin org set Nobody --max-devices none");
    shell.run_with(&[
        "admin",
        "user",
        "create",
        "Ana@Example.com",
        "--org",
        "Acme Mobile",
        "--role",
        "readwrite",
    ]);
    shell.run("admin user create ana@example.com --org Globex --role admin");
    shell.run("admin member add ana@example.com --org Globex --role admin");
    shell.run("admin member role ana@example.com --org Globex --role readonly --json");
    shell.run("admin user create bob@example.com --org Globex --role admin");
    shell.run("admin member role ana@example.com --org Globex --role readonly --json");
    shell.run("admin user list");
    let machine = shell.run_with(&[
        "admin",
        "service-user",
        "create",
        "ci",
        "--org",
        "Acme Mobile",
        "--role",
        "admin",
        "--json",
    ]);
    shell.run("admin service-user create watch --role viewer");
    shell.run("admin service-user create watch --role readonly");
    shell.run("admin service-user list");
    let key = shell
        .run("admin key create --user ana@example.com --wire mobilenext --name laptop --expires 90d --json");
    shell.run(&format!("admin key create --service-user {} --wire tenure", field(&machine, "id")));
    shell.run("admin key list");
    shell.run(&format!("admin key revoke {}", field(&key, "id")));
    shell.run("admin key revoke 01987a6b-5c4d-7e8f-9012-3456789abcde");
    shell.run("admin key list --user ana@example.com --json");
    shell.run("admin login-sessions list --user ana@example.com");
    shell.run("admin login-sessions list --user bob@example.com");
    shell.run("admin login-sessions revoke --older-than 1d");
    shell.run("admin login-sessions revoke --yes --json");
    shell.run("admin user forget-factor ana@example.com");
    shell.run("admin member remove ana@example.com --org Globex");
    shell.run("admin user suspend ana@example.com");
    shell.run("admin user suspend ana@example.com");
    shell.run("admin user resume ana@example.com");
    shell.run("admin user resume ana@example.com");
    shell.run("admin user delete ana@example.com");
    shell.run("admin user list");
    shell.run("admin org delete Globex --json");
    shell.run("admin org list");
    shell.transcript()
}

/// Both databases share one snapshot.
#[test]
fn people_sqlite() {
    insta::assert_snapshot!("people", people(&empty_sqlite()));
}

#[tokio::test]
async fn people_postgres() {
    let Some(place) = empty_postgres().await else { return };
    let transcript = tokio::task::spawn_blocking(move || people(&place)).await.unwrap();
    insta::assert_snapshot!("people", transcript);
}

#[test]
fn a_secret_is_shown_once_and_kept_nowhere() {
    let place = empty_sqlite();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("admin org create Acme");
    let words = [
        "admin",
        "user",
        "create",
        "ana@example.com",
        "--org",
        "Acme",
        "--role",
        "admin",
        "--password-stdin",
    ];
    let mut create = shell.command(&words).stdin(Stdio::piped()).spawn().unwrap();
    create.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
    let output = create.wait_with_output().unwrap();
    shell.record(&words, &output);
    assert!(output.status.success());
    let secret = field(&shell.run("admin key create --user ana@example.com --wire tenure --json"), "secret");
    assert_eq!((secret.len(), &secret[..4]), (56, "tnr_"));
    let later = [shell.run("admin key list --json"), shell.run("admin user list --json")].concat();
    let folder = std::path::Path::new(place.url.strip_prefix("sqlite:").unwrap()).parent().unwrap();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let kept = files.collect::<Vec<_>>().concat();
    for hidden in [&secret[4..], "correct horse battery"] {
        assert!(!later.contains(hidden));
        assert!(!kept.windows(hidden.len()).any(|bytes| bytes == hidden.as_bytes()));
    }
    assert!(kept.windows(9).any(|bytes| bytes == b"$argon2id"), "the password's hash is there");
}

#[test]
fn service_users_have_separate_roles_and_users_administer_the_account() {
    let place = empty_sqlite();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("admin org create Acme");
    for role in ["worker", "host", "auditor"] {
        let ours = shell.run(&format!("admin service-user create ours --org Acme --role {role} --json"));
        let shared = shell.run(&format!("admin service-user create shared --role {role} --json"));
        assert_eq!((field(&ours, "role"), field(&shared, "role")), (role.to_owned(), role.to_owned()));
    }
    shell.run("admin user create ana@example.com --org Acme --role auditor");
    shell.run("admin member role ana@example.com --org Acme --role worker");
    let made = shell.run("admin user role ana@example.com --account admin --json");
    assert_eq!(field(&made, "accountRole"), "admin");
    let listed = shell.run("admin user list");
    assert!(listed.contains("the account (admin), Acme (auditor)"), "{listed}");
    assert!(shell.run("admin user role ana@example.com --account none").contains("no role in the account"));
    shell.run("admin user role ana@example.com --account host");
    let transcript = shell.transcript();
    assert!(
        transcript.contains("invalid value 'worker'") && transcript.contains("invalid value 'host'"),
        "{transcript}"
    );
}

#[test]
fn the_settings_decide_about_passwords() {
    let place = empty_sqlite();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("admin org create Acme");
    let words = [
        "admin",
        "user",
        "create",
        "ana@example.com",
        "--org",
        "Acme",
        "--role",
        "admin",
        "--password-stdin",
    ];
    let create = |password: &str| {
        let mut command = shell.command(&words);
        command.env("TENURE_PASSWORD_MIN", "12").env("TENURE_PASSWORD_MAX", "16");
        command.env("TENURE_ARGON2_MEMORY", "8MiB").env("TENURE_ARGON2_PASSES", "1");
        let mut running = command.stdin(Stdio::piped()).spawn().unwrap();
        running.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
        let output = running.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for password in ["eleven char", "seventeen chars x"] {
        let (created, errors) = create(password);
        assert!(!created && errors.contains("expected a password of 12 to 16 characters"), "{errors}");
        assert!(!errors.contains(password), "{errors}");
    }
    assert!(create("twelve chars").0);
    let connection = rusqlite::Connection::open(place.url.strip_prefix("sqlite:").unwrap()).unwrap();
    let hash: String = connection
        .query_row("SELECT password_hash FROM principals WHERE email = 'ana@example.com'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=8192,t=1,p=1$"), "{hash}");
}
