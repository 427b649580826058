//! What is said of commits. `feed.rs` checks every kind of change.

use super::mirror::Mirror;
use crate::agents::world::{act, create as create_agent, given};
use crate::world::{NOW, create, organization, system};
use domain::agent::AgentCommand;
use domain::device::DeviceSession;
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::time::Span;
use std::time::Duration;
use store::testing::{TestDatabase, fresh_postgres, fresh_sqlite, raw};
use store::{Store, Topic};
use tokio::time::timeout;

async fn tag(store: &Store, session: &store::LoadedAgentSession, tag: &str) -> store::LoadedAgentSession {
    act(store, session, AgentCommand::SetTags(vec![tag.into()]), NOW).await.unwrap()
}

/// Imports a session of last year, whose entry of the change feed is as old.
async fn import_old(store: &Store, organization: OrganizationId, owner: PrincipalId) {
    let id = SessionId::new(NOW - Span::minutes(500_000), 5);
    let session = DeviceSession::new(organization, id, owner);
    store.import_device_session(&system(), session).await.unwrap();
}

both! {
    async fn what_another_process_commits_is_followed(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let other = Store::new(db.open_again().await);
        let [(organization, owner), (new, maker)] = [organization(&store).await, organization(&store).await];
        let session = create_agent(&store, organization, given(owner), None, NOW).await;
        let mirror = Mirror::start(&store).await;
        let mut commits = store.database().watch([Topic::AnyFeed]);
        let tagged = tag(&other, &session, "from the other").await;
        // A wake-up may still be of the commits before.
        while mirror.get(session.summary().key) != Some(tagged.summary()) {
            assert!(timeout(Duration::from_secs(20), commits.wait_for_commit()).await.unwrap());
            assert!(!mirror.follow().await);
        }
        mirror.check().await;
        // An own commit brings what others committed before it, too.
        tag(&other, &tagged, "again").await;
        create(&store, organization, owner, NOW).await;
        mirror.check().await;
        create(&other, new, maker, NOW).await;
        other.delete_organization(&system(), new, NOW).await.unwrap();
        create(&store, organization, owner, NOW).await;
        mirror.check().await;
        assert_eq!(mirror.deleted(), [new].into());
        other.database().close().await;
    }

    async fn a_refused_batch_brings_nothing(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (organization, owner) = organization(&store).await;
        let stale = create_agent(&store, organization, given(owner), None, NOW).await;
        let current = tag(&store, &stale, "kept").await;
        let sessions = futures_util::future::join_all((0..20).map(|number| {
            create_agent(&store, organization, given(owner), None, NOW + Span::seconds(number))
        }))
        .await;
        let mirror = Mirror::start(&store).await;
        let refused = act(&store, &stale, AgentCommand::SetTags(vec!["refused".into()]), NOW);
        assert!(refused.await.is_err());
        assert!(!mirror.follow().await);
        assert_eq!(mirror.take_applied(), 0, "nothing was committed");
        // All are in the writer's queue together.
        let changes = sessions.iter().enumerate().map(|(number, session)| {
            let store = &store;
            let stale = &stale;
            async move {
                let tags = AgentCommand::SetTags(vec![number.to_string()]);
                let session = if number % 3 == 0 { stale } else { session };
                act(store, session, tags, NOW).await.is_ok()
            }
        });
        let kept = futures_util::future::join_all(changes).await;
        assert_eq!(kept, (0..20).map(|number| number % 3 != 0).collect::<Vec<_>>());
        mirror.check().await;
        assert_eq!(mirror.get(stale.summary().key), Some(current.summary()));
    }

    async fn entries_that_were_seen_may_be_pruned(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (organization, owner) = organization(&store).await;
        let mirror = Mirror::start(&store).await;
        for _ in 0..3 {
            import_old(&store, organization, owner).await;
            mirror.check().await;
            store.prune_changes(&system(), NOW).await.unwrap();
            mirror.check().await;
        }
    }

    async fn a_batch_that_writes_many_entries_is_followed(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (organization, owner) = organization(&store).await;
        let mirror = Mirror::start(&store).await;
        let imports = (0..30).map(|number| {
            let id = SessionId::new(NOW + Span::seconds(number), 5);
            let session = DeviceSession::new(organization, id, owner);
            let store = &store;
            async move { store.import_device_session(&system(), session).await.unwrap() }
        });
        futures_util::future::join_all(imports).await;
        mirror.check().await;
    }
}

