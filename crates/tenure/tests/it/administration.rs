//! Who is who, on the command line: the same words on both databases.

use crate::shell::Shell;
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use store::testing::{TestPlace, empty_postgres, empty_sqlite};

/// A value of the JSON document that was printed.
fn field(document: &str, name: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap();
    document[name].as_str().unwrap().to_owned()
}

fn people(place: &TestPlace) -> String {
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("migrate --json");
    shell.run("org list");
    shell.run_with(&["org", "create", "Acme Mobile"]);
    shell.run_with(&["org", "create", "Acme Mobile"]);
    shell.run("org create Globex --json");
    shell.run_with(&["org", "set", "Acme Mobile", "--max-devices", "5"]);
    shell.run("org set Nobody --max-devices none");
    shell.run_with(&["user", "create", "Ana@Example.com", "--org", "Acme Mobile", "--role", "readwrite"]);
    shell.run("user create ana@example.com --org Globex --role admin");
    shell.run("member add ana@example.com --org Globex --role admin");
    shell.run("member role ana@example.com --org Globex --role readonly --json");
    shell.run("user create bob@example.com --org Globex --role admin");
    shell.run("member role ana@example.com --org Globex --role readonly --json");
    shell.run("user list");
    let machine = shell.run_with(&[
        "service-user",
        "create",
        "ci",
        "--org",
        "Acme Mobile",
        "--role",
        "admin",
        "--json",
    ]);
    shell.run("service-user create watch --role viewer");
    shell.run("service-user create watch --role readonly");
    shell.run("service-user list");
    let key =
        shell.run("key create --user ana@example.com --wire mobilenext --name laptop --expires 90d --json");
    shell.run(&format!("key create --service-user {} --wire tenure", field(&machine, "id")));
    shell.run("key list");
    shell.run(&format!("key revoke {}", field(&key, "id")));
    shell.run("key revoke 01987a6b-5c4d-7e8f-9012-3456789abcde");
    shell.run("key list --user ana@example.com --json");
    shell.run("login-sessions list --user ana@example.com");
    shell.run("login-sessions list --user bob@example.com");
    shell.run("login-sessions revoke --older-than 1d");
    shell.run("login-sessions revoke --yes --json");
    shell.run("user forget-factor ana@example.com");
    shell.run("member remove ana@example.com --org Globex");
    shell.run("user suspend ana@example.com");
    shell.run("user suspend ana@example.com");
    shell.run("user resume ana@example.com");
    shell.run("user resume ana@example.com");
    shell.run("user delete ana@example.com");
    shell.run("user list");
    shell.run("org delete Globex --json");
    shell.run("org list");
    shell.transcript()
}

/// The words are the same on both databases, and in `insta`'s file to be read.
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
    shell.run("org create Acme");
    let words = ["user", "create", "ana@example.com", "--org", "Acme", "--role", "admin", "--password-stdin"];
    let mut create = shell.command(&words).stdin(Stdio::piped()).spawn().unwrap();
    create.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
    let output = create.wait_with_output().unwrap();
    shell.remember(&words, &output);
    assert!(output.status.success());
    let secret = field(&shell.run("key create --user ana@example.com --wire tenure --json"), "secret");
    assert_eq!((secret.len(), &secret[..4]), (56, "tnr_"));
    let later = [shell.run("key list --json"), shell.run("user list --json")].concat();
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
fn machines_have_roles_of_their_own_and_people_look_after_the_account() {
    let place = empty_sqlite();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("org create Acme");
    for role in ["worker", "host", "auditor"] {
        let ours = shell.run(&format!("service-user create ours --org Acme --role {role} --json"));
        let shared = shell.run(&format!("service-user create shared --role {role} --json"));
        assert_eq!((field(&ours, "role"), field(&shared, "role")), (role.to_owned(), role.to_owned()));
    }
    shell.run("user create ana@example.com --org Acme --role auditor");
    shell.run("member role ana@example.com --org Acme --role worker");
    let made = shell.run("user role ana@example.com --account admin --json");
    assert_eq!(field(&made, "accountRole"), "admin");
    let listed = shell.run("user list");
    assert!(listed.contains("the account (admin), Acme (auditor)"), "{listed}");
    assert!(shell.run("user role ana@example.com --account none").contains("no role in the account"));
    shell.run("user role ana@example.com --account host");
    let told = shell.transcript();
    assert!(told.contains("invalid value 'worker'") && told.contains("invalid value 'host'"), "{told}");
}
