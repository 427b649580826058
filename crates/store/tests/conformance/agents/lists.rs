//! Agent sessions by their keys.

use crate::agents::world::{create, given};
use crate::world::{NOW, organization, system, viewer};
use domain::agent::AgentSession;
use domain::ids::SessionId;
use domain::session::{SessionKey, SessionKind};
use domain::time::Span;
use store::{LoadedSessions, Store};

fn key(session: &AgentSession) -> SessionKey {
    SessionKey { organization: session.organization, kind: SessionKind::Agent, id: session.id }
}

both! {
    async fn sessions_are_loaded_by_their_keys(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (other, other_owner) = organization(&store).await;
        let mut sessions = Vec::new();
        for second in 0..5 {
            let at = NOW + Span::seconds(second);
            sessions.push(create(&store, acme, given(owner), None, at).await.into_session());
            // Two organizations may have sessions of one time.
            sessions.push(create(&store, other, given(other_owner), None, at).await.into_session());
        }
        sessions.sort_by_key(|session| std::cmp::Reverse(session.id));
        let own = sessions.iter().filter(|session| session.organization == acme).cloned().collect::<Vec<_>>();
        let missing = SessionId::new(NOW + Span(7), 7);
        let ids = own.iter().rev().map(|session| session.id).chain([missing]).collect::<Vec<_>>();
        let loaded = store.load_agent_sessions(&viewer(acme), &ids).await.unwrap();
        assert_eq!(loaded, LoadedSessions { items: own.clone(), found: 5 });
        let foreign = sessions.iter().find(|session| session.organization == other).unwrap();
        let nothing = LoadedSessions { items: vec![], found: 0 };
        assert_eq!(store.load_agent_sessions(&viewer(acme), &[missing]).await.unwrap(), nothing);
        let by_foreign_id = store.load_agent_sessions(&viewer(acme), &[foreign.id]).await.unwrap().items;
        assert!(by_foreign_id.iter().all(|session| session.organization == acme));

        let keys = sessions.iter().map(key).collect::<Vec<_>>();
        let loaded = store.load_account_agent_sessions(&system().grant_account(), &keys).await.unwrap();
        assert_eq!(loaded, LoadedSessions { items: sessions.clone(), found: 10 });
        let one = store.load_account_agent_sessions(&system().grant_account(), &keys[3..4]).await.unwrap();
        assert_eq!(one, LoadedSessions { items: sessions[3..4].to_vec(), found: 1 });
    }
}
