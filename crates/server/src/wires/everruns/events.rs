//! `/v1/sessions/{session}/events`: pages of a session's events.

use super::event_shapes::{EventShape, StreamedText, piece_offset};
use super::extractors::Authorized;
use super::ids;
use super::output::{HandlerResult, Output, PathText, path_text};
use super::query::unknown_warning;
use super::shapes::Page;
use crate::app::App;
use crate::failure::Failure;
use crate::http::query::Query;
use crate::operations::agents;
use axum::extract::State;
use axum::http::StatusCode;
use domain::Refusal;
use domain::agent::{Event, EventKind, EventQuery, MAX_EVENT_BYTES};
use domain::ids::{EventId, SessionId};
use domain::json::Json;
use domain::refusal::Thing;
use domain::time::Micros;
use serde::Deserialize;
use store::Granted;
use store::access::ViewSessions;

/// Most events of one page.
const MAX_EVENTS: i64 = 1_000;
/// A page ends after the event whose data reaches this many bytes in total.
const MAX_BYTES: usize = MAX_EVENT_BYTES as usize;
/// Events per read while searching.
const AT_ONCE: u32 = 256;
/// Most kinds in `types`, and in `exclude`.
const MAX_KINDS: usize = 25;
/// Largest `window`: events on each side of `around`.
const MAX_WINDOW: i64 = 500;
const DEFAULT_WINDOW: i64 = 25;

/// The query parameters of a list of events.
const PARAMETERS: [&str; 17] = [
    "since_id",
    "types",
    "exclude",
    "limit",
    "before_sequence",
    "after_sequence",
    "around",
    "window",
    "from_ts",
    "to_ts",
    "turn_id",
    "exec_id",
    "trace_id",
    "tags",
    "tool_name",
    "q",
    "order_desc",
];

/// The requested kinds of events: those named, or all; without the excluded ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventKinds {
    /// Only these kinds; `None` for all.
    pub only: Option<Vec<EventKind>>,
    /// None of these kinds.
    pub exclude: Vec<EventKind>,
}

impl EventKinds {
    /// Reads `types` and `exclude`, each repeated.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for more than 25 kinds, and for an unknown kind.
    pub fn read(query: &Query) -> Result<EventKinds, Failure> {
        let only = read_kinds(query, "types")?;
        Ok(EventKinds { only: (!only.is_empty()).then_some(only), exclude: read_kinds(query, "exclude")? })
    }
}

fn read_kinds(query: &Query, name: &str) -> Result<Vec<EventKind>, Failure> {
    let names = query.list(name).unwrap_or_default();
    if names.len() > MAX_KINDS {
        return Err(Refusal::invalid(name, format!("at most {MAX_KINDS} types")).into());
    }
    let kind = |name_of: &str| {
        let expected = "types of events such as output.message.completed";
        EventKind::parse(name_of).ok_or_else(|| Refusal::invalid(name, expected).into())
    };
    names.into_iter().map(kind).collect()
}

/// The part of a filter that the store cannot apply.
#[derive(Debug, Default)]
struct EventFilter {
    from: Option<Micros>,
    to: Option<Micros>,
    tool: Option<String>,
    /// In lower case.
    text: Option<String>,
    /// Whether the filter names a field that no event here has, so that nothing matches.
    none: bool,
}

impl EventFilter {
    fn read(query: &Query) -> Result<EventFilter, Failure> {
        let absent = ["exec_id", "trace_id", "tags"];
        Ok(EventFilter {
            from: query.time("from_ts")?,
            to: query.time("to_ts")?,
            tool: query.text("tool_name")?.map(str::to_owned),
            text: query.text("q")?.map(str::to_lowercase).filter(|text| !text.trim().is_empty()),
            none: absent.iter().any(|name| !query.all(name).is_empty()),
        })
    }

    fn is_empty(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.tool.is_none() && self.text.is_none() && !self.none
    }

