//! The audit log: entries are written with the change they record, cannot be changed, and a change is detected.

use crate::world::{NOW, bytes, organization, system};
use domain::agent::Acus;
use domain::credential::{Credential, KeySecret, SecretHash, Wire};
use domain::device_login::{DeviceLogin, DeviceLoginState};
use domain::ids::{CredentialId, InvitationId, OrganizationId, PrincipalId};
use domain::invitation::Invitation;
use domain::login::Origin;
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::session::{EndReason, Ending};
use domain::time::{Micros, Span};
use serde_json::json;
use store::testing::{TestDatabase, raw};
use store::{ApiKey, Attribution, AuditEntry, AuditProof, BrokenEntry, NewAuditEntry, NewPassword, Store};

/// Removes the triggers that protect entries, as someone with access to the database could.
async fn disarm(db: &TestDatabase) {
    let sql = match db.kind() {
        "sqlite" => {
            "DROP TRIGGER audit_not_changed; DROP TRIGGER audit_not_deleted; DROP TRIGGER audit_in_order"
        }
        _ => "ALTER TABLE audit DISABLE TRIGGER ALL",
    };
    raw(&db.url, sql).await.unwrap();
}

async fn verify(store: &Store) -> Result<AuditProof, BrokenEntry> {
    store.verify_audit(&system(), None, None).await.unwrap()
}

fn note(number: usize) -> NewAuditEntry {
    let by = Attribution {
        principal: Some(PrincipalId::new(NOW, bytes())),
        credential: Some(CredentialId::new(NOW, bytes())),
        address: Some("2001:db8::7".parse().unwrap()),
        login: Some(domain::ids::SessionId::new(NOW, 7)),
        idempotency: None,
    };
    let line = NewAuditEntry::new(by, "member.set", number, json!({ "role": "admin" }), NOW);
    line.with_organization(Some(OrganizationId::new(NOW, bytes()))).with_previous(json!({ "role": null }))
}

async fn lines(store: &Store) -> Vec<AuditEntry> {
    let mut lines =
        store.list_account_audit_entries(&system().grant_account(), None, 1000).await.unwrap().items;
    lines.reverse();
    lines
}

