//! All the ways in which a turn ends other than well, and what is left of its processes: nothing.

use std::time::Duration;

use protocol::work::Outcome;
use uuid::Uuid;

use crate::work_server::{Fault, Gate, WorkServer, Worker, assignment, gone, is_gone};

/// Starts a process that ignores all politeness, and says its id.
const STUBBORN: &str = "trap '' TERM; sleep 1000 & echo $!; wait; wait";

/// Waits for the first line of output: the id of a process that then runs.
async fn process(server: &WorkServer, session: Uuid) -> String {
    let id =
        server.told(session, |told| told.output().split_once('\n').map(|(line, _)| line.to_owned())).await;
    assert!(!is_gone(&id));
    id
}

fn message(outcome: Outcome) -> (String, Option<i32>) {
    match outcome {
        Outcome::Failed { message, exit_code } => (message, exit_code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_that_fails_says_why() {
    let server = WorkServer::start().await;
    let command = "echo out; seq 1 20 >&2; echo; echo why >&2; exit 3";
    let _worker = Worker::start(&[&server], command, |_| {});
    let (outcome, told) = server.done(server.say("")).await;
    let lines: Vec<String> = (12..=20).map(|number| number.to_string()).collect();
    let expected = format!("the command ended with exit status: 3\n{}\nwhy", lines.join("\n"));
    assert_eq!(message(outcome), (expected, Some(3)));
    assert_eq!((told.output().as_str(), told.log().len()), ("out\n\n", 21));
}

#[tokio::test]
async fn a_command_that_is_killed_or_not_there_has_failed() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "read -r line; eval \"$line\"", |_| {});
    let (why, code) = message(server.done(server.say("kill -9 $$")).await.0);
    assert!(why.contains("signal: 9"), "{why}");
    assert_eq!(code, None);
    let (why, code) = message(server.done(server.say("no-such-program-here")).await.0);
    assert!(why.contains("no-such-program-here"), "{why}");
    assert_eq!(code, Some(127));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_fails_the_turn_alone() {
    let server = WorkServer::start().await;
    let worker = Worker::start(&[&server], "echo hi", |_| {});
    let turn = assignment("");
    server.done(server.say("")).await;
    std::fs::write(worker.directory.join(turn.session.to_string()), "in the way").unwrap();
    let (why, _) = message(server.done(server.put(turn)).await.0);
    assert!(why.contains("could not be run"), "{why}");
    assert_eq!(server.done(server.say("")).await.0, Outcome::WaitingForUser);
}

#[tokio::test]
async fn a_command_need_not_read_its_input() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "echo hi", |_| {});
    let (outcome, told) = server.done(server.say(&"x".repeat(1 << 20))).await;
    assert_eq!((outcome, told.output().as_str()), (Outcome::WaitingForUser, "hi\n"));
}

#[tokio::test]
async fn the_time_limit_ends_the_whole_group() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], STUBBORN, |options| {
        options.time_limit = Duration::from_millis(500);
        options.grace = Duration::from_millis(100);
    });
    let session = server.say("");
    let (outcome, told) = server.done(session).await;
    let (why, code) = message(outcome);
    assert_eq!((why.as_str(), code), ("the turn did not end within 500ms", None));
    gone(&told.output()).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_goes_with_it() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "sleep 1000 & echo $!", |_| {});
    let (outcome, told) = server.done(server.say("")).await;
    assert_eq!(outcome, Outcome::WaitingForUser);
    gone(&told.output()).await;
}

#[tokio::test]
async fn who_leaves_the_group_and_keeps_the_pipe_holds_nobody_up() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "setsid sleep 1000 & echo $!", |_| {});
    let (outcome, told) = server.done(server.say("")).await;
    assert_eq!(outcome, Outcome::WaitingForUser);
    let id = rustix::process::Pid::from_raw(told.output().trim().parse().unwrap()).unwrap();
    let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
}

#[tokio::test]
async fn a_cancelled_turn_is_ended_politely() {
    let server = WorkServer::start().await;
    let command = "trap 'echo bye; exit 1' TERM; echo $$; sleep 1000 & wait";
    let _worker = Worker::start(&[&server], command, |_| {});
    let mut turn = assignment("");
    turn.lease_seconds = 3;
    let session = server.put(turn);
    process(&server, session).await;
    server.change(|desk| desk.cancelled = true);
    let (outcome, told) = server.done(session).await;
    assert_eq!(outcome, Outcome::Cancelled);
    assert!(told.output().ends_with("\nbye\n"), "{}", told.output());
    assert!(told.beats > 0);
}

