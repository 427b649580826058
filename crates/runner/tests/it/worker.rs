//! A worker at work: the input of a command, its output, and the reports to the server.

use std::collections::HashSet;
use std::time::Duration;

use protocol::work::{ReportedItem, ReportedPullRequest, ReportedUsage, TurnClaim, TurnOutcome};
use runner::worker::WorkerError;
use serde_json::json;

use crate::work_server::{Fault, Gate, WorkServer, Worker, assignment};

#[tokio::test]
async fn a_command_answers_a_message_in_its_sessions_folder() {
    let server = WorkServer::start().await;
    let command = "cat; echo; pwd; echo {session}; env | grep ^TENURE | sort; echo noted >&2; stat -c %a .";
    let worker = Worker::start(&[&server], command, |options| options.agents = vec!["default".to_owned()]);
    let mut turn = assignment("grüß dich\n");
    turn.agent.model = Some("large".to_owned());
    let session = server.add_turn(turn);

    let (outcome, record) = server.wait_until_done(session).await;
    assert_eq!(outcome, TurnOutcome::WaitingForUser);
    let folder = worker.directory.canonicalize().unwrap().join(session.to_string());
    let folder = folder.display();
    let expected = format!(
        "grüß dich\n\n{folder}\n{session}\nTENURE_AGENT=default\nTENURE_ATTEMPT=1\nTENURE_MODEL=large\n\
         TENURE_SESSION_DIR={folder}\nTENURE_SESSION_ID={session}\nTENURE_SESSION_TITLE=A title\n\
         TENURE_SYSTEM_PROMPT=Be brief.\nTENURE_TURN=3\n700\n"
    );
    assert_eq!(record.output(), expected);
    assert_eq!(record.log(), ["noted"]);
    let (worker, agents) = ("box".to_owned(), Some(vec!["default".to_owned()]));
    server.look(|desk| {
        let claim = TurnClaim { worker, agents, wait_seconds: 25 };
        assert_eq!(desk.claims[0], claim);
    });
}

#[tokio::test]
async fn output_comes_while_the_command_runs_and_characters_stay_whole() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let wait = gate.wait_command();
    let command = format!("printf 'a\\303'; {wait}; printf '\\251b\\342\\202'; {wait}; printf '\\377c\\n'");
    let _worker = Worker::start(&[&server], &command, |_| {});
    let session = server.add_message("");
    server.wait_for_output(session, "a").await;
    gate.open();
    server.wait_for_output(session, "aéb").await;
    gate.open();
    let (outcome, record) = server.wait_until_done(session).await;
    assert_eq!(outcome, TurnOutcome::WaitingForUser);
    assert_eq!(record.output(), "aéb\u{fffd}\u{fffd}c\n");
}

#[tokio::test]
async fn no_output_is_lost_or_repeated_when_responses_are_lost() {
    let server = WorkServer::start().await;
    let faults = [
        ("/claim", Fault::Unavailable),
        ("/report", Fault::None),
        ("/report", Fault::CutOff),
        ("/report", Fault::CutOff),
        ("/report", Fault::Unavailable),
        ("/report", Fault::CutOff),
        ("/report", Fault::CutOff),
        ("/done", Fault::CutOff),
        ("/done", Fault::Unavailable),
    ];
    server.change(|desk| desk.faults.extend(faults));
    let command = "seq 1 100000; seq 1 500 >&2; echo last >&2";
    let _worker = Worker::start(&[&server], command, |_| {});
    let session = server.add_message("");
    let (_, record) = server.wait_until_done(session).await;
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(record.output() == expected, "{} bytes instead of {}", record.output().len(), expected.len());
    let lines = record.log();
    assert_eq!((lines.len(), lines[499], lines[500]), (501, "500", "last"));
    assert!(record.repeated > 0);
    // The response to `done` was cut off once: the worker repeats it, and then no more.
    let next = server.add_message("");
    server.wait_until_done(next).await;
    server.look(|desk| {
        assert!(desk.faults.is_empty());
        assert_eq!(desk.turns[&session].done, [TurnOutcome::WaitingForUser, TurnOutcome::WaitingForUser]);
    });
}

