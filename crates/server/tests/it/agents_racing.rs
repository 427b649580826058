//! Agent sessions under concurrency: limits, workers, and repeated requests.

use crate::agents::{
    claim, create_session, create_with_message, draft, grant, messages, output, post_message, state,
    usage_report, worker_grant, worker_turn,
};
use crate::world::World;
use bytes::Bytes;
use domain::Refusal;
use domain::agent::{Acus, MessageSource, TurnEnding};
use domain::credential::Wire;
use domain::permission::{AccountRole, Permission, Role};
use domain::refusal::Thing;
use domain::time::Span;
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use server::failure::Failure;
use server::operations::access::authenticate;
use server::operations::access::service_users;
use server::operations::access::service_users::ServiceUserHome;
use server::operations::access::service_users::ServiceUserRole;
use server::operations::agents::attachments;
use server::operations::agents::create::AgentSessionDraft;
use server::operations::agents::turns;
use server::operations::agents::usage;
use server::operations::audit;
use server::operations::directory::administration;
use server::operations::idempotency;
use server::operations::idempotency::IdempotencyDecision;
use server::operations::idempotency::IdempotencyScope;
use server::operations::idempotency::StoredResponse;
use std::collections::HashMap;
use store::access::{UseSessions, ViewAudit, ViewSessions, ViewUsage};
use store::{OrganizationChoice, System};

async fn cycle_limit(world: &World, organization: domain::ids::OrganizationId, units: i64) {
    let system = System::for_administration();
    let limit = Some(Some(Acus::whole(units)));
    world
        .store()
        .set_organization_limits(&system, organization, None, limit, crate::world::START)
        .await
        .unwrap();
}

