//! The effect of each command, in tables.

use super::*;
use crate::refusal::{Refusal, Thing};

#[test]
fn members_act_on_their_own_sessions_and_managers_on_all() {
    let member = |principal, manages| Actor::Member { principal, manages };
    for (actor, allowed) in [
        (member(OWNER, false), true),
        (member(MAKER, false), true),
        (member(OTHER, false), false),
        (member(OTHER, true), true),
        (Actor::Tenure, true),
    ] {
        let commands = [
            post(1),
            AgentCommand::Cancel,
            AgentCommand::Archive,
            end(),
            AgentCommand::SetTitle(None),
            AgentCommand::SetTags(vec![]),
            AgentCommand::Describe { title: None, tags: None },
        ];
        for command in commands {
            let outcome = decide(&session(), actor, command.clone(), &at(6));
            let expected = if allowed { None } else { Some(Refusal::NotYours(Thing::Session)) };
            assert_eq!(outcome.err(), expected, "{actor:?} {command:?}");
        }
    }
}

#[test]
fn every_command_leads_to_its_state() {
    let r1 = || report(1, 1, 0, vec![TurnItem::Output("hello".to_owned())]);
    let steps: Vec<(Vec<AgentCommand>, &str)> = vec![
        (vec![], "new"),
        (vec![post(1)], "new"),
        (vec![post(1), claim(1)], "claimed"),
        (vec![post(1), claim(1), post(2)], "claimed"),
        (vec![post(1), claim(1), r1()], "running.working"),
        (vec![post(1), claim(1), finish(1, 1, TurnEnding::WaitingForUser)], "running.waiting_for_user"),
        (
            vec![post(1), claim(1), finish(1, 1, TurnEnding::WaitingForApproval)],
            "running.waiting_for_approval",
        ),
        (vec![post(1), claim(1), finish(1, 1, TurnEnding::Finished)], "running.finished"),
        (vec![post(1), claim(1), finish(1, 1, TurnEnding::Finished), post(2)], "running.working"),
        (vec![post(1), claim(1), post(2), finish(1, 1, TurnEnding::Finished)], "running.working"),
        (vec![post(1), claim(1), finish(1, 1, failed())], "error"),
        (vec![post(1), claim(1), finish(1, 1, failed()), post(2)], "resuming"),
        (vec![post(1), claim(1), finish(1, 1, failed()), post(2), claim(2)], "running.working"),
        (vec![post(1), claim(1), post(2), finish(1, 1, failed())], "running.working"),
        (vec![post(1), claim(1), r1(), AgentCommand::Cancel], "running.waiting_for_user"),
        (vec![post(1), claim(1), post(2), AgentCommand::Cancel], "running.working"),
        (vec![post(1), AgentCommand::Cancel], "running.waiting_for_user"),
        (vec![post(1), claim(1), AgentCommand::Archive], "suspended.user_request"),
        (vec![post(1), claim(1), AgentCommand::Archive, AgentCommand::Unarchive], "suspended.user_request"),
        (vec![post(1), claim(1), AgentCommand::Archive, AgentCommand::Unarchive, post(2)], "resuming"),
        (vec![post(1), claim(1), finish(1, 1, failed()), AgentCommand::Archive], "error"),
        (vec![post(1), claim(1), end()], "exit"),
        (vec![end(), AgentCommand::Archive, AgentCommand::Unarchive], "exit"),
        (vec![post(1), claim(1), AgentCommand::LoseLease { fence: 1 }], "claimed"),
        (vec![post(1), claim(1), r1(), AgentCommand::LoseLease { fence: 1 }], "running.working"),
        (vec![post(1), claim(1), r1(), AgentCommand::LoseLease { fence: 1 }, claim(9)], "running.working"),
    ];
    for (commands, expected) in steps {
        let said = format!("{commands:?}");
        assert_eq!(run(session(), commands).state.name(), expected, "{said}");
    }
}

#[test]
fn ended_and_archived_sessions_refuse_messages() {
    let over = run(session(), [end()]);
    assert_eq!(decide(&over, Actor::Tenure, post(1), &at(9)), Err(Refusal::SessionEnded));
    let away = run(session(), [AgentCommand::Archive]);
    assert_eq!(decide(&away, Actor::Tenure, post(1), &at(9)), Err(Refusal::SessionArchived));
    assert_eq!(
        decide(&over, Actor::Tenure, AgentCommand::AddChild(over.id), &at(9)),
        Err(Refusal::SessionEnded)
    );
}