    fn matches(&self, event: &Event) -> bool {
        !self.none
            && self.from.is_none_or(|from| event.at >= from)
            && self.to.is_none_or(|to| event.at <= to)
            && self.tool.as_ref().is_none_or(|tool| tool_name(&event.data).as_ref() == Some(tool))
            && self.text.as_ref().is_none_or(|text| event.data.text().to_lowercase().contains(text))
    }
}

fn tool_name(data: &Json) -> Option<String> {
    #[derive(Deserialize)]
    struct Used {
        tool_name: Option<Json>,
        tool_call: Option<Json>,
    }
    #[derive(Deserialize)]
    struct Called {
        name: String,
    }
    let used = data.read::<Used>()?;
    match used.tool_name {
        Some(name) => name.read(),
        None => used.tool_call?.read::<Called>().map(|called| called.name),
    }
}

/// A request for events: the query, the rest of the filter, and the order.
struct EventsRequest {
    query: EventQuery,
    more: EventFilter,
    newest_first: bool,
    around: Option<EventId>,
}

/// `GET …/events`.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    session: PathText,
    query: Query,
) -> HandlerResult {
    Ok(list_page(&app, &granted, &path_text(session), &query).await?)
}

/// Reads the requested page of events.
///
/// # Errors
/// [`Refusal::NotFound`] for an unknown session or event; [`Refusal::Invalid`] for a parameter that is not valid;
/// [`RequestFailure::Body`](crate::failure::RequestFailure::Body) for a malformed id.
pub async fn list_page(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: &str,
    query: &Query,
) -> Result<Output, Failure> {
    let id = ids::read_session(id)?;
    let request = read_request(app, granted, id, query).await?;
    let limit = request.query.limit;
    let (mut events, total) = match request.more.is_empty() {
        true => {
            let found = agents::events::list_events(app, granted, id, &request.query).await?;
            (found.items, found.total)
        }
        false => search(app, granted, id, &request).await?,
    };
    if request.around.is_some_and(|around| !events.iter().any(|event| event.id == around)) {
        return Err(Refusal::NotFound(Thing::Event).into());
    }
    // Shapes are made in the order of events: each piece of an answer repeats the pieces before it.
    if request.query.newest_first {
        events.reverse();
    }
    let mut shapes = event_shapes(app, granted, id, events).await?;
    if request.newest_first {
        shapes.reverse();
    }
    let left_out = query.text("limit")?.is_none() && total > u64::try_from(shapes.len()).unwrap_or(u64::MAX);
    let cut = left_out.then(|| format!("only {} of {total} events: go on with after_sequence", shapes.len()));
    let page = Page::new(&shapes, total, 0, limit.into());
    Ok(Output::json(StatusCode::OK, &page)?
        .with_warning(cut)
        .with_warning(unknown_warning(query, &PARAMETERS)))
}

async fn read_request(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    query: &Query,
) -> Result<EventsRequest, Failure> {
    let sequences = 0..=i64::from(u32::MAX);
    let limit = query.number("limit", 1..=MAX_EVENTS)?;
    let mut after = query.number("after_sequence", sequences.clone())?;
    let mut before = query.number("before_sequence", sequences)?;
    let around = query.text("around")?.map(ids::read_event).transpose()?;
    let since = query.text("since_id")?.map(ids::read_event).transpose()?;
    let window = query.number("window", 1..=MAX_WINDOW)?.unwrap_or(DEFAULT_WINDOW);
    let newest_first = query.flag("order_desc")?;
    let EventKinds { only, exclude } = EventKinds::read(query)?;
    let turn = query.text("turn_id")?.map(ids::read_turn).transpose()?;
    let more = EventFilter::read(query)?;
    if let Some(since) = since {
        let place = agents::events::load_event_position(app, granted, id, since).await?;
        after = Some(after.unwrap_or(0).max(place));
    }
    if let Some(around) = around {
        let place = agents::events::load_event_position(app, granted, id, around).await?;
        after = Some(after.unwrap_or(0).max(place - window - 1));
        before = Some(before.unwrap_or(i64::MAX).min(place + window + 1));
    }
    // A limit alone means the newest events. A limit with a start means the next events from there.
    let from_the_end = newest_first || (limit.is_some() && after.is_none());
    let query = EventQuery {
        after: after.unwrap_or(0),
        before,
        kinds: only,
        exclude,
        turn,
        limit: u32::try_from(limit.unwrap_or(MAX_EVENTS)).unwrap_or(0),
        bytes: MAX_EVENT_BYTES,
        newest_first: from_the_end,
    };
    Ok(EventsRequest { query, more, newest_first, around })
}