both! {
    async fn a_sessions_limit_holds_against_racing_reports(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let reach = worker_grant(&admin).await;
        let new = AgentSessionDraft { max_acus: Some(Acus::whole(5)), message: Some(draft("x")), ..AgentSessionDraft::default() };
        let session = create_session(&admin, new).await.unwrap();
        let turn = claim(world, &reach).await.unwrap();
        let app = world.app();
        // The same report sent many times at once counts once.
        let held_turn = worker_turn(&reach, &turn);
        let racing = (0..8).map(|_| turns::report_turn(app, &held_turn, usage_report(0, 2)));
        assert!(join_all(racing).await.iter().all(Result::is_ok));
        let racing = (0..3).map(|first| turns::report_turn(app, &held_turn, usage_report(first, 2)));
        for outcome in join_all(racing).await {
            assert!(matches!(outcome, Ok(_) | Err(Failure::Refused(Refusal::Invalid { .. }))), "{outcome:?}");
        }
        turns::report_turn(app, &worker_turn(&reach, &turn), usage_report(1, 2)).await.unwrap();
        let standing = turns::report_turn(app, &worker_turn(&reach, &turn), usage_report(2, 2)).await.unwrap();
        assert!(standing.cancelled, "the worker must stop");
        assert_eq!(state(&admin, session.id).await, "suspended.usage_limit_exceeded");
        let done = turns::finish_turn(app, &worker_turn(&reach, &turn), TurnEnding::Finished).await.unwrap();
        assert_eq!((done.state.name(), done.usage.acus), ("suspended.usage_limit_exceeded", Acus::whole(6)));
        assert_eq!(post_message(&admin, session.id, "more").await.state.name(), "suspended.usage_limit_exceeded");
        assert!(claim(world, &reach).await.is_none());
        let days = usage::list_usage_days(app, &grant::<ViewUsage>(&admin).await, 0, 100_000).await.unwrap();
        assert_eq!((days.len(), days[0].usage.acus, days[0].usage.input_tokens), (1, Acus::whole(6), 30));
    }

    async fn an_organizations_limit_holds_against_ten_sessions(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        cycle_limit(world, acme, 7).await;
        let reach = worker_grant(&admin).await;
        let mut turns = Vec::new();
        for n in 0..10 {
            create_with_message(&admin, &n.to_string()).await;
            turns.push(claim(world, &reach).await.unwrap());
        }
        let app = world.app();
        let all = turns.iter().map(|turn| worker_turn(&reach, turn)).collect::<Vec<_>>();
        let reports = all.iter().map(|turn| turns::report_turn(app, turn, usage_report(0, 1)));
        let outcomes = join_all(reports).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        let stopped = outcomes.iter().filter(|standing| standing.cancelled).count();
        assert_eq!(stopped, 4, "the seventh reaches the limit, and so do the three after it");
        for (turn, standing) in turns.iter().zip(outcomes) {
            let expected = if standing.cancelled { "suspended.org_usage_limit_exceeded" } else { "running.working" };
            assert_eq!(state(&admin, turn.session.id).await, expected);
        }
        let eleventh = create_with_message(&admin, "x").await;
        assert!(claim(world, &reach).await.is_none());
        assert_eq!(state(&admin, eleventh.id).await, "suspended.org_usage_limit_exceeded");
        // In the next month, a message continues it.
        world.advance(Span::minutes(60 * 24 * 31));
        assert_eq!(post_message(&admin, eleventh.id, "now?").await.state.name(), "resuming");
        assert_eq!(claim(world, &reach).await.unwrap().message.text, "x");
    }

    async fn every_message_is_answered_once(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let reach = worker_grant(&admin).await;
        let (sessions, each) = (6, 4);
        let asking = async {
            for _ in 0..sessions {
                let session = create_with_message(&admin, "1").await;
                for n in 2..=each {
                    post_message(&admin, session.id, &n.to_string()).await;
                }
            }
        };
        let working = (0..4).map(|_| async {
            let mut answered = 0;
            while let Some(turn) = claim(world, &reach).await {
                let text = format!("to {}", turn.message.text);
                turns::report_turn(world.app(), &worker_turn(&reach, &turn), output(0, &[&text])).await.unwrap();
                turns::finish_turn(world.app(), &worker_turn(&reach, &turn), TurnEnding::WaitingForUser).await.unwrap();
                answered += 1;
            }
            answered
        });
        asking.await;
        let answered: usize = join_all(working).await.into_iter().sum();
        assert_eq!(answered, sessions * each);
        let all = crate::agents::list_agent_sessions(world, &grant(&admin).await).await;
        assert_eq!(all.len(), sessions);
        for session in all {
            assert_eq!(session.state.name(), "running.waiting_for_user");
            let said = messages(&admin, session.id).await;
            let mut answers = HashMap::new();
            for message in said.iter().filter(|message| message.source == MessageSource::Agent) {
                let question = said.iter().find(|asked| Some(asked.sequence) == message.answers).unwrap();
                assert_eq!(message.text, format!("to {}", question.text));
                *answers.entry(question.sequence).or_insert(0) += 1;
            }
            assert_eq!((answers.len(), answers.values().all(|n| *n == 1)), (each, true));
            crate::agents::kinds(&admin, session.id).await;
        }
    }

    async fn a_repeated_request_gets_the_same_response(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let bob = world.member(acme, Role::Readwrite).await;
        let app = world.app();
        let granted = grant::<UseSessions>(&ana).await;
        let scope = || IdempotencyScope::new(&granted, "devin", "POST /sessions", "k1");
        let IdempotencyDecision::New(token) = idempotency::begin_idempotent_request(app, scope(), b"one", [1; 32]).await.unwrap() else { panic!() };
        let busy = idempotency::begin_idempotent_request(app, scope(), b"one", [1; 32]).await;
        assert!(matches!(busy, Err(Failure::Refused(Refusal::KeyBusy))));
        let response = StoredResponse { status: 200, headers: "{}".into(), body: b"done".to_vec(), authority: [1; 32] };
        idempotency::finish_idempotent_request(app, token, &response).await.unwrap();
        assert!(matches!(idempotency::begin_idempotent_request(app, scope(), b"one", [1; 32]).await, Ok(IdempotencyDecision::Replay(same)) if same == response));
        let judged = idempotency::begin_idempotent_request(app, scope(), b"one", [2; 32]).await;
        assert!(matches!(judged, Ok(IdempotencyDecision::CheckFirst(same)) if same == response), "the caller's permissions may have changed");
        let other = idempotency::begin_idempotent_request(app, scope(), b"two", [1; 32]).await;
        assert!(matches!(other, Err(Failure::Refused(Refusal::KeyReused))));
        let bobs = IdempotencyScope::new(&grant::<UseSessions>(&bob).await, "devin", "POST /sessions", "k1");
        let IdempotencyDecision::New(token) = idempotency::begin_idempotent_request(app, bobs, b"two", [1; 32]).await.unwrap() else { panic!() };
        idempotency::abandon_idempotent_request(app, token).await.unwrap();
        assert!(matches!(idempotency::begin_idempotent_request(app, bobs, b"two", [1; 32]).await, Ok(IdempotencyDecision::New(_))));
        // Its server dies: the request can begin again once the first attempt must have ended.
        world.advance(Span::minutes(2));
        assert!(matches!(idempotency::begin_idempotent_request(app, bobs, b"two", [1; 32]).await, Ok(IdempotencyDecision::New(_))));
        world.advance(Span::minutes(60 * 24));
        world.sweep().await;
        assert!(matches!(idempotency::begin_idempotent_request(app, scope(), b"two", [1; 32]).await, Ok(IdempotencyDecision::New(_))));
    }

    async fn attachments_are_stored_and_found(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let other = world.member(world.organization("Other").await, Role::Readwrite).await;
        let app = world.app();
        let body = || stream::iter([Ok::<_, String>(Bytes::from_static(b"hel")), Ok(Bytes::from_static(b"lo"))]);
        let granted = grant::<UseSessions>(&ana).await;
        let file = attachments::upload_attachment(app, &granted, "a b.txt", body()).await.unwrap();
        assert_eq!((file.size, file.complete), (5, true));
        for name in ["", "a/b", "a\nb"] {
            assert!(attachments::upload_attachment(app, &granted, name, body()).await.is_err());
        }
        let broken = stream::iter([Err::<Bytes, _>("gone")]);
        assert!(attachments::upload_attachment(app, &granted, "b", broken).await.is_err());
        let (_, bytes) = attachments::fetch_attachment(app, &grant(&ana).await, file.id).await.unwrap();
        let bytes: Vec<Bytes> = bytes.boxed().try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"hello");
        let foreign = attachments::fetch_attachment(app, &grant(&other).await, file.id).await;
        assert!(matches!(foreign.map(|_| ()), Err(Failure::Refused(Refusal::NotFound(Thing::File)))));
        let attachment = domain::agent::Attachment {
            id: Some(file.id), name: file.name.clone(), url: "/x".into(), content_type: None, size: Some(5),
        };
        let post = server::operations::agents::messages::MessageDraft { attachments: vec![attachment.clone()], ..draft("see") };
        let session = create_session(&ana, AgentSessionDraft { message: Some(post), ..AgentSessionDraft::default() }).await.unwrap();
        let listed = attachments::list_session_attachments(app, &grant::<ViewSessions>(&ana).await, session.id).await.unwrap();
        assert_eq!(listed.iter().map(|(_, listed, _)| listed).collect::<Vec<_>>(), [&attachment]);
    }

    async fn service_users_and_organizations_are_administered(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let root = world.account_member(AccountRole::Admin).await;
        let app = world.app();
        let of = ServiceUserHome::Organization(grant(&admin).await);
        let role = ServiceUserRole::Organization(Role::Readwrite);
        let (user, first) = service_users::create_service_user(app, &of, "ci", role, Wire::Devin, None).await.unwrap();
        let knows = async |secret: &str| {
            authenticate::authenticate(app, Some(secret), OrganizationChoice::ByDefault).await.map(|caller| caller.principal())
        };
        let (first, first_secret) = (first.credential, first.secret.unwrap());
        assert_eq!(knows(first_secret.reveal()).await.unwrap(), user.principal.id);
        let second = service_users::rotate_service_user_key(app, &of, user.principal.id, first.id).await.unwrap().secret.unwrap();
        assert!(knows(first_secret.reveal()).await.is_err());
        assert!(knows(second.reveal()).await.is_ok());
        assert_eq!(service_users::list_service_users(app, &of).await.unwrap(), std::slice::from_ref(&user));
        let account = ServiceUserRole::Account(AccountRole::Admin);
        assert!(service_users::create_service_user(app, &of, "x", account, Wire::Devin, None).await.is_err());
        let caller = authenticate::authenticate(app, root.key.as_deref(), OrganizationChoice::ByDefault).await.unwrap();
        let everywhere = ServiceUserHome::Account(caller.authorize_in_account().unwrap());
        assert!(service_users::create_service_user(app, &everywhere, "x", account, Wire::Devin, None).await.is_ok());
        let foreign = service_users::delete_service_user(app, &everywhere, user.principal.id).await;
        assert!(matches!(foreign, Err(Failure::Refused(Refusal::NotFound(Thing::Principal)))));
        service_users::delete_service_user(app, &of, user.principal.id).await.unwrap();
        assert!(knows(second.reveal()).await.is_err());

        let all = caller.authorize_in_account().unwrap();
        let limits = administration::OrganizationUpdate {
            max_cycle_acus: Some(Some(Acus::whole(9))), ..Default::default()
        };
        let (made, kept) = administration::create_organization(app, &all, "New", limits).await.unwrap();
        assert_eq!(kept.max_cycle_acus, Some(Acus::whole(9)));
        let lift = administration::OrganizationUpdate {
            name: Some("Newer".into()), max_cycle_acus: Some(None), ..Default::default()
        };
        let (renamed, kept) = administration::update_organization(app, &all, made.id, lift).await.unwrap();
        assert_eq!((renamed.name.as_str(), kept.max_cycle_acus), ("Newer", None));
        let taken = administration::OrganizationUpdate { name: Some("Acme".into()), ..Default::default() };
        let taken = administration::update_organization(app, &all, made.id, taken).await;
        assert!(matches!(taken, Err(Failure::Refused(Refusal::Exists(_)))));
        administration::delete_organization(app, &all, made.id).await.unwrap();
        let gone = administration::load_organization(app, &all, made.id).await;
        assert!(matches!(gone, Err(Failure::Refused(Refusal::NotFound(Thing::Organization)))));
        let lines = audit::list_account_audit_entries(app, &caller.authorize_in_account::<ViewAudit>().unwrap(), None, 100).await.unwrap();
        let actions: Vec<&str> = lines.items.iter().map(|line| line.content.action.as_str()).collect();
        assert_eq!(actions[..2], ["organization.delete", "organization.update"]);
        assert!(actions.contains(&"key.revoke"));
        assert_eq!(lines.items.iter().find(|line| format!("{line:?}").contains(second.reveal())), None);
        assert!(Role::Readwrite.permissions().has(Permission::UseSessions));
    }
}
