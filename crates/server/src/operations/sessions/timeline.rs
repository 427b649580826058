//! What happened in one session, of any kind, oldest first. It says what the store keeps: the events of an agent session, the
//! holds of a device session, the sign-in of a login session, and the ending of each.

use super::visible::{choose_organization, find_visible_session};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents::messages::run_by_size;
use domain::agent::{AgentSession, Event, EventKind, EventQuery, Message};
use domain::device::{DeviceSession, Hold};
use domain::ids::{PrincipalId, SessionId};
use domain::json::Json;
use domain::login::Login;
use domain::session::Ending;
use domain::time::Micros;
use serde::Deserialize;
use serde_json::json;
use store::access::ViewSessions;
use store::{AnySession, Caller, SessionNames, VisibleSessions};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineMoment {
    /// When.
    pub at: Micros,
    /// What.
    pub kind: &'static str,
    /// Who did it.
    pub actor: Option<PrincipalId>,
    /// What, for people.
    pub text: String,
    /// What else is known: a JSON object.
    pub details: Json,
}

/// The place after some of the moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimelinePosition {
    /// The sequence of the last event of an agent session; the number of moments of other sessions.
    pub after: u64,
    /// Which moments that are no events were before the place: a bit for each.
    pub told: u8,
}

/// A page.
pub struct TimelinePage {
    /// The moments, oldest first.
    pub moments: Vec<TimelineMoment>,
    /// Where the next page begins, if there is one.
    pub next: Option<TimelinePosition>,
    /// The names of the actors.
    pub names: SessionNames,
}

/// The pieces of a text that comes as a whole later.
const PIECES: [EventKind; 2] = [EventKind::OutputDelta, EventKind::ThinkingDelta];

/// Lists what happened in a session after a place.
///
/// # Errors
/// [`domain::Refusal::NotFound`] for a session that the caller may not see.
pub async fn list_timeline(
    app: &App,
    caller: &Caller,
    visible: &VisibleSessions,
    id: SessionId,
    position: TimelinePosition,
    limit: u32,
) -> Result<TimelinePage, Failure> {
    let session = find_visible_session(app, visible, id).await?;
    let view = async |organization| {
        Ok::<_, Failure>(choose_organization(app, caller, organization).await?.authorize::<ViewSessions>()?)
    };
    let (moments, next) = match session {
        AnySession::Agent(session) => {
            let granted = view(session.organization).await?;
            let exclude = PIECES.to_vec();
            let after = i64::try_from(position.after).unwrap_or(i64::MAX);
            let query = EventQuery { exclude, ..EventQuery::new(after, limit) };
            let found = app.store.list_events(&granted, id, &query).await?;
            let bytes = found.items.iter().map(|event| event.data.text().len()).sum();
            let (own, more) = (agent_moments(&session), found.more);
            let began_by = session.given.created_by;
            let tell = move || found.items.iter().map(|event| tell_event(event, began_by)).collect();
            merge(run_by_size(bytes, tell).await?, own, more, position, limit)
        }
        AnySession::Device(session, _) => {
            let granted = view(session.organization).await?;
            cut(device_moments(&app.store.load_device_session(&granted, id).await?), position, limit)
        }
        AnySession::Login(login) => cut(login_moments(&login), position, limit),
    };
    let actors = moments.iter().filter_map(|moment| moment.actor);
    let names = app.store.load_names(visible, std::iter::empty(), actors).await?;
    Ok(TimelinePage { moments, next, names })
}

/// A page of moments that are all known.
fn cut(
    mut moments: Vec<TimelineMoment>,
    position: TimelinePosition,
    limit: u32,
) -> (Vec<TimelineMoment>, Option<TimelinePosition>) {
    moments.sort_by_key(|moment| moment.at);
    let start = usize::try_from(position.after).unwrap_or(usize::MAX).min(moments.len());
    let mut page = moments.split_off(start);
    let more = page.len() > limit as usize;
    page.truncate(limit as usize);
    let after = (start + page.len()) as u64;
    (page, more.then_some(TimelinePosition { after, ..position }))
}

