//! The change feed of an organization: without gaps and in the order of commits.

use crate::access::lane::Scan;
use crate::access::{Granted, System, ViewSessions};
use crate::database::Row;
use crate::devices::sessions::read_session_id;
use crate::rows::{any_rows, batch, parse_word, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::ids::OrganizationId;
use domain::session::{FeedChange, FeedEntry, SessionKey, SessionKind};
use domain::time::Micros;

/// A page of the change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// In the order of their sequence.
    pub entries: Vec<FeedEntry>,
    /// The newest sequence. A reader without entries continues from here.
    pub latest: i64,
}

impl Store {
    /// The entries after a position, at most `limit`.
    ///
    /// # Errors
    /// [`Refusal::Resync`] when entries after that position were deleted.
    pub async fn list_changes(
        &self,
        granted: &Granted<ViewSessions>,
        after: i64,
        limit: u32,
    ) -> Result<FeedPage> {
        let changes = "SELECT sequence, kind, session_us, session_tail, revision, what, at_us FROM changes
                     WHERE organization = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
        let counters = "SELECT sequence, pruned FROM counters WHERE organization = $1";
        // In one snapshot: a reader that continues from `latest` must have received all entries up to it.
        let both = [(changes, values![after, limit]), (counters, values![])];
        let [rows, counters] = self.read_snapshot(granted, both).await?;
        let (latest, pruned) = match counters.first() {
            Some(row) => (row.int(0)?, row.int(1)?),
            None => (0, 0),
        };
        if after < pruned || after > latest {
            return Err(Refusal::Resync { pruned, latest }.into());
        }
        let entries =
            rows.iter().map(|row| read_entry(granted.organization(), row)).collect::<Result<_>>()?;
        Ok(FeedPage { entries, latest })
    }

    /// Deletes entries that are older than `before`, up to the first one that is not. An import writes entries with
    /// old times, and deleting by time alone would delete younger entries before them.
    pub async fn prune_changes(&self, system: &System, before: Micros) -> Result<()> {
        let sql = "SELECT c.organization FROM counters c
                   WHERE EXISTS (SELECT 1 FROM changes f WHERE f.organization = c.organization
                                 AND f.sequence = c.pruned + 1 AND f.at_us < $1)";
        for row in self.read_unscoped(system, Scan(sql), values![before]).await? {
            let organization = OrganizationId(row.id(0)?);
            let statements = vec![
                any_rows(
                    "UPDATE counters SET pruned = COALESCE(
                         (SELECT sequence - 1 FROM changes WHERE organization = $1 AND at_us >= $2
                          ORDER BY sequence LIMIT 1), sequence)
                     WHERE organization = $1",
                    values![organization, before],
                ),
                any_rows(
                    "DELETE FROM changes WHERE organization = $1
                         AND sequence <= (SELECT pruned FROM counters WHERE organization = $1)",
                    values![organization],
                ),
            ];
            self.database.apply(batch([organization], statements)).await?;
        }
        Ok(())
    }
}

fn read_entry(organization: OrganizationId, row: &Row) -> Result<FeedEntry> {
    Ok(FeedEntry {
        sequence: row.int(0)?,
        session: SessionKey {
            organization,
            kind: parse_word(&row.text(1)?, SessionKind::parse)?,
            id: read_session_id(row, 2)?,
        },
        revision: row.int(4)?,
        change: parse_word(&row.text(5)?, FeedChange::parse)?,
        at: Micros(row.int(6)?),
    })
}
