//! Events of agent sessions.

use crate::access::lane::Scan;
use crate::access::{Granted, PermissionType, ViewSessions};
use crate::agents::messages::IS_THERE;
use crate::database::{Columns, DatabaseError};
use crate::rows::{read_by_size, read_page, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::agent::{Event, EventContext, EventKind, EventQuery};
use domain::ids::{EventId, MessageId, SessionId, TurnId};
use domain::page::ListSlice;
use domain::refusal::Thing;

macro_rules! event_columns {
    () => {
        "sequence, id, kind, at_us, turn, input, data"
    };
}

/// The events that a page is taken from.
macro_rules! wanted {
    () => {
        "organization = $1 AND session_us = $2 AND sequence > $3 AND sequence < $4
             AND ($5 = '' OR $5 LIKE '%,' || kind || ',%') AND $6 NOT LIKE '%,' || kind || ',%'
             AND ($7 = 0 OR turn = $8)"
    };
}

/// The events between two sequences: at most `$9`, and none after their data has `$10` bytes. Kinds are one text,
/// with a comma around each. `found` is the number of events without the limit of bytes. The end of the page is found
/// by lengths alone, as for messages.
macro_rules! page {
    ($order:literal, $up_to:literal, $last:literal) => {
        concat!(
            "WITH p AS (SELECT sequence, OCTET_LENGTH(data) AS bytes FROM events WHERE ",
            wanted!(),
            " ORDER BY organization ",
            $order,
            ", session_us ",
            $order,
            ", sequence ",
            $order,
            " LIMIT $9)
             SELECT ",
            event_columns!(),
            ", (SELECT COUNT(*) FROM p) AS found FROM events WHERE ",
            wanted!(),
            " AND sequence ",
            $up_to,
            " (SELECT ",
            $last,
            "(sequence) FROM (SELECT sequence, SUM(bytes) OVER (ORDER BY sequence ",
            $order,
            ") - bytes AS before FROM p) q WHERE before < $10)
             ORDER BY organization ",
            $order,
            ", session_us ",
            $order,
            ", sequence ",
            $order
        )
    };
}

pub(crate) const PAGE: &str = page!("ASC", "<=", "MAX");
pub(crate) const NEWEST: &str = page!("DESC", ">=", "MIN");

// Sequences have no gaps, so the newest is the number of events.
const ALL: &str = "SELECT COALESCE(MAX(sequence), 0) FROM events WHERE organization = $1 AND session_us = $2";

const SOME: &str = "
    SELECT COUNT(*) FROM events WHERE organization = $1 AND session_us = $2
        AND ($3 = '' OR $3 LIKE '%,' || kind || ',%') AND $4 NOT LIKE '%,' || kind || ',%'
        AND ($5 = 0 OR turn = $6)";

const STREAMED: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE organization = $1 AND session_us = $2 AND sequence >= $3 AND sequence <= $4
         AND kind = 'output.message.delta' ORDER BY organization, session_us, sequence"
);

impl Store {
    /// A page of events, and the number of all events of these kinds in the session. The page ends early when the
    /// data of its events is large.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such session.
    pub async fn list_events(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
        query: &EventQuery,
    ) -> Result<ListSlice<Event>> {
        let created = id.creation_time();
        let kinds = query.kinds.as_ref().map_or(String::new(), |kinds| words(kinds));
        let exclude = words(&query.exclude);
        let (by_turn, turn) = (query.turn.is_some(), query.turn);
        let page = values![
            created,
            query.after,
            query.before.unwrap_or(i64::MAX),
            kinds.as_str(),
            exclude.as_str(),
            by_turn,
            turn,
            i64::from(query.limit) + 1,
            query.bytes
        ];
        let unfiltered = query.kinds.is_none() && query.exclude.is_empty() && !by_turn;
        let total = match unfiltered {
            true => (ALL, values![created]),
            false => (SOME, values![created, kinds.as_str(), exclude.as_str(), by_turn, turn]),
        };
        let page = (if query.newest_first { NEWEST } else { PAGE }, page);
        let statements = [(IS_THERE, values![created, id.tail() as i64]), page, total];
        let [session, rows, total] = match unfiltered {
            true => self.read_snapshot(granted, statements).await?,
            // Events of some kinds are searched and counted among all of the session's.
            false => {
                let scans = statements.map(|(sql, values)| (Scan(sql), values));
                self.read_snapshot(granted, scans).await?
            }
        };
        session.read_first(Columns::time)?.ok_or(Refusal::NotFound(Thing::Session))?;
        read_page(rows, total, query.limit, move |columns| read_event(id, columns)).await
    }

    /// The id of the event with a sequence, to compare with an id from a client.
    pub async fn load_event(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
        sequence: i64,
    ) -> Result<Option<EventId>> {
        let sql = "SELECT e.id FROM events e JOIN agent_sessions s
                       ON s.organization = e.organization AND s.created_us = e.session_us AND s.tail = $3
                   WHERE e.organization = $1 AND e.session_us = $2 AND e.sequence = $4";
        let rows = self.read(granted, sql, values![id.creation_time(), id.tail() as i64, sequence]).await?;
        Ok(rows.read_first(Columns::id)?.map(EventId))
    }

    /// The streamed pieces of an answer between two sequences, both included, in order.
    pub async fn load_streamed_output<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        id: SessionId,
        from: i64,
        to: i64,
    ) -> Result<Vec<Event>> {
        let statements = [
            (IS_THERE, values![id.creation_time(), id.tail() as i64]),
            (STREAMED, values![id.creation_time(), from, to]),
        ];
        let [session, rows] = self.read_snapshot(granted, statements).await?;
        session.read_first(Columns::time)?.ok_or(Refusal::NotFound(Thing::Session))?;
        read_by_size(rows, move |columns| read_event(id, columns)).await
    }
}

/// Kinds as one text for LIKE; only a comma for no kind. No kind's name has a comma.
fn words(kinds: &[EventKind]) -> String {
    match kinds.is_empty() {
        true => ",".to_owned(),
        false => kinds.iter().fold(",".to_owned(), |text, kind| text + kind.name() + ","),
    }
}

fn read_event(session: SessionId, columns: &mut Columns) -> Result<Event, DatabaseError> {
    Ok(Event {
        session,
        sequence: columns.int()?,
        id: EventId(columns.id()?),
        kind: columns.word(EventKind::parse)?,
        at: columns.time()?,
        context: EventContext {
            turn: columns.maybe_id()?.map(TurnId),
            input: columns.maybe_id()?.map(MessageId),
        },
        data: columns.json()?,
    })
}