/// Reads all events of the query, keeps the first `limit` that match the rest of the filter, and counts all that match.
async fn search(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    asked: &EventsRequest,
) -> Result<(Vec<Event>, u64), Failure> {
    let most = usize::try_from(asked.query.limit).unwrap_or(usize::MAX);
    let mut step = EventQuery { limit: AT_ONCE, ..asked.query.clone() };
    let (mut kept, mut total, mut bytes) = (Vec::new(), 0, 0);
    loop {
        let read = agents::events::list_events(app, granted, id, &step).await?.items;
        let Some(last) = read.last().map(|event| event.sequence) else { break };
        for event in read.into_iter().filter(|event| asked.more.matches(event)) {
            total += 1;
            if kept.len() < most && bytes < MAX_BYTES {
                bytes += event.data.text().len();
                kept.push(event);
            }
        }
        match step.newest_first {
            true => step.before = Some(last),
            false => step.after = last,
        }
    }
    Ok((kept, total))
}

/// The shapes of events, which are in their order.
async fn event_shapes(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    events: Vec<Event>,
) -> Result<Vec<EventShape>, Failure> {
    let mut streamed = StreamedText::default();
    let mut shapes = Vec::with_capacity(events.len());
    let mut bytes = 0;
    for event in events {
        // Pieces repeat the text before them. In a large page they no longer do.
        if bytes < MAX_BYTES {
            catch_up(app, granted, id, &mut streamed, &event).await?;
        } else {
            streamed = StreamedText::default();
        }
        let event = EventShape::new(event, &mut streamed);
        bytes += event.bytes();
        shapes.push(event);
    }
    Ok(shapes)
}

/// Reads the text that was streamed before a piece of an answer, when a reader begins in the middle.
///
/// # Errors
/// [`Failure::Internal`] when the store fails.
pub async fn catch_up(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    streamed: &mut StreamedText,
    event: &Event,
) -> Result<(), Failure> {
    if !streamed.misses(event) {
        return Ok(());
    }
    let mut query = EventQuery {
        before: Some(event.sequence),
        kinds: Some(vec![EventKind::OutputDelta]),
        turn: event.context.turn,
        newest_first: true,
        ..EventQuery::new(0, AT_ONCE)
    };
    let mut missed = Vec::new();
    'back: loop {
        let read = agents::events::list_events(app, granted, id, &query).await?.items;
        let Some(last) = read.last() else { break };
        query.before = Some(last.sequence);
        for piece in read {
            let begins = piece_offset(&piece) == Some(0);
            missed.push(piece);
            if begins {
                break 'back;
            }
        }
    }
    for piece in missed.iter().rev() {
        streamed.take(piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_by_repeating_or_by_commas() {
        let of = |text: &str| EventKinds::read(&Query::read(text)).map_err(|failure| failure.to_string());
        assert_eq!(of("").unwrap(), EventKinds::default());
        let both = vec![EventKind::TurnStarted, EventKind::TurnCompleted];
        assert_eq!(of("types=turn.started&types=turn.completed").unwrap().only, Some(both.clone()));
        assert_eq!(of("exclude=turn.started,turn.completed").unwrap().exclude, both);
        let unknown = "types: expected types of events such as output.message.completed";
        assert_eq!(of("types=turn").unwrap_err(), unknown);
        assert_eq!(
            of(&"exclude=turn.started&".repeat(26)).unwrap_err(),
            "exclude: expected at most 25 types"
        );
        assert!(of(&"exclude=turn.started&".repeat(25)).is_ok());
    }
}
