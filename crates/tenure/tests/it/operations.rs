//! Commands run the operations of the server: the same rules refuse, and the audit log gets the same entries.

use crate::serving::Serving;
use crate::shell::Shell;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;
use store::testing::{TestPlace, empty_sqlite};

const CREATE: &str = "admin user create ana@example.com --org Acme --role admin --password-stdin";

fn open() -> (TestPlace, Shell) {
    let place = empty_sqlite();
    let mut shell = Shell::new(Some(&place.url));
    shell.run("migrate");
    shell.run("admin org create Acme");
    (place, shell)
}

/// Runs a line with settings in the environment and a password on standard input. Returns the errors, or an empty text
/// after success.
fn run_with_password(shell: &Shell, line: &str, settings: &[(&str, &str)]) -> String {
    let mut command = shell.command(&line.split(' ').collect::<Vec<_>>());
    command.envs(settings.iter().copied()).stdin(Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
    let output = running.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), errors.is_empty(), "{line}: {errors}");
    errors
}

fn write_rows(place: &TestPlace, sql: &str) {
    rusqlite::Connection::open(place.url.strip_prefix("sqlite:").unwrap())
        .unwrap()
        .execute_batch(sql)
        .unwrap();
}

/// A field of a JSON document.
fn field(document: &str, name: &str) -> String {
    let document: Value =
        serde_json::from_str(document).unwrap_or_else(|error| panic!("{document}: {error}"));
    document[name].as_str().unwrap().to_owned()
}

#[test]
fn nobody_gets_a_password_that_the_settings_forbid() {
    const PASSWORD: &str = "admin user password ana@example.com --password-stdin";
    const ISSUER: &str = "https://issuer.example";
    let (place, mut shell) = open();
    let off = [("TENURE_PASSWORDS", "off")];
    let local_only = [("TENURE_PASSWORDS", "local-only"), ("TENURE_OIDC_ISSUER", ISSUER)];
    assert!(run_with_password(&shell, CREATE, &off).contains("nobody signs in by this password"));
    assert_eq!(shell.run("admin user list --json").trim(), "[]");
    assert_eq!(run_with_password(&shell, CREATE, &local_only), "");
    assert!(run_with_password(&shell, PASSWORD, &off).contains("nobody signs in by this password"));
    assert_eq!(run_with_password(&shell, PASSWORD, &local_only), "");
    let sql = format!("INSERT INTO identities SELECT '{ISSUER}', 'ana', id, 1, 1 FROM principals");
    write_rows(&place, &sql);
    assert!(run_with_password(&shell, PASSWORD, &local_only).contains("nobody signs in by this password"));
    assert_eq!(run_with_password(&shell, PASSWORD, &[]), "");
}

#[test]
fn a_person_has_an_address_that_mail_can_be_sent_to() {
    let (_place, mut shell) = open();
    shell.run("admin user create ana..b@example.com --org Acme --role admin");
    assert!(shell.transcript().contains("email: expected an e-mail address"), "{}", shell.transcript());
    assert_eq!(shell.run("admin user list --json").trim(), "[]");
}

#[test]
fn a_person_whose_address_is_not_confirmed_is_not_suspended() {
    let (place, mut shell) = open();
    shell.run("admin user create ana@example.com --org Acme --role admin");
    write_rows(&place, "UPDATE principals SET state = 'pending'");
    shell.run("admin user suspend ana@example.com");
    assert!(shell.transcript().contains("their address is not confirmed"), "{}", shell.transcript());
}

#[test]
fn a_key_works_only_where_its_owner_does() {
    let (_place, mut shell) = open();
    shell.run("admin org create Globex");
    shell.run("admin user create ana@example.com --org Acme --role admin");
    shell.run("admin key create --user ana@example.com --org Globex --wire tenure");
    let machine = field(&shell.run("admin service-user create ci --org Acme --role host --json"), "id");
    shell.run(&format!("admin key create --service-user {machine} --org Globex --wire tenure"));
    let transcript = shell.transcript();
    for owner in ["ana@example.com", "ci"] {
        assert!(transcript.contains(&format!("error: {owner} is not a member of Globex")), "{transcript}");
    }
    // As by the wire, a machine's key is bound to the machine's home.
    let key = shell.run(&format!("admin key create --service-user {machine} --wire tenure --json"));
    let home = shell.run("admin key list --org Acme --json");
    assert_eq!(field(&key, "id"), serde_json::from_str::<Value>(&home).unwrap()[0]["id"]);
}

/// A server, and requests with the key of an administrator of the account.
struct Wire {
    serving: Serving,
    key: String,
}