#[tokio::test]
async fn a_worker_runs_several_turns_at_once() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let command = format!("echo here; {}", gate.wait_command());
    let _worker = Worker::start(&[&server], &command, |options| options.parallel = 3);
    let sessions: Vec<_> = (0..4).map(|_| server.add_message("")).collect();
    let at_work = |wanted: usize| {
        server.wait(move |desk| {
            (desk.turns.values().filter(|record| !record.items.is_empty()).count() == wanted).then_some(())
        })
    };
    at_work(3).await;
    server.look(|desk| assert_eq!((desk.taken.len(), desk.waiting.len()), (3, 1)));
    let mut done = HashSet::new();
    while done.len() < 4 {
        gate.open();
        let known = done.clone();
        let news = server.wait(|desk| {
            let ended = |session| desk.turns.get(session).is_some_and(|record| !record.done.is_empty());
            sessions.iter().find(|session| ended(session) && !known.contains(*session)).copied()
        });
        done.insert(news.await);
    }
}

#[tokio::test]
async fn directives_take_effect_only_if_they_are_enabled() {
    let lines = "hello\n::tenure {\"usage\":{\"input_tokens\":9,\"acus\":1.5},\"state\":\"waiting_for_approval\"}\n\
                 ::tenure {\"title\":\"New\",\"pull_request\":{\"url\":\"https://x/1\",\"state\":\"open\"}}\n\
                 ::tenure {\"structured_output\":{\"a\":1},\"state\":\"finished\"}\nbye\n";
    let server = WorkServer::start().await;
    let ordered = Worker::start(&[&server], "cat", |options| options.directives = true);
    let session = server.add_message(lines);
    let (outcome, record) = server.wait_until_done(session).await;
    assert_eq!(outcome, TurnOutcome::Finished);
    let expected = [
        ReportedItem::Output { text: "hello\n".to_owned() },
        ReportedItem::Usage(ReportedUsage { input_tokens: 9, acus: 1.5, ..ReportedUsage::default() }),
        ReportedItem::Title { title: "New".to_owned() },
        ReportedItem::PullRequest(ReportedPullRequest {
            url: "https://x/1".to_owned(),
            state: Some("open".to_owned()),
        }),
        ReportedItem::StructuredOutput { value: json!({"a": 1}) },
        ReportedItem::Output { text: "bye\n".to_owned() },
    ];
    assert_eq!(record.items.iter().filter(|item| matches!(item, ReportedItem::Title { .. })).count(), 1);
    for item in expected {
        assert!(record.items.contains(&item), "{item:?} in {:?}", record.items);
    }
    drop(ordered);

    let server = WorkServer::start().await;
    let _free = Worker::start(&[&server], "cat", |_| {});
    let session = server.add_message(lines);
    let (outcome, record) = server.wait_until_done(session).await;
    assert_eq!((outcome, record.output().as_str()), (TurnOutcome::WaitingForUser, lines));
}

#[tokio::test]
async fn secrets_become_variables_only_if_they_are_enabled() {
    for allowed in [true, false] {
        let server = WorkServer::start().await;
        let command = "echo $TOKEN $LD_DEBUG";
        let _worker = Worker::start(&[&server], command, |options| options.secrets = allowed);
        let mut turn = assignment("");
        let secrets = [("TOKEN", "s3cret"), ("LD_DEBUG", "help")];
        turn.secrets.0.extend(secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let (_, record) = server.wait_until_done(server.add_turn(turn)).await;
        assert_eq!(record.output(), if allowed { "s3cret\n" } else { "\n" });
    }
}

#[tokio::test]
async fn a_silent_turn_reports_that_it_has_begun() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let _worker = Worker::start(&[&server], &gate.wait_command(), |_| {});
    let session = server.add_message("");
    server
        .wait_for_turn(session, |record| (record.firsts == [0] && record.items.is_empty()).then_some(()))
        .await;
    gate.open();
    server.wait_until_done(session).await;
}

#[tokio::test]
async fn a_session_runs_one_turn_at_a_time() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let command = format!("mkdir alone && {} && rmdir alone", gate.wait_command());
    let _worker = Worker::start(&[&server], &command, |options| options.parallel = 2);
    let turn = assignment("");
    server.add_turn(turn.clone());
    let session = server.add_turn(turn);
    server.wait(|desk| (desk.taken.len() == 2).then_some(())).await;
    gate.open();
    gate.open();
    let done =
        server.wait_for_turn(session, |record| (record.done.len() == 2).then(|| record.done.clone())).await;
    assert_eq!(done, [TurnOutcome::WaitingForUser, TurnOutcome::WaitingForUser]);
}

