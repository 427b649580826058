//! Old entries of the audit log move to files, and can still be verified.

use crate::shell::Shell;
use std::os::unix::fs::PermissionsExt;
use store::testing::fresh_postgres;

fn seal_and_verify(url: Option<&str>) {
    let mut shell = Shell::new(url);
    shell.run("migrate");
    for name in ["Acme", "Globex", "Initech"] {
        shell.run(&format!("admin org create {name}"));
    }
    let early = shell.run("admin audit checkpoint").trim().to_owned();
    shell.run("admin org create Umbrella");
    let output = shell.run("admin audit seal --before 2020-01-01");
    assert!(output.contains("nothing to seal"), "{output}");
    let output = shell.run("admin audit seal --before 2100-01-01");
    assert!(output.contains("Sealed 3 entries in 1 segments"), "{output}");
    let mut files = std::fs::read_dir(shell.folder().join("tenure-data/audit")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(
        file.display().to_string().contains("/audit-000000000001-000000000003-") && files.next().is_none()
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let output = shell.run("admin audit export");
    assert_eq!(output.lines().count(), 2, "{output}");
    assert!(output.contains("audit.seal") && output.contains("Umbrella"), "{output}");
    assert!(shell.run("admin audit verify").contains("intact: 2 entries"));
    // A later segment continues it.
    shell.run("admin org create Hooli");
    assert!(shell.run("admin audit seal --before 2100-01-01").contains("Sealed 2 entries in 1 segments"));
    let verify = format!("admin audit verify --segments tenure-data/audit --against {early}");
    assert!(shell.run(&verify).contains("intact: 7 entries"));
    assert!(shell.run("doctor").contains("ok     audit log"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("Globex", "Globax")).unwrap();
    let words = verify.split(' ').collect::<Vec<_>>();
    let output = shell.command(&words).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains("entry 2 of the audit log was changed"), "{errors}");
}

#[test]
fn old_lines_are_sealed_and_proven_sqlite() {
    seal_and_verify(None);
}

#[tokio::test]
async fn old_lines_are_sealed_and_proven_postgres() {
    let Some(database) = fresh_postgres().await else { return };
    let url = database.url.clone();
    tokio::task::spawn_blocking(move || seal_and_verify(Some(&url))).await.unwrap();
}
