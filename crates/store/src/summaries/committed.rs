//! What commits have changed, for an observer that keeps the summaries of all sessions.
//!
//! The observer of an SQLite database is told on the thread of the writer: after a commit, and before those who wrote it
//! are answered. So a read of the observer that begins after a write was acknowledged sees it. What changed is read from
//! the change feed: its entries say which sessions a commit has changed, whatever its statements are.

use super::{BODIES, KEYS, KINDS};
use crate::database::{CommitFollower, DatabaseError, ExtendedFeeds, ReadRows};
use crate::feed::{FeedSubject, read_subject};
use crate::rows::{any_rows, values};
use crate::summaries::rows::{read_bodies, read_summaries};
use crate::summaries::statements::SummaryStatements;
use domain::ids::OrganizationId;
use domain::session::{SessionKey, Summary};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The largest number of entries of the change feed that the observer is told of at once.
const ENTRIES: i64 = 4_096;

/// An organization's counter, and its entries after a position.
const ENTRIES_AFTER: &str = "
    SELECT c.sequence, c.pruned, f.sequence, f.kind, f.session_us, f.session_tail
    FROM counters c LEFT JOIN changes f ON f.organization = c.organization AND f.sequence > $2
    WHERE c.organization = $1 ORDER BY f.sequence LIMIT $3";

/// All counters of change feeds. These two count other things.
const COUNTERS: &str = "SELECT organization, sequence FROM counters WHERE organization NOT IN ($1, $2)";

/// What commits have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommittedChanges {
    /// Changed sessions, each once: as they are now, or `None` for one that does not exist any more. A session may be
    /// newer than the commits that this is about; then it comes again, with the same revision or a higher one.
    pub sessions: Vec<(SessionKey, Option<Summary>)>,
    /// Deleted organizations. Their sessions are still there.
    pub deleted_organizations: Vec<OrganizationId>,
}

impl CommittedChanges {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.deleted_organizations.is_empty()
    }
}

/// Is told of the commits of an SQLite database, in their order, on the thread of the writer: it must be brief, and must
/// not wait for the database.
pub trait CommitObserver: Send + Sync {
    /// Commits have changed this.
    fn apply(&self, changes: CommittedChanges);

    /// Nobody can say what commits have changed: all sessions must be loaded again. Commits after this call are told.
    fn reload(&self);
}

/// Reads the change feeds after each commit, and tells the observer.
pub(super) struct ObservedFeeds {
    observer: Arc<dyn CommitObserver>,
    /// The last entry of each feed that the observer was told of; 0 for a feed that is missing.
    positions: BTreeMap<OrganizationId, i64>,
    /// Whether a read failed, so that any feed may have entries.
    is_behind: bool,
}

/// Entries after a position were pruned before they were read, or another database was put in place of this one.
struct Pruned;

impl ObservedFeeds {
    pub(super) fn new(
        observer: Arc<dyn CommitObserver>,
        positions: BTreeMap<OrganizationId, i64>,
    ) -> ObservedFeeds {
        ObservedFeeds { observer, positions, is_behind: false }
    }

    fn catch_up(&mut self, reader: &dyn ReadRows, extended: ExtendedFeeds) -> Result<(), DatabaseError> {
        let organizations = match extended {
            ExtendedFeeds::Of(ids) if !self.is_behind => ids.into_iter().map(OrganizationId).collect(),
            _ => self.list_extended(reader)?,
        };
        for organization in organizations {
            if self.read_feed(reader, organization)?.is_err() {
                self.positions = read_counters(reader)?.into_iter().collect();
                self.observer.reload();
                break;
            }
        }
        self.is_behind = false;
        Ok(())
    }

    fn list_extended(&self, reader: &dyn ReadRows) -> Result<Vec<OrganizationId>, DatabaseError> {
        let counters = read_counters(reader)?.into_iter();
        Ok(counters.filter(|(id, latest)| *latest != self.position(*id)).map(|(id, _)| id).collect())
    }

