//! Old lines of the audit log move into files, and can still be proven.

use crate::shell::Shell;
use std::os::unix::fs::PermissionsExt;
use store::testing::fresh_postgres;

fn sealed(url: Option<&str>) {
    let mut shell = Shell::new(url);
    shell.run("migrate");
    for name in ["Acme", "Globex", "Initech"] {
        shell.run(&format!("org create {name}"));
    }
    let early = shell.run("audit checkpoint").trim().to_owned();
    shell.run("org create Umbrella");
    let said = shell.run("audit seal --before 2020-01-01");
    assert!(said.contains("nothing to seal"), "{said}");
    let said = shell.run("audit seal --before 2100-01-01");
    assert!(said.contains("Sealed 3 lines in 1 segments"), "{said}");
    let mut files = std::fs::read_dir(shell.folder().join("tenure-data/audit")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(
        file.display().to_string().contains("/audit-000000000001-000000000003-") && files.next().is_none()
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let said = shell.run("audit export");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("audit.seal") && said.contains("Umbrella"), "{said}");
    assert!(shell.run("audit verify").contains("whole: 2 lines"));
    // A later one follows it.
    shell.run("org create Hooli");
    assert!(shell.run("audit seal --before 2100-01-01").contains("Sealed 2 lines in 1 segments"));
    let verify = format!("audit verify --segments tenure-data/audit --against {early}");
    assert!(shell.run(&verify).contains("whole: 7 lines"));
    assert!(shell.run("doctor").contains("ok     audit log"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("Globex", "Globax")).unwrap();
    let words = verify.split(' ').collect::<Vec<_>>();
    let output = shell.command(&words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("line 2 of the audit log was changed"), "{said}");
}

#[test]
fn old_lines_are_sealed_and_proven_sqlite() {
    sealed(None);
}

#[tokio::test]
async fn old_lines_are_sealed_and_proven_postgres() {
    let Some(database) = fresh_postgres().await else { return };
    let url = database.url.clone();
    tokio::task::spawn_blocking(move || sealed(Some(&url))).await.unwrap();
}