/// The content of entries, one per line.
fn describe(lines: &[AuditEntry]) -> String {
    let texts = lines.iter().map(|AuditEntry { content, .. }| {
        let was = content.was.as_ref().map(|was| format!(" instead of {was}")).unwrap_or_default();
        format!("{} {}{was}", content.action, content.details)
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn revoked() -> Ending {
    Ending { reason: EndReason::Revoked, actor: None, evidence: "e".into() }
}

/// A changed value for each column, for each database.
fn changes(kind: &str) -> Vec<String> {
    let (id, hash) = match kind {
        "sqlite" => ("X'0192f3a4000070008000000000000009'", "zeroblob(32)"),
        _ => ("'0192f3a4-0000-7000-8000-000000000009'", "decode(repeat('00', 32), 'hex')"),
    };
    let mut changes: Vec<String> = ["organization", "principal", "credential", "login"]
        .map(|column| format!("{column} = {id}"))
        .to_vec();
    changes.extend(
        ["action", "thing", "details", "address", "was"].map(|column| format!("{column} = {column} || ' '")),
    );
    changes.extend(
        ["principal", "credential", "login", "address", "was", "hash", "previous"]
            .map(|column| format!("{column} = NULL")),
    );
    changes.extend([
        "at_us = at_us + 1".into(),
        "was = details, details = was".into(),
        "details = '{}'".into(),
    ]);
    changes.push(format!("hash = {hash}"));
    changes
}

both! {
    async fn every_change_of_an_entry_is_detected(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        for number in 1..=5 {
            store.record_audit_entry(&system(), &note(number)).await.unwrap();
        }
        let proof = verify(&store).await.unwrap();
        assert_eq!((proof.entries, proof.unchained), (5, 0));
        let head = proof.head.unwrap();
        assert_eq!(store.load_audit_head(&system()).await.unwrap(), Some(head));
        disarm(db).await;
        raw(&db.url, "CREATE TABLE audit_copy AS SELECT * FROM audit").await.unwrap();
        let restore = "DELETE FROM audit; INSERT INTO audit SELECT * FROM audit_copy";
        for change in changes(db.kind()) {
            for line in 1..=5 {
                raw(&db.url, &format!("UPDATE audit SET {change} WHERE sequence = {line}")).await.unwrap();
                let broken = verify(&store).await.expect_err(&change);
                assert_eq!(broken.sequence, line, "{change}: {}", broken.problem);
                raw(&db.url, restore).await.unwrap();
            }
        }
        let zeros = if db.kind() == "sqlite" { "zeroblob(32)" } else { "decode(repeat('00', 32), 'hex')" };
        for (change, line, why) in [
            ("DELETE FROM audit WHERE sequence = 1", 1, "is missing"),
            ("DELETE FROM audit WHERE sequence = 3", 3, "is missing"),
            ("DELETE FROM audit WHERE sequence = 3; UPDATE audit SET sequence = sequence - 1 WHERE sequence = 4;
              UPDATE audit SET sequence = 4 WHERE sequence = 5", 3, "does not follow"),
            ("UPDATE audit SET sequence = 9 WHERE sequence = 2; UPDATE audit SET sequence = 2 WHERE sequence = 3;
              UPDATE audit SET sequence = 3 WHERE sequence = 9", 2, "does not follow"),
            ("UPDATE audit SET sequence = 6 WHERE sequence = 5", 5, "is missing"),
            (&format!("UPDATE audit SET previous = {zeros} WHERE sequence = 2"), 2, "does not follow"),
        ] {
            raw(&db.url, change).await.unwrap();
            let broken = verify(&store).await.expect_err(change);
            assert!(broken.sequence == line && broken.problem.contains(why), "{change}: {broken:?}");
            raw(&db.url, restore).await.unwrap();
        }
        assert_eq!(verify(&store).await, Ok(proof));
        // Only a checkpoint detects entries that were cut off at the end, or a new chain.
        raw(&db.url, "DELETE FROM audit WHERE sequence >= 4").await.unwrap();
        assert_eq!(verify(&store).await.unwrap().entries, 3);
        let against = async |head| store.verify_audit(&system(), None, Some(head)).await.unwrap();
        let broken = against(head).await.unwrap_err();
        assert!(broken.sequence == 4 && broken.problem.contains("cut off"), "{broken:?}");
        for number in 6..=8 {
            store.record_audit_entry(&system(), &note(number)).await.unwrap();
        }
        assert_eq!(verify(&store).await.unwrap().entries, 6);
        let broken = against(head).await.unwrap_err();
        assert!(broken.sequence == 5 && broken.problem.contains("differs"), "{broken:?}");
        assert!(against(store.load_audit_head(&system()).await.unwrap().unwrap()).await.is_ok());
        // Checking only the last entries is faster, and trusts the entry before them.
        raw(&db.url, "UPDATE audit SET thing = 'x' WHERE sequence = 1").await.unwrap();
        assert_eq!(store.verify_audit(&system(), Some(3), None).await.unwrap().unwrap().entries, 3);
        assert!(store.verify_audit(&system(), Some(6), None).await.unwrap().is_err());
    }

    async fn the_database_refuses_to_change_entries(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        for number in 1..=2 {
            store.record_audit_entry(&system(), &note(number)).await.unwrap();
        }
        let columns = "organization, sequence, at_us, principal, action, thing, details, credential, login, address, was,
                       previous, hash";
        let again = columns.replace("sequence,", "9,");
        let unchained = columns.replace("hash", "NULL").replace("sequence,", "3,");
        let mut tries = vec![
            "UPDATE audit SET thing = 'x' WHERE sequence = 1".to_owned(),
            "UPDATE audit SET thing = thing".to_owned(),
            "DELETE FROM audit WHERE sequence = 2".to_owned(),
            format!("INSERT INTO audit ({columns}) SELECT {again} FROM audit WHERE sequence = 1"),
            format!("INSERT INTO audit ({columns}) SELECT {unchained} FROM audit WHERE sequence = 1"),
        ];
        tries.push(match db.kind() {
            "sqlite" => "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE sequence = 2".to_owned(),
            _ => "TRUNCATE audit".to_owned(),
        });
        for sql in tries {
            let error = raw(&db.url, &sql).await.expect_err(&sql);
            assert!(error.contains("of the audit log"), "{sql}: {error}");
        }
        assert_eq!(verify(&store).await.unwrap().entries, 2);
    }

    async fn many_at_once_make_one_chain(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let other = Store::new(db.open_again().await);
        let notes = (0..120).map(|number| {
            let store = if number % 2 == 0 { &store } else { &other };
            async move { store.record_audit_entry(&system(), &note(number)).await.unwrap() }
        });
        futures_util::future::join_all(notes).await;
        let proof = verify(&store).await.unwrap();
        assert_eq!((proof.entries, proof.head.unwrap().sequence), (120, 120));
        let mut things: Vec<usize> = lines(&store).await.iter().map(|line| line.content.thing.parse().unwrap()).collect();
        things.sort_unstable();
        assert!(things.into_iter().eq(0..120));
        other.database().close().await;
    }

    async fn changes_write_their_audit_entry(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let by = Attribution { principal: Some(PrincipalId::new(NOW, bytes())), ..Attribution::anonymous(Some("::1".parse().unwrap())) };
        let acting = system().attribute_to(by);
        let before = lines(&store).await.len();
        let id = OrganizationId::new(NOW, bytes());
        let mut new = Organization { id, name: "New".into(), created: NOW, deleted: None, max_devices: None };
        store.create_organization(&acting, &new).await.unwrap();
        new.id = OrganizationId::new(NOW, bytes());
        assert!(store.create_organization(&acting, &new).await.is_err(), "the name is taken, and nothing is noted");
        let ci = Principal {
            id: PrincipalId::new(NOW, bytes()), number: 0, kind: PrincipalKind::User, email: None,
            name: "ci".into(), state: PrincipalState::Active, created: NOW, account_role: None,
            default_organization: Some(id),
        };
        store.create_principal(&acting, &ci, None, Some((id, Role::Readonly))).await.unwrap();
        let secret = KeySecret::new(Wire::Tenure, [7; 28]);
        let key = Credential {
            organization: Some(id), name: "k".into(),
            ..Credential::new(&secret, Wire::Tenure, ci.id, NOW, bytes())
        };
        store.create_credential(&acting, &key, &secret.hash()).await.unwrap();
        store.set_member(&system().grant(id), ci.id, Role::Readwrite, NOW).await.unwrap();
        store.rename_organization(&acting, id, "Newer", NOW).await.unwrap();
        store.set_max_devices(&acting, id, Some(3), NOW).await.unwrap();
        store.set_organization_limits(&acting, id, None, Some(Some(Acus::whole(9))), NOW).await.unwrap();
        store.revoke_credential(&acting, key.id, NOW).await.unwrap();
        let over = acting.grant_person(ci.id);
        store.set_password(&over, &NewPassword { decided_on: None, hash: "hash of a password", revokes_keys: false }, None, &revoked(), NOW).await.unwrap();
        store.end_logins(&over, None, &revoked(), NOW).await.unwrap();
        store.set_principal_state(&acting, ci.id, PrincipalState::Suspended, NOW).await.unwrap();
        store.remove_member(&system().grant(id), ci.id, NOW).await.unwrap();
        store.set_principal_state(&acting, ci.id, PrincipalState::Deleted, NOW).await.unwrap();
        store.delete_organization(&acting, id, NOW).await.unwrap();
        assert!(store.delete_organization(&acting, id, NOW).await.is_err());
        assert!(store.remove_member(&system().grant(acme), ci.id, NOW).await.is_err());
        let noted = lines(&store).await.split_off(before);
        assert_eq!(describe(&noted), format!("\
organization.create {{\"name\":\"New\"}}
user.create {{\"email\":null,\"name\":\"ci\",\"role\":\"readonly\"}}
key.create {{\"expires_us\":null,\"name\":\"k\",\"of\":\"{0}\",\"scopes\":null,\"wire\":\"tenure\"}}
member.set {{\"role\":\"readwrite\"}} instead of {{\"role\":\"readonly\"}}
organization.update {{\"name\":\"Newer\"}} instead of {{\"name\":\"New\"}}
organization.update {{\"max_devices\":3}} instead of {{\"max_devices\":null}}
organization.update {{\"max_cycle_acus\":9.0,\"max_session_acus\":null}} instead of {{\"max_cycle_acus\":null,\"max_session_acus\":null}}
key.revoke {{\"of\":\"{0}\",\"revoked\":[\"{1}\"]}}
password.change {{}}
login.end_all {{\"but\":null,\"reason\":\"revoked\"}}
user.suspend {{\"state\":\"suspended\"}} instead of {{\"email\":null,\"name\":\"ci\",\"state\":\"active\"}}
member.remove {{}} instead of {{\"role\":\"readwrite\"}}
user.delete {{\"state\":\"deleted\"}} instead of {{\"email\":null,\"name\":\"ci\",\"state\":\"suspended\"}}
organization.delete {{}}", ci.id, key.id));
        let of_caller = noted.iter().filter(|noted| noted.content.attribution == by).count();
        // Actions with the system's own grants have no principal.
        assert_eq!((of_caller, noted.len()), (12, 14));
        assert_eq!(noted[1].content.organization, Some(id));
        verify(&store).await.unwrap();
        let since = store.export_audit(&system(), 0, NOW, Micros(NOW.0 + 1), 1000).await.unwrap();
        assert_eq!(since.len(), lines(&store).await.len());
        assert!(store.export_audit(&system(), 0, Micros(NOW.0 + 1), Micros(i64::MAX), 9).await.unwrap().is_empty());
    }
    async fn changes_by_people_write_their_audit_entry(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((acme, ana), (_, eve)) = (organization(&store).await, organization(&store).await);
        store.set_member(&system().grant(acme), ana, Role::Admin, NOW).await.unwrap();
        let by = Attribution { principal: Some(ana), ..Attribution::anonymous(Some("::1".parse().unwrap())) };
        let acting = system().attribute_to(by);
        let own = acting.grant_person(eve);
        let invitation = |number| Invitation {
            id: InvitationId::new(NOW, [number; 10]), organization: acme, email: format!("{eve}@example.com"),
            role: Role::Readonly, inviter: ana, created: NOW, expires: NOW + Span::minutes(1),
        };
        let before = lines(&store).await.len();
        for number in 0..3 {
            store.create_invitation(&acting.grant(acme), &invitation(number)).await.unwrap();
            assert!(store.create_invitation(&acting.grant(acme), &invitation(9)).await.is_err(), "nothing is noted");
            let id = invitation(number).id;
            match number {
                0 => store.cancel_invitation(&acting.grant(acme), id, NOW).await.unwrap(),
                1 => store.reject_invitation(&own, id, NOW).await.unwrap(),
                _ => store.accept_invitation(&own, id, NOW).await.unwrap(),
            }
            assert!(store.cancel_invitation(&acting.grant(acme), id, NOW).await.is_err());
        }
        store.change_role(&acting.grant(acme), eve, Role::Admin, NOW).await.unwrap();
        store.leave_organization(&own, acme, NOW).await.unwrap();
        assert!(store.leave_organization(&own, acme, NOW).await.is_err());
        let id = OrganizationId::new(NOW, bytes());
        let new = Organization { id, name: "Own".into(), created: NOW, deleted: None, max_devices: None };
        store.create_own_organization(&own, &new).await.unwrap();
        assert!(store.create_own_organization(&own, &new).await.is_err(), "the name is taken");
        store.end_selected_logins(&acting.grant_account(), &[], &revoked(), NOW).await.unwrap();
        assert_eq!(describe(&lines(&store).await.split_off(before)), format!("\
invitation.create {{\"email\":\"{eve}@example.com\",\"role\":\"readonly\"}}
invitation.cancel {{}}
invitation.create {{\"email\":\"{eve}@example.com\",\"role\":\"readonly\"}}
invitation.reject {{}}
invitation.create {{\"email\":\"{eve}@example.com\",\"role\":\"readonly\"}}
invitation.accept {{\"inviter\":\"{ana}\",\"role\":\"readonly\"}}
member.set {{\"role\":\"admin\"}} instead of {{\"role\":\"readonly\"}}
member.remove {{}} instead of {{\"role\":\"admin\"}}
organization.create {{\"name\":\"Own\"}}
login.end_found {{\"ended\":[],\"reason\":\"revoked\"}}"));
        assert!(lines(&store).await[before..].iter().all(|noted| noted.content.attribution == by));
    }

    async fn device_logins_write_their_audit_entry(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, ana) = organization(&store).await;
        let own = system().grant_person(ana);
        let session = crate::logins::sessions::opened(&store, ana).await;
        let before = lines(&store).await.len();
        for (number, code) in [(1, 2), (3, 4)].map(|(hash, code)| (SecretHash([hash; 32]), SecretHash([code; 32]))) {
            let asked = DeviceLogin {
                client: "cli".into(),
                origin: Origin { remote_ip: None, agent: String::new(), agent_type: String::new() },
                created: NOW, expires: NOW + Span::minutes(1), interval: Span(1), polled: None, state: DeviceLoginState::Pending,
            };
            store.create_device_login(&system(), &asked, &number, &code).await.unwrap();
            match number.0[0] {
                1 => store.approve_device_login(&system().grant(acme), &own, session, &code, NOW).await.unwrap(),
                _ => store.deny_device_login(&own, &code, NOW).await.unwrap(),
            }
            assert!(store.deny_device_login(&own, &code, NOW).await.is_err());
        }
        let key = Credential {
            organization: Some(acme), name: "cli".into(),
            ..Credential::new(&KeySecret::new(Wire::MobileNext, [8; 28]), Wire::MobileNext, ana, NOW, bytes())
        };
        let token = ApiKey { credential: key, scopes: None, updated: NOW, recoverable: None };
        let redeem = async || {
            store.redeem_device_login(&system(), &SecretHash([1; 32]), &token, &SecretHash([5; 32]), NOW).await
        };
        redeem().await.unwrap();
        assert!(redeem().await.is_err());
        assert_eq!(describe(&lines(&store).await.split_off(before)), format!("\
device_login.allow {{}}
device_login.deny {{}}
key.create {{\"expires_us\":null,\"name\":\"cli\",\"of\":\"{ana}\",\"scopes\":null,\"wire\":\"mobilenext\"}}"));
    }
}
