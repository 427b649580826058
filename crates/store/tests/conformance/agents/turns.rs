//! Claims of turns, expired leases, usage, and what is stored beside sessions.

use crate::agents::world::{act, act_within, claim, create, given, report, spent};
use crate::world::{NOW, organization, system, user, viewer};
use domain::agent::{Acus, AgentCommand, WorkDemand};
use domain::ids::OrganizationId;
use domain::refusal::{Refusal, Thing};
use domain::session::SessionKey;
use domain::time::{Micros, Span};
use serde_json::json;
use store::{
    Attribution, AuditEntry, CycleLimit, Error, IdempotencyScope, IdempotencyState, LoadedAgentSession,
    NewAuditEntry, Store, StoredResponse,
};

async fn candidates(store: &Store, agents: Option<&[&str]>, limit: u32) -> Vec<SessionKey> {
    let agents = agents.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    store.list_claim_candidates(&system(), None, agents.as_deref(), limit).await.unwrap()
}

/// Claims the first candidate and records its organization, as a worker does.
async fn work(store: &Store, now: Micros) -> Option<OrganizationId> {
    let key = candidates(store, None, 1).await.pop()?;
    let session = store.load_agent_session(&viewer(key.organization), key.id).await.unwrap();
    act(store, &session, claim(), now).await.unwrap();
    store.record_served_organization(&system(), key.organization).await.unwrap();
    Some(key.organization)
}

fn limit(acus: i64, crossed: bool) -> Option<CycleLimit> {
    let (from_day, until_day) = domain::agent::cycle_days(NOW);
    Some(CycleLimit { limit: Acus::whole(acus), from_day, until_day, crossed })
}

async fn working(
    store: &Store,
    organization: OrganizationId,
    owner: domain::ids::PrincipalId,
) -> LoadedAgentSession {
    let session = create(store, organization, given(owner), Some("go"), NOW).await;
    act(store, &session, claim(), NOW).await.unwrap()
}