/// A page of the events of an agent session, with its moments that are no events between them. `more` says whether more events
/// follow.
fn merge(
    events: Vec<(u64, TimelineMoment)>,
    own: Vec<OwnMoment>,
    more: bool,
    mut position: TimelinePosition,
    limit: u32,
) -> (Vec<TimelineMoment>, Option<TimelinePosition>) {
    let mut events = events.into_iter().peekable();
    let mut own = own.into_iter().filter(|own| position.told & own.bit == 0).collect::<Vec<_>>();
    own.sort_by_key(|own| own.moment.at);
    let mut own = own.into_iter().peekable();
    let mut page = Vec::new();
    let mut told = position.told;
    while page.len() < limit as usize {
        let is_next = own.peek().is_some_and(|own| match events.peek() {
            // Nothing happens after the end.
            Some((_, event)) => !own.is_last && own.moment.at < event.at,
            None => !more,
        });
        if let Some(own) = own.next_if(|_| is_next) {
            told |= own.bit;
            page.push(own.moment);
        } else if let Some((sequence, moment)) = events.next() {
            position.after = sequence;
            page.push(moment);
        } else {
            break;
        }
    }
    position.told = told;
    let has_more = more || events.peek().is_some() || own.peek().is_some();
    (page, has_more.then_some(position))
}

/// A moment of an agent session that is no event.
struct OwnMoment {
    bit: u8,
    is_last: bool,
    moment: TimelineMoment,
}

fn agent_moments(session: &AgentSession) -> Vec<OwnMoment> {
    let archived = session.archived.map(|at| OwnMoment {
        bit: 1,
        is_last: false,
        moment: moment(at, "session.archived", None, "the session was archived", json!({})),
    });
    let ended =
        session.ended.as_ref().map(|ended| OwnMoment { bit: 2, is_last: true, moment: tell_ending(ended) });
    archived.into_iter().chain(ended).collect()
}

fn moment(
    at: Micros,
    kind: &'static str,
    actor: Option<PrincipalId>,
    text: impl Into<String>,
    details: serde_json::Value,
) -> TimelineMoment {
    TimelineMoment { at, kind, actor, text: text.into(), details: details.into() }
}

fn tell_ending((at, ending): &(Micros, Ending)) -> TimelineMoment {
    let details = json!({ "reason": ending.reason.name(), "evidence": ending.evidence });
    moment(*at, "session.ended", ending.actor, &ending.evidence, details)
}

/// The fields of the data of events that their texts say.
#[derive(Deserialize, Default)]
#[serde(default)]
struct EventData {
    message: Option<serde::de::IgnoredAny>,
    error: Option<String>,
    line: Option<String>,
}

/// The data of an event about a message.
#[derive(Deserialize)]
struct MessageData {
    message: Message,
}

fn tell_event(event: &Event, began_by: PrincipalId) -> (u64, TimelineMoment) {
    let kind = event.kind.name();
    let sequence = event.sequence.unsigned_abs();
    if matches!(event.kind, EventKind::InputMessage | EventKind::OutputCompleted)
        && let Some(MessageData { message }) = event.data.read()
    {
        let attachments = message.attachments.iter().map(|attachment| &attachment.name).collect::<Vec<_>>();
        let details = json!({
            "message": message.id.0, "sequence": message.sequence, "source": message.source.name(),
            "attachments": attachments,
        });
        return (sequence, moment(event.at, kind, message.author, message.text, details));
    }
    let actor = (event.kind == EventKind::SessionStarted).then_some(began_by);
    let text = event_text(event);
    (sequence, TimelineMoment { at: event.at, kind, actor, text, details: event.data.clone() })
}

fn event_text(event: &Event) -> String {
    use EventKind::*;
    let said = || event.data.read::<EventData>().unwrap_or_default();
    match event.kind {
        SessionStarted => "the session began",
        SessionActivated => "the agent works",
        SessionIdled => "the agent waits",
        TurnStarted => "a worker began to answer",
        TurnCompleted => "the message was answered",
        TurnFailed => return format!("the answer failed: {}", said().error.unwrap_or_default()),
        TurnCancelled => "the answer was cancelled",
        TurnReturned => "the worker was lost",
        OutputStarted => "the answer began",
        WorkerLog => return said().line.unwrap_or_default(),
        // What workers report has data of their own.
        kind => kind.name(),
    }
    .to_owned()
}

fn device_moments(session: &DeviceSession) -> Vec<TimelineMoment> {
    let start = session.id.creation_time();
    let mut moments =
        vec![moment(start, "session.started", Some(session.owner), "the session began", json!({}))];
    for hold in &session.holds {
        moments.extend(hold_moments(hold));
    }
    moments.extend(session.ended.as_ref().map(tell_ending));
    moments
}