#[test]
fn archived_sessions_do_not_change() {
    let tags = |tags: &[&str]| AgentCommand::SetTags(tags.iter().map(|&tag| tag.to_owned()).collect());
    let title = |title: &str| AgentCommand::SetTitle(Some(title.to_owned()));
    let away = run(session(), [tags(&["a"]), title("A"), AgentCommand::Archive]);
    for command in [
        tags(&["b"]),
        tags(&[]),
        AgentCommand::AddTags(vec!["b".into()]),
        title("B"),
        AgentCommand::SetTitle(None),
    ] {
        let refused = decide(&away, Actor::Tenure, command.clone(), &at(9));
        assert_eq!(refused, Err(Refusal::SessionArchived), "{command:?}");
    }
    for command in [tags(&["a"]), AgentCommand::AddTags(vec!["a".into()]), title("A")] {
        assert_eq!(decide(&away, Actor::Tenure, command.clone(), &at(9)), Ok(vec![]), "{command:?}");
    }
    // Tags of an ended or unarchived session can still be changed.
    let back = run(away, [AgentCommand::Unarchive, tags(&["b"])]);
    assert_eq!(run(back, [end(), tags(&["c"])]).given.tags, ["c"]);
}

#[test]
fn a_description_changes_as_a_whole() {
    let describe = |title: Option<&str>, tags: Option<TagsUpdate>| AgentCommand::Describe {
        title: title.map(|title| Some(title.to_owned())),
        tags,
    };
    let replace = |tags: &[&str]| Some(TagsUpdate::Replace(tags.iter().map(|&tag| tag.to_owned()).collect()));
    let append = |tags: &[&str]| Some(TagsUpdate::Append(tags.iter().map(|&tag| tag.to_owned()).collect()));
    let first = run(session(), [describe(Some("T"), replace(&["a", "b"]))]);
    let change = |command| decide(&first, Actor::Tenure, command, &at(9));
    assert_eq!(
        (first.given.title.as_deref(), first.given.tags.as_slice()),
        (Some("T"), &["a".into(), "b".into()][..])
    );
    let added = AgentChange::Tags(vec!["a".into(), "b".into(), "c".into()]);
    assert_eq!(change(describe(None, append(&["b", "c"]))), Ok(vec![added]));
    assert_eq!(change(describe(Some("T"), append(&["a"]))), Ok(vec![]));
    assert_eq!(change(describe(None, None)), Ok(vec![]));
    let removed = AgentCommand::Describe { title: Some(None), tags: None };
    assert_eq!(change(removed), Ok(vec![AgentChange::Title(None)]));
    assert!(change(describe(Some("U"), replace(&[""]))).is_err());
    let away = run(first.clone(), [AgentCommand::Archive]);
    for command in [describe(Some("U"), None), describe(Some("T"), replace(&["a"]))] {
        assert_eq!(decide(&away, Actor::Tenure, command, &at(9)), Err(Refusal::SessionArchived));
    }
    assert_eq!(decide(&away, Actor::Tenure, describe(Some("T"), append(&["a"])), &at(9)), Ok(vec![]));
}

#[test]
fn tags_are_counted_as_sent_and_as_kept() {
    let full = || (0..MAX_TAGS).map(|number| format!("tag {number}")).collect::<Vec<_>>();
    let twice = |mut tags: Vec<String>| {
        tags.push("tag 0".to_owned());
        tags
    };
    let none = session();
    // Tags are counted before they are compared: a request can contain the same tag very often.
    for tags in [AgentCommand::SetTags(twice(full())), AgentCommand::AddTags(twice(full()))] {
        let refused = decide(&none, Actor::Tenure, tags, &at(9));
        assert_eq!(refused, Err(Refusal::invalid("tags", format!("at most {MAX_TAGS} tags"))));
    }
    let held = run(
        none,
        [AgentCommand::SetTags(twice(full()[..MAX_TAGS - 1].to_vec())), AgentCommand::AddTags(full())],
    );
    assert_eq!(held.given.tags, full());
    // A tag that the session has already does not count again; a new one does.
    let again = decide(&held, Actor::Tenure, AgentCommand::AddTags(vec!["tag 7".into()]), &at(9));
    assert_eq!(again, Ok(vec![]));
    let more = decide(&held, Actor::Tenure, AgentCommand::AddTags(vec!["more".into()]), &at(9));
    assert_eq!(more, Err(Refusal::invalid("tags", format!("at most {MAX_TAGS} tags"))));
}

#[test]
fn setting_the_current_value_changes_nothing() {
    let away = run(session(), [AgentCommand::Archive]);
    let over = run(session(), [end()]);
    for (session, command) in [
        (session(), AgentCommand::Unarchive),
        (session(), AgentCommand::Cancel),
        (session(), claim(1)),
        (session(), AgentCommand::SetTitle(None)),
        (session(), AgentCommand::SetTags(vec![])),
        (session(), AgentCommand::LoseLease { fence: 1 }),
        (away, AgentCommand::Archive),
        (over, end()),
    ] {
        assert_eq!(decide(&session, Actor::Tenure, command.clone(), &at(9)), Ok(vec![]), "{command:?}");
    }
}

