//! Messages of agent sessions.

use crate::access::lane::Scan;
use crate::access::{Granted, PermissionType, ViewSessions};
use crate::database::{Columns, DatabaseError};
use crate::rows::{MAX_PAGE_BYTES, read_by_size, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::agent::{Attachment, Message, MessageSource};
use domain::ids::{MessageId, SessionId};
use domain::page::ListSlice;
use domain::refusal::Thing;
use domain::time::Micros;

/// One row if the session exists.
pub(crate) const IS_THERE: &str = "
    SELECT created_us FROM agent_sessions WHERE organization = $1 AND created_us = $2 AND tail = $3";

/// Messages between two sequences, in one direction: at most `$5`, and none after their rows have `$6` bytes. The end
/// of the page is found by lengths alone, because a database that carried the rows along would write large ones to
/// disk.
macro_rules! page {
    ($order:literal, $up_to:literal, $last:literal) => {
        concat!(
            "SELECT body FROM messages
             WHERE organization = $1 AND session_us = $2 AND sequence > $3 AND sequence < $4 AND sequence ",
            $up_to,
            " (SELECT ",
            $last,
            "(sequence) FROM (SELECT sequence, SUM(bytes) OVER (ORDER BY sequence ",
            $order,
            ") - bytes AS before
                 FROM (SELECT sequence, OCTET_LENGTH(body) AS bytes FROM messages
                       WHERE organization = $1 AND session_us = $2 AND sequence > $3 AND sequence < $4
                       ORDER BY organization ",
            $order,
            ", session_us ",
            $order,
            ", sequence ",
            $order,
            " LIMIT $5) p) q WHERE before < $6)
             ORDER BY organization ",
            $order,
            ", session_us ",
            $order,
            ", sequence ",
            $order
        )
    };
}

const PAGE: &str = page!("ASC", "<=", "MAX");
const NEWEST: &str = page!("DESC", ">=", "MIN");

// Sequences have no gaps, so the newest is the number of messages.
const TOTAL: &str = "
    SELECT COALESCE(MAX(sequence), 0) FROM messages WHERE organization = $1 AND session_us = $2";

/// Messages with attachments; bounded like [`PAGE`].
const ATTACHED: &str = "
    SELECT body FROM messages WHERE organization = $1 AND session_us = $2 AND attachments > 0
        AND sequence > $3 AND sequence <= (SELECT MAX(sequence) FROM
            (SELECT sequence, SUM(OCTET_LENGTH(body)) OVER (ORDER BY sequence) - OCTET_LENGTH(body) AS before
             FROM messages WHERE organization = $1 AND session_us = $2 AND attachments > 0
                 AND sequence > $3 AND sequence < $4) q
            WHERE before < $5)
    ORDER BY organization, session_us, sequence";

impl Store {
    /// The messages after a sequence, in order, and the number of all messages of the session. At most `limit`, and
    /// fewer when their rows are large.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such session.
    pub async fn list_messages(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
        after: i64,
        limit: u32,
    ) -> Result<ListSlice<Message>> {
        let created = id.creation_time();
        let statements = [
            (IS_THERE, values![created, id.tail() as i64]),
            (PAGE, values![created, after, i64::MAX, limit, MAX_PAGE_BYTES]),
            (TOTAL, values![created]),
        ];
        let [session, rows, total] = self.read_snapshot(granted, statements).await?;
        session.read_first(Columns::time)?.ok_or(Refusal::NotFound(Thing::Session))?;
        let items = read_by_size(rows, read_message).await?;
        let total = total.read_one(Columns::int)?;
        let more = items.last().map_or(after, |last| last.sequence) < total;
        Ok(ListSlice { items, total: u64::try_from(total).unwrap_or(0), more })
    }

    /// The messages between two sequences, newest first. At most `limit`, and fewer when their rows are large.
    pub async fn list_newest_messages(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
        after: i64,
        before: i64,
        limit: u32,
    ) -> Result<Vec<Message>> {
        let statements = [
            (IS_THERE, values![id.creation_time(), id.tail() as i64]),
            (NEWEST, values![id.creation_time(), after, before, limit, MAX_PAGE_BYTES]),
        ];
        let [session, rows] = self.read_snapshot(granted, statements).await?;
        session.read_first(Columns::time)?.ok_or(Refusal::NotFound(Thing::Session))?;
        read_by_size(rows, read_message).await
    }

    /// The message with a sequence.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such session or message.
    pub async fn load_message<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        id: SessionId,
        sequence: i64,
    ) -> Result<Message> {
        let sql = "SELECT m.body FROM messages m JOIN agent_sessions s
                       ON s.organization = m.organization AND s.created_us = m.session_us AND s.tail = $3
                   WHERE m.organization = $1 AND m.session_us = $2 AND m.sequence = $4";
        let rows = self.read(granted, sql, values![id.creation_time(), id.tail() as i64, sequence]).await?;
        rows.read_first(read_message)?.ok_or(Refusal::NotFound(Thing::Session).into())
    }

    /// The message with an id.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn find_message<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        session: SessionId,
        id: MessageId,
    ) -> Result<Message> {
        let sql = "SELECT body FROM messages WHERE organization = $1 AND session_us = $2 AND id = $3";
        let rows = self.read(granted, sql, values![session.creation_time(), id]).await?;
        rows.read_first(read_message)?.ok_or(Refusal::NotFound(Thing::Session).into())
    }

    /// The attachments of all messages, in order, with their source and time.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such session.
    pub async fn list_session_attachments(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
    ) -> Result<Vec<(MessageSource, Attachment, Micros)>> {
        let session = self.read(granted, IS_THERE, values![id.creation_time(), id.tail() as i64]).await?;
        session.read_first(Columns::time)?.ok_or(Refusal::NotFound(Thing::Session))?;
        self.list_attachments(granted, id.creation_time(), i64::MAX).await
    }

    /// The attachments of messages before a sequence, also of a deleted session. Messages can be large, so they are
    /// read in pages, and only the attachments of each page are kept.
    pub(crate) async fn list_attachments(
        &self,
        granted: &Granted<ViewSessions>,
        session: Micros,
        before: i64,
    ) -> Result<Vec<(MessageSource, Attachment, Micros)>> {
        let (mut files, mut after) = (Vec::new(), 0);
        loop {
            let values = values![session, after, before, MAX_PAGE_BYTES];
            let rows = self.read(granted, Scan(ATTACHED), values).await?;
            if rows.is_empty() {
                return Ok(files);
            }
            rows.read_all(|columns| {
                let message = read_message(columns)?;
                let (source, at) = (message.source, message.created);
                files.extend(message.attachments.into_iter().map(|attachment| (source, attachment, at)));
                after = message.sequence;
                Ok(())
            })?;
        }
    }
}

fn read_message(columns: &mut Columns) -> Result<Message, DatabaseError> {
    columns.json()
}
