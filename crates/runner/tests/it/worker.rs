//! A worker at work: what a command is given, what it says, and how that comes to the server.

use std::collections::HashSet;
use std::time::Duration;

use protocol::work::{Claim, Item, Outcome, PullRequest, Usage};
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
    let session = server.put(turn);

    let (outcome, told) = server.done(session).await;
    assert_eq!(outcome, Outcome::WaitingForUser);
    let folder = worker.directory.canonicalize().unwrap().join(session.to_string());
    let folder = folder.display();
    let expected = format!(
        "grüß dich\n\n{folder}\n{session}\nTENURE_AGENT=default\nTENURE_ATTEMPT=1\nTENURE_MODEL=large\n\
         TENURE_SESSION_DIR={folder}\nTENURE_SESSION_ID={session}\nTENURE_SESSION_TITLE=A title\n\
         TENURE_SYSTEM_PROMPT=Be brief.\nTENURE_TURN=3\n700\n"
    );
    assert_eq!(told.output(), expected);
    assert_eq!(told.log(), ["noted"]);
    let (worker, agents) = ("box".to_owned(), Some(vec!["default".to_owned()]));
    server.look(|desk| {
        let claim = Claim { worker, agents, wait_seconds: 25 };
        assert_eq!(desk.claims[0], claim);
    });
}

#[tokio::test]
async fn output_comes_while_the_command_runs_and_characters_stay_whole() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let wait = gate.wait();
    let command = format!("printf 'a\\303'; {wait}; printf '\\251b\\342\\202'; {wait}; printf '\\377c\\n'");
    let _worker = Worker::start(&[&server], &command, |_| {});
    let session = server.say("");
    server.output(session, "a").await;
    gate.open();
    server.output(session, "aéb").await;
    gate.open();
    let (outcome, told) = server.done(session).await;
    assert_eq!(outcome, Outcome::WaitingForUser);
    assert_eq!(told.output(), "aéb\u{fffd}\u{fffd}c\n");
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_answers_are() {
    let server = WorkServer::start().await;
    let faults = [
        ("/claim", Fault::Away),
        ("/report", Fault::None),
        ("/report", Fault::CutOff),
        ("/report", Fault::CutOff),
        ("/report", Fault::Away),
        ("/report", Fault::CutOff),
        ("/report", Fault::CutOff),
        ("/done", Fault::CutOff),
        ("/done", Fault::Away),
    ];
    server.change(|desk| desk.faults.extend(faults));
    let command = "seq 1 100000; seq 1 500 >&2; echo last >&2";
    let _worker = Worker::start(&[&server], command, |_| {});
    let session = server.say("");
    let (_, told) = server.done(session).await;
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(told.output() == expected, "{} bytes instead of {}", told.output().len(), expected.len());
    let lines = told.log();
    assert_eq!((lines.len(), lines[499], lines[500]), (501, "500", "last"));
    assert!(told.repeated > 0);
    // The answer to `done` was cut off once: it is said again, and no more after that.
    let next = server.say("");
    server.done(next).await;
    server.look(|desk| {
        assert!(desk.faults.is_empty());
        assert_eq!(desk.told[&session].done, [Outcome::WaitingForUser, Outcome::WaitingForUser]);
    });
}

#[tokio::test]
async fn a_worker_runs_as_many_turns_at_once_as_it_may() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let command = format!("echo here; {}", gate.wait());
    let _worker = Worker::start(&[&server], &command, |options| options.parallel = 3);
    let sessions: Vec<_> = (0..4).map(|_| server.say("")).collect();
    let at_work = |wanted: usize| {
        server.wait(move |desk| {
            (desk.told.values().filter(|told| !told.items.is_empty()).count() == wanted).then_some(())
        })
    };
    at_work(3).await;
    server.look(|desk| assert_eq!((desk.taken.len(), desk.waiting.len()), (3, 1)));
    let mut done = HashSet::new();
    while done.len() < 4 {
        gate.open();
        let known = done.clone();
        let news = server.wait(|desk| {
            let ended = |session| desk.told.get(session).is_some_and(|told| !told.done.is_empty());
            sessions.iter().find(|session| ended(session) && !known.contains(*session)).copied()
        });
        done.insert(news.await);
    }
}

