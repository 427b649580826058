//! What the summaries of all sessions must be.

use crate::world::{system, viewer};
use domain::session::{SessionKey, SessionKind, Summary};
use std::collections::HashMap;
use store::Store;

pub const KINDS: [SessionKind; 3] = [SessionKind::Device, SessionKind::Agent, SessionKind::Login];

/// All summaries, page by page.
pub async fn list_all(store: &Store, kind: SessionKind, limit: u32) -> Vec<Summary> {
    let mut all: Vec<Summary> = Vec::new();
    loop {
        let after = all.last().map(|last| last.key);
        let page = store.list_summaries(&system(), kind, after, limit).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// The summaries of all sessions, each from the session as it is loaded.
async fn expect_all(store: &Store, kind: SessionKind) -> Vec<Summary> {
    let principals = store.list_principals(&system()).await.unwrap();
    let kinds = principals.iter().map(|one| (one.id, one.kind)).collect::<HashMap<_, _>>();
    let mut expected = Vec::new();
    for organization in store.load_feed_positions(&system()).await.unwrap().into_keys() {
        let granted = viewer(organization);
        for (id, _) in store.list_session_revisions(&granted, kind, 10_000).await.unwrap() {
            expected.push(match kind {
                SessionKind::Agent => store.load_agent_session(&granted, id).await.unwrap().summary(),
                SessionKind::Device => {
                    let session = store.load_device_session(&granted, id).await.unwrap();
                    session.summary(kinds.get(&session.owner).copied())
                }
                SessionKind::Login => {
                    let mut owners = kinds.iter();
                    loop {
                        let (owner, kind) = owners.next().expect("somebody has the session");
                        let own = system().grant_person(*owner);
                        if let Ok(login) = store.load_login(&own, id).await {
                            break login.summary(Some(*kind));
                        }
                    }
                }
            });
        }
    }
    expected.sort_by_key(|summary| (summary.key.id, summary.key.organization));
    expected
}

/// Checks that all reads of summaries agree with the sessions. Returns the summaries.
pub async fn check_all(store: &Store) -> HashMap<SessionKey, Summary> {
    let mut all = HashMap::new();
    for kind in KINDS {
        let expected = expect_all(store, kind).await;
        assert_eq!(list_all(store, kind, 10_000).await, expected);
        all.extend(expected.into_iter().map(|summary| (summary.key, summary)));
    }
    let keys = all.keys().copied().collect::<Vec<_>>();
    let loaded = store.load_summaries(&system(), &keys).await.unwrap();
    assert_eq!(loaded, keys.iter().map(|key| all.get(key).cloned()).collect::<Vec<_>>());
    all
}