#[test]
fn the_events_of_a_turn_from_beginning_to_end() {
    let asked = run(session(), [AgentCommand::Start, post(1)]);
    let steps = [
        (claim(1), vec!["turn.started", "session.activated"]),
        (
            report(
                1,
                1,
                0,
                vec![TurnItem::Output("a".into()), TurnItem::Output("b".into()), TurnItem::Log("l".into())],
            ),
            vec!["output.message.started", "output.message.delta", "output.message.delta", "worker.log"],
        ),
        (
            finish(1, 1, TurnEnding::WaitingForUser),
            vec!["output.message.completed", "turn.completed", "session.idled"],
        ),
    ];
    let mut state = asked;
    for (command, expected) in steps {
        let changes = decide(&state, Actor::Tenure, command, &at(20)).unwrap();
        assert_eq!(kinds(&changes), expected);
        state = state.with_changes(&changes, Micros(20));
    }
    assert_eq!((state.user_messages, state.agent_messages, state.events), (1, 1, 11));
    assert_eq!(state.preview.as_deref(), Some("message 1"));
    assert_eq!(state.output_preview.as_deref(), Some("done"));
    assert_eq!((state.started, state.finished), (Some(Micros(20)), Some(Micros(20))));
    assert_eq!(state.work_demand(), WorkDemand::None);
}

#[test]
fn a_repeated_report_is_taken_once_and_a_gap_is_refused() {
    let items = |n: usize| (0..n).map(|n| TurnItem::Output(n.to_string())).collect::<Vec<_>>();
    let state = run(session(), [post(1), claim(1), report(1, 1, 0, items(2))]);
    let again = run(state.clone(), [report(1, 1, 0, items(2))]);
    assert_eq!(again, state);
    let more = run(state.clone(), [report(1, 1, 1, items(3))]);
    assert_eq!((more.turn.as_ref().map(|turn| turn.reported), more.events), (Some(4), state.events + 2));
    let gap = decide(&state, Actor::Tenure, report(1, 1, 3, items(1)), &at(50));
    assert_eq!(gap, Err(Refusal::invalid("first", "at most 2")));
}

#[test]
fn a_worker_that_lost_its_turn_is_refused_and_a_repeated_end_is_not() {
    let state = run(session(), [post(1), post(2), claim(1)]);
    let lost = run(state.clone(), [AgentCommand::LoseLease { fence: 1 }, claim(9)]);
    // The second attempt is the same turn with a new fencing number.
    assert_eq!(lost.turn.as_ref().map(|turn| (turn.id, turn.fence, turn.attempt)), Some((turn(1), 2, 2)));
    for command in
        [report(1, 1, 0, vec![]), finish(1, 1, TurnEnding::Finished), finish(9, 2, TurnEnding::Finished)]
    {
        assert_eq!(decide(&lost, Actor::Tenure, command, &at(50)), Err(Refusal::TurnLost));
    }
    let ended = run(state.clone(), [finish(1, 1, TurnEnding::Finished)]);
    assert_eq!(run(ended.clone(), [finish(1, 1, TurnEnding::Finished)]), ended);
    // Also after the next turn has started.
    let next = run(ended, [claim(2)]);
    assert_eq!(run(next.clone(), [finish(1, 1, TurnEnding::Finished)]), next);
    // A token gives access to its own claim and no other.
    let opened =
        |state: &AgentSession, n| state.turn.as_ref().and_then(|turn| turn.find_claim(grant(n).token));
    assert_eq!(opened(&next, 1), Some((turn(1), 1, grant(1).key)));
    assert_eq!(opened(&next, 2), Some((turn(2), 2, grant(2).key)));
    assert_eq!((opened(&next, 3), opened(&lost, 1)), (None, None));
    assert_eq!(opened(&lost, 9), Some((turn(1), 2, grant(9).key)));
    // A cancelled worker can confirm that it stopped, and report nothing else.
    let stopped = run(state, [AgentCommand::Cancel]);
    assert_eq!(run(stopped.clone(), [finish(1, 1, TurnEnding::Cancelled)]), stopped);
    let late = decide(&stopped, Actor::Tenure, finish(1, 1, TurnEnding::Finished), &at(50));
    assert_eq!(late, Err(Refusal::TurnLost));
}

