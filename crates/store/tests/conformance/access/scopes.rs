//! Grants write nothing of another organization or person, whatever the values that they get name.

use crate::agents::world::{create, given, moment};
use crate::logins::sessions::login;
use crate::world::{NOW, bytes, organization, system, user};
use domain::agent::{AgentCommand, AgentSession, decide};
use domain::credential::SecretHash;
use domain::ids::{FileId, InvitationId, random_tail};
use domain::invitation::Invitation;
use domain::login::Method;
use domain::permission::Role;
use domain::time::Span;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use store::access::ManageMembers;
use store::{Error, FileKind, LoginExpectations, NewAgentSession, NewFile, Store};

/// Whether a write ends because its grant is for another organization.
async fn panics<T>(write: impl Future<Output = T>) -> bool {
    let Err(panic) = AssertUnwindSafe(write).catch_unwind().await else { return false };
    panic.downcast_ref::<String>().is_some_and(|text| text.contains("for its own organization only"))
}

both! {
    async fn a_grant_writes_nothing_of_another_organization(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((acme, owner), (globex, _)) = (organization(&store).await, organization(&store).await);
        let file = NewFile {
            id: FileId::new(NOW, bytes()),
            principal: owner,
            kind: FileKind::Attachment,
            name: "a.txt".into(),
            size: 1,
            token_hash: [1; 32],
            created: NOW,
            expires: NOW + Span::minutes(60),
        };
        store.announce_file(&user(acme), &file, 100).await.unwrap();
        let known = store.load_file(&user(acme), file.id, NOW).await.unwrap();
        assert!(panics(store.complete_attachment(&user(globex), &known, 1, NOW)).await);
        assert!(!store.load_file(&user(acme), file.id, NOW).await.unwrap().complete);

        let parent = create(&store, acme, given(owner), None, NOW).await;
        let foreign = user(globex);
        let birth = |id| {
            let session = AgentSession::new(globex, id, given(owner));
            let changes = decide(&session, foreign.actor(), AgentCommand::Start, &moment(NOW))?;
            let of_parent = decide(&parent, foreign.actor(), AgentCommand::AddChild(id), &moment(NOW))?;
            Ok(NewAgentSession { session, changes, parent: Some((parent.clone(), of_parent)), secrets: vec![] })
        };
        assert!(panics(store.create_agent_session(&foreign, NOW, random_tail(bytes()), birth)).await);

        let invitation = Invitation {
            id: InvitationId::new(NOW, bytes()),
            organization: acme,
            email: "somebody@example.com".into(),
            role: Role::Admin,
            inviter: owner,
            created: NOW,
            expires: file.expires,
        };
        let foreign = system().grant::<ManageMembers>(globex);
        assert!(panics(store.create_invitation(&foreign, &invitation)).await);
    }

    async fn a_grant_writes_nothing_of_another_person(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let ((_, one), (_, other)) = (organization(&store).await, organization(&store).await);
        let session = login(other, NOW);
        let session = store
            .open_login(&system(), session, &SecretHash([7; 32]), &LoginExpectations::default())
            .await
            .unwrap();
        let own = system().grant_person(one);
        store.propose_second_factor(&own, b"sealed", NOW).await.unwrap();
        let factor = store.load_second_factor(&own).await.unwrap().unwrap();
        let confirmed = store.confirm_second_factor(&own, &factor, 1, &[], Some(&session), NOW).await;
        assert!(matches!(confirmed, Err(Error::Stale)), "{confirmed:?}");
        assert_eq!(store.load_second_factor(&own).await.unwrap().unwrap().confirmed, None);
        let again = store.record_reauthentication(&own, &session, vec![Method::Password], NOW).await;
        assert!(matches!(again, Err(Error::Stale)), "{again:?}");
        assert_eq!(store.list_open_logins(&system(), other).await.unwrap(), [session]);
    }
}
