//! The change feed of an organization: an entry for every change of a session's revision, without gaps and in the order of
//! commits. The deletion of the organization is an entry too: it changes the account's lists, but no session.

use crate::access::lane::Scan;
use crate::access::{Granted, System, ViewSessions};
use crate::database::{Columns, DatabaseError, Statement};
use crate::devices::sessions::read_session_id;
use crate::rows::{any_rows, batch, one_row, parse_word, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::ids::{OrganizationId, SessionId};
use domain::session::{FeedChange, FeedEntry, SessionKey, SessionKind};
use domain::time::Micros;
use std::collections::BTreeMap;

/// The kind of the entry of a deleted organization. The kinds of other entries are those of sessions.
const ORGANIZATION: &str = "organization";

/// A page of the change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// In the order of their sequence.
    pub entries: Vec<FeedEntry>,
    /// Whether the organization was deleted within this page.
    pub organization_deleted: bool,
    /// The sequence that this page ends with. The next page is after it.
    pub last: i64,
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
        let statements = [(changes, values![after, limit]), (counters, values![])];
        let [rows, counters] = self.read_snapshot(granted, statements).await?;
        let counters = counters.read_first(|columns| Ok((columns.int()?, columns.int()?)))?;
        let (latest, pruned) = counters.unwrap_or((0, 0));
        if after < pruned || after > latest {
            return Err(Refusal::Resync { pruned, latest }.into());
        }
        let rows = rows.read_all(|columns| read_entry(granted.organization(), columns))?;
        let last = rows.last().map_or(latest, |(sequence, _)| *sequence);
        let organization_deleted = rows.iter().any(|(_, entry)| entry.is_none());
        let entries = rows.into_iter().filter_map(|(_, entry)| entry).collect();
        Ok(FeedPage { entries, organization_deleted, last, latest })
    }

    /// The newest sequence of every feed: those of all organizations, and that of login sessions.
    pub async fn load_feed_positions(&self, system: &System) -> Result<BTreeMap<OrganizationId, i64>> {
        // These two counters count other things.
        let (pool, audit) = (OrganizationId::ACCOUNT, OrganizationId::AUDIT);
        let sql = "SELECT organization, sequence FROM counters WHERE organization NOT IN ($1, $2)";
        let rows = self.read_unscoped(system, Scan(sql), values![pool, audit]).await?;
        let positions = rows.read_all(|columns| Ok((OrganizationId(columns.id()?), columns.int()?)))?;
        Ok(positions.into_iter().collect())
    }

    /// Deletes entries that are older than `before`, up to the first one that is not. An import writes entries with
    /// old times, and deleting by time alone would delete younger entries before them.
    pub async fn prune_changes(&self, system: &System, before: Micros) -> Result<()> {
        let sql = "SELECT c.organization FROM counters c
                   WHERE EXISTS (SELECT 1 FROM changes f WHERE f.organization = c.organization
                                 AND f.sequence = c.pruned + 1 AND f.at_us < $1)";
        let rows = self.read_unscoped(system, Scan(sql), values![before]).await?;
        for organization in rows.read_all(Columns::id)?.into_iter().map(OrganizationId) {
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

/// An entry of the change feed. The organization's row in `counters` is locked from before the batch until the
/// commit, so the sequence has no gaps and follows the order of commits.
pub(crate) fn feed_entry(key: SessionKey, revision: i64, change: FeedChange, at: Micros) -> [Statement; 2] {
    append_entry(key.organization, key.kind.name(), key.id, revision, change, at)
}

/// The entry of a deleted organization. It has no session.
pub(crate) fn organization_deletion_entry(organization: OrganizationId, at: Micros) -> [Statement; 2] {
    append_entry(organization, ORGANIZATION, SessionId::new(Micros(0), 0), 0, FeedChange::Deleted, at)
}

fn append_entry(
    organization: OrganizationId,
    kind: &'static str,
    id: SessionId,
    revision: i64,
    change: FeedChange,
    at: Micros,
) -> [Statement; 2] {
    [
        one_row("UPDATE counters SET sequence = sequence + 1 WHERE organization = $1", values![organization]),
        any_rows(
            "INSERT INTO changes (organization, sequence, kind, session_us, session_tail, revision, what, at_us)
             VALUES ($1, (SELECT sequence FROM counters WHERE organization = $1), $2, $3, $4, $5, $6, $7)",
            values![organization, kind, id.creation_time(), id.tail() as i64, revision, change.name(), at],
        ),
    ]
}

/// What an entry of the change feed is about.
pub(crate) enum FeedSubject {
    /// A session.
    Session(SessionKey),
    /// The organization itself, which was deleted.
    Organization,
}

/// Reads what an entry is about from three columns: kind, time and tail.
pub(crate) fn read_subject(
    organization: OrganizationId,
    columns: &mut Columns,
) -> Result<FeedSubject, DatabaseError> {
    let (kind, id) = (columns.text()?, read_session_id(columns)?);
    if kind == ORGANIZATION {
        return Ok(FeedSubject::Organization);
    }
    let kind = parse_word(&kind, SessionKind::parse)?;
    Ok(FeedSubject::Session(SessionKey { organization, kind, id }))
}

/// A sequence, and its entry; `None` for the entry of the deleted organization.
fn read_entry(
    organization: OrganizationId,
    columns: &mut Columns,
) -> Result<(i64, Option<FeedEntry>), DatabaseError> {
    let sequence = columns.int()?;
    let FeedSubject::Session(session) = read_subject(organization, columns)? else {
        columns.skip_rest();
        return Ok((sequence, None));
    };
    let entry = FeedEntry {
        sequence,
        session,
        revision: columns.int()?,
        change: columns.word(FeedChange::parse)?,
        at: columns.time()?,
    };
    Ok((sequence, Some(entry)))
}
