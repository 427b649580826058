//! What was said in agent sessions.

use crate::access::{Granted, Right, ViewSessions};
use crate::database::Row;
use crate::rows::{from_json, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::agent::{Attachment, Message, Source};
use domain::ids::{FileId, MessageId, SessionId};
use domain::page::Listed;
use domain::refusal::Thing;
use domain::time::Micros;

/// One row when the session is there.
pub(crate) const IS_THERE: &str = "
    SELECT created_us FROM agent_sessions WHERE organization = $1 AND created_us = $2 AND tail = $3";

const PAGE: &str = "
    SELECT body FROM messages WHERE organization = $1 AND session_us = $2 AND sequence > $3
    ORDER BY organization, session_us, sequence LIMIT $4";

// Sequences have no gaps, so the newest is how many there are.
const TOTAL: &str = "
    SELECT COALESCE(MAX(sequence), 0) FROM messages WHERE organization = $1 AND session_us = $2";

const ATTACHED: &str = "
    SELECT body FROM messages WHERE organization = $1 AND session_us = $2 AND attachments > 0 AND sequence < $3
    ORDER BY organization, session_us, sequence";

impl Store {
    /// What was said after a message, in order, and how many messages the session has in all.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a session that is not there.
    pub async fn messages(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
        after: i64,
        limit: u32,
    ) -> Result<Listed<Message>> {
        let created = id.created();
        let statements = vec![
            (IS_THERE, values![created, id.tail() as i64]),
            (PAGE, values![created, after, i64::from(limit) + 1]),
            (TOTAL, values![created]),
        ];
        let [there, rows, total] =
            self.within_snapshot(granted, statements).await?.try_into().unwrap_or_default();
        there.first().ok_or(Refusal::NotFound(Thing::Session))?;
        let more = rows.len() > limit as usize;
        let items = rows.iter().take(limit as usize).map(message).collect::<Result<_>>()?;
        let total = total.first().map_or(Ok(0), |row| row.int(0))?;
        Ok(Listed { items, total: u64::try_from(total).unwrap_or(0), more })
    }

    /// One message.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a session or a message that is not there.
    pub async fn message<P: Right>(
        &self,
        granted: &Granted<P>,
        id: SessionId,
        sequence: i64,
    ) -> Result<Message> {
        let sql = "SELECT m.body FROM messages m JOIN agent_sessions s
                       ON s.organization = m.organization AND s.created_us = m.session_us AND s.tail = $3
                   WHERE m.organization = $1 AND m.session_us = $2 AND m.sequence = $4";
        let rows = self.within(granted, sql, values![id.created(), id.tail() as i64, sequence]).await?;
        rows.first().ok_or(Refusal::NotFound(Thing::Session).into()).and_then(message)
    }

    /// The message of an id.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn message_named<P: Right>(
        &self,
        granted: &Granted<P>,
        session: SessionId,
        id: MessageId,
    ) -> Result<Message> {
        let sql = "SELECT body FROM messages WHERE organization = $1 AND session_us = $2 AND id = $3";
        let rows = self.within(granted, sql, values![session.created(), id]).await?;
        rows.first().ok_or(Refusal::NotFound(Thing::Session).into()).and_then(message)
    }

    /// The files that came with messages, in order: from whom and when.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a session that is not there.
    pub async fn session_attachments(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
    ) -> Result<Vec<(Source, Attachment, Micros)>> {
        let both = vec![
            (IS_THERE, values![id.created(), id.tail() as i64]),
            (ATTACHED, values![id.created(), i64::MAX]),
        ];
        let [there, rows] = self.within_snapshot(granted, both).await?.try_into().unwrap_or_default();
        there.first().ok_or(Refusal::NotFound(Thing::Session))?;
        let messages = rows.iter().map(message).collect::<Result<Vec<_>>>()?;
        let files = messages.into_iter().flat_map(|message| {
            let (source, at) = (message.source, message.created);
            message.attachments.into_iter().map(move |attachment| (source, attachment, at))
        });
        Ok(files.collect())
    }

    /// The files of messages before a sequence, also of a session that was deleted.
    pub(crate) async fn attached(
        &self,
        granted: &Granted<ViewSessions>,
        session: Micros,
        before: i64,
    ) -> Result<Vec<FileId>> {
        let rows = self.within(granted, ATTACHED, values![session, before]).await?;
        let messages = rows.iter().map(message).collect::<Result<Vec<_>>>()?;
        Ok(messages.iter().flat_map(|message| &message.attachments).filter_map(|file| file.id).collect())
    }
}

fn message(row: &Row) -> Result<Message> {
    from_json(row, 0)
}
