//! Checks of keys: the master key opens every secret, the signing key is recent, machines' keys have few permissions.

use domain::time::Micros;
use serde::Deserialize;
use server::operations::agents::secrets;
use server::services::master_key::MasterKey;
use server::settings::Settings;

use super::Findings;
use crate::administration::{Administration, now};

/// The fields of a signing key's file that the check needs.
#[derive(Deserialize)]
struct SigningKeyFile {
    id: String,
    created_us: i64,
}

/// Checks that the master key opens every secret of sessions and of second factors.
pub async fn check_master_key(
    settings: &Settings,
    admin: &Administration,
    findings: &mut Findings,
) -> store::Result<()> {
    let check = "master key";
    let path = settings.master_key_path();
    let key = MasterKey::open(&path);
    let sealed = secrets::count_secrets(&admin.store, &admin.system, key.as_ref().ok()).await?;
    let closed = sealed.all - sealed.opened;
    let todo =
        format!("put the right file at {}; a backup contains it only with --with-master-key", path.display());
    match &key {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            findings.add_problem(check, format!("{} cannot be read: {error}", path.display()), todo);
        }
        // Without the file, the server would create a new key, which opens none of these secrets.
        _ if closed > 0 => findings.add_problem(
            check,
            format!("{closed} of {} sealed secrets cannot be opened", sealed.all),
            todo,
        ),
        _ => {}
    }
    findings.finish_check(check);
    Ok(())
}

/// Checks that this server's signing key is readable and was rotated in time.
pub async fn check_signing_keys(
    settings: &Settings,
    admin: &Administration,
    findings: &mut Findings,
) -> store::Result<()> {
    let check = "signing keys";
    let known = admin.store.list_public_keys(&admin.system).await?;
    let rotates = i64::try_from(settings.signing_key_rotates.as_micros()).unwrap_or(i64::MAX);
    let path = settings.signing_keys.join("signing-key.json");
    if let Ok(text) = std::fs::read(&path) {
        match serde_json::from_slice::<SigningKeyFile>(&text) {
            Err(_) => findings.add_problem(
                check,
                format!("{} is damaged", path.display()),
                "delete it: the server creates another one, and everybody has to sign in again",
            ),
            Ok(kept) => {
                // The first sign-in after the interval rotates it. No sign-in during another interval is unlikely.
                let overdue = Micros(kept.created_us.saturating_add(rotates.saturating_mul(2)));
                if overdue < now() && known.iter().any(|key| key.id.to_string() == kept.id) {
                    let todo = "check that the server runs with these settings: it replaces the key when somebody signs in";
                    findings.add_problem(
                        check,
                        format!("{} should have been replaced", path.display()),
                        todo,
                    );
                }
            }
        }
    }
    findings.finish_check(check);
    Ok(())
}

/// Finds keys of workers and hosts that can do more than these need.
pub async fn check_machine_keys(admin: &Administration, findings: &mut Findings) -> store::Result<()> {
    let check = "keys of workers and hosts";
    for user in admin.store.list_overprivileged_service_users(&admin.system, now()).await? {
        let place =
            user.organization.map_or_else(String::new, |organization| format!(" --org {organization}"));
        let serves = [(user.hosts, "host"), (user.workers, "worker")];
        let roles = serves.into_iter().filter(|(is, _)| *is).map(|(_, role)| role).collect::<Vec<_>>();
        let what = format!(
            "the service user {:?} ({}) of a {} has the role admin: whoever steals its key is an administrator",
            user.name,
            user.id,
            roles.join(" or a ")
        );
        let commands =
            roles.iter().map(|role| format!("tenure admin service-user create NAME --role {role}{place}"));
        let todo = format!(
            "if this key only connects it, replace it: {}, then tenure admin key create --service-user ID",
            commands.collect::<Vec<_>>().join(" or ")
        );
        findings.add_advice(check, what, todo);
    }
    findings.finish_check(check);
    Ok(())
}