both! {
    async fn the_least_recently_served_organization_is_next_and_in_it_the_oldest(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let mut organizations = Vec::new();
        // One organization with many turns, and two with few.
        for count in [6, 2, 1] {
            let (id, owner) = organization(&store).await;
            let mut ids = Vec::new();
            for number in 0..count {
                ids.push(create(&store, id, given(owner), Some("go"), NOW + Span::seconds(number)).await.id);
            }
            organizations.push((id, ids));
        }
        let first = candidates(&store, None, 100).await;
        assert_eq!(first.len(), 9);
        let heads = first.iter().take(3).map(|key| key.id).collect::<Vec<_>>();
        assert!(organizations.iter().all(|(_, ids)| heads.contains(&ids[0])), "one of each before a second of any");
        for (id, ids) in &organizations {
            let of = first.iter().filter(|key| key.organization == *id).map(|key| key.id).collect::<Vec<_>>();
            assert_eq!(of, *ids, "the oldest first");
            let only = store.list_claim_candidates(&system(), Some(*id), None, 2).await.unwrap();
            assert_eq!(only.iter().map(|key| key.id).collect::<Vec<_>>(), ids[..ids.len().min(2)]);
        }
        let mut served = Vec::new();
        while let Some(organization) = work(&store, NOW).await {
            served.push(organizations.iter().position(|(id, _)| *id == organization).unwrap());
        }
        assert_eq!(served.len(), 9);
        let places = |who| served.iter().enumerate().filter(|(_, is)| **is == who).map(|(at, _)| at).collect::<Vec<_>>();
        assert!(places(2)[0] < 3 && places(1)[0] < 3 && places(0)[0] < 3, "{served:?}");
        assert!(places(1)[1] < 5, "{served:?}");
    }

    async fn workers_claim_by_the_names_of_agents(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, outsider) = organization(&store).await;
        for (organization, owner, name) in [(acme, owner, "a%"), (acme, owner, "ab"), (globex, outsider, "A%")] {
            let mut new = given(owner);
            new.agent_name = name.into();
            create(&store, organization, new, Some("go"), NOW).await;
        }
        for (names, count) in [
            (vec!["a%"], 1),
            (vec!["ab", "a%"], 2),
            (vec!["A%"], 1),
            (vec!["a"], 0),
            (vec!["a_"], 0),
            (vec![], 0),
        ] {
            assert_eq!(candidates(&store, Some(&names), 9).await.len(), count, "{names:?}");
        }
        store.delete_organization(&system(), acme, NOW).await.unwrap();
        assert_eq!(candidates(&store, None, 9).await.len(), 1, "nobody works for a deleted organization");
    }

    async fn a_turn_is_claimed_once(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let session = create(&store, acme, given(owner), Some("go"), NOW).await;
        assert_eq!(session.work_demand(), WorkDemand::Waiting);
        let claims = (0..8).map(|_| act(&store, &session, claim(), NOW));
        let claims = futures_util::future::join_all(claims).await;
        assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1);
        assert!(claims.iter().all(|claim| matches!(claim, Ok(_) | Err(Error::Stale))));
        assert!(candidates(&store, None, 9).await.is_empty());
        let idle = create(&store, acme, given(owner), None, NOW).await;
        assert_eq!(idle.work_demand(), WorkDemand::None);
        assert!(candidates(&store, None, 9).await.is_empty());
    }

    async fn a_heartbeat_moves_the_lease_and_no_revision(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let session = working(&store, acme, owner).await;
        let fence = session.turn.as_ref().unwrap().fence;
        let later = NOW + Span::minutes(5);
        let renew = async |fence, until| store.renew_lease(&system().grant(acme), session.id, fence, until).await.unwrap();
        assert!(store.list_expired_leases(&system(), NOW, 9).await.unwrap().is_empty());
        let due = NOW + Span::minutes(2);
        let expired = store.list_expired_leases(&system(), due, 9).await.unwrap();
        assert_eq!(expired.iter().map(|(key, fence)| (key.id, *fence)).collect::<Vec<_>>(), [(session.id, fence)]);
        assert!(renew(fence, later).await);
        assert!(!renew(fence + 1, later).await, "another claim's");
        assert!(renew(fence, NOW).await, "and it is not moved back");
        assert!(store.list_expired_leases(&system(), due, 9).await.unwrap().is_empty());
        let known = store.load_agent_session(&viewer(acme), session.id).await.unwrap();
        assert_eq!((known.revision, known.turn.as_ref().unwrap().lease), (session.revision, later));
        // A decision on the lease from before the heartbeat comes too late.
        let lost = act(&store, &session, AgentCommand::LoseLease { fence }, due).await;
        assert!(matches!(lost, Err(Error::Stale)), "{lost:?}");
        // And a change that has nothing to do with the lease does not move it back.
        let said = AgentCommand::Post(crate::agents::world::message(owner, "more"));
        act(&store, &session, said, NOW).await.unwrap();
        let known = store.load_agent_session(&viewer(acme), session.id).await.unwrap();
        assert_eq!(known.turn.as_ref().unwrap().lease, later);
        let lost = act(&store, &known, AgentCommand::LoseLease { fence }, later).await.unwrap();
        assert_eq!(lost.work_demand(), WorkDemand::Waiting);
        assert!(!renew(fence, later + Span::minutes(9)).await);
        assert_eq!(candidates(&store, None, 9).await.len(), 1);
    }

    async fn usage_is_summed_by_day_and_limited(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, outsider) = organization(&store).await;
        let acus = |acus| Some(Some(Acus::whole(acus)));
        store.set_organization_limits(&system(), acme, acus(5), acus(10), NOW).await.unwrap();
        store.set_organization_limits(&system(), acme, Some(None), None, NOW).await.unwrap();
        let session = working(&store, acme, owner).await;
        let spend = async |session: &LoadedAgentSession, spend, at, limit| {
            act_within(&store, session, report(session, vec![spent(spend)]), at, limit).await
        };
        let session = spend(&session, 4, NOW, limit(10, false)).await.unwrap();
        let session = spend(&session, 1, NOW + Span::minutes(24 * 60), limit(10, false)).await.unwrap();
        let stale = spend(&session, 5, NOW, limit(10, false)).await;
        assert!(matches!(stale, Err(Error::Stale)), "{stale:?}");
        let session = spend(&session, 4, NOW, limit(10, false)).await.unwrap();
        let session = spend(&session, 4, NOW, limit(10, true)).await.unwrap();
        let other = working(&store, globex, outsider).await;
        spend(&other, 7, NOW, None).await.unwrap();
        let limits = store.load_organization_limits(&user(acme), NOW).await.unwrap();
        assert_eq!((limits.max_session_acus, limits.max_cycle_acus), (None, Some(Acus::whole(10))));
        assert_eq!((limits.cycle_used, session.usage.acus), (Acus::whole(13), Acus::whole(13)));
        let next = store.load_organization_limits(&user(acme), NOW + Span::minutes(60 * 24 * 40)).await.unwrap();
        assert_eq!(next.cycle_used, Acus(0), "another cycle");
        let day = domain::agent::day(NOW);
        let days = store.list_usage_days(&system().grant(acme), day, day + 2).await.unwrap();
        let told = |days: &[store::UsageDay]| {
            days.iter().map(|day| (day.day, day.usage.acus.0 / 1_000_000, day.usage.input_tokens, day.sessions)).collect::<Vec<_>>()
        };
        assert_eq!(told(&days), [(day, 12, 30, 1), (day + 1, 1, 10, 1)]);
        let everybody = store.list_account_usage_days(&system().grant_account(), None, day, day + 1).await.unwrap();
        assert_eq!(everybody.len(), 2);
        let one = store.list_account_usage_days(&system().grant_account(), Some(&[globex]), day, day + 9).await.unwrap();
        assert_eq!(told(&one), [(day, 7, 10, 1)]);
        let nowhere = store.set_organization_limits(&system(), OrganizationId::ACCOUNT, None, None, NOW).await;
        assert!(matches!(nowhere, Err(Error::Refused(Refusal::NotFound(Thing::Organization)))));
    }

    async fn a_repeated_request_is_recognized_by_its_key(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, _) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let scope = IdempotencyScope::new(&user(acme), "everruns", "/v1/sessions", "k");
        let (digest, expires) = ([1; 32], NOW + Span::minutes(60));
        let begin = async |scope: &IdempotencyScope, at| store.begin_idempotent_request(scope, digest, at, expires).await.unwrap();
        assert_eq!(begin(&scope, NOW).await, IdempotencyState::New);
        let answer = StoredResponse { status: 201, headers: "{}".into(), body: vec![0, 255], authority: [3; 32] };
        assert_eq!(begin(&scope, NOW).await, IdempotencyState::Repeated { digest, response: None, started: NOW });
        store.finish_idempotent_request(&scope, &answer).await.unwrap();
        store.abandon_idempotent_request(&scope).await.unwrap();
        let held = IdempotencyState::Repeated { digest, response: Some(answer.clone()), started: NOW };
        assert_eq!(begin(&scope, NOW + Span::minutes(59)).await, held, "what is answered is not forgotten");
        for other in [
            IdempotencyScope::new(&user(globex), "everruns", "/v1/sessions", "k"),
            IdempotencyScope::new(&user(acme), "devin", "/v1/sessions", "k"),
            IdempotencyScope::new(&user(acme), "everruns", "/v1/sessionsk", ""),
        ] {
            assert_eq!(begin(&other, NOW).await, IdempotencyState::New, "{other:?}");
            store.abandon_idempotent_request(&other).await.unwrap();
            assert_eq!(begin(&other, NOW).await, IdempotencyState::New, "{other:?}");
        }
        let again = store.begin_idempotent_request(&scope, digest, expires, expires + Span(1)).await.unwrap();
        assert_eq!(again, IdempotencyState::New, "after it expired it is the first again");
        let at_once = IdempotencyScope::new(&user(acme), "w", "p", "race");
        let begun = futures_util::future::join_all((0..8).map(|_| begin(&at_once, NOW))).await;
        assert_eq!(begun.iter().filter(|begun| **begun == IdempotencyState::New).count(), 1);
        store.prune_idempotency(&system(), expires + Span::minutes(1)).await.unwrap();
        assert_eq!(begin(&scope, NOW).await, IdempotencyState::New);
    }

    async fn entries_are_numbered_and_paged(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        let (globex, _) = organization(&store).await;
        let mut noted = Vec::new();
        for (number, organization) in [Some(acme), None, Some(globex), Some(acme)].into_iter().enumerate() {
            let entry = NewAuditEntry {
                at: NOW,
                organization,
                attribution: Attribution { principal: (number > 0).then_some(owner), ..Attribution::TENURE },
                action: "member.set".into(),
                was: None,
                thing: number.to_string(),
                details: json!({ "role": "admin" }),
            };
            store.record_audit_entry(&system(), &entry).await.unwrap();
            // After the two organizations and their members.
            noted.push(AuditEntry { sequence: number as i64 + 5, content: entry });
        }
        noted.reverse();
        let first = store.list_audit_entries(&system().grant(acme), None, 1).await.unwrap();
        assert_eq!((first.items.as_slice(), first.more), (&noted[..1], true));
        let rest = store.list_audit_entries(&system().grant(acme), Some(8), 9).await.unwrap();
        assert_eq!((rest.items.len(), &rest.items[0], rest.more), (2, &noted[3], false));
        let all = store.list_account_audit_entries(&system().grant_account(), None, 3).await.unwrap();
        assert_eq!((all.items.as_slice(), all.more), (&noted[..3], true));
        let rest = store.list_account_audit_entries(&system().grant_account(), Some(6), 9).await.unwrap();
        assert_eq!((rest.items.len(), &rest.items[0], rest.more), (5, &noted[3], false));
    }
}
