//! Events of agent sessions.

use crate::access::lane::Scan;
use crate::access::{Granted, PermissionType, ViewSessions};
use crate::agents::messages::IS_THERE;
use crate::database::Row;
use crate::rows::{parse_json, parse_word, read_rows, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::agent::{Event, EventContext, EventKind, EventQuery};
use domain::ids::{EventId, MessageId, SessionId, TurnId};
use domain::page::ListSlice;
use domain::refusal::Thing;
use domain::time::Micros;

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
        let whole = query.kinds.is_none() && query.exclude.is_empty() && !by_turn;
        let total = match whole {
            true => (ALL, values![created]),
            false => (SOME, values![created, kinds.as_str(), exclude.as_str(), by_turn, turn]),
        };
        let page = (if query.newest_first { NEWEST } else { PAGE }, page);
        let statements = [(IS_THERE, values![created, id.tail() as i64]), page, total];
        let [there, mut rows, total] = match whole {
            true => self.read_snapshot(granted, statements).await?,
            // Events of some kinds are searched and counted among all of the session's.
            false => {
                let scans = statements.map(|(sql, values)| (Scan(sql), values));
                self.read_snapshot(granted, scans).await?
            }
        };
        there.first().ok_or(Refusal::NotFound(Thing::Session))?;
        let found = rows.first().map_or(Ok(0), |row| row.int(7))?;
        rows.truncate(query.limit as usize);
        let items = read_rows(rows, move |row| event(id, row)).await?;
        let more = found > i64::try_from(items.len()).unwrap_or(i64::MAX);
        let total = total.first().map_or(Ok(0), |row| row.int(0))?;
        Ok(ListSlice { items, total: u64::try_from(total).unwrap_or(0), more })
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
        Ok(rows.first().map(|row| row.id(0)).transpose()?.map(EventId))
    }

    /// The streamed pieces of an answer between two sequences, both included, in order.
    pub async fn load_streamed_output<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        id: SessionId,
        from: i64,
        to: i64,
    ) -> Result<Vec<Event>> {
        let both = [
            (IS_THERE, values![id.creation_time(), id.tail() as i64]),
            (STREAMED, values![id.creation_time(), from, to]),
        ];
        let [there, rows] = self.read_snapshot(granted, both).await?;
        there.first().ok_or(Refusal::NotFound(Thing::Session))?;
        read_rows(rows, move |row| event(id, row)).await
    }
}

/// Kinds as one text for LIKE; only a comma for no kind. No kind's name has a comma.
fn words(kinds: &[EventKind]) -> String {
    match kinds.is_empty() {
        true => ",".to_owned(),
        false => kinds.iter().fold(",".to_owned(), |text, kind| text + kind.name() + ","),
    }
}

fn event(session: SessionId, row: &Row) -> Result<Event> {
    Ok(Event {
        session,
        sequence: row.int(0)?,
        id: EventId(row.id(1)?),
        kind: parse_word(row.text_ref(2)?, EventKind::parse)?,
        at: Micros(row.int(3)?),
        context: EventContext { turn: row.maybe_id(4)?.map(TurnId), input: row.maybe_id(5)?.map(MessageId) },
        data: parse_json(row, 6)?,
    })
}