    fn position(&self, organization: OrganizationId) -> i64 {
        self.positions.get(&organization).copied().unwrap_or(0)
    }

    /// Reads an organization's feed to its end, in parts.
    fn read_feed(
        &mut self,
        reader: &dyn ReadRows,
        organization: OrganizationId,
    ) -> Result<Result<(), Pruned>, DatabaseError> {
        loop {
            let after = self.position(organization);
            let rows = reader.read(&any_rows(ENTRIES_AFTER, values![organization, after, ENTRIES]))?;
            let mut subjects = Subjects::default();
            let (mut counter, mut last) = ((after, 0), after);
            rows.read_all(|columns| {
                counter = (columns.int()?, columns.int()?);
                match columns.maybe_int()? {
                    Some(sequence) => {
                        last = sequence;
                        subjects.add(organization, read_subject(organization, columns)?);
                    }
                    None => columns.skip_rest(),
                }
                Ok(())
            })?;
            let (latest, pruned) = counter;
            let is_whole = pruned <= after && (after == latest || (after < last && last <= latest));
            if !is_whole {
                return Ok(Err(Pruned));
            }
            let changes = subjects.load(reader)?;
            self.positions.insert(organization, last);
            if !changes.is_empty() {
                self.observer.apply(changes);
            }
            if last >= latest {
                return Ok(Ok(()));
            }
        }
    }
}

impl CommitFollower for ObservedFeeds {
    fn follow(&mut self, reader: &dyn ReadRows, extended: ExtendedFeeds) {
        if let Err(error) = self.catch_up(reader, extended) {
            tracing::error!(error = error.to_string(), "cannot read what a commit has changed");
            self.is_behind = true;
            self.observer.reload();
        }
    }
}

fn read_counters(reader: &dyn ReadRows) -> Result<Vec<(OrganizationId, i64)>, DatabaseError> {
    let others = values![OrganizationId::ACCOUNT, OrganizationId::AUDIT];
    let rows = reader.read(&any_rows(COUNTERS, others))?;
    rows.read_all(|columns| Ok((OrganizationId(columns.id()?), columns.int()?)))
}

/// What entries of the change feed are about, each once.
#[derive(Default)]
pub(crate) struct Subjects {
    keys: Vec<SessionKey>,
    seen: HashSet<SessionKey>,
    organizations: Vec<OrganizationId>,
}

impl Subjects {
    pub(crate) fn add(&mut self, organization: OrganizationId, subject: FeedSubject) {
        match subject {
            FeedSubject::Session(key) => {
                if self.seen.insert(key) {
                    self.keys.push(key);
                }
            }
            FeedSubject::Organization => self.organizations.push(organization),
        }
    }

    pub(crate) fn keys(&self) -> &[SessionKey] {
        &self.keys
    }

    /// The changes, from the summaries of all keys in their order.
    pub(crate) fn into_changes(self, summaries: Vec<Option<Summary>>) -> CommittedChanges {
        CommittedChanges {
            sessions: self.keys.into_iter().zip(summaries).collect(),
            deleted_organizations: self.organizations,
        }
    }

    /// Reads the summaries on the thread of the writer.
    fn load(self, reader: &dyn ReadRows) -> Result<CommittedChanges, DatabaseError> {
        let statements = SummaryStatements::new(true);
        let mut found = HashMap::with_capacity(self.keys.len());
        for kind in KINDS {
            let of_kind = self.keys.iter().filter(|key| key.kind == kind).copied().collect::<Vec<_>>();
            for some in of_kind.chunks(KEYS) {
                let mut read = read_summaries(kind, reader.read(&statements.look_up(kind, some))?)?;
                for unlabelled in read.unlabelled.chunks(BODIES) {
                    read.summaries.extend(read_bodies(reader.read(&statements.bodies(unlabelled))?)?);
                }
                found.extend(read.summaries.into_iter().map(|summary| (summary.key, summary)));
            }
        }
        let summaries = self.keys.iter().map(|key| found.remove(key)).collect();
        Ok(self.into_changes(summaries))
    }
}
