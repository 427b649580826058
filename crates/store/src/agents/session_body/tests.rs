//! Frozen bodies of each version. They are never edited: a new version adds files.

use super::*;
use domain::agent::{Message, SuspendReason};
use serde::de::DeserializeOwned;
use uuid::Uuid;

const OLD_NEW: &str = include_str!("../bodies/session_v1_before_versions_new.json");
const OLD_FULL: &str = include_str!("../bodies/session_v1_before_versions_full.json");

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + number)
}

fn at(micros: i64) -> Micros {
    Micros(1_767_225_600_000_000 + micros)
}

fn session_id(micros: i64) -> SessionId {
    SessionId::new(at(micros), 7)
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

fn usage(number: i64) -> Usage {
    Usage {
        input_tokens: number,
        output_tokens: number + 1,
        cache_read_tokens: number + 2,
        cache_creation_tokens: number + 3,
        acus: Acus(number * 1_000_000 + 5),
    }
}

fn credential(byte: u8) -> TurnCredential {
    TurnCredential { token: SecretHash([byte; 32]), key: SecretHash([9; 32]) }
}

/// The session of the bodies `…_new.json`.
fn new_session() -> AgentSession {
    let given = NewSession {
        owner: PrincipalId(id(2)),
        owner_kind: PrincipalKind::User,
        created_by: PrincipalId(id(2)),
        agent: AgentId(id(3)),
        agent_name: "default".into(),
        title: None,
        tags: vec![],
        model: None,
        capabilities: json("[]"),
        origin: "api".into(),
        category: None,
        subcategory: None,
        playbook: None,
        schedule: None,
        automation: None,
        repos: vec![],
        parent: None,
        output_schema: None,
        max_acus: None,
        extra: Json::default(),
    };
    AgentSession::new(OrganizationId(id(1)), session_id(0), given)
}

/// The properties of the bodies `…_full.json`.
fn full_properties() -> NewSession {
    NewSession {
        owner: PrincipalId(id(2)),
        owner_kind: PrincipalKind::ServiceUser,
        created_by: PrincipalId(id(4)),
        agent: AgentId(id(3)),
        agent_name: "writer".into(),
        title: Some("Fix \"it\"\n".into()),
        tags: vec!["a".into(), "ü".into()],
        model: Some("large".into()),
        capabilities: json(r#"[{"ref": "x", "config": {"deep": [1, null]}}]"#),
        origin: "slack".into(),
        category: Some("refactoring_and_optimization".into()),
        subcategory: Some("naming".into()),
        playbook: Some("playbook-1".into()),
        schedule: Some("schedule-1".into()),
        automation: Some("automation-1".into()),
        repos: vec!["owner/repo".into()],
        parent: Some(session_id(-1)),
        output_schema: Some(json(r#"{"type": "object"}"#)),
        max_acus: Some(Acus(2_500_000)),
        extra: json(r#"{"b": 1.50, "a": [1E2, 1e400], "b": null}"#),
    }
}

/// The turn of the bodies `…_full.json`.
fn full_turn() -> Turn {
    Turn {
        id: TurnId(id(21)),
        number: 2,
        message: 3,
        input: MessageId(id(13)),
        attempt: 1,
        worker: "worker-1".into(),
        lease: at(70),
        fence: 3,
        state: TurnState::Working,
        started: at(30),
        events_before: 8,
        reported: 4,
        streamed: 12,
        streamed_from: 9,
        said: 1,
        usage: usage(10),
        stopping: true,
        previous: Some((TurnId(id(20)), 2)),
        grant: Some(credential(1)),
        previous_grant: Some(credential(2)),
    }
}

/// The session of the bodies `…_full.json`.
fn full_session() -> AgentSession {
    let ending = Ending {
        reason: EndReason::Released,
        actor: Some(PrincipalId(id(4))),
        evidence: "ended by its user".into(),
    };
    AgentSession {
        given: full_properties(),
        state: AgentState::Suspended(SuspendReason::OrgUsageLimitExceeded),
        preview: Some("do it".into()),
        output_preview: Some("done\0".into()),
        children: vec![session_id(1), session_id(2)],
        pull_requests: vec![
            PullRequest { url: "https://example.com/pull/1".into(), state: Some("open".into()) },
            PullRequest { url: "https://example.com/pull/2".into(), state: None },
        ],
        structured_output: Some(json(r#"{"answer": 42.0}"#)),
        usage: usage(100),
        archived: Some(at(50)),
        started: Some(at(10)),
        finished: Some(at(40)),
        updated: at(60),
        user_messages: 3,
        agent_messages: 2,
        waiting: vec![(4, MessageId(id(14))), (5, MessageId(id(15)))],
        turn: Some(full_turn()),
        events: 12,
        revision: 17,
        ended: Some((at(60), ending)),
        ..new_session()
    }
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

fn written(session: &AgentSession) -> String {
    LoadedAgentSession::new(session.clone()).body().unwrap()
}

#[test]
fn every_frozen_body_is_read() {
    for (body, expected) in [(OLD_NEW, new_session()), (OLD_FULL, full_session())] {
        let stored: StoredAgentSession = read(body);
        assert_eq!((stored.version, stored.into_session()), (1, expected));
    }
}

#[test]
fn a_body_from_before_turns_had_credentials_is_read() {
    let mut body: serde_json::Value = read(&OLD_FULL.replace("1e400", "1"));
    let turn = body["turn"].as_object_mut().unwrap();
    assert!(turn.remove("grant").is_some() && turn.remove("previous_grant").is_some());
    let turn = read::<StoredAgentSession>(&body.to_string()).into_session().turn.unwrap();
    assert_eq!(turn, Turn { grant: None, previous_grant: None, ..full_turn() });
}

/// When this fails, a body has another field than before: see the top of `session_body.rs`.
#[test]
fn bodies_of_this_version_have_exactly_the_frozen_fields() {
    for (session, frozen) in [(new_session(), OLD_NEW), (full_session(), OLD_FULL)] {
        let expected = format!("{{\"version\":1,{}", &frozen.trim_end()[1..]);
        assert_eq!(written(&session), expected);
        assert_eq!(read::<StoredAgentSession>(&expected).into_session(), session);
    }
}

/// Each object with an unknown field: within the properties, the usage, a pull request, the turn and the ending.
fn newer_body() -> String {
    let mut text = written(&full_session()).replacen("\"version\":1", "\"version\":9,\"x\":[1.50,1e400]", 1);
    for object in ["\"owner\":", "\"input_tokens\":", "\"number\":", "\"token\":", "\"reason\":", "\"url\":"]
    {
        text = text.replace(object, &format!("\"x\":{{\"n\":1e400}},{object}"));
    }
    text
}

#[test]
fn unknown_fields_of_a_newer_body_are_kept() {
    let text = newer_body();
    let unknown = "\"x\":{\"n\":1e400}";
    assert_eq!(text.matches(unknown).count(), 9);
    let session = read::<StoredAgentSession>(&text).into_session();
    assert_eq!(session, full_session());
    let newer = Some(NewerBody { version: 9, text });
    let loaded = LoadedAgentSession { session, newer };
    let title = loaded.apply_changes(&[AgentChange::Title(Some("other".into()))], at(99));
    let body = title.body().unwrap();
    assert!(body.contains("\"version\":9") && body.contains("\"x\":[1.50,1e400]"), "{body}");
    assert_eq!(body.matches(unknown).count(), 9, "{body}");
    assert_eq!(&read::<StoredAgentSession>(&body).into_session(), &*title);
    // Another turn does not inherit the fields of the one before: those of it, its usage and its two credentials.
    let turn = Turn { id: TurnId(id(22)), ..full_turn() };
    let body = title.apply_changes(&[AgentChange::Turn(Box::new(turn))], at(99)).body().unwrap();
    assert_eq!(body.matches(unknown).count(), 5, "{body}");
}

/// Messages are stored as the domain's struct: in their rows and in the data of events, which never change.
#[test]
fn every_frozen_message_is_read() {
    for body in
        [include_str!("../bodies/message_v1_new.json"), include_str!("../bodies/message_v1_full.json")]
    {
        assert_eq!(serde_json::to_string(&read::<Message>(body)).unwrap(), body.trim_end());
    }
}

#[test]
fn every_frozen_word_is_read() {
    let states: Vec<AgentState> = read(
        r#"["new","claimed","running.working","running.waiting_for_user","running.waiting_for_approval",
            "running.finished","suspended.inactivity","suspended.user_request","suspended.usage_limit_exceeded",
            "suspended.org_usage_limit_exceeded","suspended.worker_lost","suspended.error","resuming","exit","error"]"#,
    );
    assert_eq!(states, AgentState::ALL);
    read::<Vec<TurnState>>(r#"["claimed","working","returned","answered","failed","cancelled","lost"]"#);
    read::<Vec<PrincipalKind>>(r#"["user","service_user"]"#);
    read::<Vec<EndReason>>(
        r#"["released","idle","expired","host_lost","session_ended","owner_gone","organization_deleted",
            "signed_out","revoked","password_changed","displaced"]"#,
    );
}