#[tokio::test]
async fn a_turn_that_says_much_is_cancelled_by_the_answer_to_it() {
    let server = WorkServer::start().await;
    server.change(|desk| desk.cancelled = true);
    let _worker = Worker::start(&[&server], "echo $$; exec yes", |_| {});
    let (outcome, told) = server.done(server.say("")).await;
    assert_eq!(outcome, Outcome::Cancelled);
    assert_eq!(told.beats, 0);
    gone(told.output().lines().next().unwrap()).await;
}

#[tokio::test]
async fn a_lost_lease_ends_the_turn_and_nothing_is_said_of_it() {
    for (lease_seconds, command) in [(1, STUBBORN), (1000, "sleep 1000 & echo $!; yes")] {
        let server = WorkServer::start().await;
        let _worker = Worker::start(&[&server], command, |_| {});
        let mut turn = assignment("");
        turn.lease_seconds = lease_seconds;
        let session = server.put(turn);
        let id = process(&server, session).await;
        server.change(|desk| desk.lost = true);
        // The worker asks for more once the turn is dropped.
        server.wait(|desk| (desk.claims.len() == 2).then_some(())).await;
        gone(&id).await;
        server.look(|desk| assert!(desk.told[&session].done.is_empty()));
    }
}

#[tokio::test]
async fn a_lease_that_cannot_be_kept_is_lost() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], STUBBORN, |_| {});
    let mut turn = assignment("");
    turn.lease_seconds = 3;
    server.change(|desk| desk.faults.extend([("/heartbeat", Fault::Away); 100]));
    let session = server.put(turn);
    let id = process(&server, session).await;
    server.wait(|desk| (desk.claims.len() == 2).then_some(())).await;
    gone(&id).await;
    server.look(|desk| assert!(desk.told[&session].done.is_empty()));
}

#[tokio::test]
async fn heartbeats_keep_a_silent_turn() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let _worker = Worker::start(&[&server], &gate.wait(), |_| {});
    let mut turn = assignment("");
    turn.lease_seconds = 3;
    let session = server.put(turn);
    server.change(|desk| desk.faults.push_back(("/heartbeat", Fault::CutOff)));
    server.told(session, |told| (told.beats == 2).then_some(())).await;
    gate.open();
    assert_eq!(server.done(session).await.0, Outcome::WaitingForUser);
}

#[tokio::test]
async fn a_gentle_stop_lets_turns_end() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let command = format!("echo $$; {}", gate.wait());
    let mut worker = Worker::start(&[&server], &command, |options| options.parallel = 2);
    let session = server.say("");
    process(&server, session).await;
    worker.stop.gently.cancel();
    gate.open();
    worker.ended().await.unwrap();
    assert_eq!(server.done(session).await.0, Outcome::WaitingForUser);
    let late = server.say("");
    server.look(|desk| assert!(!desk.taken.contains(&late)));
}

#[tokio::test]
async fn a_stop_ends_turns_at_its_limit_or_at_once() {
    for gently in [true, false] {
        let server = WorkServer::start().await;
        let mut worker = Worker::start(&[&server], STUBBORN, |options| {
            options.stop_limit = Duration::from_millis(if gently { 100 } else { 1_000_000 });
            options.grace = Duration::from_millis(100);
        });
        let session = server.say("");
        let id = process(&server, session).await;
        if gently {
            worker.stop.gently.cancel();
        } else {
            worker.stop.now.cancel();
        }
        worker.ended().await.unwrap();
        gone(&id).await;
        let (why, _) = message(server.done(session).await.0);
        assert_eq!(why, "the worker was stopped before the turn ended");
    }
}

#[tokio::test]
async fn a_worker_that_is_dropped_leaves_no_process() {
    let server = WorkServer::start().await;
    let worker = Worker::start(&[&server], "echo $$; exec sleep 1000", |_| {});
    let session = server.say("");
    let id = process(&server, session).await;
    drop(worker);
    gone(&id).await;
}