#[tokio::test]
async fn directives_are_orders_if_they_are_allowed() {
    let lines = "hello\n::tenure {\"usage\":{\"input_tokens\":9,\"acus\":1.5},\"state\":\"waiting_for_approval\"}\n\
                 ::tenure {\"title\":\"New\",\"pull_request\":{\"url\":\"https://x/1\",\"state\":\"open\"}}\n\
                 ::tenure {\"structured_output\":{\"a\":1},\"state\":\"finished\"}\nbye\n";
    let server = WorkServer::start().await;
    let ordered = Worker::start(&[&server], "cat", |options| options.directives = true);
    let session = server.say(lines);
    let (outcome, told) = server.done(session).await;
    assert_eq!(outcome, Outcome::Finished);
    let expected = [
        Item::Output { text: "hello\n".to_owned() },
        Item::Usage(Usage { input_tokens: 9, acus: 1.5, ..Usage::default() }),
        Item::Title { title: "New".to_owned() },
        Item::PullRequest(PullRequest { url: "https://x/1".to_owned(), state: Some("open".to_owned()) }),
        Item::StructuredOutput { value: json!({"a": 1}) },
        Item::Output { text: "bye\n".to_owned() },
    ];
    assert_eq!(told.items.iter().filter(|item| matches!(item, Item::Title { .. })).count(), 1);
    for item in expected {
        assert!(told.items.contains(&item), "{item:?} in {:?}", told.items);
    }
    drop(ordered);

    let server = WorkServer::start().await;
    let _free = Worker::start(&[&server], "cat", |_| {});
    let session = server.say(lines);
    let (outcome, told) = server.done(session).await;
    assert_eq!((outcome, told.output().as_str()), (Outcome::WaitingForUser, lines));
}

#[tokio::test]
async fn secrets_are_variables_if_they_are_allowed() {
    for allowed in [true, false] {
        let server = WorkServer::start().await;
        let command = "echo $TOKEN $LD_DEBUG";
        let _worker = Worker::start(&[&server], command, |options| options.secrets = allowed);
        let mut turn = assignment("");
        let secrets = [("TOKEN", "s3cret"), ("LD_DEBUG", "help")];
        turn.secrets.0.extend(secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let (_, told) = server.done(server.put(turn)).await;
        assert_eq!(told.output(), if allowed { "s3cret\n" } else { "\n" });
    }
}

#[tokio::test]
async fn a_silent_turn_says_that_it_has_begun() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let _worker = Worker::start(&[&server], &gate.wait(), |_| {});
    let session = server.say("");
    server.told(session, |told| (told.firsts == [0] && told.items.is_empty()).then_some(())).await;
    gate.open();
    server.done(session).await;
}

#[tokio::test]
async fn a_session_is_worked_on_by_one_turn_at_a_time() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let command = format!("mkdir alone && {} && rmdir alone", gate.wait());
    let _worker = Worker::start(&[&server], &command, |options| options.parallel = 2);
    let turn = assignment("");
    server.put(turn.clone());
    let session = server.put(turn);
    server.wait(|desk| (desk.taken.len() == 2).then_some(())).await;
    gate.open();
    gate.open();
    let done = server.told(session, |told| (told.done.len() == 2).then(|| told.done.clone())).await;
    assert_eq!(done, [Outcome::WaitingForUser, Outcome::WaitingForUser]);
}

#[tokio::test]
async fn the_whole_assignment_can_be_read_as_json() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "cat", |options| options.json_input = true);
    let turn = assignment("hello");
    let session = server.put(turn.clone());
    let (_, told) = server.done(session).await;
    // All but the token: the command has nothing that speaks for the worker.
    let expected = protocol::work::Assignment { token: Default::default(), ..turn };
    assert_eq!(serde_json::from_str::<protocol::work::Assignment>(&told.output()).unwrap(), expected);
    assert!(!told.output().contains("token"), "{}", told.output());
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_away() {
    let (away, here) = (WorkServer::start().await, WorkServer::start().await);
    away.change(|desk| desk.away = true);
    let _worker = Worker::start(&[&away, &here], "echo hi", |_| {});
    let session = here.say("");
    assert_eq!(here.done(session).await.1.output(), "hi\n");
}

#[tokio::test]
async fn the_organization_is_named_with_every_request() {
    let server = WorkServer::start().await;
    let organization = Some(uuid::Uuid::from_u128(1));
    let _worker = Worker::start(&[&server], "echo hi", |options| options.organization = organization);
    server.done(server.say("")).await;
    let named = server.look(|desk| desk.organizations.clone());
    assert!(named.len() >= 3 && named.iter().all(|named| *named == organization), "{named:?}");
}

#[tokio::test]
async fn a_refused_key_ends_the_worker() {
    let server = WorkServer::start().await;
    let mut worker = Worker::start(&[&server], "cat", |options| options.token = "tnr_other".to_owned());
    let error = worker.ended().await.unwrap_err();
    assert!(matches!(error, WorkerError::Refused { status: 401, .. }), "{error}");
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_at_once() {
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
        let error = Worker::start(&[&server], "cat", change).ended().await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let error = Worker::start(&[&server], "  ", |_| {}).ended().await.unwrap_err();
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
    let (outcome, told) = server.done(server.say("hello")).await;
    assert_eq!(outcome, Outcome::WaitingForUser);
    assert_eq!(told.output(), "In turn 3 you said: hello\nSo far: 1 lines.\n");
    let (outcome, told) = server.done(server.say("bye now")).await;
    assert_eq!((outcome, told.output().as_str()), (Outcome::Finished, "Goodbye.\n"));
    let (outcome, _) = server.done(server.say("fail, please")).await;
    let message = "the command ended with exit status: 1\nyou asked for it".to_owned();
    assert_eq!(outcome, Outcome::Failed { message, exit_code: Some(1) });
}
