//! All the ways in which a turn ends badly. None of them leaves a process behind.

use std::time::Duration;

use protocol::work::TurnOutcome;
use uuid::Uuid;

use crate::work_server::{Fault, Gate, WorkServer, Worker, assignment, is_gone, wait_until_gone};

/// Starts a process that ignores SIGTERM, and prints its id.
const STUBBORN: &str = "trap '' TERM; sleep 1000 & echo $!; wait; wait";

/// Waits for the first line of output: the id of a process that is then running.
async fn wait_for_process(server: &WorkServer, session: Uuid) -> String {
    let id = server
        .wait_for_turn(session, |record| record.output().split_once('\n').map(|(line, _)| line.to_owned()))
        .await;
    assert!(!is_gone(&id));
    id
}

fn failure(outcome: TurnOutcome) -> (String, Option<i32>) {
    match outcome {
        TurnOutcome::Failed { message, exit_code } => (message, exit_code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_that_fails_says_why() {
    let server = WorkServer::start().await;
    let command = "echo out; seq 1 20 >&2; echo; echo why >&2; exit 3";
    let _worker = Worker::start(&[&server], command, |_| {});
    let (outcome, record) = server.wait_until_done(server.add_message("")).await;
    let lines: Vec<String> = (12..=20).map(|number| number.to_string()).collect();
    let expected = format!("the command ended with exit status: 3\n{}\nwhy", lines.join("\n"));
    assert_eq!(failure(outcome), (expected, Some(3)));
    assert_eq!((record.output().as_str(), record.log().len()), ("out\n\n", 21));
}

#[tokio::test]
async fn a_command_that_is_killed_or_missing_fails() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "read -r line; eval \"$line\"", |_| {});
    let (why, code) = failure(server.wait_until_done(server.add_message("kill -9 $$")).await.0);
    assert!(why.contains("signal: 9"), "{why}");
    assert_eq!(code, None);
    let (why, code) = failure(server.wait_until_done(server.add_message("no-such-program-here")).await.0);
    assert!(why.contains("no-such-program-here"), "{why}");
    assert_eq!(code, Some(127));
}

#[tokio::test]
async fn a_folder_that_cannot_be_created_fails_only_its_turn() {
    let server = WorkServer::start().await;
    let worker = Worker::start(&[&server], "echo hi", |_| {});
    let turn = assignment("");
    server.wait_until_done(server.add_message("")).await;
    std::fs::write(worker.directory.join(turn.session.to_string()), "in the way").unwrap();
    let (why, _) = failure(server.wait_until_done(server.add_turn(turn)).await.0);
    assert!(why.contains("could not be run"), "{why}");
    assert_eq!(server.wait_until_done(server.add_message("")).await.0, TurnOutcome::WaitingForUser);
}

#[tokio::test]
async fn a_command_need_not_read_its_input() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "echo hi", |_| {});
    let (outcome, record) = server.wait_until_done(server.add_message(&"x".repeat(1 << 20))).await;
    assert_eq!((outcome, record.output().as_str()), (TurnOutcome::WaitingForUser, "hi\n"));
}

#[tokio::test]
async fn the_time_limit_ends_the_whole_group() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], STUBBORN, |options| {
        options.time_limit = Duration::from_millis(500);
        options.grace = Duration::from_millis(100);
    });
    let session = server.add_message("");
    let (outcome, record) = server.wait_until_done(session).await;
    let (why, code) = failure(outcome);
    assert_eq!((why.as_str(), code), ("the turn did not end within 500ms", None));
    wait_until_gone(&record.output()).await;
}

#[tokio::test]
async fn background_processes_of_a_command_are_killed() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "sleep 1000 & echo $!", |_| {});
    let (outcome, record) = server.wait_until_done(server.add_message("")).await;
    assert_eq!(outcome, TurnOutcome::WaitingForUser);
    wait_until_gone(&record.output()).await;
}

#[tokio::test]
async fn a_process_that_leaves_the_group_and_holds_the_pipe_delays_nothing() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], "setsid sleep 1000 & echo $!", |_| {});
    let (outcome, record) = server.wait_until_done(server.add_message("")).await;
    assert_eq!(outcome, TurnOutcome::WaitingForUser);
    let id = rustix::process::Pid::from_raw(record.output().trim().parse().unwrap()).unwrap();
    let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
}

