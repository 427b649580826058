//! After a restore, credentials that may have been revoked since the backup are invalid.

use super::{AUTH, token_in};
use crate::world::{START, World};
use domain::permission::Role;
use domain::time::{Micros, Span};
use serde_json::json;
use store::database::dump;
use store::testing::{TestPlace, empty_postgres, empty_sqlite};
use store::{OpenMode, restore};

/// A server on a restored copy of the world's database. It has the old signing key, like another server that was left
/// running.
async fn restore(world: &World, keep_keys: bool) -> (World, TestPlace) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    std::fs::write(&file, "").unwrap();
    let url = world.app().settings.database.reveal().to_owned();
    let dumped = dump::dump(&url, &file).await.unwrap();
    let place = if url.starts_with("sqlite:") { empty_sqlite() } else { empty_postgres().await.unwrap() };
    let now = world.app().now();
    let after = restore::statements(START, keep_keys, now).unwrap();
    // SQLite replaces the file itself, by a rename on one file system.
    let staged = dump::staging(&place.url).unwrap().unwrap_or(file.clone());
    if staged != file {
        std::fs::copy(&file, &staged).unwrap();
    }
    dump::restore(&place.url, &dumped, &staged, after, now.0).await.unwrap();
    let url = place.url.clone();
    (world.another_server(|settings| settings.database = server::settings::SecretUrl::from(url)).await, place)
}

both! {
    async fn no_earlier_credential_gives_access(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let ana = world.sign_in("ana@example.com").await;
        let host = world.member(acme, Role::Admin).await;
        let made = ana.post(&format!("{AUTH}/api-token"), json!({})).await;
        let key = made.json()["token"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned();
        let forgot = json!({ "email": "ana@example.com" }).to_string();
        assert_eq!(world.caller(None).call_with("POST", &format!("{AUTH}/password-restore"), &forgot).await.status, 200);
        let mailed = token_in(&world.mail(1).await);
        world.advance(Span::minutes(1));
        let (second, _place) = restore(world, false).await;
        let token = ana.key.clone().unwrap();
        for old in [token.as_str(), &key, host.key.as_deref().unwrap()] {
            assert!(world.caller(Some(old)).get("/api/v1/sessions").await.status == 200, "it is good where it was made");
            assert_eq!(second.caller(Some(old)).get("/api/v1/sessions").await.status, 401);
            assert_eq!(second.caller(Some(old)).get(super::SESSIONS).await.status, 401);
        }
        let body = json!({ "verify-token": mailed, "new-password": "something else" }).to_string();
        let path = format!("{AUTH}/password-restore-verify");
        assert_eq!(second.caller(None).call_with("POST", &path, &body).await.status, 401);
        // The password is unchanged: it signs in again, and the old session is not among the open ones.
        let again = second.sign_in("ana@example.com").await;
        assert_eq!((again.sessions().await, ana.sessions().await), (1, 1));
        assert!(!world.caller(again.key.as_deref()).is_good().await, "and its token opens nothing elsewhere");
        let system = store::System::for_background_jobs();
        let ended = second.store().count_restore_revocations(&system, Micros(world.app().now().0)).await.unwrap();
        assert_eq!((ended.logins, ended.keys), (1, 2));
        let proof = second.store().verify_audit(&system, None, None).await.unwrap().unwrap();
        assert!(proof.entries > 5);
    }

    async fn kept_keys_still_give_the_same_access(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let (ana, key) = (world.sign_in("ana@example.com").await, world.member(acme, Role::Admin).await);
        let (second, place) = restore(world, true).await;
        assert!(!second.caller(ana.key.as_deref()).is_good().await);
        assert_eq!(second.caller(key.key.as_deref()).get("/api/v1/sessions").await.status, 200);
        // The change feed of login sessions has an entry for each ended session.
        let people = store::System::for_background_jobs().grant(domain::ids::OrganizationId::PEOPLE);
        let feed = second.store().list_changes(&people, 0, 100).await.unwrap();
        assert_eq!(format!("{feed:?}").matches("Ended").count(), 1, "{feed:?}");
        store::Database::open(&place.url, OpenMode::Existing, 0).await.unwrap().close().await;
    }
}