impl Wire {
    fn open(shell: &mut Shell) -> Wire {
        let root = field(&shell.run("admin service-user create root --role admin --json"), "id");
        let key = shell.run(&format!("admin key create --service-user {root} --wire devin --json"));
        Wire { key: format!("Bearer {}", field(&key, "secret")), serving: Serving::start(shell, &[]) }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [("authorization", self.key.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.serving.send(method, path, &headers, &body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap_or_default()
    }
}

#[test]
fn a_rotated_key_stays_in_its_organization() {
    let (_place, mut shell) = open();
    let wire = Wire::open(&mut shell);
    let shared = field(&shell.run("admin service-user create shared --role host --json"), "id");
    let keys = format!("/v3/enterprise/service-users/service-user-{}/api-keys", shared.replace('-', ""));
    let create = format!("admin key create --service-user {shared} --org Acme --wire devin --json");
    // On the command line, a key needs no name.
    let [named, key] = [format!("{create} --name rack"), create].map(|line| shell.run(&line));
    for key in [&named, &key] {
        let old = field(key, "id").replace('-', "");
        wire.send("POST", &format!("{keys}/key-{old}/rotate"), &Value::Null);
    }
    let listed = shell.run(&format!("admin key list --service-user {shared} --json"));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let organizations = listed.as_array().unwrap().iter().map(|key| &key["organization"]).collect::<Vec<_>>();
    assert_eq!(organizations, [&json!(field(&key, "organization")); 4]);
}

/// The entries of the audit log since the last call, without what differs between two ways: ids, times, and the names of
/// the ways.
fn new_entries(shell: &mut Shell, seen: &mut usize) -> Vec<Value> {
    let text = shell.run("admin audit export");
    let lines = text.lines().skip(*seen).collect::<Vec<_>>();
    *seen += lines.len();
    let entry = |line: &&str| {
        let entry: Value = serde_json::from_str(line).unwrap();
        let kept = json!({
            "action": entry["action"], "organization": entry["organization"],
            "before": entry["before"], "after": entry["after"],
        });
        let text =
            kept.to_string().replace("wire.example", "way.example").replace("command.example", "way.example");
        let words = text.split('"').map(|word| if uuid(word) { "<id>" } else { word });
        serde_json::from_str(&words.collect::<Vec<_>>().join("\"")).unwrap()
    };
    lines.iter().map(entry).collect()
}

fn uuid(word: &str) -> bool {
    word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

fn administer_by_wire(wire: &Wire, ana: &str) {
    let account = "/v3/enterprise/organizations";
    let made = wire.send("POST", account, &json!({ "name": "wire.example" }));
    let organization = made["org_id"].as_str().unwrap();
    let here = format!("/v3/organizations/{organization}");
    let ana_id = format!("user-{}", ana.replace('-', ""));
    for role in ["org_viewer", "org_member"] {
        wire.send("POST", &format!("{here}/members/users"), &json!({ "user_id": ana_id, "role_id": role }));
    }
    wire.send("DELETE", &format!("{here}/members/users/{ana_id}"), &Value::Null);
    for place in [&here[..], "/v3/enterprise"] {
        let role = if place == here { "org_member" } else { "account_viewer" };
        let users = format!("{place}/service-users");
        let bot = wire.send("POST", &users, &json!({ "name": "bot", "role_id": role }));
        let bot = bot["service_user"]["service_user_id"].as_str().unwrap();
        let key = wire.send("POST", &format!("{users}/{bot}/api-keys"), &json!({ "name": "second" }));
        let key = key["api_key_id"].as_str().unwrap();
        wire.send("DELETE", &format!("{users}/{bot}/api-keys/{key}"), &Value::Null);
        wire.send("DELETE", &format!("{users}/{bot}"), &Value::Null);
    }
    let suspension = "/tenure/v1/users/ana@wire.example/suspension";
    wire.send("PUT", suspension, &Value::Null);
    wire.send("DELETE", suspension, &Value::Null);
    wire.send("DELETE", &format!("{account}/{organization}"), &Value::Null);
}

fn administer_by_command(shell: &mut Shell) {
    const ANA: &str = "ana@command.example";
    const ORG: &str = "--org command.example";
    shell.run("admin org create command.example");
    shell.run(&format!("admin member add {ANA} {ORG} --role readonly"));
    shell.run(&format!("admin member role {ANA} {ORG} --role readwrite"));
    shell.run(&format!("admin member remove {ANA} {ORG}"));
    for place in ["--role readwrite --org command.example", "--role viewer"] {
        let bot = field(&shell.run(&format!("admin service-user create bot {place} --json")), "id");
        shell.run(&format!("admin key create --service-user {bot} --wire devin --name bot"));
        let key =
            shell.run(&format!("admin key create --service-user {bot} --wire devin --name second --json"));
        shell.run(&format!("admin key revoke {}", field(&key, "id")));
        shell.run(&format!("admin service-user delete {bot}"));
    }
    shell.run(&format!("admin user suspend {ANA}"));
    shell.run(&format!("admin user resume {ANA}"));
    shell.run("admin org delete command.example");
}

#[test]
fn commands_and_wires_leave_the_same_audit_entries() {
    let (_place, mut shell) = open();
    let wire = Wire::open(&mut shell);
    let ana = shell.run("admin user create ana@wire.example --org Acme --role readonly --json");
    shell.run("admin user create ana@command.example --org Acme --role readonly");
    let mut seen = 0;
    new_entries(&mut shell, &mut seen);
    administer_by_wire(&wire, &field(&ana, "id"));
    let by_wire = new_entries(&mut shell, &mut seen);
    administer_by_command(&mut shell);
    let by_command = new_entries(&mut shell, &mut seen);
    assert_eq!(by_wire.len(), 17);
    assert_eq!(by_wire, by_command);
    // Entries of commands name nobody: whoever can open the database has run them.
    let text = shell.run("admin audit export");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    for (line, named) in lines[lines.len() - 34..].iter().zip([true; 17].into_iter().chain([false; 17])) {
        assert_eq!((line["principal"].is_string(), line["credential"].is_string()), (named, named), "{line}");
    }
}