#[tokio::test]
async fn a_cancelled_turn_gets_sigterm_first() {
    let server = WorkServer::start().await;
    let command = "trap 'echo bye; exit 1' TERM; echo $$; sleep 1000 & wait";
    let _worker = Worker::start(&[&server], command, |_| {});
    let mut turn = assignment("");
    turn.lease_seconds = 3;
    let session = server.add_turn(turn);
    wait_for_process(&server, session).await;
    server.change(|desk| desk.cancelled = true);
    let (outcome, record) = server.wait_until_done(session).await;
    assert_eq!(outcome, TurnOutcome::Cancelled);
    assert!(record.output().ends_with("\nbye\n"), "{}", record.output());
    assert!(record.beats > 0);
}

#[tokio::test]
async fn the_response_to_a_report_can_cancel_a_turn() {
    let server = WorkServer::start().await;
    server.change(|desk| desk.cancelled = true);
    let _worker = Worker::start(&[&server], "echo $$; exec yes", |_| {});
    let (outcome, record) = server.wait_until_done(server.add_message("")).await;
    assert_eq!(outcome, TurnOutcome::Cancelled);
    assert_eq!(record.beats, 0);
    wait_until_gone(record.output().lines().next().unwrap()).await;
}

#[tokio::test]
async fn a_lost_lease_ends_the_turn_without_an_outcome() {
    for (lease_seconds, command) in [(1, STUBBORN), (1000, "sleep 1000 & echo $!; yes")] {
        let server = WorkServer::start().await;
        let _worker = Worker::start(&[&server], command, |_| {});
        let mut turn = assignment("");
        turn.lease_seconds = lease_seconds;
        let session = server.add_turn(turn);
        let id = wait_for_process(&server, session).await;
        server.change(|desk| desk.lost = true);
        // The worker claims again once the turn is dropped.
        server.wait(|desk| (desk.claims.len() == 2).then_some(())).await;
        wait_until_gone(&id).await;
        server.look(|desk| assert!(desk.turns[&session].done.is_empty()));
    }
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_lost() {
    let server = WorkServer::start().await;
    let _worker = Worker::start(&[&server], STUBBORN, |_| {});
    let mut turn = assignment("");
    turn.lease_seconds = 3;
    server.change(|desk| desk.faults.extend([("/heartbeat", Fault::Unavailable); 100]));
    let session = server.add_turn(turn);
    let id = wait_for_process(&server, session).await;
    server.wait(|desk| (desk.claims.len() == 2).then_some(())).await;
    wait_until_gone(&id).await;
    server.look(|desk| assert!(desk.turns[&session].done.is_empty()));
}

#[tokio::test]
async fn heartbeats_keep_a_silent_turn() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let _worker = Worker::start(&[&server], &gate.wait_command(), |_| {});
    let mut turn = assignment("");
    turn.lease_seconds = 3;
    let session = server.add_turn(turn);
    server.change(|desk| desk.faults.push_back(("/heartbeat", Fault::CutOff)));
    server.wait_for_turn(session, |record| (record.beats == 2).then_some(())).await;
    gate.open();
    assert_eq!(server.wait_until_done(session).await.0, TurnOutcome::WaitingForUser);
}

#[tokio::test]
async fn a_gentle_stop_lets_turns_finish() {
    let server = WorkServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let command = format!("echo $$; {}", gate.wait_command());
    let mut worker = Worker::start(&[&server], &command, |options| options.parallel = 2);
    let session = server.add_message("");
    wait_for_process(&server, session).await;
    worker.stop.gently.cancel();
    gate.open();
    worker.wait_for_end().await.unwrap();
    assert_eq!(server.wait_until_done(session).await.0, TurnOutcome::WaitingForUser);
    let late = server.add_message("");
    server.look(|desk| assert!(!desk.taken.contains(&late)));
}

#[tokio::test]
async fn a_stop_ends_turns_at_the_limit_or_at_once() {
    for gently in [true, false] {
        let server = WorkServer::start().await;
        let mut worker = Worker::start(&[&server], STUBBORN, |options| {
            options.stop_limit = Duration::from_millis(if gently { 100 } else { 1_000_000 });
            options.grace = Duration::from_millis(100);
        });
        let session = server.add_message("");
        let id = wait_for_process(&server, session).await;
        if gently {
            worker.stop.gently.cancel();
        } else {
            worker.stop.now.cancel();
        }
        worker.wait_for_end().await.unwrap();
        wait_until_gone(&id).await;
        let (why, _) = failure(server.wait_until_done(session).await.0);
        assert_eq!(why, "the worker was stopped before the turn ended");
    }
}

#[tokio::test]
async fn a_worker_that_is_dropped_leaves_no_process() {
    let server = WorkServer::start().await;
    let worker = Worker::start(&[&server], "echo $$; exec sleep 1000", |_| {});
    let session = server.add_message("");
    let id = wait_for_process(&server, session).await;
    drop(worker);
    wait_until_gone(&id).await;
}
