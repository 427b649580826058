//! `tenure worker` itself against the server, over TCP.

use crate::work::{acme, messages_with_sources};
use crate::world::{Actor, wait_until};
use domain::agent::{AgentState, MessageSource, RunPhase};
use runner::worker::{Stop, WorkerOptions};
use server::operations::agents;
use std::time::Duration;
use store::access::ViewSessions;

/// How long a worker may take to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A worker that runs until it is stopped or the test ends.
struct Worker {
    stop: Stop,
    running: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Worker {
    fn start(key: &Actor<'_>, command: &str, change: impl FnOnce(&mut WorkerOptions)) -> Worker {
        let dir = tempfile::tempdir().unwrap();
        let server = format!("http://{}", key.world.server.address());
        let mut options = WorkerOptions::new(vec![server], key.key.clone().unwrap(), command);
        options.directory = dir.path().to_owned();
        change(&mut options);
        let stop = Stop::default();
        let run = runner::worker::run(options, stop.clone());
        let running = tokio::spawn(async move { run.await.unwrap() });
        Worker { stop, running, _dir: dir }
    }

    async fn stop(self) {
        self.stop.gently.cancel();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

async fn state(ana: &Actor<'_>, session: domain::ids::SessionId) -> AgentState {
    let view = ana.grant::<ViewSessions>().await;
    agents::sessions::load_agent_session(ana.world.app(), &view, session).await.unwrap().state
}

both! {
    async fn every_message_is_answered_once_and_in_order(world: &World) {
        let (_, ana, key) = acme(world).await;
        let mut sessions = Vec::new();
        for _ in 0..5 {
            sessions.push(ana.agent_session(Some("one")).await.id);
        }
        let worker = Worker::start(&key, "read -r line; echo \"$TENURE_TURN $line\"; echo noted >&2", |options| options.parallel = 3);
        for text in ["two", "three"] {
            for session in &sessions {
                ana.says(*session, text).await;
            }
        }
        for session in sessions {
            wait_until("all is answered", || async { messages_with_sources(&ana, session).await.len() == 6 }).await;
            let said = messages_with_sources(&ana, session).await;
            let of = |wanted: MessageSource| said.iter().filter(|(source, _)| *source == wanted).map(|(_, text)| text.as_str()).collect::<Vec<_>>();
            assert_eq!(of(MessageSource::User), ["one", "two", "three"]);
            assert_eq!(of(MessageSource::Agent), ["1 one\n", "2 two\n", "3 three\n"]);
        }
        worker.stop().await;
    }

    async fn a_command_sets_the_state_of_its_session(world: &World) {
        let (_, ana, key) = acme(world).await;
        let command = "read -r line; eval \"$line\"";
        let _worker = Worker::start(&key, command, |options| (options.directives, options.parallel) = (true, 3));
        let failing = ana.agent_session(Some("echo sorry; exit 3")).await.id;
        let asking = ana.agent_session(Some("echo may I; echo '::tenure {\"state\":\"waiting_for_approval\"}'")).await.id;
        let ending = ana.agent_session(Some("echo '::tenure {\"state\":\"finished\",\"usage\":{\"acus\":1}}'")).await.id;
        for (session, wanted) in [(failing, AgentState::Error), (asking, AgentState::Running(RunPhase::WaitingForApproval)), (ending, AgentState::Running(RunPhase::Finished))] {
            wait_until(&format!("a session is {wanted:?}"), || async { state(&ana, session).await == wanted }).await;
        }
        assert_eq!(messages_with_sources(&ana, asking).await[1].1, "may I\n");
    }

    async fn a_cancelled_command_ends(world: &World) {
        let (_, ana, key) = acme(world).await;
        let worker = Worker::start(&key, "trap 'exit 1' TERM; yes & echo begun; wait", |_| {});
        let session = ana.agent_session(Some("go")).await.id;
        wait_until("it is at work", || async { state(&ana, session).await == AgentState::Running(RunPhase::Working) }).await;
        agents::sessions::cancel_agent_session(world.app(), &ana.grant().await, session).await.unwrap();
        // Its only slot is free again.
        let next = ana.agent_session(Some("go")).await.id;
        wait_until("the next is at work", || async { state(&ana, next).await == AgentState::Running(RunPhase::Working) }).await;
        agents::sessions::cancel_agent_session(world.app(), &ana.grant().await, next).await.unwrap();
        worker.stop().await;
    }
}