#[test]
fn a_turn_goes_to_another_worker_once() {
    let lose = |fence| AgentCommand::LoseLease { fence };
    let state = run(session(), [post(1), post(2), claim(1), lose(1)]);
    assert_eq!(state.work_demand(), WorkDemand::Waiting);
    let state = run(state, [claim(2)]);
    assert_eq!(state.work_demand(), WorkDemand::Taken { fence: 2 });
    let changes = decide(&state, Actor::Tenure, lose(2), &at(60)).unwrap();
    assert_eq!(kinds(&changes), ["turn.failed", "session.idled"]);
    let state = state.with_changes(&changes, Micros(60));
    assert_eq!((state.state.name(), state.work_demand()), ("suspended.worker_lost", WorkDemand::None));
    // Messages that waited are answered first after the session is resumed.
    let state = run(state, [post(3), claim(3)]);
    assert_eq!(state.turn.as_ref().map(|turn| (turn.message, turn.attempt)), Some((2, 1)));
    assert_eq!(state.waiting.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_lease_that_has_not_run_out_is_kept() {
    let moment = Moment { lease: Micros(100), ..at(50) };
    let state = run(session(), [post(1)]);
    let changes = decide(&state, Actor::Tenure, claim(1), &moment).unwrap();
    let state = state.with_changes(&changes, Micros(50));
    for (now, kept) in [(99, true), (100, false)] {
        let changes = decide(&state, Actor::Tenure, AgentCommand::LoseLease { fence: 1 }, &at(now)).unwrap();
        assert_eq!(changes.is_empty(), kept, "{now}");
    }
}

#[test]
fn a_whole_message_replaces_the_streamed_text() {
    let message = TurnItem::Message { text: "whole".to_owned(), parts: Json::default(), attachments: vec![] };
    let items = vec![TurnItem::Output("half".to_owned()), message, TurnItem::Output("more".to_owned())];
    let state = run(session(), [post(1), claim(1), report(1, 1, 0, items)]);
    let turn = state.turn.clone().unwrap();
    assert_eq!((state.agent_messages, turn.streamed, turn.streamed_from), (1, 4, state.events));
    assert_eq!(state.output_preview.as_deref(), Some("whole"));
    let lost = run(state.clone(), [AgentCommand::LoseLease { fence: 1 }]);
    assert_eq!(lost.state.name(), "suspended.worker_lost", "what has said something is not begun again");
    let quiet = AgentCommand::Finish {
        turn: turn.id,
        fence: 1,
        answer: TurnEnding::Finished,
        streamed: String::new(),
    };
    assert_eq!(run(state, [quiet]).agent_messages, 1);
}

#[test]
fn titles_tags_and_pull_requests() {
    let many = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
    for (tags, fits) in
        [(many(50), true), (many(51), false), (vec![String::new()], false), (vec!["x".repeat(257)], false)]
    {
        assert_eq!(decide(&session(), Actor::Tenure, AgentCommand::SetTags(tags), &at(9)).is_ok(), fits);
    }
    let tagged =
        run(session(), [AgentCommand::SetTags(many(2)), AgentCommand::AddTags(vec!["1".into(), "z".into()])]);
    assert_eq!(tagged.given.tags, ["0", "1", "z"]);
    assert!(decide(&tagged, Actor::Tenure, AgentCommand::AddTags(many(51)), &at(9)).is_err());
    let pull = |state: &str| PullRequest { url: "https://x/1".into(), state: Some(state.into()) };
    let items = ["open", "merged"].map(|state| TurnItem::PullRequest(pull(state))).to_vec();
    let state = run(session(), [post(1), claim(1), report(1, 1, 0, items)]);
    assert_eq!(state.pull_requests, [pull("merged")]);
}

#[test]
fn workers_report_only_worker_events() {
    let state = run(session(), [post(1), claim(1)]);
    for kind in EventKind::ALL {
        let item = TurnItem::Event { kind: *kind, data: Json::default() };
        let outcome = decide(&state, Actor::Tenure, report(1, 1, 0, vec![item]), &at(9));
        assert_eq!(outcome.is_ok(), kind.is_worker_event(), "{kind:?}");
    }
}

#[test]
fn the_change_feed_says_changed_or_ended() {
    let what = |session: &AgentSession, command| {
        AgentChange::feed_change(&decide(session, Actor::Tenure, command, &at(50)).unwrap())
    };
    let output = |first| report(1, 1, first, vec![TurnItem::Output("x".to_owned())]);
    let state = run(session(), [post(1), claim(1), output(0)]);
    use crate::session::FeedChange::*;
    assert_eq!(what(&state, output(1)), Changed, "streamed output too");
    assert_eq!(what(&state, finish(1, 1, TurnEnding::Finished)), Changed);
    assert_eq!(what(&state, end()), Ended);
}
