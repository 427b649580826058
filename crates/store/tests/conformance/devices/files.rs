//! Files: the quota, and who can find one.

use crate::world::{NOW, bytes, organization, system, user};
use domain::Refusal;
use domain::ids::{FileId, PrincipalId};
use domain::refusal::Thing;
use domain::time::{Micros, Span};
use futures_util::future::join_all;
use store::{Error, FileKind, NewFile, Store};

fn file(principal: PrincipalId, size: u64, token: u8) -> NewFile {
    NewFile {
        id: FileId::new(NOW, bytes()),
        principal,
        kind: FileKind::Upload,
        name: "app.apk".into(),
        size,
        token_hash: [token; 32],
        created: NOW,
        expires: NOW + Span::minutes(60),
    }
}

both! {
    async fn the_quota_holds_also_under_concurrent_announcements(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, outsider) = organization(&store).await;
        let granted = user(acme);
        let announce = |token| {
            let (store, granted) = (&store, &granted);
            async move { store.announce_file(granted, &file(owner, 30, token), 100).await }
        };
        let outcomes = join_all((0..10).map(announce)).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
        let full = |error: &Error| matches!(error, Error::Refused(Refusal::QuotaExceeded { requested: 30, quota: 100, .. }));
        assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(full));
        assert_eq!(store.count_used_bytes(&granted).await.unwrap(), 90);
        store.announce_file(&granted, &file(owner, 10, 77), 100).await.unwrap();
        assert!(store.announce_file(&granted, &file(owner, 1, 78), 100).await.is_err(), "exactly full");
        assert!(store.announce_file(&granted, &file(owner, u64::MAX, 79), u64::MAX).await.is_err());
        store.announce_file(&user(globex), &file(outsider, 100, 80), 100).await.unwrap();
    }

    async fn a_file_is_found_by_its_organization_and_token_until_it_expires(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let new = file(owner, 30, 1);
        store.announce_file(&user(acme), &new, 100).await.unwrap();
        let known = store.load_file(&user(acme), new.id, NOW).await.unwrap();
        assert!(!known.complete && known.organization == acme && known.principal == owner);
        let missing = |outcome| matches!(outcome, Err(Error::Refused(Refusal::NotFound(Thing::File))));
        assert!(missing(store.load_file(&user(globex), new.id, NOW).await), "it is another organization's");
        assert!(missing(store.load_file_by_token([2; 32], NOW).await));
        assert_eq!(store.load_file_by_token([1; 32], NOW).await.unwrap(), known);
        store.complete_file(&known, 20).await.unwrap();
        assert_eq!(store.count_used_bytes(&user(acme)).await.unwrap(), 20);
        assert!(store.load_file_for_host(&system(), new.id, NOW).await.unwrap().complete);

        let gone = new.expires;
        assert!(store.list_expired_files(&system(), Micros(gone.0 - 1)).await.unwrap().is_empty());
        assert!(missing(store.load_file(&user(acme), new.id, gone).await));
        assert!(missing(store.load_file_by_token([1; 32], gone).await));
        assert!(missing(store.load_file_for_host(&system(), new.id, gone).await));
        let expired = store.list_expired_files(&system(), gone).await.unwrap();
        assert_eq!(expired.len(), 1);
        store.delete_file(&system(), &expired[0]).await.unwrap();
        assert_eq!(store.count_used_bytes(&user(acme)).await.unwrap(), 0);
        assert!(missing(store.complete_file(&known, 20).await.map(|()| known.clone())));
    }
}