fn hold_moments(hold: &Hold) -> Vec<TimelineMoment> {
    let device = hold.held.as_ref().map(|held| {
        json!({ "id": held.handle, "name": held.profile.name, "platform": held.profile.platform,
                "version": held.profile.version, "fence": held.fence.to_string() })
    });
    let details = |more: serde_json::Value| {
        let mut all = json!({ "allocation": hold.id.0 });
        for (name, value) in more.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        all
    };
    let wanted = details(json!({ "platform": hold.platform }));
    let asked = format!("a device was requested: {}", hold.platform);
    let mut moments = vec![moment(hold.requested, "device.requested", Some(hold.principal), asked, wanted)];
    if let (Some(at), Some(held)) = (hold.granted, &hold.held) {
        let text = format!("{} was granted", held.handle);
        moments.push(moment(at, "device.granted", None, text, details(json!({ "device": device }))));
    }
    if let Some((at, ending)) = &hold.ended {
        let why = json!({ "device": device, "reason": ending.reason.name(), "evidence": ending.evidence });
        let kind = if hold.held.is_some() { "device.released" } else { "device.request_ended" };
        moments.push(moment(*at, kind, ending.actor, &ending.evidence, details(why)));
    }
    moments
}

fn login_moments(login: &Login) -> Vec<TimelineMoment> {
    let start = login.id.creation_time();
    let address = login.origin.remote_ip.map(|ip| ip.to_string());
    let methods = login.methods.iter().map(|method| method.name()).collect::<Vec<_>>();
    let again = login.authenticated > start;
    let from = address.as_deref().unwrap_or("an unknown address");
    let mut how = json!({ "address": address, "client": login.origin.agent_type, "user_agent": login.origin.agent,
                          "key": login.credential.map(|key| key.0) });
    if !again {
        how["methods"] = json!(methods);
    }
    let owner = Some(login.owner);
    let mut moments = vec![moment(start, "session.started", owner, format!("signed in from {from}"), how)];
    if again {
        let how = json!({ "methods": methods });
        moments.push(moment(
            login.authenticated,
            "login.authenticated",
            owner,
            "showed again who they are",
            how,
        ));
    }
    moments.extend(login.ended.as_ref().map(tell_ending));
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the pages, each moment comes once, events in their order, and the end last.
        #[test]
        fn pages_have_every_moment_once(
            times in proptest::collection::vec(0i64..50, 0..30),
            archived in proptest::option::of(0i64..60),
            ended in proptest::option::of(0i64..60),
            limit in 1u32..8,
            found in 1usize..9,
        ) {
            let tell = |at, kind| moment(Micros(at), kind, None, "", json!({}));
            let events = times.iter().zip(1u64..).map(|(at, sequence)| (sequence, tell(*at, "event")));
            let events = events.collect::<Vec<_>>();
            let (mut position, mut told) = (TimelinePosition::default(), Vec::new());
            loop {
                let own = [(1, archived, "archived"), (2, ended, "ended")].into_iter().filter_map(|(bit, at, kind)| {
                    Some(OwnMoment { bit, is_last: bit == 2, moment: tell(at?, kind) })
                });
                let left = events.iter().filter(|(sequence, _)| *sequence > position.after).cloned();
                let left = left.collect::<Vec<_>>();
                let size = found.min(limit as usize);
                let some = left.iter().take(size).cloned().collect::<Vec<_>>();
                let (page, next) = merge(some, own.collect(), left.len() > size, position, limit);
                prop_assert!(page.len() <= limit as usize && (!page.is_empty() || events.is_empty()));
                told.extend(page.into_iter().map(|moment| (moment.kind, moment.at.0)));
                match next {
                    Some(next) => position = next,
                    None => break,
                }
            }
            let of = |kind| told.iter().filter(|(found, _)| *found == kind).map(|(_, at)| *at).collect::<Vec<_>>();
            prop_assert_eq!(of("event"), times);
            prop_assert_eq!(of("archived"), archived.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(of("ended"), ended.into_iter().collect::<Vec<_>>());
            if let (Some(_), None) = (ended, archived) {
                prop_assert_eq!(told.last().unwrap().0, "ended");
            }
        }
    }
}
