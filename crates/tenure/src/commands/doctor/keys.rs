//! The keys: that they open what they sealed, and are not too old.

use domain::time::Micros;
use serde::Deserialize;
use server::operations::agents::secrets;
use server::services::master_key::MasterKey;
use server::settings::Settings;

use super::Findings;
use crate::administration::{Administration, now};

/// What is read of a signing key's file.
#[derive(Deserialize)]
struct SigningKeyFile {
    id: String,
    created_us: i64,
}

/// That the master key opens every secret that is kept, of sessions and of second factors.
pub async fn check_master_key(
    settings: &Settings,
    admin: &Administration,
    findings: &mut Findings,
) -> store::Result<()> {
    let check = "master key";
    let path = settings.master_key_path();
    let key = MasterKey::open(&path);
    let sealed = secrets::opened(&admin.store, &admin.system, key.as_ref().ok()).await?;
    let closed = sealed.all - sealed.opened;
    let todo = format!("put the right file at {}; it is in no backup unless you said so", path.display());
    match &key {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            findings.add_problem(check, format!("{} cannot be read: {error}", path.display()), todo);
        }
        // The server makes one when it starts, which would open nothing of what there is.
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

/// That this server's signing key is known to the others, and not overdue.
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
                "delete it: the server makes another one, and everybody signs in again",
            ),
            Ok(kept) => {
                // It is made anew at the next sign-in after its time; twice that without one is odd.
                let overdue = Micros(kept.created_us.saturating_add(rotates.saturating_mul(2)));
                if overdue < now() && known.iter().any(|key| key.id.to_string() == kept.id) {
                    let todo = "is the server running, with these settings? It makes a new one when somebody signs in";
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

/// Keys of workers and hosts that may do more than those need.
pub async fn check_machine_keys(admin: &Administration, findings: &mut Findings) -> store::Result<()> {
    let check = "keys of workers and hosts";
    for user in admin.store.list_overprivileged_service_users(&admin.system, now()).await? {
        let place =
            user.organization.map_or_else(String::new, |organization| format!(" --org {organization}"));
        let serves = [(user.hosts, "host"), (user.workers, "worker")];
        let roles = serves.into_iter().filter(|(is, _)| *is).map(|(_, role)| role).collect::<Vec<_>>();
        let what = format!(
            "the service user {:?} ({}) has the role admin where a {} connects: whoever takes its key is an administrator",
            user.name,
            user.id,
            roles.join(" or a ")
        );
        let commands =
            roles.iter().map(|role| format!("tenure service-user create NAME --role {role}{place}"));
        let todo = format!(
            "if that is its key, give it another one: {}, and tenure key create --service-user ID",
            commands.collect::<Vec<_>>().join(" or ")
        );
        findings.add_advice(check, what, todo);
    }
    findings.finish_check(check);
    Ok(())
}