#[tokio::test]
async fn the_whole_assignment_can_be_read_as_json() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "cat", |options| options.json_input = true);
    let turn = assignment("hello");
    let session = server.add_turn(turn.clone());
    let (_, record) = server.wait_until_done(session).await;
    // The command gets everything but the token, which would let it act for the worker.
    let expected = protocol::work::TurnAssignment { token: Default::default(), ..turn };
    assert_eq!(serde_json::from_str::<protocol::work::TurnAssignment>(&record.output()).unwrap(), expected);
    assert!(!record.output().contains("token"), "{}", record.output());
}

#[tokio::test]
async fn the_next_server_is_used_when_one_is_away() {
    let (away, here) = (WorkServer::start().await, WorkServer::start().await);
    away.change(|desk| desk.away = true);
    let _worker = Worker::start(&[&away, &here], "echo hi", |_| {});
    let session = here.add_message("");
    assert_eq!(here.wait_until_done(session).await.1.output(), "hi\n");
}

#[tokio::test]
async fn every_request_names_the_organization() {
    let server = WorkServer::start().await;
    let organization = Some(uuid::Uuid::from_u128(1));
    let _worker = Worker::start(&[&server], "echo hi", |options| options.organization = organization);
    server.wait_until_done(server.add_message("")).await;
    let named = server.look(|desk| desk.organizations.clone());
    assert!(named.len() >= 3 && named.iter().all(|named| *named == organization), "{named:?}");
}

#[tokio::test]
async fn a_refused_key_ends_the_worker() {
    let server = WorkServer::start().await;
    let mut worker = Worker::start(&[&server], "cat", |options| options.token = "tnr_other".to_owned());
    let error = worker.wait_for_end().await.unwrap_err();
    assert!(matches!(error, WorkerError::Refused { status: 401, .. }), "{error}");
}

#[tokio::test]
async fn invalid_options_are_refused_at_once() {
    let server = WorkServer::start().await;
    type Change = fn(&mut runner::worker::WorkerOptions);
    let rows: [(Change, &str); 6] = [
        (|options| options.servers.clear(), "--server"),
        (|options| options.servers = vec!["ftp://a".to_owned()], "http://"),
        (|options| options.token.clear(), "key"),
        (|options| options.parallel = 0, "--parallel"),
        (|options| options.time_limit = Duration::ZERO, "--time-limit"),
        (|options| options.directory = "/dev/null/x".into(), "/dev/null/x"),
    ];
    for (change, named) in rows {
        let error = Worker::start(&[&server], "cat", change).wait_for_end().await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let error = Worker::start(&[&server], "  ", |_| {}).wait_for_end().await.unwrap_err();
    assert!(matches!(error, WorkerError::NoCommand));
    server.look(|desk| assert!(desk.claims.is_empty()));
}

#[tokio::test]
async fn the_agent_of_the_documentation_works() {
    let page = include_str!("../../../../docs/workers.md");
    let (_, rest) = page.split_once("```sh\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("echo.sh");
    std::fs::write(&script, rest.split_once("```").unwrap().0).unwrap();
    let server = WorkServer::start().await;
    let command = format!("sh {}", script.display());
    let _worker = Worker::start(&[&server], &command, |options| options.directives = true);
    let (outcome, record) = server.wait_until_done(server.add_message("hello")).await;
    assert_eq!(outcome, TurnOutcome::WaitingForUser);
    assert_eq!(record.output(), "In turn 3 you said: hello\nSo far: 1 lines.\n");
    let (outcome, record) = server.wait_until_done(server.add_message("bye now")).await;
    assert_eq!((outcome, record.output().as_str()), (TurnOutcome::Finished, "Goodbye.\n"));
    let (outcome, _) = server.wait_until_done(server.add_message("fail, please")).await;
    let message = "the command ended with exit status: 1\nyou asked for it".to_owned();
    assert_eq!(outcome, TurnOutcome::Failed { message, exit_code: Some(1) });
}
