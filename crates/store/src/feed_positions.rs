//! Positions in all change feeds together, in the order of commits: who has seen everything until one can go on from
//! there, on any server and after a restart.
//!
//! On SQLite a position is a number, and the entry that has it. On PostgreSQL it is a snapshot: the transactions that it
//! sees.

use crate::access::System;
use crate::database::{Database, DatabaseError, Rows};
use crate::feed::read_subject;
use crate::looks::{Look, Snapshot};
use crate::rows::{any_rows, values};
use crate::summaries::{CommittedChanges, Subjects};
use crate::{Result, Store};
use domain::ids::OrganizationId;
use std::sync::{Mutex, PoisonError};

/// The newest position, and when its entry was written.
const NEWEST: &str = "
    SELECT p.position, COALESCE((SELECT c.at_us FROM changes c
        WHERE c.organization = p.organization AND c.sequence = p.sequence), 0)
    FROM change_positions p ORDER BY p.position DESC LIMIT 1";

/// The entries from the position `$1` on. One that was pruned has no kind.
pub(crate) const FROM: &str = "
    SELECT p.position, COALESCE(c.at_us, 0), p.organization, c.kind, c.session_us, c.session_tail
    FROM change_positions p
    LEFT JOIN changes c ON c.organization = p.organization AND c.sequence = p.sequence
    WHERE p.position >= $1 ORDER BY p.position";

/// A position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPosition {
    /// In an SQLite database: the number of the last entry, 0 before the first, and when it was written. A restored backup
    /// gives numbers again, but not with the same times.
    Numbered {
        /// The number.
        number: i64,
        /// Microseconds since 1970.
        at_us: i64,
    },
    /// In a PostgreSQL database.
    Snapshot(Snapshot),
}

impl FeedPosition {
    /// The position as a text.
    pub fn to_text(&self) -> String {
        match self {
            FeedPosition::Numbered { number, at_us } => format!("{number}.{at_us}"),
            FeedPosition::Snapshot(snapshot) => snapshot.as_str().to_owned(),
        }
    }

    /// Reads what [`FeedPosition::to_text`] has written.
    pub fn parse(text: &str) -> Option<FeedPosition> {
        if let Some((number, at_us)) = text.split_once('.') {
            return Some(FeedPosition::Numbered { number: number.parse().ok()?, at_us: at_us.parse().ok()? });
        }
        let is_number = |part: &str| part.parse::<u64>().is_ok();
        let mut parts = text.split(':');
        let (first, last, open) = (parts.next()?, parts.next()?, parts.next()?);
        let is_snapshot = is_number(first)
            && is_number(last)
            && (open.is_empty() || open.split(',').all(is_number))
            && parts.next().is_none();
        is_snapshot.then(|| FeedPosition::Snapshot(Snapshot::new(text.to_owned())))
    }
}

/// The newest position of an SQLite database, and the version of the data that it was read from.
#[derive(Debug, Default)]
pub(crate) struct KnownPosition(Mutex<Option<(i64, FeedPosition)>>);

impl Store {
    /// A position before which everything was committed that the look has seen. Of an SQLite database it must be asked for
    /// before the look.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn read_feed_position(&self, system: &System) -> Result<FeedPosition> {
        match self.probe_position() {
            Ok(Some(position)) => Ok(position),
            // The probe is busy.
            _ => Ok(read_newest(self.read_unscoped(system, NEWEST, values![]).await?)?),
        }
    }

    fn probe_position(&self) -> Result<Option<FeedPosition>, DatabaseError> {
        let mut known = self.position.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = known.as_ref().map(|(version, _)| *version);
        let (version, rows) = self.database.read_unless_known(since, || any_rows(NEWEST, values![]))?;
        if let Some(rows) = rows {
            *known = Some((version, read_newest(rows)?));
        }
        Ok(known.as_ref().map(|(_, position)| position.clone()))
    }

    /// What was committed after a position. `None` when entries after it are not kept any more, or it is of another
    /// database: then everything may have changed.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn load_changes_after(
        &self,
        system: &System,
        position: &FeedPosition,
    ) -> Result<Option<CommittedChanges>> {
        match (position, &self.database) {
            (FeedPosition::Snapshot(snapshot), Database::Postgres(_)) => {
                Ok(self.load_changes_since(system, snapshot).await?.1)
            }
            (FeedPosition::Numbered { number, at_us }, Database::Sqlite(_)) => {
                let rows = self.read_unscoped(system, FROM, values![*number]).await?;
                let Some(subjects) = read_from(rows, *number, *at_us)? else { return Ok(None) };
                let summaries = self.load_summaries(system, subjects.keys()).await?;
                Ok(Some(subjects.into_changes(summaries)))
            }
            _ => Ok(None),
        }
    }
}

impl Look {
    /// The position of a look at a PostgreSQL database.
    pub fn position(&self) -> Option<FeedPosition> {
        self.snapshot().cloned().map(FeedPosition::Snapshot)
    }
}

fn read_newest(rows: Rows) -> Result<FeedPosition, DatabaseError> {
    let newest = rows.read_first(|columns| Ok((columns.int()?, columns.int()?)))?;
    let (number, at_us) = newest.unwrap_or((0, 0));
    Ok(FeedPosition::Numbered { number, at_us })
}

/// What the entries after a position are about; `None` when the position is not there, or an entry was pruned.
fn read_from(rows: Rows, number: i64, at_us: i64) -> Result<Option<Subjects>, DatabaseError> {
    let (mut subjects, mut is_whole, mut expected) = (Subjects::default(), true, number);
    let mut count = 0;
    rows.read_all(|columns| {
        let (position, at) = (columns.int()?, columns.int()?);
        // Numbers have no gaps. The entry of position 0 does not exist.
        is_whole &= position == expected.max(1) && (position != number || at == at_us);
        (expected, count) = (position + 1, count + 1);
        let organization = OrganizationId(columns.id()?);
        if position == number {
            columns.skip_rest();
            return Ok(());
        }
        is_whole &= at != 0;
        match at {
            0 => columns.skip_rest(),
            _ => subjects.add(organization, read_subject(organization, columns)?),
        }
        Ok(())
    })?;
    is_whole &= number == 0 || count > 0;
    Ok(is_whole.then_some(subjects))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let snapshot = |text: &str| FeedPosition::Snapshot(Snapshot::new(text.to_owned()));
        let numbered = FeedPosition::Numbered { number: 7, at_us: 1_772_366_400_000_000 };
        for position in [numbered, snapshot("10:20:10,14"), snapshot("7:7:")] {
            assert_eq!(FeedPosition::parse(&position.to_text()), Some(position));
        }
        for text in ["", "x", "1", "1.x", "1:2", "1:2:x", "1:2:3:4", "1:2:'; DROP TABLE changes"] {
            assert_eq!(FeedPosition::parse(text), None, "{text}");
        }
    }
}