/// Two organizations with a session each, and a copy of both.
async fn two_sessions(db: &TestDatabase) -> (Store, Mirror, [(OrganizationId, PrincipalId); 2]) {
    let store = Store::new(db.database.clone());
    let both = [organization(&store).await, organization(&store).await];
    for (organization, owner) in both {
        create_agent(&store, organization, given(owner), None, NOW).await;
    }
    let mirror = Mirror::start(&store).await;
    (store, mirror, both)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_was_pruned_unseen_in_sqlite_needs_a_reload() {
    let db = fresh_sqlite().await;
    let (store, mirror, [(first, owner), (second, _)]) = two_sessions(&db).await;
    // Another process has written an entry and pruned it, and the writer has not looked in between.
    let id = second.0.simple();
    let pruned = format!(
        "UPDATE counters SET sequence = sequence + 1, pruned = sequence + 1 WHERE organization = X'{id}';
         UPDATE agent_sessions SET revision = revision + 1, state = 'error' WHERE organization = X'{id}'"
    );
    raw(&db.url, &pruned).await.unwrap();
    create(&store, first, owner, NOW).await;
    assert!(mirror.follow().await, "all must be loaded again");
    mirror.load().await;
    create(&store, first, owner, NOW).await;
    create_agent(&store, second, given(owner), None, NOW).await;
    mirror.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_was_pruned_unseen_in_postgres_needs_a_reload() {
    let Some(db) = fresh_postgres().await else { return };
    let (store, mirror, [(first, owner), (second, _)]) = two_sessions(&db).await;
    import_old(&store, second, owner).await;
    create(&store, first, owner, NOW).await;
    store.prune_changes(&system(), NOW + Span::minutes(1)).await.unwrap();
    assert!(mirror.follow().await, "all must be loaded again");
    mirror.load().await;
    create(&store, first, owner, NOW).await;
    mirror.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_commits_after_a_look_is_not_missed() {
    let Some(db) = fresh_postgres().await else { return };
    let (store, mirror, [(first, owner), (second, _)]) = two_sessions(&db).await;
    let (client, connection) = tokio_postgres::connect(&db.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for (number, end) in ["COMMIT", "ROLLBACK", "COMMIT"].into_iter().enumerate() {
        let change = format!(
            "BEGIN;
             UPDATE counters SET sequence = sequence + 1 WHERE organization = '{0}';
             SAVEPOINT inner_transaction;
             UPDATE agent_sessions SET revision = revision + 1, labels = '{{}}', updated_us = {number} WHERE organization = '{0}';
             UPDATE agent_bodies SET body = jsonb_set(jsonb_set(body::jsonb, '{{updated}}', '{number}'), '{{revision}}',
                 to_jsonb((body::jsonb ->> 'revision')::int + 1)) WHERE organization = '{0}';
             INSERT INTO changes (organization, sequence, kind, session_us, session_tail, revision, what, at_us)
             SELECT organization, (SELECT sequence FROM counters c WHERE c.organization = s.organization), 'agent',
                    created_us, tail, revision, 'changed', 0 FROM agent_sessions s WHERE organization = '{0}'",
            second.0
        );
        client.batch_execute(&change).await.unwrap();
        // Later transactions are committed before it.
        for _ in 0..3 {
            create(&store, first, owner, NOW).await;
            mirror.check().await;
        }
        mirror.take_applied();
        client.batch_execute(end).await.unwrap();
        mirror.check().await;
        assert_eq!(mirror.take_applied(), usize::from(end == "COMMIT"));
        mirror.check().await;
        assert_eq!(mirror.take_applied(), 0, "it comes once");
    }
}

/// A transaction elsewhere that stays open for long must not make every pruning look like a loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_open_transaction_does_not_hide_what_was_seen() {
    let Some(db) = fresh_postgres().await else { return };
    let (store, mirror, [(first, owner), _]) = two_sessions(&db).await;
    let (client, connection) = tokio_postgres::connect(&db.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    for _ in 0..2 {
        import_old(&store, first, owner).await;
        mirror.check().await;
        store.prune_changes(&system(), NOW + Span::minutes(1)).await.unwrap();
        mirror.check().await;
    }
    client.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_from_another_cluster_are_not_new_at_every_look() {
    let Some(db) = fresh_postgres().await else { return };
    let (store, mirror, [(first, owner), _]) = two_sessions(&db).await;
    // A restored dump may have numbers of transactions that this cluster has not reached.
    raw(&db.url, "UPDATE changes SET tx = '1000000000'").await.unwrap();
    for _ in 0..3 {
        mirror.check().await;
        assert_eq!(mirror.take_applied(), 0);
    }
    create(&store, first, owner, NOW).await;
    mirror.check().await;
    assert_eq!(mirror.take_applied(), 1);
    import_old(&store, first, owner).await;
    store.prune_changes(&system(), NOW + Span::minutes(1)).await.unwrap();
    assert!(mirror.follow().await, "an entry of this cluster was pruned unseen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_database_says_in_its_own_way_what_was_committed() {
    let Some(db) = fresh_postgres().await else { return };
    let (store, mirror, _) = two_sessions(&db).await;
    let observer = std::sync::Arc::new(mirror.copy.clone());
    assert!(store.observe_commits(&system(), observer).await.is_err());
}
